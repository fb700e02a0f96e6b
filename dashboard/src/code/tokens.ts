// What the words of a text are, for colours. Mistakes cost a colour and nothing else, so each language is one pattern.

export type Language = "sql" | "yaml" | "json" | "text";
export type Kind = "comment" | "string" | "number" | "keyword" | "function" | "key" | "template" | "name" | "text";

export interface Token {
  kind: Kind;
  text: string;
}

/** Texts beyond this many characters are shown without colours. */
const LIMIT = 200_000;

const sqlWords = new Set(
  `add all and any array as asc between by case cast coalesce copy create cross current date desc describe distinct drop
  else end escape except exclude exists explain external extract false fetch filter first following for format from full
  group grouping having if ilike in inner insert intersect interval into is join last lateral left like limit location
  natural not null nulls offset on or order outer over partition partitioned preceding qualify range recursive replace
  right row rows select semi anti set sets show similar stored struct table temporary then time timestamp to true try_cast
  unbounded union unnest using values view when where window with within without`.split(/\s+/),
);

const patterns: Record<Exclude<Language, "text">, RegExp> = {
  sql: new RegExp(
    [
      String.raw`(?<comment>--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
      String.raw`(?<string>'(?:[^']|'')*(?:'|$))`,
      String.raw`(?<name>"(?:[^"]|"")*(?:"|$))`,
      String.raw`(?<number>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)`,
      String.raw`(?<word>[A-Za-z_][\w$]*)(?:(?=\s*\()(?<call>)|)`,
    ].join("|"),
    "g",
  ),
  yaml: new RegExp(
    [
      String.raw`(?<comment>(?<=^|\s)#[^\n]*)`,
      String.raw`(?<template>\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}|\$\{[^}\n]*\})`,
      String.raw`(?<key>(?:"[^"\n]*"|'[^'\n]*'|[A-Za-z_$][\w.$/-]*(?: [\w.$/-]+)*)(?=\s*:(?:\s|$)))`,
      String.raw`(?<string>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')`,
      String.raw`(?<number>(?<=[\s\[,:-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?=[\s,\]}]|$))`,
      String.raw`(?<keyword>(?<=[\s\[,:])(?:true|false|null|~)(?=[\s,\]}]|$))`,
      String.raw`(?<function>(?<=\s)[&*]\w+|(?<=[:\s])[|>][+-]?(?=\s*$)|(?<=^|\n)---(?=\s|$))`,
      // A plain scalar is taken whole, so that nothing inside it is coloured.
      String.raw`(?<text>[^\s#{}\[\],:'"&*|>-][^\n#{}\[\],:]*)`,
    ].join("|"),
    "gm",
  ),
  json: new RegExp(
    [
      String.raw`(?<key>"(?:[^"\\]|\\.)*"(?=\s*:))`,
      String.raw`(?<string>"(?:[^"\\]|\\.)*")`,
      String.raw`(?<number>-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)`,
      String.raw`(?<keyword>\b(?:true|false|null)\b)`,
    ].join("|"),
    "g",
  ),
};

function kindOf(groups: Record<string, string | undefined>): Kind {
  const word = groups["word"];
  if (word !== undefined) {
    if (sqlWords.has(word.toLowerCase())) return "keyword";
    return groups["call"] === undefined ? "text" : "function";
  }
  const found = Object.keys(groups).find((kind) => groups[kind] !== undefined);
  return (found as Kind | undefined) ?? "text";
}

/** The tokens of a text; together they are the text. */
export function tokens(language: Language, text: string): Token[] {
  if (language === "text" || text.length > LIMIT) return text === "" ? [] : [{ kind: "text", text }];
  const found: Token[] = [];
  let at = 0;
  for (const match of text.matchAll(patterns[language])) {
    if (match.index > at) found.push({ kind: "text", text: text.slice(at, match.index) });
    if (match[0] !== "") found.push({ kind: kindOf(match.groups ?? {}), text: match[0] });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "text", text: text.slice(at) });
  return found;
}

/** The tokens of each line; a token that goes over lines is in each of them. */
export function tokenLines(language: Language, text: string): Token[][] {
  const lines: Token[][] = [[]];
  for (const token of tokens(language, text)) {
    const [first = "", ...rest] = token.text.split("\n");
    if (first !== "") lines.at(-1)?.push({ kind: token.kind, text: first });
    for (const part of rest) lines.push(part === "" ? [] : [{ kind: token.kind, text: part }]);
  }
  return lines;
}

/** Splits a line's tokens so that one ends and another begins at `column` (from 0); gives those before and those from it. */
export function splitAt(line: Token[], column: number): [Token[], Token[]] {
  const before: Token[] = [];
  const after: Token[] = [];
  let at = 0;
  for (const token of line) {
    const cut = Math.min(Math.max(column - at, 0), token.text.length);
    if (cut > 0) before.push({ kind: token.kind, text: token.text.slice(0, cut) });
    if (cut < token.text.length) after.push({ kind: token.kind, text: token.text.slice(cut) });
    at += token.text.length;
  }
  return [before, after];
}
