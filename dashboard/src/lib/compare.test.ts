import { describe, expect, it } from "vitest";

import { change, differences, pairs, times } from "./compare";

const text = (value: string) => value;

describe("pairs", () => {
  it("have the same name, one by one, in the order of both", () => {
    const found = pairs(["read", "join", "join", "sort"], ["read", "filter", "join", "write"], text);
    expect(found.map(({ key, a, b }) => [key, a ?? null, b ?? null])).toEqual([
      ["read", "read", "read"],
      ["filter", null, "filter"],
      ["join", "join", "join"],
      ["join (2)", "join", null],
      ["sort", "sort", null],
      ["write", null, "write"],
    ]);
  });

  it("lose nothing when the order differs", () => {
    const found = pairs(["a", "b", "c"], ["c", "x", "a", "b"], text);
    expect(found.filter(({ a, b }) => a && b)).toHaveLength(3);
    expect(found.map(({ key }) => key).sort()).toEqual(["a", "b", "c", "x"]);
  });
});

describe("changes", () => {
  it("are told from noise", () => {
    expect(change(100, 105)).toBe("same");
    expect(change(100, 150)).toBe("more");
    expect(change(150, 100)).toBe("less");
    expect(change(1, 9, 10)).toBe("same");
    expect(change(0, 5)).toBe("more");
  });
  it("are written as factors", () => {
    expect([times(2, 1), times(1, 12), times(1, 250), times(0, 3), times(4, 4)]).toEqual([
      "×0.50",
      "×12.0",
      "×250",
      "new",
      "=",
    ]);
  });
  it("of settings are found however deep they are", () => {
    expect(differences({ a: 1, b: { c: [1], d: "x" } }, { a: 1, b: { c: [2] }, e: null })).toEqual([
      { path: "b.c", a: "[1]", b: "[2]" },
      { path: "b.d", a: "x", b: "–" },
      { path: "e", a: "–", b: "null" },
    ]);
  });
});
