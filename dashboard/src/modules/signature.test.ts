import { expect, test } from "vitest";

import { isForSql, signature } from "./signature";

const text = { name: "text", type: "utf8", nullable: false };

test("a signature has the names and types of what goes in, and the type of what comes out", () => {
  const outputs = [{ name: "main", columns: [{ name: "", type: "int64", nullable: true }] }];
  const one = { name: "distance", kind: "scalar", arguments: [text, { ...text, name: "" }], outputs };
  expect(signature(one)).toBe("distance(text: utf8, utf8) → int64");
  expect(isForSql(one)).toBe(true);
  expect(signature({ name: "answer", kind: "scalar" })).toBe("answer()");
});

test("rows that go to several places are told apart", () => {
  const words = { name: "words", columns: [text, { ...text, name: "rest" }] };
  const one = { name: "split", kind: "flat_map", arguments: [text], outputs: [words] };
  expect(signature(one)).toBe("split(text: utf8) → (text: utf8, rest: utf8)");
  expect(signature({ ...one, outputs: [words, { name: "odd", columns: [text] }] })).toBe(
    "split(text: utf8) → words (text: utf8, rest: utf8), odd (text: utf8)",
  );
  expect(isForSql(one)).toBe(false);
});
