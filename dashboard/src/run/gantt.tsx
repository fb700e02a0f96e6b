import { useEffect, useMemo, useRef, useState } from "react";

import type { Attempt } from "../api/types";
import { duration } from "../lib/format";
import { ticks, timeline, type Span } from "../lib/timeline";

const LANE = 16;
const GUTTER = 92;
const AXIS = 24;
const MAX_HEIGHT = 420;
const MAX_ZOOM = 200;

const roles: Record<Attempt["state"], string> = {
  queued: "--line-strong",
  running: "--busy",
  succeeded: "--accent",
  failed: "--bad",
  given_up: "--warn",
};

/** Attempts by the slot of the worker that ran them, on a canvas: wide enough for a hundred thousand. */
export function Gantt(props: { attempts: Attempt[]; from: string; now: number; stage: number | undefined }) {
  const { attempts, from, now, stage } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const [zoom, setZoom] = useState(1);
  const [left, setLeft] = useState(0);
  const [hovered, setHovered] = useState<Span | null>(null);
  const live = attempts.some((attempt) => attempt.state === "running");
  const until = live ? now : 0;
  const { lanes, spans, total } = useMemo(() => timeline(attempts, Date.parse(from), until), [attempts, from, until]);

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const height = AXIS + Math.max(1, lanes.length) * LANE;
  const plot = Math.max(1, width - GUTTER - 12);
  const shown = Math.max(1, total) / zoom;
  const begin = Math.min(left, Math.max(0, total - shown));
  const x = (ms: number) => GUTTER + ((ms - begin) / shown) * plot;

  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const draw = () => {
      const scale = window.devicePixelRatio || 1;
      element.width = width * scale;
      element.height = height * scale;
      context.scale(scale, scale);
      const style = getComputedStyle(element);
      const colour = (name: string) => style.getPropertyValue(name);
      context.font = `11px ${style.fontFamily}`;
      context.textBaseline = "middle";
      context.strokeStyle = colour("--line");
      context.fillStyle = colour("--muted");
      for (const tick of ticks(shown, Math.max(2, plot / 110))) {
        const at = x(begin + tick);
        context.beginPath();
        context.moveTo(at, AXIS);
        context.lineTo(at, height);
        context.stroke();
        context.fillText(duration(begin + tick), at + 3, AXIS / 2);
      }
      lanes.forEach((lane, index) => {
        if (lane.slot === 0) context.fillText(`…${lane.worker.slice(-6)}`, 12, AXIS + index * LANE + LANE / 2);
      });
      context.save();
      context.beginPath();
      context.rect(GUTTER, AXIS, plot, height - AXIS);
      context.clip();
      for (const span of spans) {
        const attempt = attempts[span.index];
        if (!attempt || span.end < begin || span.start > begin + shown) continue;
        context.globalAlpha = stage === undefined || attempt.stage === stage ? 1 : 0.2;
        context.fillStyle = colour(roles[attempt.state]);
        const start = x(span.start);
        context.fillRect(start, AXIS + span.lane * LANE + 2, Math.max(1.5, x(span.end) - start - 0.5), LANE - 4);
      }
      context.restore();
    };
    draw();
    // Colours follow the theme, whoever changes it.
    const observer = new MutationObserver(draw);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", draw);
    };
  });

  const find = (event: React.PointerEvent): Span | null => {
    const box = event.currentTarget.getBoundingClientRect();
    const lane = Math.floor((event.clientY - box.top - AXIS) / LANE);
    const at = begin + ((event.clientX - box.left - GUTTER) / plot) * shown;
    const slack = (2 / plot) * shown;
    return spans.find((span) => span.lane === lane && at >= span.start - slack && at <= span.end + slack) ?? null;
  };
  const change = (factor: number) => {
    const next = Math.min(MAX_ZOOM, Math.max(1, zoom * factor));
    const middle = begin + shown / 2;
    setZoom(next);
    setLeft(Math.max(0, middle - Math.max(1, total) / next / 2));
  };
  const move = (share: number) => setLeft(Math.max(0, Math.min(total - shown, begin + share * shown)));
  const keys: Record<string, () => void> = {
    "+": () => change(2),
    "-": () => change(0.5),
    ArrowLeft: () => move(-0.25),
    ArrowRight: () => move(0.25),
    "0": () => setZoom(1),
  };
  const said = hovered && attempts[hovered.index];

  return (
    <section className="card" aria-label="Timeline">
      <header>
        <h2>Timeline</h2>
        <div className="row">
          <span className="muted" aria-live="polite">
            {said
              ? `task ${said.stage}.${said.task}, attempt ${said.attempt}: ${said.state.replace("_", " ")}, ${duration(hovered.end - hovered.start)}`
              : `${lanes.length} slots of ${new Set(lanes.map((lane) => lane.worker)).size} workers`}
          </span>
          <button className="icon" aria-label="Zoom out" disabled={zoom <= 1} onClick={() => change(0.5)}>
            −
          </button>
          <button className="icon" aria-label="Zoom in" disabled={zoom >= MAX_ZOOM} onClick={() => change(2)}>
            +
          </button>
        </div>
      </header>
      <div
        ref={frame}
        className="gantt"
        style={{ maxHeight: MAX_HEIGHT }}
        tabIndex={0}
        role="group"
        aria-label="Attempts by worker slot; plus and minus zoom, arrows move. The table of tasks has the same."
        onKeyDown={(event) => {
          const act = keys[event.key];
          if (!act) return;
          act();
          event.preventDefault();
        }}
      >
        <canvas
          ref={canvas}
          style={{ width, height }}
          role="img"
          aria-label={`${spans.length} attempts over ${duration(total)}`}
          onPointerMove={(event) => setHovered(find(event))}
          onPointerLeave={() => setHovered(null)}
        />
      </div>
    </section>
  );
}
