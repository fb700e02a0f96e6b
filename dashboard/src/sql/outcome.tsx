import { useCallback, useMemo } from "react";
import { Link } from "wouter";

import { Problem } from "../api/client";
import { useRun } from "../api/queries";
import type { Run } from "../api/types";
import type { Mark } from "../code/view";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Elapsed, useNow } from "../components/time";
import { count, counted } from "../lib/format";
import { useCancelRun, useDownload, useRows } from "./queries";
import { ResultGrid } from "./result";

/** What became of a statement: where its query is, its rows, or what is wrong with it. */
export function Outcome(props: { run: string | undefined; error: Error | null; marks: Mark[] }) {
  const run = useRun(props.run ?? "");
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
      {run.result === "succeeded" && <Rows run={run} />}
    </section>
  );
}

/** The rows of a query; a statement that writes files has outputs in their place. */
function Rows({ run }: { run: Run }) {
  const result = useRows(run.id);
  const download = useDownload(run.id);
  const rows = useMemo(() => result.data?.pages.flatMap((page) => page.rows) ?? [], [result.data]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = result;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const columns = result.data?.pages[0]?.columns;

  if (result.error && !result.data) {
    const status = result.error instanceof Problem ? result.error.status : 0;
    if (status === 404 || status === 410) {
      return (
        <Empty icon="done" title={status === 410 ? "The rows were deleted" : "It has no rows"} small>
          {status === 410 ? (
            "Results are kept for a time. Run the statement again."
          ) : (
            <>
              What it wrote is on the <Link href={`/runs/${run.id}`}>run page</Link>.
            </>
          )}
        </Empty>
      );
    }
    return <Failure error={result.error} retry={() => void result.refetch()} />;
  }
  if (!columns) return <div className="result-waiting" role="status" aria-label="Loading the rows" />;
  if (columns.length === 0) return <Empty icon="done" title="It has no rows" small />;
  return (
    <>
      {download.error && <Failure error={download.error} />}
      <ResultGrid label="Rows" columns={columns} rows={rows} more={hasNextPage} onMore={more} />
      <div className="sql-status">
        <span>
          {counted(rows.length, "row")}
          {hasNextPage && " so far"}, {counted(columns.length, "column")}
        </span>
        <button className="quiet" disabled={download.isPending} onClick={() => download.mutate()}>
          {download.isPending ? "Downloading…" : "Download CSV"}
        </button>
      </div>
    </>
  );
}
