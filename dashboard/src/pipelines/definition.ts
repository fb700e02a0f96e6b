// A definition's two halves: the job, which is code, and what its runs have besides.

import type { Language } from "../code/tokens";
import type { RunRequest } from "../api/types";

/** The job of a definition, as its author wrote it. */
export function jobText(definition: RunRequest): { text: string; language: Language } {
  const { pipeline, sql } = definition;
  if (sql) {
    const end = (statement: string) => `${statement.trimEnd().replace(/;$/, "")};`;
    const text = [...(sql.setup ?? []), sql.statement].map(end).join("\n\n");
    return { text: `${text}\n`, language: "sql" };
  }
  if (typeof pipeline === "string") return { text: pipeline, language: "yaml" };
  return { text: JSON.stringify(pipeline ?? {}, null, 2), language: "json" };
}

/** Everything else, with its names in a fixed order, so that two versions can be compared. */
export function optionsText(definition: RunRequest): string {
  const { base, labels, modules, parameters, settings, sql } = definition;
  const options = { base, labels, modules, parameters, settings, tables: sql?.tables };
  const isEmpty = (value: unknown) =>
    value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);
  const given = Object.entries(options).filter(([, value]) => !isEmpty(value));
  return JSON.stringify(sorted(Object.fromEntries(given)), null, 2);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, value]) => [key, sorted(value)]));
}
