import { Link, useLocation } from "wouter";

import { useRuns, type RunFilter } from "../api/queries";
import type { ListedRun } from "../api/types";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { useAddress } from "../lib/address";
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
  const [search, change] = useAddress();
  const [, navigate] = useLocation();
  const show = search.get("show") ?? "all";
  const name = search.get("name") ?? "";
  const settled = useSettled(name.trim());
  const runs = useRuns({ ...(shows[show] ?? {}), ...(settled ? { name: settled } : {}) });
  const rows = runs.data?.pages.flatMap((page) => page.items) ?? [];
  const now = useNow(true);
  const picked = (search.get("pick") ?? "").split(",").filter(Boolean);
  const pick = (id: string, on: boolean) =>
    change({ pick: (on ? [...picked, id] : picked.filter((other) => other !== id)).slice(-2).join(",") });
  // The older of two is what the younger one is compared with.
  const [older = "", younger = ""] = [...picked].sort();
  const filtered = show !== "all" || settled !== "";

  return (
    <>
      <title>Runs · Weir</title>
      <div className="row spread">
        <h1>Runs</h1>
        <div className="row">
          {picked.length > 0 && (
            <>
              <button onClick={() => change({ pick: null })}>Pick none</button>
              <button
                className="primary"
                disabled={picked.length < 2}
                onClick={() => navigate(`/compare?a=${older}&b=${younger}`)}
              >
                {picked.length < 2 ? "Pick another to compare" : "Compare two runs"}
              </button>
            </>
          )}
          <div className="chips" role="group" aria-label="Show">
            {Object.keys(shows).map((key) => (
              <button
                key={key}
                aria-pressed={key === show}
                onClick={() => change({ show: key === "all" ? null : key })}
              >
                {key.charAt(0).toUpperCase() + key.slice(1)}
              </button>
            ))}
          </div>
          <input
            type="search"
            placeholder="Job name"
            aria-label="Job name"
            value={name}
            onChange={(event) => change({ name: event.target.value })}
          />
        </div>
      </div>
      {runs.error && <Failure error={runs.error} retry={() => void runs.refetch()} />}
      <section className="card scroll" aria-label="Runs">
        <table>
          <thead>
            <tr>
              <th className="pick">
                <span className="visually-hidden">Pick</span>
              </th>
              <th>Run</th>
              <th>State</th>
              <th style={{ width: "22%" }}>Tasks</th>
              <th className="n">Stages</th>
              <th className="n">Took</th>
              <th>Submitted</th>
            </tr>
          </thead>
          {runs.isPending ? (
            <LoadingRows rows={8} columns={7} />
          ) : (
            <tbody>
              {rows.map((run) => (
                <Row key={run.id} run={run} now={now} picked={picked.includes(run.id)} onPick={pick} />
              ))}
            </tbody>
          )}
        </table>
        {!runs.isPending && !runs.error && rows.length === 0 && (
          <Empty icon={filtered ? "search" : "runs"} title={filtered ? "No run is like that" : "Nothing has run yet"}>
            {filtered ? (
              <button onClick={() => change({ show: null, name: null })}>Show all</button>
            ) : (
              <>
                Submit a pipeline, and it appears here.
                <pre>weir submit examples/wordcount/pipeline.yaml --wait</pre>
              </>
            )}
          </Empty>
        )}
      </section>
      <More list={runs}>Older runs</More>
    </>
  );
}

interface RowProps {
  run: ListedRun;
  now: number;
  picked: boolean;
  onPick: (id: string, on: boolean) => void;
}

function Row({ run, now, picked, onPick }: RowProps) {
  return (
    <tr aria-selected={picked}>
      <td className="pick">
        <input
          type="checkbox"
          checked={picked}
          aria-label={`Pick ${run.name}, ${run.id}, to compare`}
          onChange={(event) => onPick(run.id, event.target.checked)}
        />
      </td>
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
