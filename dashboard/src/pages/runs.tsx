import { Link, useSearchParams } from "wouter";

import { useRuns, type RunFilter } from "../api/queries";
import type { ListedRun } from "../api/types";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { count } from "../lib/format";
import { useSettled } from "../lib/settle";

const shows: Record<string, RunFilter> = {
  all: {},
  running: { state: "running" },
  succeeded: { result: "succeeded" },
  failed: { result: "failed" },
  cancelled: { result: "cancelled" },
};

export default function RunsPage() {
  const [search, setSearch] = useSearchParams();
  const show = search.get("show") ?? "all";
  const name = search.get("name") ?? "";
  const settled = useSettled(name.trim());
  const runs = useRuns({ ...(shows[show] ?? {}), ...(settled ? { name: settled } : {}) });
  const rows = runs.data?.pages.flatMap((page) => page.items) ?? [];
  const now = useNow(true);
  const set = (key: string, value: string) =>
    setSearch(
      (old) => {
        const params = new URLSearchParams(old);
        if (value) params.set(key, value);
        else params.delete(key);
        return params;
      },
      { replace: true },
    );
  const filtered = show !== "all" || settled !== "";

  return (
    <>
      <title>Runs · Weir</title>
      <div className="row spread">
        <h1>Runs</h1>
        <div className="row">
          <div className="chips" role="group" aria-label="Show">
            {Object.keys(shows).map((key) => (
              <button key={key} aria-pressed={key === show} onClick={() => set("show", key === "all" ? "" : key)}>
                {key.charAt(0).toUpperCase() + key.slice(1)}
              </button>
            ))}
          </div>
          <input
            type="search"
            placeholder="Job name"
            aria-label="Job name"
            value={name}
            onChange={(event) => set("name", event.target.value)}
          />
        </div>
      </div>
      {runs.error && <Failure error={runs.error} retry={() => void runs.refetch()} />}
      <section className="card scroll" aria-label="Runs">
        <table>
          <thead>
            <tr>
              <th>Run</th>
              <th>State</th>
              <th style={{ width: "22%" }}>Tasks</th>
              <th className="n">Stages</th>
              <th className="n">Took</th>
              <th>Submitted</th>
            </tr>
          </thead>
          {runs.isPending ? (
            <LoadingRows rows={8} columns={6} />
          ) : (
            <tbody>
              {rows.map((run) => (
                <Row key={run.id} run={run} now={now} />
              ))}
            </tbody>
          )}
        </table>
        {!runs.isPending && !runs.error && rows.length === 0 && (
          <Empty icon={filtered ? "search" : "runs"} title={filtered ? "No run is like that" : "Nothing has run yet"}>
            {filtered ? (
              <button onClick={() => setSearch("", { replace: true })}>Show all</button>
            ) : (
              <>
                Submit a pipeline, and it appears here.
                <pre>weir submit examples/wordcount/pipeline.yaml --wait</pre>
              </>
            )}
          </Empty>
        )}
      </section>
      {runs.hasNextPage && (
        <div className="row" style={{ justifyContent: "center" }}>
          <button disabled={runs.isFetchingNextPage} onClick={() => void runs.fetchNextPage()}>
            {runs.isFetchingNextPage ? "Loading…" : "Older runs"}
          </button>
        </div>
      )}
    </>
  );
}

function Row({ run, now }: { run: ListedRun; now: number }) {
  return (
    <tr>
      <td>
        <Link href={`/runs/${run.id}`}>
          <strong>{run.name}</strong>
        </Link>
        <div className="muted mono">{run.id}</div>
      </td>
      <td title={run.reason?.message}>
        <RunStateBadge run={run} />
      </td>
      <td>
        <TaskBar done={run.tasks_done} running={0} total={run.tasks} />
        <div className="muted">
          {count(run.tasks_done)} of {count(run.tasks)}
        </div>
      </td>
      <td className="n">
        {run.stages_completed}/{run.stages}
      </td>
      <td className="n">
        <Elapsed from={run.created_at} to={run.finished_at} now={now} />
      </td>
      <td>
        <Ago at={run.created_at} now={now} />
      </td>
    </tr>
  );
}
