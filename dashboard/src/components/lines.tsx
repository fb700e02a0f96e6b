// Any number of lines of any height; only those in sight are drawn.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";

export interface LinesProps {
  label: string;
  /** The role of the list; `log` where new lines come at the end. */
  role: "log" | "list";
  count: number;
  keyOf: (index: number) => string | number;
  line: (index: number) => React.ReactNode;
  /** The last line that is in sight, whenever it changes. */
  onLast?: (index: number) => void;
  /** The line to begin with. */
  start?: number;
  height?: number;
}

export function Lines(props: LinesProps) {
  const { label, role, count, keyOf, line, onLast, start, height = 620 } = props;
  const frame = useRef<HTMLDivElement>(null);
  // The virtualizer hands out functions of its own state, which the compiler of React cannot follow.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => frame.current,
    estimateSize: () => 24,
    getItemKey: keyOf,
    overscan: 20,
  });
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (last >= 0) onLast?.(last);
  }, [last, onLast]);
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current || start === undefined || start >= count) return;
    begun.current = true;
    virtual.scrollToIndex(start, { align: "center" });
  }, [start, count, virtual]);
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
