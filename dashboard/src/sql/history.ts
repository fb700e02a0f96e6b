// The reader's own statements, kept in this browser: the last ones, as many as fit.

import { readStored, writeStored } from "../lib/stored";

/** A table that a statement reads by name. */
export interface NamedPath {
  name: string;
  path: string;
}

/** A statement that was run. */
export interface Entry {
  statement: string;
  tables: NamedPath[];
  /** The run that it was submitted as. */
  run: string;
  /** When, in milliseconds. */
  at: number;
}

/** What stands in the editor. */
export interface Draft {
  statement: string;
  tables: NamedPath[];
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

function isDraft(value: unknown): value is Draft {
  const draft = value as Draft | null;
  return typeof draft === "object" && draft !== null && typeof draft.statement === "string" && isTables(draft.tables);
}

function isEntry(value: unknown): value is Entry {
  return isDraft(value) && typeof (value as Entry).run === "string" && typeof (value as Entry).at === "number";
}

/** What was run in a namespace, the youngest first. */
export function entries(namespace: string): Entry[] {
  const stored = readStored(`${HISTORY}:${namespace}`);
  return Array.isArray(stored) ? stored.filter(isEntry).slice(0, KEPT) : [];
}

/** Remembers a statement; the same one is remembered once, with its youngest run. */
export function remember(namespace: string, entry: Entry): Entry[] {
  const others = entries(namespace).filter(
    (old) => old.statement !== entry.statement || JSON.stringify(old.tables) !== JSON.stringify(entry.tables),
  );
  const kept = entry.statement.length > LONGEST ? others : [entry, ...others].slice(0, KEPT);
  writeStored(`${HISTORY}:${namespace}`, kept);
  return kept;
}

export function forget(namespace: string): void {
  writeStored(`${HISTORY}:${namespace}`, undefined);
}

/** What was in the editor when the page was left. */
export function draft(namespace: string): Draft | undefined {
  const stored = readStored(`${DRAFT}:${namespace}`);
  return isDraft(stored) ? { statement: stored.statement, tables: stored.tables } : undefined;
}

export function keepDraft(namespace: string, draft: Draft): void {
  writeStored(`${DRAFT}:${namespace}`, draft.statement.length > LONGEST ? undefined : draft);
}
