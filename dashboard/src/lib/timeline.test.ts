import { describe, expect, it } from "vitest";

import type { Attempt } from "../api/types";
import { byLane, spanAt, timeline } from "./timeline";

const START = Date.parse("2026-01-01T00:00:00Z");

function attempt(worker: string | null, start: number | null, end: number | null, elapsed = 0): Attempt {
  const at = (ms: number | null) => (ms === null ? null : new Date(START + ms).toISOString());
  return {
    stage: 0,
    task: 0,
    attempt: 0,
    speculative: false,
    state: end === null ? "running" : "succeeded",
    worker,
    dispatched_at: new Date(START).toISOString(),
    ready_at: new Date(START).toISOString(),
    started_at: at(start),
    finished_at: at(end),
    failure: null,
    rows_in: 0,
    rows_out: 0,
    bytes_in: 0,
    bytes_out: 0,
    spilled_bytes: 0,
    peak_memory_bytes: 0,
    elapsed_us: elapsed * 1000,
    wasm_us: 0,
    cpu_us: 0,
    shuffle_bytes_in: 0,
    shuffle_bytes_out: 0,
  };
}

describe("the timeline", () => {
  it("gives a worker as many lanes as it ran attempts at once", () => {
    const attempts = [attempt("b", 0, 10), attempt("a", 0, 10), attempt("a", 5, 20), attempt("a", 10, 30)];
    const { lanes, spans, total } = timeline(attempts, START, START);
    expect(lanes).toEqual([
      { worker: "a", slot: 0 },
      { worker: "a", slot: 1 },
      { worker: "b", slot: 0 },
    ]);
    expect(spans.map(({ index, lane }) => [index, lane])).toEqual([
      [1, 0],
      [2, 1],
      [3, 0],
      [0, 2],
    ]);
    expect(total).toBe(30);
  });

  it("shows attempts under way up to now, and leaves out those that nobody has taken", () => {
    const { spans } = timeline([attempt("a", 5, null), attempt(null, null, null)], START, START + 50);
    expect(spans).toEqual([{ index: 0, lane: 0, start: 5, end: 50 }]);
  });

  it("believes the worker how long a short attempt took", () => {
    const { spans } = timeline([attempt("a", 10, 10, 4)], START, START);
    expect(spans).toEqual([{ index: 0, lane: 0, start: 6, end: 10 }]);
  });
});

describe("what is at a moment", () => {
  const spans = [0, 100, 104].map((start, index) => ({ index, lane: 0, start, end: start + (index === 0 ? 50 : 2) }));
  it("is the span that covers it, or one close by", () => {
    expect(spanAt(spans, 25, 0)?.index).toBe(0);
    expect(spanAt(spans, 75, 1)).toBeUndefined();
    expect(spanAt(spans, 99, 2)?.index).toBe(1);
    expect(spanAt(spans, 105, 0)?.index).toBe(2);
    expect(spanAt([], 5, 5)).toBeUndefined();
  });
  it("is found by lane", () => {
    expect(byLane(timeline([attempt("a", 0, 9), attempt("a", 3, 5)], START, START)).map((row) => row.length)).toEqual([
      1, 1,
    ]);
  });
});
