// Lists that are longer than a browser can scroll over are shown in segments.

/** Entries of a segment: browsers can make nothing higher than some ten million pixels. */
export const SEGMENT = 250_000;

export interface Segment {
  /** The first entry, from zero. */
  from: number;
  count: number;
}

/** The segment of a list that an entry is in. */
export function segmentOf(entry: number, total: number): Segment {
  const last = Math.max(0, Math.ceil(total / SEGMENT) - 1);
  const number = Math.min(last, Math.max(0, Math.floor(entry / SEGMENT)));
  return { from: number * SEGMENT, count: Math.min(SEGMENT, Math.max(0, total - number * SEGMENT)) };
}
