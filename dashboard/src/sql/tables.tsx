import { useId, useState } from "react";

import type { NamedPath } from "./history";

/** The name that a file's path suggests: `s3://bucket/day/orders.parquet` → `orders`. */
export function suggestedName(path: string, taken: readonly string[]): string {
  const parts = path.split("/").filter((part) => part !== "" && !part.includes("*"));
  const word = (parts.at(-1) ?? "table")
    .replace(/\.[^.]*$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "_")
    .replace(/^_+|_+$/g, "");
  const name = /^[a-z_]/.test(word) ? word : `t_${word}`;
  for (let number = 1; ; number += 1) {
    const found = number === 1 ? name : `${name}_${number}`;
    if (!taken.includes(found)) return found;
  }
}

/** Files that the statements read by name. */
export function Tables(props: {
  tables: NamedPath[];
  onChange: (tables: NamedPath[]) => void;
  /** A click on a table's name. */
  onPick: (name: string) => void;
}) {
  const { tables, onChange, onPick } = props;
  const [path, setPath] = useState("");
  const id = useId();
  const add = (event: React.SyntheticEvent) => {
    event.preventDefault();
    const trimmed = path.trim();
    if (trimmed === "") return;
    const name = suggestedName(
      trimmed,
      tables.map((table) => table.name),
    );
    onChange([...tables, { name, path: trimmed }]);
    setPath("");
  };
  const change = (index: number, change: Partial<NamedPath>) =>
    onChange(tables.map((table, at) => (at === index ? { ...table, ...change } : table)));
  return (
    <section className="card" aria-labelledby={`${id}-title`}>
      <header>
        <h2 id={`${id}-title`}>Tables</h2>
      </header>
      {tables.length > 0 && (
        <ul className="tables">
          {tables.map((table, index) => (
            <li key={index}>
              <input
                className="mono"
                aria-label={`Name of table ${index + 1}`}
                value={table.name}
                onChange={(event) => change(index, { name: event.target.value })}
              />
              <input
                className="mono"
                aria-label={`Path of ${table.name}`}
                title={table.path}
                value={table.path}
                onChange={(event) => change(index, { path: event.target.value })}
              />
              <button
                className="icon quiet tiny"
                aria-label={`Write ${table.name} into the statement`}
                title="Write its name into the statement"
                onClick={() => onPick(table.name)}
              >
                <span aria-hidden="true">↤</span>
              </button>
              <button
                className="icon quiet tiny"
                aria-label={`Remove ${table.name}`}
                title="Remove"
                onClick={() => onChange(tables.filter((_, at) => at !== index))}
              >
                <span aria-hidden="true">✕</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <form className="tables-add" onSubmit={add}>
        <label className="visually-hidden" htmlFor={id}>
          Path of a file, glob or folder
        </label>
        <input
          id={id}
          className="mono"
          placeholder="s3://bucket/orders/*.parquet"
          value={path}
          onChange={(event) => setPath(event.target.value)}
        />
        <button type="submit" disabled={path.trim() === ""}>
          Add
        </button>
      </form>
      <p className="muted tables-help">CSV, JSON and Parquet, by a file, a glob or a folder.</p>
    </section>
  );
}
