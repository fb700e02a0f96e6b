// How a run ended, and its stages with it.

import type { Run, RunReason, Stage } from "../api/types";

/** Where a stage is, or how it ended with a run that did not come to its end. */
export type StageStanding = Stage["state"] | "failed" | "not_reached";

type Ending = Pick<Run, "state" | "result"> & { reason?: RunReason | null | undefined };

/** Of the stages of a run that is over, which one failed, and which were not begun with. */
export function standing(stage: Pick<Stage, "id" | "state" | "started_at">, run: Ending): StageStanding {
  if (run.state !== "finished" || stage.state === "completed") return stage.state;
  if (run.result === "failed" && run.reason?.stage === stage.id) return "failed";
  return stage.started_at ? "stopped" : "not_reached";
}

/** The moment until which a run and its stages took their time, in milliseconds. */
export function until(run: Pick<Run, "finished_at">, now: number): number {
  return run.finished_at ? Date.parse(run.finished_at) : now;
}

/** What went wrong, in a few words. */
export function headline(run: Pick<Run, "stages" | "planned_at"> & { reason: RunReason }): string {
  const { reason, stages, planned_at } = run;
  if (reason.stage != null && reason.task != null) {
    const name = stages.find((stage) => stage.id === reason.stage)?.name;
    return `Task ${reason.stage}.${reason.task} failed${name ? `, in stage ${reason.stage}: ${name}` : ""}`;
  }
  if (reason.code === "timeout") return "It took longer than it may";
  if (reason.code === "cancelled") return "It was cancelled";
  return planned_at ? "It failed" : "It could not be planned";
}

const BAD_VALUE =
  "Find where the value comes from. `TRY_CAST`, `NULLIF` and `COALESCE` let an expression pass over such rows; in a " +
  "pipeline, `error_handling` of the transform sends them to an output of their own.";

const advices: Record<string, string> = {
  invalid_value: BAD_VALUE,
  null_value: BAD_VALUE,
  division_by_zero: BAD_VALUE,
  assertion_failed:
    "Compare the rows above with those that the transform expects: either the data or the expectation changed.",
  invalid_query: "Correct the statement and submit it again. The SQL page checks a statement while you write it.",
  invalid_pipeline: "Correct the pipeline and submit it again; `weir validate` checks it without running it.",
  too_many_errors: "Look at the rows in the output for errors: each says why it was refused.",
};

/** What to do about it; nothing where the message says that by itself. */
export function advice(reason: RunReason): string | undefined {
  if (reason.code === "cancelled" || reason.code === "timeout") return undefined;
  const known = advices[reason.code];
  if (known) return known;
  return reason.retryable
    ? "The cause is not in the job: run it again."
    : "The same job fails in the same way: change what the message names, then submit it again.";
}
