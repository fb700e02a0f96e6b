import { Link } from "wouter";

import { Problem } from "../api/client";
import type { Run } from "../api/types";
import type { Mark } from "../code/view";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Elapsed, useNow } from "../components/time";
import { count } from "../lib/format";
import { useCancelRun, useSqlRun } from "./queries";

/** What became of a statement: where its query is, its rows, or what is wrong with it. */
export function Outcome(props: { run: string | undefined; error: Error | null; marks: Mark[]; pending: boolean }) {
  const run = useSqlRun(props.run);
  if (props.error) return <Refused error={props.error} marks={props.marks} />;
  if (props.run === undefined) {
    return (
      <section className="card" aria-label="Result">
        <Empty icon="table" title="Rows appear here">
          Add a file as a table, write a statement over it, and run it.
        </Empty>
      </section>
    );
  }
  if (run.isPending) return <LoadingBlock height={260} label="Loading the result" />;
  if (!run.data) {
    return run.error instanceof Problem && run.error.status === 404 ? (
      <section className="card" aria-label="Result">
        <Empty icon="search" title="There is no such run">
          Its history has ended, or it belongs to another namespace.
        </Empty>
      </section>
    ) : (
      <Failure error={run.error} retry={() => void run.refetch()} />
    );
  }
  return <Ran run={run.data} />;
}

/** Why the server did not take a statement. */
function Refused({ error, marks }: { error: Error; marks: Mark[] }) {
  const problem = error instanceof Problem ? error : undefined;
  return (
    <div className="notice bad" role="alert" id="sql-error">
      <span aria-hidden="true">✕</span>
      <div>
        <strong>{problem?.title ?? "The server does not answer"}</strong>
        {marks.length > 0 ? (
          marks.map((mark, index) => (
            <pre key={index}>{`Line ${mark.line}${mark.column ? `, column ${mark.column}` : ""}: ${mark.message}`}</pre>
          ))
        ) : (
          <pre>{problem?.detail ?? "Check that it runs and that this page is open on its address."}</pre>
        )}
      </div>
    </div>
  );
}

function Ran({ run }: { run: Run }) {
  const live = run.state !== "finished";
  const now = useNow(live, 100);
  const cancel = useCancelRun();
  const { progress } = run;
  return (
    <section className="card" aria-label="Result">
      <header>
        <div className="row">
          <h2>Result</h2>
          <RunStateBadge run={run} />
          <span className="muted">
            <Elapsed from={run.created_at} to={run.finished_at} now={now} />
          </span>
        </div>
        <div className="row">
          {live && (
            <button className="danger" disabled={cancel.isPending} onClick={() => cancel.mutate(run.id)}>
              Cancel
            </button>
          )}
          <Link href={`/runs/${run.id}`}>Run page</Link>
        </div>
      </header>
      {live && (
        <div className="sql-progress" role="status">
          <TaskBar done={progress.tasks_done} running={progress.tasks_running} total={progress.tasks} />
          <span className="muted">
            {progress.tasks === 0
              ? "Planning"
              : `${count(progress.tasks_done)} of ${count(progress.tasks)} tasks, stage ${progress.stages_completed + 1} of ${progress.stages}`}
          </span>
        </div>
      )}
      {run.reason && (
        <div className="sql-failed">
          <strong className="mono">{run.reason.code}</strong>
          <pre>{run.reason.message}</pre>
        </div>
      )}
    </section>
  );
}
