// What a function takes and gives, as people write it.

import type { ModuleFunction } from "../api/types";

/** `edit_distance(a: Utf8, b: Utf8) → Int64`; a function of rows gives tables by their names. */
export function signature({ name, arguments: takes = [], outputs = [] }: ModuleFunction): string {
  const given = outputs.map((output) =>
    outputs.length === 1 && output.columns.length === 1
      ? (output.columns[0]?.type ?? "")
      : `${outputs.length > 1 ? `${output.name} ` : ""}(${output.columns.map(column).join(", ")})`,
  );
  return `${name}(${takes.map(column).join(", ")})${given.length > 0 ? ` → ${given.join(", ")}` : ""}`;
}

const column = ({ name, type }: { name: string; type: string }) => (name === "" ? type : `${name}: ${type}`);

/** Whether SQL can call it: what gives any number of rows has no place there. */
export const isForSql = (one: ModuleFunction) => one.kind !== "flat_map";
