// Attempts on a time axis: which lane each has, and which stretches of nothing are drawn short.

import type { Attempt } from "../api/types";

export interface Span {
  /** The place of the attempt in the list. */
  index: number;
  lane: number;
  /** Milliseconds since the beginning of the run. */
  start: number;
  end: number;
}

export interface Lane {
  worker: string;
  /** The lane's number among those of its worker. */
  slot: number;
}

export interface Timeline {
  lanes: Lane[];
  spans: Span[];
  /** Milliseconds from the beginning of the run to the last end. */
  total: number;
}

/** Puts attempts into lanes, as many for each worker as it ran at once; those of no known worker are left out. */
export function timeline(attempts: Attempt[], from: number, now: number): Timeline {
  const byWorker = new Map<string, { index: number; start: number; end: number }[]>();
  attempts.forEach((attempt, index) => {
    if (!attempt.worker || (!attempt.started_at && !attempt.finished_at)) return;
    const end = (attempt.finished_at ? Date.parse(attempt.finished_at) : now) - from;
    // A short attempt is heard of when it is over: its own clock says how long it took.
    const took = attempt.elapsed_us / 1000;
    const heard = attempt.started_at ? Date.parse(attempt.started_at) - from : end;
    const start = Math.max(0, attempt.finished_at ? Math.min(heard, end - took) : heard);
    const spans = byWorker.get(attempt.worker) ?? [];
    spans.push({ index, start, end: Math.max(start, end) });
    byWorker.set(attempt.worker, spans);
  });
  const lanes: Lane[] = [];
  const placed: Span[] = [];
  let total = 0;
  for (const [worker, spans] of [...byWorker].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const ends: number[] = [];
    const first = lanes.length;
    for (const span of spans.sort((a, b) => a.start - b.start)) {
      let slot = ends.findIndex((end) => end <= span.start);
      if (slot < 0) {
        slot = ends.length;
        lanes.push({ worker, slot });
      }
      ends[slot] = span.end;
      placed.push({ ...span, lane: first + slot });
      total = Math.max(total, span.end);
    }
  }
  return { lanes, spans: placed, total };
}

/** The span of a lane at a moment, or one that is at most `slack` milliseconds away; spans of a lane are in order. */
export function spanAt(spans: Span[], ms: number, slack: number): Span | undefined {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.start ?? 0) <= ms + slack) low = middle + 1;
    else high = middle;
  }
  const span = spans[low - 1];
  return span && ms <= span.end + slack ? span : undefined;
}

/** Spans by their lane, in the order of time. */
export function byLane({ lanes, spans }: Timeline): Span[][] {
  const rows: Span[][] = lanes.map(() => []);
  for (const span of spans) rows[span.lane]?.push(span);
  return rows;
}
