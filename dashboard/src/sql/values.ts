// How values of a result are shown, copied and aligned. The server writes what JSON numbers cannot hold as text.

/** A column of a result, as the server describes it. */
export interface ResultColumn {
  name: string;
  /** The Arrow type, such as `Int64` or `Utf8`. */
  type: string;
}

export type Row = readonly unknown[];

/** The longest text of a cell in the grid; the whole of it is a key away. */
const CELL = 300;

/** Whether digits of a column should stand below each other. */
export function isNumeric(type: string): boolean {
  return /^(u?int|float|decimal|duration)/i.test(type);
}

/** The whole of a value, as text. */
export function whole(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  return JSON.stringify(value);
}

/** What of a value fits into a cell, on one line. */
export function cell(value: unknown): string {
  const text = whole(value);
  const cut = text.length > CELL ? `${text.slice(0, CELL)}…` : text;
  return cut.replace(/[\r\n\t]+/g, " ↵ ");
}

/** A value to read at leisure: nested ones on several lines. */
export function spacious(value: unknown): string {
  return typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : whole(value);
}

/** Cells as a spreadsheet takes them from the clipboard. */
export function tabbed(rows: readonly Row[], columns: readonly number[], names?: readonly string[]): string {
  const quoted = (text: string) => (/[\t\r\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map((row) => columns.map((column) => quoted(whole(row[column]))).join("\t"));
  return (names ? [columns.map((column) => quoted(names[column] ?? "")).join("\t"), ...lines] : lines).join("\n");
}

/** The width of a column in characters, by its heading and a sample of its values. */
export function width(column: ResultColumn, values: readonly unknown[]): number {
  const longest = values.reduce<number>((most, value) => Math.max(most, cell(value ?? "null").length), 0);
  return Math.min(44, Math.max(6, column.name.length + 1, column.type.length, longest));
}
