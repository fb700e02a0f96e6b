import { describe, expect, it } from "vitest";

import { cell, isNumeric, tabbed, whole, width } from "./values";

describe("values", () => {
  it("aligns what is counted", () => {
    expect(["Int64", "UInt8", "Float64", "Decimal128(15, 2)"].every(isNumeric)).toBe(true);
    expect(["Utf8", "Timestamp(ns)", "Date32", "Boolean", "List(Int64)"].some(isNumeric)).toBe(false);
  });

  it("shows a value on one line and keeps the whole", () => {
    expect(cell("a\nb")).toBe("a ↵ b");
    expect(cell({ a: [1, null] })).toBe('{"a":[1,null]}');
    expect(cell("x".repeat(1000))).toHaveLength(301);
    expect(whole("x".repeat(1000))).toHaveLength(1000);
    expect(whole("9223372036854775807")).toBe("9223372036854775807");
    expect(whole(null)).toBe("");
  });

  it("copies cells so that a spreadsheet takes them apart again", () => {
    const rows = [
      ["a", 1, 'say "x"'],
      ["b\tc", null, "d\ne"],
    ];
    expect(tabbed(rows, [0, 2])).toBe('a\t"say ""x"""\n"b\tc"\t"d\ne"');
    expect(tabbed(rows, [1, 0], ["x", "y", "z"])).toBe('y\tx\n1\ta\n\t"b\tc"');
  });

  it("gives a column room for its heading and its values", () => {
    expect(width({ name: "n", type: "Int64" }, [1, 22])).toBe(6);
    expect(width({ name: "a_long_heading", type: "Utf8" }, [])).toBe(15);
    expect(width({ name: "n", type: "Utf8" }, ["x".repeat(500)])).toBe(44);
  });
});
