import { Link, Route, Switch } from "wouter";

import { usePipeline } from "../api/pipelines";
import { Empty, Failure, LoadingPage } from "../components/feedback";
import { PipelineDetail } from "../pipelines/detail";
import { PipelineForm } from "../pipelines/form";
import { PipelineList } from "../pipelines/list";
import "../forms/forms.css";

const views = ["definition", "versions", "runs", "schedules"];

function Edit({ name }: { name: string }) {
  const pipeline = usePipeline(name);
  if (pipeline.data) return <PipelineForm pipeline={pipeline.data} />;
  return pipeline.error ? <Failure error={pipeline.error} retry={() => void pipeline.refetch()} /> : <LoadingPage />;
}

/** Pipelines: all of them, one, and the form for both. No name begins with a hyphen. */
export default function PipelinesPage() {
  return (
    <Switch>
      <Route path="/pipelines" component={PipelineList} />
      <Route path="/pipelines/-/new">
        <PipelineForm />
      </Route>
      <Route path="/pipelines/:name/edit">{({ name }) => <Edit key={name} name={name} />}</Route>
      <Route<{ name: string; view?: string }> path="/pipelines/:name/:view?">
        {({ name, view = "definition" }) =>
          views.includes(view) ? (
            <PipelineDetail key={name} name={name} view={view} />
          ) : (
            <div className="card">
              <Empty page icon="search" title="There is no such page">
                <Link href={`/pipelines/${name}`}>The pipeline</Link>
              </Empty>
            </div>
          )
        }
      </Route>
    </Switch>
  );
}
