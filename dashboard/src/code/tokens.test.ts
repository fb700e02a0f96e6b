import { describe, expect, it } from "vitest";

import { splitAt, tokenLines, tokens, type Language } from "./tokens";

/** The tokens that have a colour, as `kind:text`. */
function coloured(language: Language, text: string): string[] {
  const found = tokens(language, text);
  expect(found.map((token) => token.text).join("")).toBe(text);
  return found.flatMap(({ kind, text }) => (kind === "text" ? [] : [`${kind}:${text}`]));
}

describe("tokens", () => {
  it("knows SQL", () => {
    expect(coloured("sql", `SELECT "a b", sum(x) FROM 'f.csv' -- all\nLIMIT 1e3 /* un`)).toEqual([
      "keyword:SELECT",
      'name:"a b"',
      "function:sum",
      "keyword:FROM",
      "string:'f.csv'",
      "comment:-- all",
      "keyword:LIMIT",
      "number:1e3",
      "comment:/* un",
    ]);
  });

  it("takes quotes inside strings for what they are", () => {
    expect(coloured("sql", "'it''s -- no' x")).toEqual(["string:'it''s -- no'"]);
  });

  it("knows YAML with a template", () => {
    const text = "pipeline: # job\n  - type: ReadFromCsv\n    path: '{{ input }}'\n    limit: 10\n    on: true\n";
    expect(coloured("yaml", text)).toEqual([
      "key:pipeline",
      "comment:# job",
      "key:type",
      "key:path",
      "string:'{{ input }}'",
      "key:limit",
      "number:10",
      "key:on",
      "keyword:true",
    ]);
    expect(coloured("yaml", "elements: [{word: the, count: 2}]")).toEqual([
      "key:elements",
      "key:word",
      "key:count",
      "number:2",
    ]);
  });

  it("knows JSON", () => {
    expect(coloured("json", `{"a": [1.5, "b:c", null]}`)).toEqual([
      `key:"a"`,
      "number:1.5",
      `string:"b:c"`,
      "keyword:null",
    ]);
  });
});

describe("lines", () => {
  it("has every line, the empty ones too, and goes on with what goes over lines", () => {
    expect(tokenLines("sql", "/* a\n\nb */\n")).toEqual([
      [{ kind: "comment", text: "/* a" }],
      [],
      [{ kind: "comment", text: "b */" }],
      [],
    ]);
  });

  it("splits inside tokens and between them", () => {
    const line = tokenLines("sql", "select x")[0] ?? [];
    for (let column = 0; column <= 10; column += 1) {
      const [before, after] = splitAt(line, column);
      const text = (part: typeof line) => part.map((token) => token.text).join("");
      expect(text(before)).toBe("select x".slice(0, column));
      expect(text(after)).toBe("select x".slice(column));
    }
  });
});
