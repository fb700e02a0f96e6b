// A table of any number of rows: only those in sight are drawn, and rows that are not here yet have their place.

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useId, useRef, useState } from "react";

const ROW = 32;

export interface Column<T> {
  key: string;
  title: string;
  /** A track of CSS grid: `96px`, `minmax(80px, 1fr)`. */
  width: string;
  numeric?: boolean;
  /** Whether a click on the heading sorts by it. */
  sortable?: boolean;
  /** What the heading means, for a tooltip. */
  hint?: string;
  show: (row: T) => React.ReactNode;
}

export interface Sort {
  key: string;
  down: boolean;
}

export interface GridProps<T> {
  label: string;
  columns: Column<T>[];
  /** How many rows there are, those that are not here yet included. */
  total: number;
  /** A row by its place; `undefined` while it is on the way. */
  row: (index: number) => T | undefined;
  rowKey: (row: T) => string;
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  /** The places that are in sight, whenever they change. */
  onRange?: (first: number, last: number) => void;
  /** Enter or a click on a row. */
  onOpen?: (row: T) => void;
  /** The key of the row that is open. */
  open?: string | undefined;
  /** The tallest that it gets, in pixels. */
  height?: number;
  /** The least width of the columns together, in pixels; below it the table scrolls. */
  minWidth?: number;
}

/** Up and down, Page Up and Down, Home and End move over rows; Enter opens one; headings sort. */
export function Grid<T>(props: GridProps<T>) {
  const {
    label,
    columns,
    total,
    row,
    rowKey,
    sort,
    onSort,
    onRange,
    onOpen,
    open,
    height = 560,
    minWidth = 900,
  } = props;
  const frame = useRef<HTMLDivElement>(null);
  const id = useId();
  const [active, setActive] = useState(-1);
  // The virtualizer hands out functions of its own state, which the compiler of React cannot follow.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: 8,
    scrollPaddingStart: ROW + 4,
  });
  const shown = virtual.getVirtualItems();
  const first = shown[0]?.index ?? 0;
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (total > 0) onRange?.(first, last);
  }, [first, last, total, onRange]);

  const pick = useCallback(
    (index: number) => {
      setActive(index);
      const value = row(index);
      if (value !== undefined) onOpen?.(value);
    },
    [row, onOpen],
  );
  const template = columns.map((column) => column.width).join(" ");
  const page = Math.max(1, Math.floor(height / ROW) - 2);
  const moves: Record<string, (at: number) => number> = {
    ArrowDown: (at) => at + 1,
    ArrowUp: (at) => at - 1,
    PageDown: (at) => at + page,
    PageUp: (at) => at - page,
    Home: () => 0,
    End: () => total - 1,
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.target !== event.currentTarget || total === 0) return;
    const move = moves[event.key];
    if (move) {
      const next = Math.min(total - 1, Math.max(0, move(active)));
      setActive(next);
      virtual.scrollToIndex(next);
      event.preventDefault();
    } else if (event.key === "Enter") {
      const chosen = row(active);
      if (chosen !== undefined) onOpen?.(chosen);
    }
  };
  const activeId = active >= first && active <= last && active < total ? `${id}-${active}` : undefined;

  return (
    <div
      ref={frame}
      className="grid"
      role="grid"
      aria-label={label}
      aria-rowcount={total + 1}
      aria-activedescendant={activeId}
      tabIndex={0}
      style={{ maxHeight: height }}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="grid-head" style={{ minWidth }}>
        <div className="grid-row" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, height: ROW }}>
          {columns.map((column) => {
            const sorted = sort?.key === column.key;
            return (
              <div
                key={column.key}
                role="columnheader"
                className={column.numeric ? "n" : undefined}
                title={column.hint}
                aria-sort={column.sortable ? (sorted ? (sort.down ? "descending" : "ascending") : "none") : undefined}
              >
                {column.sortable && onSort ? (
                  <button
                    className="plain"
                    onClick={() => onSort({ key: column.key, down: sorted ? !sort.down : column.numeric === true })}
                  >
                    {column.title}
                    <span aria-hidden="true">{sorted ? (sort.down ? " ↓" : " ↑") : ""}</span>
                  </button>
                ) : (
                  column.title
                )}
              </div>
            );
          })}
        </div>
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative", minWidth }}>
        {shown.map(({ index, start }) => {
          const value = row(index);
          const key = value === undefined ? undefined : rowKey(value);
          return (
            <GridRow
              key={key ?? index}
              id={`${id}-${index}`}
              index={index}
              start={start}
              value={value}
              columns={columns as Column<unknown>[]}
              template={template}
              isOpen={key !== undefined && key === open}
              isActive={index === active}
              onPick={onOpen ? pick : undefined}
            />
          );
        })}
      </div>
    </div>
  );
}

interface GridRowProps {
  id: string;
  index: number;
  start: number;
  value: unknown;
  columns: Column<unknown>[];
  template: string;
  isOpen: boolean;
  isActive: boolean;
  onPick: ((index: number) => void) | undefined;
}

/** A row; it is drawn again only when something of it differs, not whenever the table scrolls. */
const GridRow = memo(function GridRow(props: GridRowProps) {
  const { id, index, start, value, columns, template, isOpen, isActive, onPick } = props;
  return (
    <div
      id={id}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={onPick ? isOpen : undefined}
      className={["grid-row", onPick && "opens", isActive && "active"].filter(Boolean).join(" ")}
      style={{ gridTemplateColumns: template, transform: `translateY(${start}px)`, height: ROW }}
      onClick={() => onPick?.(index)}
    >
      {columns.map((column) => (
        <div key={column.key} role="gridcell" className={column.numeric ? "n" : undefined}>
          {value === undefined ? <span className="skeleton">······</span> : column.show(value)}
        </div>
      ))}
    </div>
  );
});
