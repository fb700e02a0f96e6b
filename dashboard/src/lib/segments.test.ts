import { describe, expect, it } from "vitest";

import { SEGMENT, segmentOf } from "./segments";

describe("segments", () => {
  it("are one for what can be scrolled over", () => {
    expect(segmentOf(0, 0)).toEqual({ from: 0, count: 0 });
    expect(segmentOf(7, 100)).toEqual({ from: 0, count: 100 });
    expect(segmentOf(SEGMENT - 1, SEGMENT)).toEqual({ from: 0, count: SEGMENT });
  });

  it("cover the whole list, wherever one begins", () => {
    const total = 2 * SEGMENT + 5;
    expect(segmentOf(SEGMENT, total)).toEqual({ from: SEGMENT, count: SEGMENT });
    expect(segmentOf(total - 1, total)).toEqual({ from: 2 * SEGMENT, count: 5 });
    expect(segmentOf(total * 10, total)).toEqual({ from: 2 * SEGMENT, count: 5 });
    expect(segmentOf(-1, total)).toEqual({ from: 0, count: SEGMENT });
  });
});
