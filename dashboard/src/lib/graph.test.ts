import { describe, expect, it } from "vitest";

import { layout, NODE, plannedStages } from "./graph";

describe("the graph of stages", () => {
  it("puts a stage below what it reads, and no two in one place", () => {
    const placed = layout([
      { id: 0, inputs: [] },
      { id: 1, inputs: [] },
      { id: 2, inputs: [0, 1, 1] },
    ]);
    const [a, b, c] = placed.nodes;
    expect(a && c && c.y).toBeGreaterThan((a?.y ?? 0) + NODE.height);
    expect(Math.abs((a?.x ?? 0) - (b?.x ?? 0))).toBeGreaterThanOrEqual(NODE.width);
    expect(placed.edges.map(({ from, to }) => [from, to])).toEqual([
      [0, 2],
      [1, 2],
    ]);
    for (const edge of placed.edges) expect(edge.path).toMatch(/^M[\d. -]+/);
  });

  it("leaves out what a run of another version does not say", () => {
    expect(plannedStages(undefined)).toEqual([]);
    expect(plannedStages({ data: { graph: { stages: [{ id: "x" }, null] } } })).toEqual([]);
    const stages = [
      { id: 0, inputs: [] },
      { id: 1, inputs: [{ stage: 0 }, 7] },
    ];
    expect(plannedStages({ data: { graph: { stages } } })).toEqual([
      { id: 0, inputs: [] },
      { id: 1, inputs: [0, 7] },
    ]);
  });
});
