// States, always as a shape and a word beside the colour.

import type { Attempt, ListedRun } from "../api/types";
import type { StageStanding } from "../lib/ending";

export type Tone = "good" | "bad" | "warn" | "busy" | "idle";

const shapes: Record<Tone, React.ReactNode> = {
  good: <path d="M3 7.2 5.8 10 11 4.5" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  bad: <path d="M4 4l6 6M10 4l-6 6" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  warn: <path d="M7 3v5M7 10.5v.5" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  busy: <path d="M5 3.5 10.5 7 5 10.5Z" fill="currentColor" />,
  idle: <circle cx="7" cy="7" r="3" fill="none" stroke="currentColor" strokeWidth="2" />,
};

/** A state: its shape and colour by how good it is, and its word. */
export function State({ tone, children }: { tone: Tone; children: React.ReactNode }) {
  return (
    <span className={`state ${tone}`}>
      <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
        {shapes[tone]}
      </svg>
      {children}
    </span>
  );
}

const results: Record<NonNullable<ListedRun["result"]>, [Tone, string]> = {
  succeeded: ["good", "Succeeded"],
  failed: ["bad", "Failed"],
  cancelled: ["warn", "Cancelled"],
};

const states: Record<ListedRun["state"], [Tone, string]> = {
  queued: ["idle", "Queued"],
  planning: ["busy", "Planning"],
  running: ["busy", "Running"],
  committing: ["busy", "Committing"],
  paused: ["warn", "Paused"],
  stopping: ["warn", "Stopping"],
  finished: ["idle", "Finished"],
};

/** What somebody wants of a run that is not there yet. */
const requests: Record<NonNullable<ListedRun["requested_state"]>, [Tone, string]> = {
  cancelled: ["warn", "Cancelling"],
  paused: ["warn", "Pausing"],
  running: ["busy", "Resuming"],
};

/** Where a run is, where it is asked to be, or how it ended. */
export function RunStateBadge({ run }: { run: Pick<ListedRun, "state" | "result" | "requested_state"> }) {
  const [tone, word] = run.result
    ? results[run.result]
    : run.requested_state
      ? requests[run.requested_state]
      : states[run.state];
  return <State tone={tone}>{word}</State>;
}

const stageStates: Record<StageStanding, [Tone, string]> = {
  waiting: ["idle", "Waiting"],
  running: ["busy", "Running"],
  completed: ["good", "Completed"],
  failed: ["bad", "Failed"],
  stopped: ["warn", "Stopped"],
  not_reached: ["idle", "Not reached"],
};

/** Where a stage is, as a word. */
export function stageWord(standing: StageStanding): string {
  return stageStates[standing][1];
}

/** Where a stage is, as a mark where there is no room for the word; the word is there for those who do not see it. */
export function StageMark({ standing }: { standing: StageStanding }) {
  const [tone, word] = stageStates[standing];
  return (
    <svg className={`tone ${tone}`} width="14" height="14" viewBox="0 0 14 14" role="img" aria-label={word}>
      {shapes[tone]}
    </svg>
  );
}

/** Where a stage is. */
export function StageStateBadge({ standing }: { standing: StageStanding }) {
  const [tone, word] = stageStates[standing];
  return <State tone={tone}>{word}</State>;
}

export const attemptStates: Record<Attempt["state"], [Tone, string]> = {
  queued: ["idle", "Queued"],
  running: ["busy", "Running"],
  succeeded: ["good", "Accepted"],
  failed: ["bad", "Failed"],
  given_up: ["warn", "Given up"],
};

/** How an attempt goes. */
export function AttemptStateBadge({ attempt }: { attempt: Pick<Attempt, "state" | "speculative"> }) {
  const [tone, word] = attemptStates[attempt.state];
  return <State tone={tone}>{attempt.speculative ? `${word}, copy` : word}</State>;
}
