import { useId } from "react";

export type Entries = [string, string][];

/** Entries as an object; those without a name are left out. */
export function toObject(entries: Entries): Record<string, string> {
  return Object.fromEntries(entries.map(([key, value]) => [key.trim(), value] as const).filter(([key]) => key !== ""));
}

/** Names with values, one row each; the last row is for the next one. */
export function KeyValues(props: {
  title: string;
  /** What a name and a value are called. */
  nouns: [string, string];
  help?: React.ReactNode;
  entries: Entries;
  onChange: (entries: Entries) => void;
}) {
  const { title, nouns, help, entries, onChange } = props;
  const id = useId();
  const rows: Entries = [...entries, ["", ""]];
  const change = (index: number, entry: [string, string]) =>
    onChange([...entries.slice(0, index), entry, ...entries.slice(index + 1)]);
  return (
    <fieldset className="key-values" aria-describedby={help ? id : undefined}>
      <legend>{title}</legend>
      {rows.map(([key, value], index) => (
        <div className="pair" key={index}>
          <input
            className="mono"
            placeholder={nouns[0]}
            aria-label={`${title}: ${nouns[0]} ${index + 1}`}
            value={key}
            onChange={(event) => change(index, [event.target.value, value])}
          />
          <input
            className="mono"
            placeholder={nouns[1]}
            aria-label={`${title}: ${nouns[1]} ${index + 1}`}
            value={value}
            onChange={(event) => change(index, [key, event.target.value])}
          />
          <button
            type="button"
            className="icon quiet tiny"
            aria-label={`Remove ${key === "" ? "the empty row" : key}`}
            disabled={index === entries.length}
            onClick={() => onChange(entries.filter((_, at) => at !== index))}
          >
            <span aria-hidden="true">✕</span>
          </button>
        </div>
      ))}
      {help && (
        <p className="muted" id={id}>
          {help}
        </p>
      )}
    </fieldset>
  );
}
