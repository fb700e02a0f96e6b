import type { ReactNode } from "react";

import { Empty } from "../components/feedback";

/** A list of modules without one: nothing is like what is searched for, or there are none. */
export function NoModules(props: {
  /** What is searched for, if anything. */
  wanted: string;
  onShowAll: () => void;
  /** What a module is, where that is not said already. */
  children?: ReactNode;
}) {
  const { wanted, onShowAll, children } = props;
  if (wanted) {
    return (
      <Empty icon="search" title="No module here is like that" small>
        <button onClick={onShowAll}>Show all</button>
      </Empty>
    );
  }
  return (
    <Empty icon="box" title="There are no modules yet" small>
      {children}
      <pre>weir build examples/textkit --out textkit.wasm</pre>
    </Empty>
  );
}
