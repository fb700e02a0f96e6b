// The reader's own statements, kept in this browser: the last ones, as many as fit.

import { readStored, writeStored } from "../lib/stored";

/** A table that a statement reads by name. */
export interface NamedPath {
  name: string;
  path: string;
}

/** A statement that was run. */
export interface Entry extends Draft {
  /** The run that it was submitted as. */
  run: string;
  /** When, in milliseconds. */
  at: number;
}

/** What stands in the editor. */
export interface Draft {
  statement: string;
  tables: NamedPath[];
  /** Digests of the Wasm components whose functions it calls. */
  modules: string[];
}

const HISTORY = "weir-sql-history";
const DRAFT = "weir-sql-draft";
const KEPT = 50;
/** Longer statements are run, but not remembered. */
const LONGEST = 20_000;

function isTables(value: unknown): value is NamedPath[] {
  return (
    Array.isArray(value) &&
    value.every(
      (table: unknown) =>
        typeof table === "object" &&
        table !== null &&
        typeof (table as NamedPath).name === "string" &&
        typeof (table as NamedPath).path === "string",
    )
  );
}

function isDigests(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((digest) => typeof digest === "string");
}

/** What was kept, if it can be read; drafts of older pages have no modules. */
function readDraft(value: unknown): Draft[] {
  if (typeof value !== "object" || value === null) return [];
  const { statement, tables, modules = [] } = value as Partial<Draft>;
  return typeof statement === "string" && isTables(tables) && isDigests(modules)
    ? [{ statement, tables, modules }]
    : [];
}

function readEntry(value: unknown): Entry[] {
  return readDraft(value).flatMap((draft) => {
    const { run, at } = value as Partial<Entry>;
    return typeof run === "string" && typeof at === "number" ? [{ ...draft, run, at }] : [];
  });
}

/** Whether two say the same over the same. */
function isSame(one: Draft, other: Draft): boolean {
  const words = ({ statement, tables, modules }: Draft) => JSON.stringify([statement, tables, modules]);
  return words(one) === words(other);
}

/** What was run in a namespace, the youngest first. */
export function entries(namespace: string): Entry[] {
  const stored = readStored(`${HISTORY}:${namespace}`);
  return Array.isArray(stored) ? stored.flatMap(readEntry).slice(0, KEPT) : [];
}

/** Remembers a statement; the same one is remembered once, with its youngest run. */
export function remember(namespace: string, entry: Entry): Entry[] {
  const others = entries(namespace).filter((old) => !isSame(old, entry));
  const kept = entry.statement.length > LONGEST ? others : [entry, ...others].slice(0, KEPT);
  writeStored(`${HISTORY}:${namespace}`, kept);
  return kept;
}

export function forget(namespace: string): void {
  writeStored(`${HISTORY}:${namespace}`, undefined);
}

/** What was in the editor when the page was left. */
export function draft(namespace: string): Draft | undefined {
  return readDraft(readStored(`${DRAFT}:${namespace}`))[0];
}

export function keepDraft(namespace: string, draft: Draft): void {
  writeStored(`${DRAFT}:${namespace}`, draft.statement.length > LONGEST ? undefined : draft);
}
