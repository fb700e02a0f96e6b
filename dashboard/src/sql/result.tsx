// The rows of a result: any number of rows and columns, of which only those in sight are drawn.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useId, useMemo, useRef, useState } from "react";

import { Copy } from "../components/copy";
import { Dialog } from "../components/dialog";
import { count } from "../lib/format";
import { cell, isNumeric, spacious, tabbed, whole, width, type ResultColumn, type Row } from "./values";
import "./sql.css";

const ROW = 28;
const HEAD = 44;
/** The width of a character and the room around a value, in pixels. */
const CHARACTER = 7.6;
const ROOM = 26;
/** The rows that column widths are taken from. */
const SAMPLE = 60;
/** The most cells that are copied at once. */
const COPIED = 500_000;

interface Place {
  row: number;
  column: number;
}

interface Props {
  label: string;
  columns: ResultColumn[];
  /** The rows that are here. */
  rows: readonly Row[];
  /** Whether the end of `rows` is not the end of the result. */
  more: boolean;
  /** Asks for more; called again and again while the end is in sight. */
  onMore: () => void;
  height?: number;
}

const clamp = (value: number, most: number) => Math.min(most, Math.max(0, value));

/** Arrows, Page Up and Down, Home and End move over cells, Shift selects, Ctrl+C copies, Enter opens a value. */
export function ResultGrid({ label, columns, rows, more, onMore, height = 420 }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const id = useId();
  const [active, setActive] = useState<Place>({ row: 0, column: 0 });
  const [anchor, setAnchor] = useState<Place>({ row: 0, column: 0 });
  const [opened, setOpened] = useState(false);
  const [copied, setCopied] = useState("");

  const sampled = rows.length === 0 ? 0 : Math.min(rows.length, SAMPLE);
  const widths = useMemo(() => {
    const sample = rows.slice(0, sampled);
    return columns.map((column, index) =>
      Math.ceil(
        ROOM +
          CHARACTER *
            width(
              column,
              sample.map((row) => row[index]),
            ),
      ),
    );
    // Once the sample is whole the widths stay, so that columns do not move when more rows come.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [columns, sampled]);
  const numbers = ROOM + CHARACTER * Math.max(2, String(rows.length).length);

  // eslint-disable-next-line react-hooks/incompatible-library
  const down = useVirtualizer({
    count: rows.length + (more ? 1 : 0),
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: 10,
    scrollPaddingStart: HEAD,
  });
  const across = useVirtualizer({
    horizontal: true,
    count: columns.length,
    getScrollElement: () => frame.current,
    estimateSize: (index) => widths[index] ?? 80,
    overscan: 3,
    scrollPaddingStart: numbers,
  });
  useEffect(() => across.measure(), [across, widths]);

  const shownRows = down.getVirtualItems();
  const shownColumns = across.getVirtualItems();
  const last = shownRows.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 20) onMore();
  }, [more, last, rows.length, onMore]);

  const move = (place: Place, extend: boolean) => {
    const next = { row: clamp(place.row, rows.length - 1), column: clamp(place.column, columns.length - 1) };
    setActive(next);
    if (!extend) setAnchor(next);
    down.scrollToIndex(next.row);
    across.scrollToIndex(next.column);
  };
  const top = Math.min(active.row, anchor.row);
  const bottom = Math.max(active.row, anchor.row);
  const left = Math.min(active.column, anchor.column);
  const right = Math.max(active.column, anchor.column);
  const many = top !== bottom || left !== right;

  const copy = () => {
    const chosen = Array.from({ length: right - left + 1 }, (_, index) => left + index);
    const wanted = rows.slice(top, Math.min(bottom + 1, top + Math.ceil(COPIED / chosen.length)));
    const text = many ? tabbed(wanted, chosen) : whole(rows[active.row]?.[active.column]);
    void navigator.clipboard
      .writeText(text)
      .then(() => setCopied(many ? `${count(wanted.length * chosen.length)} cells copied` : "Copied"));
  };

  const page = Math.max(1, Math.floor((height - HEAD) / ROW) - 1);
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (rows.length === 0) return;
    const { row, column } = active;
    const all = event.ctrlKey || event.metaKey;
    const moves: Record<string, Place> = {
      ArrowDown: { row: all ? rows.length - 1 : row + 1, column },
      ArrowUp: { row: all ? 0 : row - 1, column },
      ArrowRight: { row, column: all ? columns.length - 1 : column + 1 },
      ArrowLeft: { row, column: all ? 0 : column - 1 },
      PageDown: { row: row + page, column },
      PageUp: { row: row - page, column },
      Home: { row: all ? 0 : row, column: 0 },
      End: { row: all ? rows.length - 1 : row, column: columns.length - 1 },
    };
    const next = moves[event.key];
    setCopied("");
    if (next) move(next, event.shiftKey);
    else if (event.key === "Enter") setOpened(true);
    else if (all && event.key.toLowerCase() === "c") copy();
    else if (all && event.key.toLowerCase() === "a") {
      setAnchor({ row: 0, column: 0 });
      setActive({ row: rows.length - 1, column: columns.length - 1 });
    } else return;
    event.preventDefault();
  };

  const value = rows[active.row]?.[active.column];
  const column = columns[active.column];
  const rowsShown = shownRows.filter(({ index }) => index < rows.length);
  const isShown =
    rowsShown.some(({ index }) => index === active.row) && shownColumns.some(({ index }) => index === active.column);
  const chosen = (row: number, column: number) => row >= top && row <= bottom && column >= left && column <= right;
  const total = across.getTotalSize() + numbers;

  return (
    <>
      <div
        ref={frame}
        className="result"
        role="grid"
        aria-label={label}
        aria-rowcount={more ? -1 : rows.length + 1}
        aria-colcount={columns.length}
        aria-multiselectable="true"
        aria-activedescendant={isShown ? `${id}-${active.row}-${active.column}` : undefined}
        tabIndex={0}
        style={{ height: Math.min(height, HEAD + ROW * Math.max(rows.length, 3) + 14) }}
        onKeyDown={onKeyDown}
      >
        <div className="result-head" role="rowgroup" style={{ width: total, height: HEAD }}>
          <div role="row" aria-rowindex={1}>
            <div className="result-corner" style={{ width: numbers }} aria-hidden="true" />
            {shownColumns.map(({ index, start, size }) => {
              const { name, type } = columns[index] ?? { name: "", type: "" };
              return (
                <div
                  key={index}
                  role="columnheader"
                  aria-colindex={index + 1}
                  className={isNumeric(type) ? "n" : undefined}
                  style={{ left: start + numbers, width: size }}
                  title={`${name}: ${type}`}
                >
                  <strong>{name}</strong>
                  <span>{type}</span>
                </div>
              );
            })}
          </div>
        </div>
        <div role="rowgroup" style={{ width: total, height: down.getTotalSize(), position: "relative" }}>
          {rowsShown.map(({ index: row, start }) => (
            <div
              key={row}
              role="row"
              aria-rowindex={row + 2}
              className="result-row"
              style={{ transform: `translateY(${start}px)`, height: ROW, width: total }}
            >
              <div className="result-number" style={{ width: numbers }} aria-hidden="true">
                {row + 1}
              </div>
              {shownColumns.map(({ index, start, size }) => {
                const value = rows[row]?.[index];
                const place = { row, column: index };
                return (
                  <div
                    key={index}
                    id={`${id}-${row}-${index}`}
                    role="gridcell"
                    aria-colindex={index + 1}
                    aria-selected={chosen(row, index)}
                    className={[
                      isNumeric(columns[index]?.type ?? "") && "n",
                      value === null && "none",
                      row === active.row && index === active.column && "active",
                    ]
                      .filter(Boolean)
                      .join(" ")}
                    style={{ left: start + numbers, width: size }}
                    onPointerDown={(event) => {
                      setCopied("");
                      move(place, event.shiftKey);
                    }}
                    onPointerEnter={(event) => event.buttons === 1 && setActive(place)}
                    onDoubleClick={() => setOpened(true)}
                  >
                    {value === null ? "null" : cell(value)}
                  </div>
                );
              })}
            </div>
          ))}
        </div>
      </div>
      <div className="result-foot">
        {rows.length > 0 && column && (
          <>
            <span className="muted">
              {many
                ? `${count(bottom - top + 1)} × ${count(right - left + 1)} cells`
                : `Row ${count(active.row + 1)}, ${column.name}`}
            </span>
            <span className="mono">{many ? "" : value === null ? "null" : cell(value)}</span>
            <span className="muted" role="status">
              {copied}
            </span>
            <button className="quiet" onClick={copy}>
              {many ? "Copy the cells" : "Copy the value"}
            </button>
            <button className="quiet" onClick={() => setOpened(true)}>
              Open
            </button>
          </>
        )}
      </div>
      {opened && column && (
        <Dialog title={`${column.name}, row ${count(active.row + 1)}`} wide onClose={() => setOpened(false)}>
          <div className="row spread">
            <span className="muted mono">{column.type}</span>
            <Copy text={spacious(value)} label="Copy the value" />
          </div>
          <pre className="result-value" tabIndex={0}>
            {value === null ? <span className="muted">null</span> : spacious(value)}
          </pre>
        </Dialog>
      )}
    </>
  );
}
