// Any number of lines of any height; only those in sight are drawn.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";

import { count } from "../lib/format";
import { SEGMENT, type Segment } from "../lib/segments";

export interface LinesProps {
  label: string;
  /** The role of the list; `log` where new lines come at the end. */
  role: "log" | "list";
  count: number;
  keyOf: (index: number) => string | number;
  line: (index: number) => React.ReactNode;
  /** The lines that are in sight, whenever they change. */
  onRange?: (first: number, last: number) => void;
  /** The line to begin with. */
  start?: number;
  height?: number;
}

export function Lines(props: LinesProps) {
  const { label, role, count: lines, keyOf, line, onRange, start, height = 620 } = props;
  const frame = useRef<HTMLDivElement>(null);
  // The virtualizer hands out functions of its own state, which the compiler of React cannot follow.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: lines,
    getScrollElement: () => frame.current,
    estimateSize: () => 24,
    getItemKey: keyOf,
    overscan: 20,
  });
  const shown = virtual.getVirtualItems();
  const first = shown[0]?.index ?? -1;
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (last >= 0) onRange?.(first, last);
  }, [first, last, onRange]);
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current || start === undefined || start >= lines) return;
    begun.current = true;
    virtual.scrollToIndex(start, { align: "center" });
  }, [start, lines, virtual]);
  const item = role === "list" ? "listitem" : undefined;
  return (
    <div ref={frame} className="lines" role={role} aria-label={label} tabIndex={0} style={{ maxHeight: height }}>
      <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {shown.map(({ key, index, start }) => (
          <div
            key={key}
            ref={virtual.measureElement}
            data-index={index}
            role={item}
            className="line-place"
            style={{ transform: `translateY(${start}px)` }}
          >
            {line(index)}
          </div>
        ))}
      </div>
    </div>
  );
}

/** The place of a line that is on the way. */
export function LinePlace() {
  return (
    <div className="line">
      <span className="skeleton">············</span>
    </div>
  );
}

/** Which segment of a long list is shown, and the way to others. */
export function SegmentBar(props: { what: string; segment: Segment; total: number; onEntry: (entry: number) => void }) {
  const { what, segment, total, onEntry } = props;
  if (total <= SEGMENT) return null;
  const { from, count: shown } = segment;
  const buttons: [string, number, boolean][] = [
    ["First", 0, from === 0],
    ["Earlier", from - SEGMENT, from === 0],
    ["Later", from + SEGMENT, from + shown >= total],
    ["Last", total - 1, from + shown >= total],
  ];
  return (
    <nav className="segments row" aria-label={`Parts of the ${what}`}>
      <span className="muted">
        {what} {count(from + 1)} to {count(from + shown)} of {count(total)}
      </span>
      {buttons.map(([name, entry, disabled]) => (
        <button key={name} disabled={disabled} onClick={() => onEntry(entry)}>
          {name}
        </button>
      ))}
    </nav>
  );
}

/** A text in which what was searched for is marked. */
export function Marked({ text, wanted }: { text: string; wanted: string }) {
  if (!wanted) return <>{text}</>;
  const parts: React.ReactNode[] = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0 && parts.length < 200; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  return (
    <>
      {parts}
      {text.slice(from)}
    </>
  );
}
