import { describe, expect, it } from "vitest";

import { boxes, layout, nextIn, WIDTH, type StageNode } from "./graph";

const TALL = 60;

/** A chain of `length` stages from `first`, of which the first reads `inputs`. */
function chain(first: number, length: number, inputs: number[] = []): StageNode[] {
  return Array.from({ length }, (_, at) => ({ id: first + at, inputs: at === 0 ? inputs : [first + at - 1] }));
}

describe("the graph of stages", () => {
  it("puts a stage to the right of what it reads, and no two in one place", () => {
    const stages = [
      { id: 0, inputs: [] },
      { id: 1, inputs: [] },
      { id: 2, inputs: [0, 1, 1] },
    ];
    const placed = layout(boxes(stages, 150), () => TALL);
    const [a, b, c] = placed.boxes;
    expect(a && c && c.x).toBeGreaterThan((a?.x ?? 0) + WIDTH);
    expect(Math.abs((a?.y ?? 0) - (b?.y ?? 0))).toBeGreaterThanOrEqual(TALL);
    expect(placed.edges.map(({ from, to }) => [from, to])).toEqual([
      [0, 2],
      [1, 2],
    ]);
    for (const edge of placed.edges) expect(edge.path).toMatch(/^M[\d. -]+/);
  });
});

describe("many stages", () => {
  it("are a box each up to the limit", () => {
    expect(boxes(chain(0, 150), 150)).toHaveLength(150);
  });

  it("are a box for each chain above it", () => {
    const stages = [...chain(0, 100), ...chain(100, 100), { id: 200, inputs: [99, 199] }];
    expect(boxes(stages, 150)).toEqual([
      { id: 0, stages: stages.slice(0, 100).map(({ id }) => id), inputs: [] },
      { id: 100, stages: stages.slice(100, 200).map(({ id }) => id), inputs: [] },
      { id: 200, stages: [200], inputs: [0, 100] },
    ]);
  });

  it("are a box for each depth when chains do not help, and none is lost", () => {
    const sources = Array.from({ length: 300 }, (_, id) => ({ id, inputs: [] }));
    const stages = [...sources, { id: 300, inputs: sources.map(({ id }) => id) }];
    const merged = boxes(stages, 150);
    expect(merged.map(({ stages }) => stages.length)).toEqual([300, 1]);
    expect(merged[1]?.inputs).toEqual([0]);
  });

  it("end although they read each other", () => {
    const loop = chain(0, 200).map((stage) => ({ ...stage, inputs: [(stage.id + 1) % 200] }));
    expect(boxes(loop, 150).flatMap(({ stages }) => stages)).toHaveLength(200);
  });
});

describe("the next box in a direction", () => {
  const at = (x: number, y: number) => ({ x, y, width: 100, height: 20 }) as DOMRect;
  it("is the nearest on the way", () => {
    const others = [at(0, 100), at(10, 60), at(300, 30), at(150, 0)];
    expect(nextIn("down", at(0, 0), others)).toBe(1);
    expect(nextIn("right", at(0, 0), others)).toBe(3);
    expect(nextIn("up", at(0, 0), others)).toBe(-1);
  });
});
