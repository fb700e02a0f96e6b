import { describe, expect, test } from "vitest";

import { advice, headline, standing } from "./ending";

const started_at = "2026-01-01T00:00:00Z";
const reason = { code: "invalid_value", message: "no number", retryable: false, stage: 1, task: 4 };

describe("the stages of a run that is over", () => {
  const failed = { state: "finished", result: "failed", reason } as const;

  test("failed, were stopped with it, or were not reached", () => {
    expect(standing({ id: 0, state: "completed", started_at }, failed)).toBe("completed");
    expect(standing({ id: 1, state: "stopped", started_at }, failed)).toBe("failed");
    expect(standing({ id: 2, state: "stopped", started_at }, failed)).toBe("stopped");
    expect(standing({ id: 3, state: "stopped", started_at: null }, failed)).toBe("not_reached");
  });

  test("go on while the run does", () => {
    expect(standing({ id: 1, state: "running", started_at }, { state: "running", result: null })).toBe("running");
  });
});

test("the headline names the task and its stage", () => {
  const stages = [{ id: 1, name: "scan" }] as Parameters<typeof headline>[0]["stages"];
  expect(headline({ stages, planned_at: "2026-01-01T00:00:00Z", reason })).toBe("Task 1.4 failed, in stage 1: scan");
  const nowhere = { ...reason, stage: null, task: null };
  expect(headline({ stages: [], planned_at: null, reason: nowhere })).toBe("It could not be planned");
});

test("there is advice for every failure but those whose message has it", () => {
  expect(advice(reason)).toContain("TRY_CAST");
  expect(advice({ ...reason, code: "storage_failed", retryable: true })).toContain("run it again");
  expect(advice({ ...reason, code: "timeout", retryable: true })).toBeUndefined();
});
