// What the timeline's canvas shows. Attempts that would cover each other's pixel are drawn once.

import type { Attempt } from "../api/types";
import type { Stretch } from "../lib/axis";
import { duration } from "../lib/format";
import type { Lane, Span } from "../lib/timeline";

export const LANE = 15;
export const GUTTER = 96;
export const HEAD = 24;
/** Hues of stages; a stage and the next differ. */
const HUES = 6;

export interface Scene {
  width: number;
  height: number;
  /** How far the lanes are scrolled, in pixels. */
  top: number;
  lanes: Lane[];
  rows: Span[][];
  attempts: Attempt[];
  toX: (ms: number) => number;
  plot: number;
  from: number;
  to: number;
  gaps: Stretch[];
  ticks: number[];
  stage: number | undefined;
  task: string | undefined;
  pointed: Span | undefined;
  brush: { from: number; to: number } | undefined;
  colours: ReadonlyMap<string, string>;
}

export function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { width, height } = scene;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (name: string): string => scene.colours.get(name) ?? "";
  context.font = `11px ${style.fontFamily}`;
  context.textBaseline = "middle";
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, scene.plot, height);
  context.clip();
  backdrop(context, scene, colour);
  context.restore();
  names(context, scene, colour);
  context.save();
  context.beginPath();
  context.rect(GUTTER, HEAD, scene.plot, height - HEAD);
  context.clip();
  bars(context, scene, colour);
  if (scene.brush) {
    const [from, to] = [Math.min(scene.brush.from, scene.brush.to), Math.max(scene.brush.from, scene.brush.to)];
    context.globalAlpha = 0.18;
    context.fillStyle = colour("--accent");
    context.fillRect(from, HEAD, to - from, height - HEAD);
  }
  context.restore();
}

const NAMES = ["--accent", "--bad", "--line", "--muted", "--raised", "--surface", "--text", "--warn"];

/** The theme's colours as a canvas understands them, which it does not when they are written with `light-dark()`. */
export function coloursOf(canvas: HTMLCanvasElement): Map<string, string> {
  const probe = document.createElement("span");
  canvas.parentElement?.append(probe);
  const names = [...NAMES, ...Array.from({ length: HUES }, (_, hue) => `--stage-${hue}`)];
  const colours = new Map<string, string>();
  for (const name of names) {
    probe.style.color = `var(${name})`;
    colours.set(name, getComputedStyle(probe).color);
  }
  probe.remove();
  return colours;
}

function backdrop(context: CanvasRenderingContext2D, scene: Scene, colour: (name: string) => string): void {
  const { toX, height } = scene;
  for (const gap of scene.gaps) {
    const [from, to] = [toX(gap.start), toX(gap.end)];
    context.fillStyle = colour("--raised");
    context.fillRect(from, 0, to - from, height);
    if (to - from > 12) {
      context.fillStyle = colour("--muted");
      context.textAlign = "center";
      const text = duration(gap.end - gap.start);
      const fits = context.measureText(text).width + 6 < to - from;
      context.fillText(fits ? text : "⋯", (from + to) / 2, HEAD / 2);
      context.textAlign = "start";
    }
  }
  let free = 0;
  for (const tick of scene.ticks) {
    if (scene.gaps.some((gap) => tick > gap.start && tick < gap.end)) continue;
    const x = toX(tick);
    context.fillStyle = colour("--line");
    context.fillRect(Math.round(x), HEAD - 6, 1, height);
    const text = duration(tick);
    const wide = context.measureText(text).width;
    const ofGap = scene.gaps.some((gap) => toX(gap.end) > x && toX(gap.start) < x + wide + 8);
    if (x < free || ofGap || x + wide + 6 > scene.width) continue;
    context.fillStyle = colour("--muted");
    context.fillText(text, x + 4, HEAD / 2);
    free = x + wide + 12;
  }
}

function names(context: CanvasRenderingContext2D, scene: Scene, colour: (name: string) => string): void {
  const { lanes, top, height, width } = scene;
  context.save();
  context.beginPath();
  context.rect(0, HEAD, width, height - HEAD);
  context.clip();
  for (const [index, lane] of lanes.entries()) {
    const y = HEAD + index * LANE - top;
    if (y + LANE < HEAD || y > height || lane.slot > 0) continue;
    context.fillStyle = colour("--line");
    context.fillRect(0, Math.round(y), width, 1);
    context.fillStyle = colour("--muted");
    context.fillText(lane.worker.length > 10 ? `…${lane.worker.slice(-8)}` : lane.worker, 12, y + LANE / 2 + 1);
  }
  context.restore();
}

function bars(context: CanvasRenderingContext2D, scene: Scene, colour: (name: string) => string): void {
  const { rows, top, height, from, to, toX, attempts } = scene;
  const first = Math.max(0, Math.floor(top / LANE));
  const last = Math.min(rows.length, Math.ceil((top + height - HEAD) / LANE));
  for (let lane = first; lane < last; lane += 1) {
    const y = HEAD + lane * LANE - top + 2;
    const tall = LANE - 3;
    let drawn = -1;
    let drawnState = "";
    const spans = rows[lane] ?? [];
    for (let at = firstEnding(spans, from); at < spans.length; at += 1) {
      const span = spans[at];
      if (!span || span.start > to) break;
      const attempt = attempts[span.index];
      if (!attempt) continue;
      const x = toX(span.start);
      const end = Math.max(x + 1, toX(span.end) - 0.5);
      if (end < drawn + 0.5 && attempt.state === drawnState) continue;
      drawn = end;
      drawnState = attempt.state;
      const other =
        (scene.stage !== undefined && attempt.stage !== scene.stage) ||
        (scene.task !== undefined && scene.stage === undefined && `${attempt.stage}.${attempt.task}` !== scene.task);
      context.globalAlpha = other ? 0.25 : 1;
      bar(context, attempt, x, y, end - x, tall, colour);
      if (span === scene.pointed || `${attempt.stage}.${attempt.task}` === scene.task) {
        context.globalAlpha = 1;
        context.strokeStyle = colour("--text");
        context.lineWidth = 1.5;
        context.strokeRect(x - 1, y - 1, end - x + 2, tall + 2);
      }
    }
  }
  context.globalAlpha = 1;
}

/** The first span that has not ended before a moment; those of a lane follow each other. */
function firstEnding(spans: Span[], from: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.end ?? 0) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A bar; those that were not accepted differ by their shape too. */
function bar(
  context: CanvasRenderingContext2D,
  attempt: Attempt,
  x: number,
  y: number,
  width: number,
  height: number,
  colour: (name: string) => string,
): void {
  const hue = colour(`--stage-${attempt.stage % HUES}`);
  switch (attempt.state) {
    case "succeeded":
      context.fillStyle = hue;
      context.fillRect(x, y, width, height);
      return;
    case "failed":
      context.fillStyle = colour("--bad");
      context.fillRect(x, y, width, height);
      if (width > 9) {
        context.strokeStyle = colour("--surface");
        context.lineWidth = 1.5;
        const middle = x + width / 2;
        context.beginPath();
        context.moveTo(middle - 3, y + 3);
        context.lineTo(middle + 3, y + height - 3);
        context.moveTo(middle + 3, y + 3);
        context.lineTo(middle - 3, y + height - 3);
        context.stroke();
      }
      return;
    default:
      context.strokeStyle = attempt.state === "given_up" ? colour("--warn") : hue;
      context.lineWidth = 1.5;
      context.setLineDash(attempt.state === "given_up" ? [3, 2] : []);
      context.strokeRect(x + 0.75, y + 0.75, Math.max(0.5, width - 1.5), height - 1.5);
      context.setLineDash([]);
  }
}
