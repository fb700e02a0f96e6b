import { describe, expect, it } from "vitest";

import { diff, folded, type DiffLine } from "./diff";

const sign = { same: " ", removed: "-", added: "+" };
const written = (lines: DiffLine[]) => lines.map((line) => sign[line.kind] + line.text);

describe("diff", () => {
  it("finds the least that changed", () => {
    expect(written(diff("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n"))).toHaveLength(9);
    expect(written(diff("a\nb\nc\n", "a\nx\nc\n"))).toEqual([" a", "-b", "+x", " c"]);
    expect(written(diff("a\nb\n", "a\nb\nc\n"))).toEqual([" a", " b", "+c"]);
    expect(written(diff("", "a\n"))).toEqual(["+a"]);
    expect(written(diff("a\n", ""))).toEqual(["-a"]);
    expect(diff("", "")).toEqual([]);
  });

  it("keeps both texts whole and their numbers right, whatever they are", () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    for (let round = 0; round < 300; round += 1) {
      const text = () => Array.from({ length: random(12) }, () => "abcd"[random(4)]);
      const [before, after] = [text(), text()];
      const lines = diff(before.join("\n"), after.join("\n"));
      const old = lines.filter((line) => line.kind !== "added");
      const now = lines.filter((line) => line.kind !== "removed");
      expect(old.map((line) => line.text)).toEqual(before);
      expect(now.map((line) => line.text)).toEqual(after);
      expect(old.map((line) => line.before)).toEqual(before.map((_, index) => index + 1));
      expect(now.map((line) => line.after)).toEqual(after.map((_, index) => index + 1));
      expect(lines.filter((line) => line.kind === "same").length).toBe(longest(before, after));
    }
  });

  it("does not take for ever over texts that have nothing in common", () => {
    const text = (word: string) => Array.from({ length: 20_000 }, (_, index) => `${word}${index}`).join("\n");
    const began = performance.now();
    expect(diff(text("a"), text("b"))).toHaveLength(40_000);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

/** The length of the longest common subsequence, the slow way. */
function longest(a: unknown[], b: unknown[]): number {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number) => table[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      const row = table[i];
      if (row) row[j] = a[i - 1] === b[j - 1] ? at(i - 1, j - 1) + 1 : Math.max(at(i - 1, j), at(i, j - 1));
    }
  }
  return at(a.length, b.length);
}

describe("folded", () => {
  it("leaves out what is far from changes", () => {
    const before = Array.from({ length: 20 }, (_, index) => `line ${index}`);
    const after = before.map((line, index) => (index === 10 ? "other" : line));
    const shown = folded(diff(before.join("\n"), after.join("\n")), 2);
    expect(shown.map((line) => (line.kind === "gap" ? line.lines : line.text))).toEqual([
      8,
      "line 8",
      "line 9",
      "line 10",
      "other",
      "line 11",
      "line 12",
      7,
    ]);
  });
});
