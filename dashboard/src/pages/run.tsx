import "../run/run.css";

import { Link, useLocation, useSearchParams } from "wouter";

import { useAttempts, useCancel, usePlan, useRetry, useRun } from "../api/queries";
import type { Run } from "../api/types";
import { Empty, Failure } from "../components/feedback";
import { Problem } from "../api/client";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { bytes, count, duration } from "../lib/format";
import { plannedStages } from "../lib/graph";
import { Configuration } from "../run/configuration";
import { Events } from "../run/events";
import { Gantt } from "../run/gantt";
import { StageGraph } from "../run/graph";
import { Logs } from "../run/logs";
import { Metrics } from "../run/metrics";
import { Outputs } from "../run/outputs";
import { Stages } from "../run/stages";
import { Spread, Tasks } from "../run/tasks";

const views: [string, string][] = [
  ["overview", "Overview"],
  ["tasks", "Tasks"],
  ["logs", "Logs"],
  ["configuration", "Configuration"],
  ["events", "Events"],
];

export default function RunPage({ id, view }: { id: string; view: string; item: string | undefined }) {
  const run = useRun(id);
  if (run.isPending) return <p className="muted">Loading…</p>;
  if (run.error && !run.data) {
    return run.error instanceof Problem && run.error.status === 404 ? (
      <div className="card">
        <Empty page icon="search" title="There is no such run">
          <Link href="/">All runs</Link>
        </Empty>
      </div>
    ) : (
      <Failure error={run.error} retry={() => void run.refetch()} />
    );
  }
  return <Loaded run={run.data} view={view} stale={run.error} />;
}

function Loaded({ run, view, stale }: { run: Run; view: string; stale: Error | null }) {
  const live = run.state !== "finished";
  const now = useNow(live, 250);
  const plan = usePlan(run.id, run.planned_at != null);
  return (
    <>
      <title>{`${run.name} · Weir`}</title>
      <Header run={run} now={now} />
      {stale && <Failure error={stale} />}
      {run.reason && (
        <div className={`notice ${run.result === "cancelled" ? "warn" : "bad"}`} role="status">
          <span aria-hidden="true">{run.result === "cancelled" ? "!" : "✕"}</span>
          <div>
            <strong className="mono">{run.reason.code}</strong>
            <pre>{run.reason.message}</pre>
          </div>
        </div>
      )}
      <section className="card pad" aria-label="Progress" style={{ padding: 16 }}>
        <Facts run={run} now={now} />
      </section>
      <nav className="tabs" aria-label="Run">
        {views.map(([key, title]) => (
          <Link key={key} href={`/runs/${run.id}/${key}`} aria-current={key === view ? "page" : undefined}>
            {title}
          </Link>
        ))}
      </nav>
      {view === "overview" && (
        <>
          {run.stages.length > 0 && <StageGraph stages={run.stages} nodes={plannedStages(plan.data)} now={now} />}
          <Stages run={run} now={now} />
          <Outputs outputs={run.outputs} />
          <Metrics metrics={run.metrics} />
        </>
      )}
      {view === "tasks" && <TasksView run={run} live={live} now={now} />}
      {view === "logs" && <Logs run={run} live={live} />}
      {view === "configuration" && <Configuration run={run} />}
      {view === "events" && <Events run={run.id} live={live} />}
    </>
  );
}

function TasksView({ run, live, now }: { run: Run; live: boolean; now: number }) {
  const attempts = useAttempts(run.id, live);
  const [search, setSearch] = useSearchParams();
  const chosen = search.get("stage");
  const stage = chosen === null ? undefined : Number(chosen);
  if (attempts.error) return <Failure error={attempts.error} retry={() => void attempts.refetch()} />;
  const rows = attempts.data ?? [];
  const choose = (stage: number) => setSearch({ stage: String(stage) }, { replace: true });
  return (
    <>
      <Gantt attempts={rows} from={run.created_at} now={now} stage={stage} />
      {run.stages.length > 0 && <Spread run={run} attempts={rows} stage={stage ?? 0} choose={choose} />}
      <Tasks attempts={rows} stage={stage} />
    </>
  );
}

function Header({ run, now }: { run: Run; now: number }) {
  const cancel = useCancel(run.id);
  const retry = useRetry(run.id);
  const [, navigate] = useLocation();
  const over = run.state === "finished";
  const error = cancel.error ?? retry.error;
  return (
    <>
      <div className="row spread">
        <div>
          <div className="row">
            <h1>{run.name}</h1>
            <RunStateBadge run={run} />
          </div>
          <div className="row muted" style={{ marginTop: 4 }}>
            <span className="mono">{run.id}</span>
            <span aria-hidden="true">·</span>
            <span>
              submitted <Ago at={run.created_at} now={now} />
              {run.submitted_by && ` by ${run.submitted_by}`}
            </span>
            {run.retry_of && (
              <>
                <span aria-hidden="true">·</span>
                <Link href={`/runs/${run.retry_of}`}>tries another run again</Link>
              </>
            )}
          </div>
        </div>
        <div className="row">
          {!over && (
            <button
              className="danger"
              disabled={cancel.isPending || run.requested_state === "cancelled"}
              onClick={() => cancel.mutate()}
            >
              {run.requested_state === "cancelled" ? "Cancelling…" : "Cancel"}
            </button>
          )}
          {over && (
            <button
              disabled={retry.isPending}
              onClick={() => retry.mutate(undefined, { onSuccess: (made) => navigate(`/runs/${made.id}`) })}
            >
              Run again
            </button>
          )}
        </div>
      </div>
      {error && <Failure error={error} />}
    </>
  );
}

function Facts({ run, now }: { run: Run; now: number }) {
  const { progress, durations } = run;
  const phases = [
    ["planning", durations.planning_ms],
    ["running", durations.running_ms],
    ["committing", durations.committing_ms],
  ] as const;
  const known = phases.flatMap(([name, ms]) => (ms == null ? [] : [`${name} ${duration(ms)}`]));
  return (
    <div style={{ display: "grid", gap: 14 }}>
      <TaskBar done={progress.tasks_done} running={progress.tasks_running} total={progress.tasks} />
      <dl className="facts">
        <div>
          <dt>Took</dt>
          <dd title={known.join(", ")}>
            <Elapsed from={run.created_at} to={run.finished_at} now={now} />
          </dd>
        </div>
        <div>
          <dt>Stages</dt>
          <dd>
            {progress.stages_completed} <small>of {progress.stages}</small>
          </dd>
        </div>
        <div>
          <dt>Tasks</dt>
          <dd>
            {count(progress.tasks_done)} <small>of {count(progress.tasks)}</small>
          </dd>
        </div>
        <div>
          <dt>Rows in</dt>
          <dd>{count(progress.rows_in)}</dd>
        </div>
        <div>
          <dt>Read</dt>
          <dd>{bytes(progress.bytes_in)}</dd>
        </div>
        <div>
          <dt>Written</dt>
          <dd>{bytes(progress.bytes_out)}</dd>
        </div>
        <div>
          <dt>Spilled</dt>
          <dd>{bytes(progress.spilled_bytes)}</dd>
        </div>
        <div>
          <dt>Failed attempts</dt>
          <dd>{count(progress.attempts_failed)}</dd>
        </div>
      </dl>
    </div>
  );
}
