// What a run was submitted with.

import type { Language } from "../code/tokens";
import { bytes, duration } from "./format";

export interface Job {
  text: string;
  language: Language;
  file?: string | undefined;
  /** What it was given by name: the kind, the name and the value. */
  inputs: [string, string, string][];
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The job in the data of a run's first event; nothing if that is written in another way. */
export function submitted(data: unknown): Job | undefined {
  const job = field(field(data, "submission"), "job");
  const statement = text(field(job, "statement"));
  if (statement !== undefined) {
    const setup = field(job, "setup");
    const statements = [...(Array.isArray(setup) ? setup.filter((one) => typeof one === "string") : []), statement];
    const tables = field(job, "tables");
    return {
      text: `${statements.map((one) => `${one.trimEnd().replace(/;$/, "")};`).join("\n\n")}\n`,
      language: "sql",
      inputs: (Array.isArray(tables) ? tables : []).map((table) => [
        "table",
        text(field(table, "name")) ?? "",
        text(field(table, "path")) ?? "",
      ]),
    };
  }
  const yaml = text(field(job, "yaml"));
  if (yaml === undefined) return undefined;
  const given = field(job, "params");
  return {
    text: yaml,
    language: "yaml",
    file: text(field(job, "file")),
    inputs: Object.entries(typeof given === "object" && given !== null ? given : {}).map(([name, value]) => [
      "parameter",
      name,
      String(value),
    ]),
  };
}

/** Settings by their paths, as they are written, and with units where their names have one. */
export function flat(settings: unknown, path = ""): [string, string, string | undefined][] {
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) {
    const written = settings === null ? "none" : typeof settings === "string" ? settings : JSON.stringify(settings);
    return [[path, written, typeof settings === "number" ? inUnits(path, settings) : undefined]];
  }
  return Object.entries(settings).flatMap(([name, value]) => flat(value, path ? `${path}.${name}` : name));
}

function inUnits(path: string, value: number): string | undefined {
  if (path.endsWith("_bytes")) return bytes(value);
  if (path.endsWith("_ms")) return duration(value);
  if (path.endsWith("_s")) return duration(value * 1000);
  return undefined;
}
