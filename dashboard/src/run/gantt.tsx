// Attempts by the slot of the worker that ran them, on a canvas of the size of what is in sight: the number of lanes
// and attempts costs nothing but their drawing.

import { useEffect, useMemo, useRef, useState } from "react";

import type { Attempt } from "../api/types";
import { axis, moment as momentAt, place, ticks, type Axis } from "../lib/axis";
import { counted, duration } from "../lib/format";
import { byLane, spanAt, timeline, type Span } from "../lib/timeline";
import { coloursOf, draw, GUTTER, HEAD, LANE } from "./gantt-draw";

const HEIGHT = 360;
/** Slots that one of a steady height has room for; more are scrolled to. */
const STEADY = 8;
/** Pixels of the heading and the borders. */
const AROUND = 44;

/** Pixels that a timeline takes: at most, or always when it is steady. */
export function timelineHeight(steady: boolean): number {
  return AROUND + (steady ? HEAD + STEADY * LANE + 6 : HEIGHT);
}
/** The shortest time that fills the width, in milliseconds of the axis. */
const CLOSEST = 2;

/** A stretch of the run, in milliseconds since it was submitted. */
export interface View {
  from: number;
  to: number;
}

export interface GanttProps {
  attempts: Attempt[];
  /** When the run was submitted. */
  from: string;
  now: number;
  /** The stage whose attempts stand out. */
  stage?: number | undefined;
  /** The task that is open, as `stage.index`. */
  task?: string | undefined;
  /** The stretch that is shown; all of it when there is none. */
  view: View | undefined;
  onView: (view: View | undefined) => void;
  /** Whether its height stays as it is when slots come. */
  steady: boolean;
  compress: boolean;
  onCompress: (compress: boolean) => void;
  onOpen: (attempt: Attempt) => void;
  /** What is still on the way. */
  note?: string | undefined;
}

export function Gantt(props: GanttProps) {
  const { attempts, from, now, stage, task, view, onView, steady, compress, onCompress, onOpen, note } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const [top, setTop] = useState(0);
  const colours = useRef<ReadonlyMap<string, string>>(undefined);
  const [theme, setTheme] = useState(0);
  const [brush, setBrush] = useState<{ from: number; to: number }>();
  const [pointed, setPointed] = useState<Span>();

  const live = attempts.some((attempt) => attempt.state === "running");
  const until = live ? now : 0;
  const line = useMemo(() => timeline(attempts, Date.parse(from), until), [attempts, from, until]);
  const rows = useMemo(() => byLane(line), [line]);
  const scale = useMemo(() => axis(line.spans, line.total, compress), [line, compress]);

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useThemeChange(() => {
    colours.current = undefined;
    setTheme((old) => old + 1);
  });

  const window = shown(scale, view);
  const plot = Math.max(1, width - GUTTER - 12);
  const lanes = steady ? STEADY : Math.max(1, line.lanes.length);
  const height = Math.min(HEIGHT, HEAD + lanes * LANE + 6);
  const toAt = (x: number) => window.at + ((x - GUTTER) / plot) * window.size;

  useEffect(() => {
    if (!canvas.current) return;
    colours.current ??= coloursOf(canvas.current);
    draw(canvas.current, {
      colours: colours.current,
      width,
      height,
      top,
      lanes: line.lanes,
      rows,
      attempts,
      toX: (ms) => GUTTER + ((place(scale, ms) - window.at) / window.size) * plot,
      plot,
      from: momentAt(scale, window.at),
      to: momentAt(scale, window.at + window.size),
      gaps: scale.stretches.filter((stretch) => stretch.gap),
      ticks: ticks(momentAt(scale, window.at), momentAt(scale, window.at + window.size), Math.max(2, plot / 110)),
      stage,
      task,
      pointed,
      brush,
    });
    // `theme` counts changes of the colours.
  }, [
    width,
    height,
    top,
    line,
    rows,
    attempts,
    scale,
    window.at,
    window.size,
    stage,
    task,
    pointed,
    brush,
    theme,
    plot,
  ]);

  const show = (at: number, size: number) => {
    const next = Math.min(scale.length, Math.max(CLOSEST, size));
    const begin = Math.min(scale.length - next, Math.max(0, at));
    if (next >= scale.length * 0.999) onView(undefined);
    else onView({ from: momentAt(scale, begin), to: momentAt(scale, begin + next) });
  };
  const zoom = (factor: number, around = window.at + window.size / 2) => {
    const size = Math.min(scale.length, Math.max(CLOSEST, window.size / factor));
    show(around - ((around - window.at) / window.size) * size, size);
  };
  const pan = (share: number) => show(window.at + share * window.size, window.size);

  const at = (event: { clientX: number; clientY: number }): { x: number; span: Span | undefined } => {
    const box = canvas.current?.getBoundingClientRect();
    const x = event.clientX - (box?.left ?? 0);
    const y = event.clientY - (box?.top ?? 0);
    const lane = Math.floor((y - HEAD + top) / LANE);
    if (y < HEAD || x < GUTTER) return { x, span: undefined };
    const slack = momentAt(scale, toAt(x + 2)) - momentAt(scale, toAt(x));
    return { x, span: spanAt(rows[lane] ?? [], momentAt(scale, toAt(x)), slack) };
  };
  const step = (forward: boolean) => {
    const all = rows[pointed?.lane ?? 0] ?? [];
    const place = pointed ? all.indexOf(pointed) : -1;
    setPointed(all[Math.min(all.length - 1, Math.max(0, place + (forward ? 1 : -1)))]);
  };
  const changeLane = (by: number) => {
    const lane = Math.min(rows.length - 1, Math.max(0, (pointed?.lane ?? -1) + by));
    const near = spanAt(rows[lane] ?? [], pointed?.start ?? 0, Infinity) ?? rows[lane]?.[0];
    setPointed(near);
    const [above, below] = [lane * LANE, (lane + 1) * LANE + HEAD - height];
    if (above < top) frame.current?.scrollTo({ top: above });
    else if (below > top) frame.current?.scrollTo({ top: below });
  };
  const keys: Record<string, () => void> = {
    "+": () => zoom(2),
    "=": () => zoom(2),
    "-": () => zoom(0.5),
    "0": () => onView(undefined),
    ArrowLeft: () => pan(-0.25),
    ArrowRight: () => pan(0.25),
    ArrowUp: () => changeLane(-1),
    ArrowDown: () => changeLane(1),
    ",": () => step(false),
    ".": () => step(true),
    Enter: () => {
      const attempt = pointed && attempts[pointed.index];
      if (attempt) onOpen(attempt);
    },
  };
  useWheel(canvas, (event) => {
    if (event.ctrlKey || event.metaKey) zoom(event.deltaY < 0 ? 1.25 : 0.8, toAt(at(event).x));
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))
      pan((event.deltaX || event.deltaY) / 800);
    else return false;
    return true;
  });

  const workers = new Set(line.lanes.map((lane) => lane.worker)).size;
  const said = pointed && attempts[pointed.index];
  return (
    <section className="card" aria-label="Timeline">
      <header>
        <div className="row">
          <h2>Timeline</h2>
          <span className="muted" aria-live="polite">
            {said
              ? describe(said, pointed)
              : (note ?? `${counted(line.lanes.length, "slot")} of ${counted(workers, "worker")}`)}
          </span>
        </div>
        <div className="row">
          <Legend />
          <label className="row check">
            <input type="checkbox" checked={compress} onChange={(event) => onCompress(event.target.checked)} />
            Short gaps
          </label>
          <div className="row joined" role="group" aria-label="Zoom">
            <button className="icon" aria-label="Zoom out" disabled={!view} onClick={() => zoom(0.5)}>
              −
            </button>
            <button disabled={!view} onClick={() => onView(undefined)}>
              All
            </button>
            <button className="icon" aria-label="Zoom in" disabled={window.size <= CLOSEST} onClick={() => zoom(2)}>
              +
            </button>
          </div>
        </div>
      </header>
      <div
        ref={frame}
        className="gantt"
        style={{ height }}
        tabIndex={0}
        role="group"
        aria-label="Attempts by worker slot. Plus and minus zoom, left and right move, up and down change the slot, comma and full stop the attempt, Enter opens it. The table of tasks has the same."
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={(event) => {
          const act = event.altKey || event.ctrlKey || event.metaKey ? undefined : keys[event.key];
          if (!act) return;
          act();
          event.preventDefault();
        }}
      >
        <div style={{ height: HEAD + line.lanes.length * LANE }}>
          <canvas
            ref={canvas}
            style={{ width, height, cursor: pointed ? "pointer" : "crosshair" }}
            role="img"
            aria-label={`${counted(line.spans.length, "attempt")} over ${duration(line.total)}`}
            onPointerDown={(event) => {
              if (event.button !== 0) return;
              event.currentTarget.setPointerCapture(event.pointerId);
              const { x } = at(event);
              if (x >= GUTTER) setBrush({ from: x, to: x });
            }}
            onPointerMove={(event) => {
              const { x, span } = at(event);
              if (brush) setBrush({ from: brush.from, to: x });
              else if (span !== pointed) setPointed(span);
            }}
            onPointerUp={(event) => {
              const { span } = at(event);
              const wide = brush && Math.abs(brush.to - brush.from) > 5;
              setBrush(undefined);
              if (wide) {
                const [a, b] = [toAt(Math.min(brush.from, brush.to)), toAt(Math.max(brush.from, brush.to))];
                show(a, b - a);
                return;
              }
              const attempt = span && attempts[span.index];
              if (attempt) onOpen(attempt);
            }}
            onPointerCancel={() => setBrush(undefined)}
            onPointerLeave={() => setPointed(undefined)}
            onDoubleClick={() => onView(undefined)}
          />
        </div>
      </div>
    </section>
  );
}

/** The part of the axis that is shown. */
function shown(scale: Axis, view: View | undefined): { at: number; size: number } {
  if (!view) return { at: 0, size: scale.length };
  const at = place(scale, view.from);
  return { at, size: Math.max(CLOSEST / 2, place(scale, view.to) - at) };
}

function describe(attempt: Attempt, span: Span): string {
  const copy = attempt.speculative ? ", a copy" : "";
  const state = attempt.state === "succeeded" ? "accepted" : attempt.state.replace("_", " ");
  return `task ${attempt.stage}.${attempt.task}, attempt ${attempt.attempt}${copy}: ${state}, ${duration(span.end - span.start)}`;
}

function Legend() {
  return (
    <span className="legend muted" aria-hidden="true">
      <i className="mark ok" /> accepted, coloured by stage
      <i className="mark busy" /> running
      <i className="mark bad" /> failed
      <i className="mark warn" /> given up
    </span>
  );
}

/** Colours follow the theme, whoever changes it. */
function useThemeChange(changed: () => void) {
  const latest = useRef(changed);
  useEffect(() => {
    latest.current = changed;
  });
  useEffect(() => {
    const tell = () => latest.current();
    const observer = new MutationObserver(tell);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", tell);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", tell);
    };
  }, []);
}

/** A wheel that may keep the page from scrolling, which React's own handlers can not. */
function useWheel(element: React.RefObject<HTMLElement | null>, turned: (event: WheelEvent) => boolean) {
  const latest = useRef(turned);
  useEffect(() => {
    latest.current = turned;
  });
  useEffect(() => {
    const target = element.current;
    if (!target) return;
    const handle = (event: WheelEvent) => {
      if (latest.current(event)) event.preventDefault();
    };
    target.addEventListener("wheel", handle, { passive: false });
    return () => target.removeEventListener("wheel", handle);
  }, [element]);
}
