import { Route, Switch } from "wouter";

import { ModuleDetail } from "../modules/detail";
import { ModuleList } from "../modules/list";
import "../forms/forms.css";
import "../modules/modules.css";

/** Wasm components: all of them, and one. */
export default function ModulesPage() {
  return (
    <Switch>
      <Route path="/modules" component={ModuleList} />
      <Route path="/modules/:digest">{({ digest }) => <ModuleDetail key={digest} digest={digest} />}</Route>
    </Switch>
  );
}
