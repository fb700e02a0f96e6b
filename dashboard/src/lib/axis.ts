// A time axis that draws long stretches in which nothing ran short.

export interface Interval {
  start: number;
  end: number;
}

/** A stretch of time and its place on the axis; both in milliseconds, of which those of a gap are fewer on the axis. */
export interface Stretch {
  start: number;
  end: number;
  at: number;
  size: number;
  gap: boolean;
}

export interface Axis {
  stretches: Stretch[];
  /** How long the axis is, in its own milliseconds. */
  length: number;
}

/** A gap is drawn short when it is more than this share of all, and then this share of what is left. */
const GAP = 0.06;
const DRAWN = 0.02;

/** The axis from zero to `total` milliseconds; with `compress`, stretches without any interval are drawn short. */
export function axis(intervals: Interval[], total: number, compress: boolean): Axis {
  const gaps = compress ? longGaps(intervals, total) : [];
  const left = total - gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  const drawn = Math.max(1, left * DRAWN);
  const stretches: Stretch[] = [];
  let [now, at] = [0, 0];
  const add = (end: number, gap: boolean) => {
    const size = gap ? drawn : end - now;
    stretches.push({ start: now, end, at, size, gap });
    at += size;
    now = end;
  };
  for (const gap of gaps) {
    if (gap.start > now) add(gap.start, false);
    add(gap.end, true);
  }
  if (total > now || stretches.length === 0) add(Math.max(total, now), false);
  return { stretches, length: Math.max(1, at) };
}

function longGaps(intervals: Interval[], total: number): Interval[] {
  const gaps: Interval[] = [];
  let busy = 0;
  for (const { start, end } of [...intervals].sort((a, b) => a.start - b.start)) {
    if (start - busy > total * GAP) gaps.push({ start: busy, end: start });
    busy = Math.max(busy, end);
  }
  if (total - busy > total * GAP) gaps.push({ start: busy, end: total });
  return gaps;
}

/** The place of a moment on the axis. */
export function place({ stretches }: Axis, ms: number): number {
  const on = find(stretches, (stretch) => ms < stretch.end);
  if (!on) return 0;
  const length = on.end - on.start;
  const share = length === 0 ? 0 : Math.min(1, Math.max(0, (ms - on.start) / length));
  return on.at + share * on.size;
}

/** The moment at a place on the axis. */
export function moment({ stretches }: Axis, at: number): number {
  const on = find(stretches, (stretch) => at < stretch.at + stretch.size);
  if (!on) return 0;
  const share = on.size === 0 ? 0 : Math.min(1, Math.max(0, (at - on.at) / on.size));
  return on.start + share * (on.end - on.start);
}

/** The first stretch that is far enough, by halves; the last one when none is. */
function find(stretches: Stretch[], reaches: (stretch: Stretch) => boolean): Stretch | undefined {
  let [low, high] = [0, stretches.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    const stretch = stretches[middle];
    if (stretch && reaches(stretch)) high = middle;
    else low = middle + 1;
  }
  return stretches[low];
}

/** Ticks at round times in a stretch of time: about `wanted` of them from `from` to `to` milliseconds. */
export function ticks(from: number, to: number, wanted: number): number[] {
  const span = to - from;
  if (span <= 0 || wanted < 1) return [from];
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough) ?? rough;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.max(0, Math.floor(to / step) - first + 1) }, (_, tick) => (first + tick) * step);
}
