// What a run is, how far it is, and what can be done with it.

import { useState } from "react";
import { Link, useLocation } from "wouter";

import { useDownload } from "../api/download";
import { useOrder, useRetry } from "../api/queries";
import type { Run } from "../api/types";
import { Facts } from "../components/card";
import { Copy } from "../components/copy";
import { Confirm } from "../components/dialog";
import { Failure } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed } from "../components/time";
import { bytes, count, duration, moment } from "../lib/format";
import { headline } from "../lib/ending";
import { Explained } from "./reason";

export function Header({ run, now }: { run: Run; now: number }) {
  const labels = Object.entries(run.labels);
  return (
    <div className="row spread run-header">
      <div className="run-title">
        <div className="row">
          <h1>{run.name}</h1>
          <RunStateBadge run={run} />
          {labels.map(([name, value]) => (
            <span className="label" key={name}>
              {name}
              <b>{value}</b>
            </span>
          ))}
        </div>
        <div className="row muted">
          <span className="mono">{run.id}</span>
          <Copy text={run.id} label="Copy the id" />
          <span>{run.namespace}</span>
          <span aria-hidden="true">·</span>
          {run.pipeline ? (
            <Link href={`/pipelines/${run.pipeline.name}`}>
              {run.pipeline.name} v{run.pipeline.version}
            </Link>
          ) : (
            <span>{run.job === "sql" ? "SQL" : "pipeline"}</span>
          )}
          {run.schedule && (
            <>
              <span aria-hidden="true">·</span>
              <Link
                href={`/schedules/${run.schedule.name}`}
                title={run.schedule.at ? `For ${moment(run.schedule.at)}` : "Somebody asked the schedule for it"}
              >
                {run.schedule.name}
              </Link>
            </>
          )}
          <span aria-hidden="true">·</span>
          <span>
            submitted <Ago at={run.created_at} now={now} />
            {run.created_by && !run.schedule && ` by ${run.created_by}`}
          </span>
          {run.retry_of && (
            <>
              <span aria-hidden="true">·</span>
              <Link href={`/runs/${run.retry_of}`}>tries another run again</Link>
            </>
          )}
        </div>
      </div>
      <Actions run={run} />
    </div>
  );
}

function Actions({ run }: { run: Run }) {
  const [asked, setAsked] = useState<"cancel" | "retry">();
  const order = useOrder(run.id);
  const retry = useRetry(run.id);
  const download = useDownload();
  const [, navigate] = useLocation();
  const over = run.state === "finished";
  const cancelling = run.requested_state === "cancelled";
  const paused = run.state === "paused" || run.requested_state === "paused";
  const error = download.error ?? (asked === "cancel" ? null : order.error);
  return (
    <div className="run-actions">
      <div className="row">
        {!over && !cancelling && (
          <button disabled={order.isPending} onClick={() => order.mutate(paused ? "resume" : "pause")}>
            {paused ? "Resume" : "Pause"}
          </button>
        )}
        {over && run.restart_at && (
          <button
            className="danger"
            disabled={order.isPending}
            title={`Its restart policy runs it again: ${moment(run.restart_at)}`}
            onClick={() => order.mutate("cancel")}
          >
            Stop its restart
          </button>
        )}
        {over ? (
          <button onClick={() => setAsked("retry")}>Run again</button>
        ) : (
          <button className="danger" disabled={cancelling} onClick={() => setAsked("cancel")}>
            {cancelling ? "Cancelling…" : "Cancel"}
          </button>
        )}
        <button
          disabled={download.isPending}
          title="The run as one HTML file, to be kept and read without a server"
          onClick={() => download.mutate({ path: `/api/v1/runs/${run.id}/export`, name: `${run.name} ${run.id}.html` })}
        >
          {download.isPending ? "Exporting…" : "Export"}
        </button>
        <Link className="button" href={`/compare?a=${run.retry_of ?? ""}&b=${run.id}`}>
          Compare
        </Link>
      </div>
      {error && <Failure error={error} />}
      {asked === "cancel" && !over && (
        <Confirm
          title="Cancel this run?"
          action="Cancel the run"
          danger
          pending={order.isPending}
          error={order.error}
          onConfirm={() => order.mutate("cancel", { onSuccess: () => setAsked(undefined) })}
          onClose={() => setAsked(undefined)}
        >
          <strong>{run.name}</strong> stops, and what it has written stays invisible. That can not be taken back, but
          the run can be run again.
        </Confirm>
      )}
      {asked === "retry" && (
        <Confirm
          title="Run this again?"
          action="Run again"
          pending={retry.isPending}
          error={retry.error}
          onConfirm={() => retry.mutate(undefined, { onSuccess: (made) => navigate(`/runs/${made.id}`) })}
          onClose={() => setAsked(undefined)}
        >
          A new run of <strong>{run.name}</strong>, with the same job, modules and settings.
        </Confirm>
      )}
    </div>
  );
}

/** How far it is, and its totals. */
export function Progress(props: { run: Run; now: number; stale: Error | null; steady: boolean }) {
  const { run, now, stale, steady } = props;
  const { progress } = run;
  return (
    <section className="card progress" aria-label="Progress">
      {stale && <Failure error={stale} />}
      {steady && <Outcome run={run} />}
      {(steady || run.result !== "succeeded") && (
        <TaskBar
          done={progress.tasks_done}
          running={progress.tasks_running}
          total={progress.tasks}
          tone={run.result === "failed" ? "bad" : undefined}
        />
      )}
      <Facts
        facts={[
          ["Took", <Elapsed key="took" from={run.created_at} to={run.finished_at} now={now} />],
          ["Stages", <Of key="stages" done={progress.stages_completed} all={progress.stages} />],
          ["Tasks", <Of key="tasks" done={progress.tasks_done} all={progress.tasks} />],
          ["Rows in", count(progress.rows_in)],
          ["Read", bytes(progress.bytes_in)],
          ["Written", bytes(progress.bytes_out)],
          ["Spilled", bytes(progress.spilled_bytes)],
          ["Failed attempts", count(progress.attempts_failed)],
        ]}
      />
      <Phases run={run} now={now} />
    </section>
  );
}

function Of({ done, all }: { done: number; all: number }) {
  return (
    <>
      {count(done)} <small>of {count(all)}</small>
    </>
  );
}

/** How a run goes on, and then how it ended: one line, so that its end moves nothing. */
function Outcome({ run }: { run: Run }) {
  const [open, setOpen] = useState(false);
  const { reason, progress, result } = run;
  const bad = reason && result !== "cancelled";
  const text = reason
    ? (reason.message.split("\n")[0] ?? "")
    : run.state === "finished"
      ? "It succeeded: its outputs are visible."
      : `${count(progress.tasks_running)} running, ${count(progress.tasks_waiting)} waiting, ${count(progress.tasks_done)} done.`;
  return (
    <>
      <div className="outcome" role="status">
        {reason && <strong className={`tone ${bad ? "bad" : "warn"}`}>{headline({ ...run, reason })}</strong>}
        <span className={reason ? "outcome-text" : "outcome-text muted"}>{text}</span>
        {reason && (
          <button aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Less" : "More"}
          </button>
        )}
      </div>
      {open && reason && (
        <div className="outcome-message">
          <Explained run={run} reason={reason} />
        </div>
      )}
    </>
  );
}

const PHASES = [
  ["queued", "var(--line-strong)"],
  ["planning", "var(--muted)"],
  ["cold start", "var(--warn)"],
  ["running", "var(--accent)"],
  ["committing", "var(--good)"],
] as const;

/** How the time was spent, phase by phase; the one that goes on grows. */
function Phases({ run, now }: { run: Run; now: number }) {
  const { durations } = run;
  const known: Record<string, number | null | undefined> = {
    queued: durations.queued_ms,
    planning: durations.planning_ms,
    "cold start": durations.cold_start_ms,
    running: durations.running_ms,
    committing: durations.committing_ms,
  };
  // What did not succeed commits nothing: it deletes what it wrote.
  const word = (name: string) =>
    name === "committing" && run.result && run.result !== "succeeded" ? "cleaning up" : name;
  const sum = Object.values(known).reduce<number>((sum, ms) => sum + (ms ?? 0), 0);
  // Phases follow each other: the one that goes on is the first of which there is no end.
  const present = run.state === "finished" ? undefined : PHASES.find(([name]) => known[name] == null)?.[0];
  const phases = PHASES.map(([name, colour]) => ({
    name,
    colour,
    ms: name === present ? Math.max(0, now - Date.parse(run.created_at) - sum) : known[name],
  }));
  const total = Math.max(
    1,
    phases.reduce((sum, { ms }) => sum + (ms ?? 0), 0),
  );
  const stops = phases.map(({ colour, ms }, at) => {
    const before = phases.slice(0, at).reduce((sum, { ms }) => sum + (ms ?? 0), 0);
    return `${colour} ${(100 * before) / total}% ${(100 * (before + (ms ?? 0))) / total}%`;
  });
  return (
    <>
      <div className="phase-bar" style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} />
      <ul className="phases" aria-label="Phases">
        {phases.map(({ name, colour, ms }) => (
          <li key={name}>
            <i style={{ background: colour }} />
            <span className="muted">{word(name)}</span> {ms == null ? "–" : duration(ms)}
          </li>
        ))}
      </ul>
    </>
  );
}
