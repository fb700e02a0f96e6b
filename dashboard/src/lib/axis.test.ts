import { describe, expect, it } from "vitest";

import { axis, moment, place, ticks } from "./axis";

const spans = [
  { start: 0, end: 100 },
  { start: 50, end: 120 },
  { start: 900, end: 1000 },
];

describe("the axis", () => {
  it("is time itself when nothing is drawn short", () => {
    const straight = axis(spans, 1000, false);
    expect(straight.length).toBe(1000);
    for (const ms of [0, 1, 500, 1000]) {
      expect(place(straight, ms)).toBe(ms);
      expect(moment(straight, ms)).toBe(ms);
    }
  });

  it("draws long gaps short and everything else as long as it is", () => {
    const short = axis(spans, 1000, true);
    expect(short.stretches.map(({ start, end, gap }) => [start, end, gap])).toEqual([
      [0, 120, false],
      [120, 900, true],
      [900, 1000, false],
    ]);
    expect(place(short, 1000) - place(short, 900)).toBeCloseTo(100);
    expect(place(short, 900) - place(short, 120)).toBeLessThan(10);
    expect(short.length).toBeLessThan(230);
  });

  it("goes there and back, and never backwards", () => {
    const short = axis(spans, 1000, true);
    let last = -1;
    for (let ms = 0; ms <= 1000; ms += 10) {
      const at = place(short, ms);
      expect(at).toBeGreaterThanOrEqual(last);
      expect(moment(short, at)).toBeCloseTo(ms, 6);
      last = at;
    }
  });

  it("keeps short pauses, and takes a run without any attempt", () => {
    expect(
      axis(
        [
          { start: 0, end: 49 },
          { start: 51, end: 100 },
        ],
        100,
        true,
      ).stretches,
    ).toHaveLength(1);
    const nothing = axis([], 0, true);
    expect(nothing.length).toBe(1);
    expect(place(nothing, 5)).toBe(0);
  });
});

describe("ticks", () => {
  it("are at round times", () => {
    expect(ticks(0, 1000, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(ticks(130, 470, 4)).toEqual([200, 300, 400]);
    expect(ticks(0, 0, 4)).toEqual([0]);
  });
});
