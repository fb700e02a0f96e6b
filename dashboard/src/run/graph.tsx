// The stages of a run with their operators, and beside them every operator by what it took.

import { useEffect, useMemo, useRef, useState } from "react";

import type { Run, Stage } from "../api/types";
import { stageWord, StageMark } from "../components/state";
import { standing } from "../lib/ending";
import { bytes, count, duration, percent, short } from "../lib/format";
import {
  boxes,
  layout,
  nextIn,
  WIDTH,
  type Box,
  type Direction,
  type Placed,
  type PlacedBox,
  type StageNode,
} from "../lib/graph";
import { measures, shortName, steps, type Measure, type Operator } from "../lib/operators";

/** Above so many stages and operators together stages show no operators unless they are opened. */
const COLLAPSED_ABOVE = 150;
/** Pixels that the part is high at most and at least, and what of them its head takes. */
export const HIGH = 420;
const LOW = 260;
const HEAD = 44;
/** Pixels of a box without operators, and of one of them. */
const HEADER = 60;
const ROW = 22;
/** Pixels between the graph and its frame, of both sides. */
const MARGIN = 32;
/** The smallest size that is chosen by itself, and the smallest that there is. */
const READABLE = 0.7;
const SMALLEST = 0.4;
/** Rows of the list of operators; a search finds the others. */
const LISTED = 60;

export interface Selection {
  stage: number;
  operator?: number | undefined;
}

export interface GraphProps {
  run: Run;
  nodes: StageNode[];
  /** Operators by stage; nothing for stages of which no task has ended. */
  operators: Map<number, Operator[]>;
  now: number;
  /** Whether it keeps its height, whatever there is to show. */
  steady: boolean;
  selected: Selection | undefined;
  onSelect: (selection: Selection | undefined) => void;
}

/** Milliseconds that a stage has taken so far. */
function taken(stage: Stage, now: number): number {
  if (!stage.started_at) return 0;
  return (stage.finished_at ? Date.parse(stage.finished_at) : now) - Date.parse(stage.started_at);
}

export function StageGraph(props: GraphProps) {
  const { run, nodes, operators, now, steady, selected, onSelect } = props;
  const { stages } = run;
  const [toggled, setToggled] = useState<ReadonlySet<number>>(new Set());
  const [chosenZoom, setZoom] = useState<number>();
  const frame = useRef<HTMLDivElement>(null);
  const room = useWidth(frame);

  const inputs = nodes.length > 0 ? nodes : stages.map(({ id }) => ({ id, inputs: [] }));
  const counts = stages.map(({ id }) => operators.get(id)?.length ?? 0);
  const collapsed = stages.length + counts.reduce((a, b) => a + b, 0) > COLLAPSED_ABOVE;
  // What is drawn only moves when one of these does.
  const key = JSON.stringify([inputs, counts, collapsed, [...toggled], collapsed ? selected?.stage : null]);
  const placed = useMemo(() => {
    const isOpen = (stage: number) => (toggled.has(stage) ? collapsed : !collapsed || selected?.stage === stage);
    const height = (box: Box) => {
      const [only] = box.stages;
      const rows =
        box.stages.length === 1 && only !== undefined && isOpen(only) ? (operators.get(only)?.length ?? 0) : 0;
      return HEADER + (rows > 0 ? rows * ROW + 8 : 0);
    };
    return layout(boxes(inputs, COLLAPSED_ABOVE), height);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);

  // Until the reader chooses a size, all stages beside each other fit, as long as they can be read.
  const zoom = chosenZoom ?? (room > 0 ? Math.min(1, Math.max(READABLE, (room - MARGIN) / placed.width)) : 1);

  // A link to a selection shows it.
  const shown = useRef(false);
  useEffect(() => {
    if (shown.current || operators.size === 0 || room === 0) return;
    shown.current = true;
    if (selected) scrollTo(frame.current, selected);
  }, [selected, operators, room]);

  const byId = new Map(stages.map((stage) => [stage.id, stage]));
  const stageTime = Math.max(
    1,
    stages.reduce((sum, stage) => sum + taken(stage, now), 0),
  );
  const operatorTime = Math.max(
    1,
    [...operators.values()].flat().reduce((sum, operator) => sum + operator.cpu_us, 0),
  );
  const toggle = (stage: number) =>
    setToggled((old) => {
      const next = new Set(old);
      if (!next.delete(stage)) next.add(stage);
      return next;
    });
  const move = (event: React.KeyboardEvent) => {
    const direction = ({ ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" } as const)[
      event.key
    ];
    if (!direction || !(event.target instanceof HTMLElement)) return;
    event.preventDefault();
    focusNext(direction, event.target, event.currentTarget);
  };
  const reveal = (selection: Selection) => {
    onSelect(selection);
    requestAnimationFrame(() => scrollTo(frame.current, selection));
  };
  const first = placed.boxes[0]?.id;
  const high = steady ? HIGH : Math.min(HIGH, Math.max(LOW, placed.height * zoom + MARGIN + HEAD));

  return (
    <section
      className="card split"
      aria-label="Graph of stages"
      style={{ "--high": `${high}px` } as React.CSSProperties}
    >
      <div className="graph-side">
        <header>
          <h2>Graph</h2>
          <div className="row joined" role="group" aria-label="Size of the graph">
            <button
              className="icon"
              aria-label="Smaller"
              disabled={zoom <= SMALLEST}
              onClick={() => setZoom(zoom / 1.25)}
            >
              −
            </button>
            <button onClick={() => setZoom(fit(frame.current, placed))}>Fit</button>
            <button className="icon" aria-label="Larger" disabled={zoom >= 1.5} onClick={() => setZoom(zoom * 1.25)}>
              +
            </button>
          </div>
        </header>
        <div className="graph" ref={frame} onKeyDown={move} role="group" aria-label="Stages, each after what it reads">
          <div className="graph-size" style={{ width: placed.width * zoom, height: placed.height * zoom }}>
            <div
              className="graph-plane"
              style={{ width: placed.width, height: placed.height, transform: `scale(${zoom})` }}
            >
              <svg width={placed.width} height={placed.height} aria-hidden="true">
                <defs>
                  <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
                    <path d="M0 0 8 4 0 8Z" fill="var(--line-strong)" />
                  </marker>
                </defs>
                {placed.edges.map((edge) => (
                  <path key={`${edge.from}-${edge.to}`} className="edge" d={edge.path} markerEnd="url(#arrow)" />
                ))}
              </svg>
              {placed.boxes.map((box) => (
                <GraphBox
                  key={box.id}
                  run={run}
                  box={box}
                  stages={box.stages.flatMap((id) => byId.get(id) ?? [])}
                  operators={operators}
                  stageTime={stageTime}
                  operatorTime={operatorTime}
                  now={now}
                  selected={selected}
                  entry={selected ? box.stages.includes(selected.stage) : box.id === first}
                  onSelect={onSelect}
                  onToggle={toggle}
                />
              ))}
            </div>
          </div>
        </div>
      </div>
      <Operators
        stages={stages}
        operators={operators}
        total={operatorTime}
        selected={selected}
        onSelect={reveal}
        onClear={() => onSelect(undefined)}
      />
    </section>
  );
}

interface BoxProps {
  run: Run;
  box: PlacedBox;
  stages: Stage[];
  operators: Map<number, Operator[]>;
  stageTime: number;
  operatorTime: number;
  now: number;
  selected: Selection | undefined;
  /** Whether Tab comes to this box. */
  entry: boolean;
  onSelect: (selection: Selection) => void;
  onToggle: (stage: number) => void;
}

function GraphBox(props: BoxProps) {
  const { run, box, stages, operators, stageTime, operatorTime, now, selected, entry, onSelect, onToggle } = props;
  const [stage] = stages;
  if (!stage) return null;
  const ms = stages.reduce((sum, stage) => sum + taken(stage, now), 0);
  const share = ms / stageTime;
  const total = (value: (stage: Stage) => number) => stages.reduce((sum, stage) => sum + value(stage), 0);
  const shown = box.height > HEADER ? steps(operators.get(stage.id) ?? []) : [];
  const many = stages.length > 1;
  const name = many ? `${stages.length} stages` : stage.name;
  const spilled = total((stage) => stage.spilled_bytes);
  const isSelected = selected !== undefined && box.stages.includes(selected.stage);
  const wasm = (operators.get(stage.id) ?? []).reduce((sum, operator) => sum + operator.wasm_us, 0);
  return (
    <div
      className={isSelected ? "node selected" : "node"}
      style={{
        left: box.x,
        top: box.y,
        width: WIDTH,
        height: box.height,
        borderTopColor: `var(--stage-${stage.id % 6})`,
      }}
    >
      <button
        className="node-head"
        data-node={`${stage.id}`}
        tabIndex={entry && selected?.operator === undefined ? 0 : -1}
        aria-pressed={isSelected && selected.operator === undefined}
        title={
          many
            ? stages.map((stage) => `${stage.id} ${stage.name}`).join("\n")
            : `${stage.name}\nDouble click shows or hides its operators`
        }
        onClick={() => onSelect({ stage: stage.id })}
        onDoubleClick={() => onToggle(stage.id)}
      >
        <span className="node-name">
          <StageMark standing={standing(stage, run)} />
          <b>{many ? `${stage.id}–${stages.at(-1)?.id ?? ""}` : stage.id}</b> <span>{name}</span>
        </span>
        <span className="node-sub muted">
          <span>{`${short(total((s) => s.tasks_done))}/${short(total((s) => s.tasks))} tasks`}</span>
          <span>{`${short(total((s) => s.rows_out))} rows`}</span>
          {spilled > 0 && <span className="spill">{`${bytes(spilled)} spilled`}</span>}
          {wasm > 0 && shown.length === 0 && <span>{`ƒ ${duration(wasm / 1000)}`}</span>}
        </span>
        <span className="node-sub muted">
          <span className="share">
            <i style={{ width: `${share * 100}%` }} />
          </span>
          <span>
            {stage.started_at ? `${duration(ms)} · ${percent(share)}` : stageWord(standing(stage, run)).toLowerCase()}
          </span>
        </span>
      </button>
      {shown.length > 0 && (
        <ol className="node-steps">
          {shown.map(({ operator, branch }) => {
            const chosen = isSelected && selected.operator === operator.id;
            return (
              <li key={operator.id}>
                <button
                  data-node={`${stage.id}.${operator.id}`}
                  tabIndex={chosen ? 0 : -1}
                  aria-pressed={chosen}
                  aria-label={`${operator.name}: ${duration(operator.cpu_us / 1000)}, ${count(operator.rows)} rows`}
                  onClick={() => onSelect({ stage: stage.id, operator: operator.id })}
                >
                  <i className="heat" style={{ width: `${(100 * operator.cpu_us) / operatorTime}%` }} />
                  <span className="step-name" style={{ paddingLeft: branch * 12 }}>
                    {branch > 0 && <span className="muted">↳ </span>}
                    {shortName(operator.name)}
                  </span>
                  {operator.wasm_us > 0 && <span className="muted">ƒ</span>}
                  {operator.spilled_bytes > 0 && <span className="spill">spill</span>}
                  <span className="muted n">{short(operator.rows)}</span>
                  <span className="n">{percent(operator.cpu_us / operatorTime)}</span>
                </button>
              </li>
            );
          })}
        </ol>
      )}
    </div>
  );
}

interface OperatorsProps {
  stages: Stage[];
  operators: Map<number, Operator[]>;
  total: number;
  selected: Selection | undefined;
  onSelect: (selection: Selection) => void;
  onClear: () => void;
}

function Operators({ stages, operators, total, selected, onSelect, onClear }: OperatorsProps) {
  const [search, setSearch] = useState("");
  const [measure, setMeasure] = useState<Measure>("time");
  const names = new Map(stages.map((stage) => [stage.id, stage.name]));
  const all = [...operators].flatMap(([stage, list]) => list.map((operator) => ({ stage, operator })));
  const wanted = search.trim().toLowerCase();
  const found = all.filter(({ stage, operator }) =>
    [operator.name, names.get(stage) ?? "", `stage ${stage}`, ...operator.functions].some((text) =>
      text.toLowerCase().includes(wanted),
    ),
  );
  const { of, unit } = measures[measure];
  const listed = found.sort((a, b) => of(b.operator) - of(a.operator));
  const most = Math.max(1, ...listed.slice(0, 1).map(({ operator }) => of(operator)));
  const chosen =
    selected?.operator === undefined
      ? undefined
      : operators.get(selected.stage)?.find((operator) => operator.id === selected.operator);
  return (
    <div className="operators">
      <header>
        <input
          type="search"
          placeholder="Find operators"
          aria-label="Find operators"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <select aria-label="Order by" value={measure} onChange={(event) => setMeasure(event.target.value as Measure)}>
          {Object.entries(measures).map(([key, { title }]) => (
            <option key={key} value={key}>
              {title}
            </option>
          ))}
        </select>
      </header>
      {chosen && selected && <Detail operator={chosen} stage={selected.stage} total={total} onClear={onClear} />}
      <ol className="operator-list" aria-label="Operators" tabIndex={0}>
        {listed.slice(0, LISTED).map(({ stage, operator }) => (
          <li key={`${stage}.${operator.id}`}>
            <button
              aria-pressed={selected?.stage === stage && selected.operator === operator.id}
              onClick={() => onSelect({ stage, operator: operator.id })}
            >
              <span className="operator-name">{shortName(operator.name)}</span>
              <span className="muted">{`stage ${stage}`}</span>
              <span className="n">{write(unit, of(operator))}</span>
              <span className="share">
                <i style={{ width: `${(100 * of(operator)) / most}%` }} />
              </span>
            </button>
          </li>
        ))}
        {listed.length > LISTED && (
          <li className="muted more">{`${count(listed.length - LISTED)} more; search for them`}</li>
        )}
        {listed.length === 0 && (
          <li className="muted more">
            {all.length === 0
              ? "Operators are known when a task of their stage has ended."
              : "No operator is like that."}
          </li>
        )}
      </ol>
    </div>
  );
}

function write(unit: "us" | "count" | "bytes", value: number): string {
  return unit === "us" ? duration(value / 1000) : unit === "bytes" ? bytes(value) : count(value);
}

function Detail(props: { operator: Operator; stage: number; total: number; onClear: () => void }) {
  const { operator, stage, total, onClear } = props;
  return (
    <div className="operator-detail" role="status">
      <div className="row spread">
        <strong>{shortName(operator.name)}</strong>
        <button className="icon quiet tiny" aria-label="Select nothing" onClick={onClear}>
          <span aria-hidden="true">✕</span>
        </button>
      </div>
      <dl className="pairs">
        <dt>Stage</dt>
        <dd>{stage}</dd>
        <dt>Time</dt>
        <dd>{`${duration(operator.cpu_us / 1000)} · ${percent(operator.cpu_us / total)} of all operators`}</dd>
        <dt>Rows out</dt>
        <dd>{count(operator.rows)}</dd>
        <dt>Bytes out</dt>
        <dd>{operator.bytes > 0 ? bytes(operator.bytes) : "not counted"}</dd>
        <dt>Memory</dt>
        <dd>{operator.peak_memory_bytes > 0 ? bytes(operator.peak_memory_bytes) : "not counted"}</dd>
        <dt>Spilled</dt>
        <dd>{bytes(operator.spilled_bytes)}</dd>
        <dt>In Wasm</dt>
        <dd>{duration(operator.wasm_us / 1000)}</dd>
        {operator.functions.length > 0 && (
          <>
            <dt>Functions</dt>
            <dd className="mono">{operator.functions.join(", ")}</dd>
          </>
        )}
      </dl>
    </div>
  );
}

/** Moves the focus to the next item of the graph in a direction. */
function focusNext(direction: Direction, from: HTMLElement, frame: Element): void {
  const items = [...frame.querySelectorAll<HTMLElement>("[data-node]")].filter((item) => item !== from);
  const next =
    items[
      nextIn(
        direction,
        from.getBoundingClientRect(),
        items.map((item) => item.getBoundingClientRect()),
      )
    ];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function scrollTo(frame: HTMLElement | null, { stage, operator }: Selection): void {
  const item =
    frame?.querySelector<HTMLElement>(`[data-node="${stage}.${operator ?? ""}"]`) ??
    frame?.querySelector<HTMLElement>(`[data-node="${stage}"]`);
  if (!frame || !item) return;
  const [outer, inner] = [frame.getBoundingClientRect(), item.getBoundingClientRect()];
  frame.scrollBy({
    left: inner.x + inner.width / 2 - outer.x - outer.width / 2,
    top: inner.y + inner.height / 2 - outer.y - outer.height / 2,
  });
}

/** The size at which all of it is seen. */
function fit(frame: HTMLElement | null, { width, height }: Placed): number {
  if (!frame || width === 0 || height === 0) return 1;
  const shares = [(frame.clientWidth - MARGIN) / width, (frame.clientHeight - MARGIN) / height];
  return Math.min(1, Math.max(SMALLEST, Math.min(...shares)));
}

/** Pixels that an element has for what is in it, from side to side; 0 before that is known. */
function useWidth(element: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.target.clientWidth ?? 0));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
