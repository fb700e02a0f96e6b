import { describe, expect, it } from "vitest";

import { shortName, steps, type Operator } from "./operators";

function operator(id: number, depth: number, name: string): Operator {
  const zeros = { rows: 0, bytes: 0, cpu_us: 0, wasm_us: 0, spilled_bytes: 0, peak_memory_bytes: 0 };
  return { id, name, depth, ...zeros, functions: [] };
}

describe("operators in the order of rows", () => {
  it("come after their inputs, and second inputs are branches", () => {
    const plan = [
      operator(0, 0, "WriteExec"),
      operator(1, 1, "JoinExec"),
      operator(2, 2, "FilterExec"),
      operator(3, 3, "ScanExec"),
      operator(4, 2, "ReadExec"),
    ];
    expect(steps(plan).map(({ operator, branch }) => [operator.name, branch])).toEqual([
      ["ReadExec", 1],
      ["ScanExec", 0],
      ["FilterExec", 0],
      ["JoinExec", 0],
      ["WriteExec", 0],
    ]);
    expect(steps(plan).map(({ path }) => path)[0]).toBe("WriteExec/JoinExec/ReadExec#2");
  });

  it("take a list with gaps", () => {
    expect(steps([operator(0, 0, "A"), operator(5, 4, "B"), operator(9, 2, "C")]).map(({ path }) => path)).toEqual([
      "A/C#2",
      "A/B",
      "A",
    ]);
    expect(steps([])).toEqual([]);
  });

  it("lose the end of their names", () => {
    expect(shortName("HashJoinExec")).toBe("HashJoin");
    expect(shortName("Executor")).toBe("Executor");
  });
});
