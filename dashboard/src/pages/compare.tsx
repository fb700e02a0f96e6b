import "../run/run.css";
import "./compare.css";

import { Link } from "wouter";

import { useFindings, useRun, useRuns, useStages } from "../api/queries";
import type { Run, StageProfile } from "../api/types";
import { Card } from "../components/card";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { RunStateBadge } from "../components/state";
import { Ago, useNow } from "../components/time";
import { useAddress } from "../lib/address";
import { change, differences, pairs, times } from "../lib/compare";
import { bytes, count, duration, short } from "../lib/format";
import { shortName, steps } from "../lib/operators";

type Side = "a" | "b";

/** Two runs beside each other: what they took, stage by stage, and what they were told to do. */
export default function ComparePage() {
  const [search, address] = useAddress();
  const [a, b] = [search.get("a") ?? "", search.get("b") ?? ""];
  const first = useRun(a);
  const second = useRun(b);
  const choose = (side: Side, id: string) => address({ [side]: id });
  return (
    <>
      <title>Compare runs · Weir</title>
      <div className="row spread">
        <h1>Compare runs</h1>
        <button disabled={!a && !b} onClick={() => address({ a: b, b: a })}>
          Swap
        </button>
      </div>
      <div className="sides">
        <Picked side="a" id={a} run={first.data} error={first.error} other={second.data} onChoose={choose} />
        <Picked side="b" id={b} run={second.data} error={second.error} other={first.data} onChoose={choose} />
      </div>
      {first.data && second.data ? (
        <Comparison a={first.data} b={second.data} />
      ) : (
        <div className="card">
          <Empty icon="table" title="Choose two runs">
            What differs is here then: times, stages, operators and settings.
          </Empty>
        </div>
      )}
    </>
  );
}

interface PickedProps {
  side: Side;
  id: string;
  run: Run | undefined;
  error: Error | null;
  other: Run | undefined;
  onChoose: (side: Side, id: string) => void;
}

function Picked({ side, id, run, error, other, onChoose }: PickedProps) {
  const now = useNow(true, 30_000);
  const name = side.toUpperCase();
  return (
    <section className="card side" aria-label={`Run ${name}`}>
      <header>
        <div className="row">
          <span className={`side-mark ${side}`}>{name}</span>
          {run ? <h2>{run.name}</h2> : <h2 className="muted">No run yet</h2>}
          {run && <RunStateBadge run={run} />}
        </div>
        {id && <button onClick={() => onChoose(side, "")}>Choose another</button>}
      </header>
      {!id ? (
        <Picker side={side} like={other} onChoose={onChoose} />
      ) : error ? (
        <Failure error={error} />
      ) : run ? (
        <div className="row muted side-facts">
          <Link className="mono" href={`/runs/${run.id}`}>
            {run.id}
          </Link>
          <span>
            submitted <Ago at={run.created_at} now={now} />
            {run.created_by && ` by ${run.created_by}`}
          </span>
        </div>
      ) : (
        <LoadingBlock height={44} label="Loading the run" />
      )}
    </section>
  );
}

/** Recent runs to choose from: those of the same job, when the other side is there. */
function Picker({
  side,
  like,
  onChoose,
}: {
  side: Side;
  like: Run | undefined;
  onChoose: (side: Side, id: string) => void;
}) {
  const runs = useRuns(like ? { name: like.name } : {});
  const now = useNow(true, 30_000);
  const rows = (runs.data?.pages[0]?.items ?? []).filter((run) => run.id !== like?.id).slice(0, 8);
  if (runs.isPending) return <LoadingBlock height={120} />;
  if (runs.error) return <Failure error={runs.error} retry={() => void runs.refetch()} />;
  return (
    <ul className="picker" aria-label={`Runs for ${side.toUpperCase()}`}>
      {rows.map((run) => (
        <li key={run.id}>
          <button className="quiet" onClick={() => onChoose(side, run.id)}>
            <RunStateBadge run={run} />
            <strong>{run.name}</strong>
            <span className="muted mono">{run.id.slice(-8)}</span>
            <Ago at={run.created_at} now={now} />
          </button>
        </li>
      ))}
      {rows.length === 0 && (
        <li className="muted">{like ? "The other run's job has not run another time." : "Nothing has run yet."}</li>
      )}
    </ul>
  );
}

/** A number of both sides, and how to write it. `floor` is what is too small to differ. */
interface Measured<T> {
  title: string;
  of: (value: T) => number | null | undefined;
  write: (value: number) => string;
  floor?: number;
  /** Whether more is worse, as times and bytes are; rows are neither. */
  worse?: boolean;
}

function took(from: string | null | undefined, to: string | null | undefined): number | undefined {
  return from && to ? Date.parse(to) - Date.parse(from) : undefined;
}

const ofRuns: Measured<Run>[] = [
  { title: "Took", of: (run) => run.durations.total_ms, write: duration, floor: 100, worse: true },
  { title: "Queued", of: (run) => run.durations.queued_ms, write: duration, floor: 100, worse: true },
  { title: "Planning", of: (run) => run.durations.planning_ms, write: duration, floor: 100, worse: true },
  { title: "Cold start", of: (run) => run.durations.cold_start_ms, write: duration, floor: 100, worse: true },
  { title: "Running", of: (run) => run.durations.running_ms, write: duration, floor: 100, worse: true },
  { title: "Committing", of: (run) => run.durations.committing_ms, write: duration, floor: 100, worse: true },
  { title: "vCPU time", of: (run) => run.usage.vcpu_seconds * 1000, write: duration, floor: 100, worse: true },
  { title: "In Wasm", of: (run) => run.usage.wasm_seconds * 1000, write: duration, floor: 100, worse: true },
  { title: "Cost", of: (run) => run.usage.estimated_cost.amount, write: (value) => value.toPrecision(3), worse: true },
  { title: "Stages", of: (run) => run.progress.stages, write: count },
  { title: "Tasks", of: (run) => run.progress.tasks, write: count },
  { title: "Rows in", of: (run) => run.progress.rows_in, write: short },
  { title: "Rows out", of: (run) => run.progress.rows_out, write: short },
  { title: "Read", of: (run) => run.progress.bytes_in, write: bytes, floor: 4096, worse: true },
  { title: "Written", of: (run) => run.progress.bytes_out, write: bytes, floor: 4096, worse: true },
  { title: "Spilled", of: (run) => run.progress.spilled_bytes, write: bytes, worse: true },
  { title: "Failed attempts", of: (run) => run.progress.attempts_failed, write: count, worse: true },
];

type Operator = StageProfile["operators"][number];

const us = (value: number) => duration(value / 1000);

const ofOperators: Measured<Operator>[] = [
  { title: "Time", of: (operator) => operator.cpu_us, write: us, floor: 20_000, worse: true },
  { title: "Rows", of: (operator) => operator.rows, write: short },
  { title: "Bytes", of: (operator) => operator.bytes, write: bytes, floor: 4096 },
  { title: "Memory", of: (operator) => operator.peak_memory_bytes, write: bytes, floor: 65_536, worse: true },
  { title: "Spilled", of: (operator) => operator.spilled_bytes, write: bytes, worse: true },
  { title: "In Wasm", of: (operator) => operator.wasm_us, write: us, floor: 20_000, worse: true },
];

const ofStages: Measured<StageProfile>[] = [
  { title: "Took", of: (stage) => took(stage.started_at, stage.finished_at), write: duration, floor: 50, worse: true },
  { title: "Median task", of: (stage) => stage.quantiles.elapsed_us.p50, write: us, floor: 50_000, worse: true },
  { title: "Slowest task", of: (stage) => stage.quantiles.elapsed_us.p100, write: us, floor: 50_000, worse: true },
  { title: "Tasks", of: (stage) => stage.tasks, write: count },
  { title: "Rows out", of: (stage) => stage.rows_out, write: short },
  { title: "Written", of: (stage) => stage.bytes_out, write: bytes, floor: 4096, worse: true },
  { title: "Spilled", of: (stage) => stage.spilled_bytes, write: bytes, worse: true },
];

function Comparison({ a, b }: { a: Run; b: Run }) {
  const asked = [useFindings(a.id), useFindings(b.id), useStages(a.id), useStages(b.id)];
  const settings = differences(
    { settings: a.settings, modules: a.modules, labels: a.labels, job: a.job },
    { settings: b.settings, modules: b.modules, labels: b.labels, job: b.job },
  );
  // All of it at once: what comes later would push the rest away.
  if (asked.some(({ isPending }) => isPending)) return <LoadingBlock height={640} label="Loading the comparison" />;
  return (
    <>
      <ComparedFindings a={a} b={b} />
      <Card title="In total">
        <dl className="totals">
          {ofRuns.map((measured) => (
            <Total key={measured.title} measured={measured} a={a} b={b} />
          ))}
        </dl>
      </Card>
      <ComparedStages a={a} b={b} />
      <Card title="Configuration" note={settings.length > 0 ? `${count(settings.length)} differ` : undefined}>
        {settings.length > 0 ? (
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>Setting</th>
                  <th>A</th>
                  <th>B</th>
                </tr>
              </thead>
              <tbody>
                {settings.map(({ path, a, b }) => (
                  <tr key={path}>
                    <td className="mono">{path}</td>
                    <td className="mono wide">{a}</td>
                    <td className="mono wide">{b}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : (
          <Empty small icon="done" title="Both were told to do the same" />
        )}
      </Card>
    </>
  );
}

/** Findings of each side; those that only one has stand out. */
function ComparedFindings({ a, b }: { a: Run; b: Run }) {
  const left = useFindings(a.id).data?.items ?? [];
  const right = useFindings(b.id).data?.items ?? [];
  const all = pairs(left, right, (finding) => finding.code);
  if (all.length === 0) return null;
  return (
    <Card title="Findings" note="of both sides">
      <ul className="compared-findings">
        {all.map(({ key, a: one, b: other }) => (
          <li key={key}>
            <span className={one ? "side-mark a" : "side-mark"}>{one ? "A" : ""}</span>
            <span className={other ? "side-mark b" : "side-mark"}>{other ? "B" : ""}</span>
            <div>
              <strong>{(other ?? one)?.title}</strong>
              <p className="muted">
                {one && other && one.detail !== other.detail
                  ? `${one.detail} → ${other.detail}`
                  : (other ?? one)?.detail}
                {!other && " It is gone in B."}
                {!one && " It is new in B."}
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** With more operators than this, stages are opened one by one. */
const OPEN_UP_TO = 60;

function ComparedStages({ a, b }: { a: Run; b: Run }) {
  const left = useStages(a.id);
  const right = useStages(b.id);
  const [search, address] = useAddress();
  const error = left.error ?? right.error;
  if (!left.data || !right.data) return <Failure error={error ?? new Error("no stages")} />;
  const stages = pairs(left.data, right.data, (stage) => stage.name);
  const every = [...left.data, ...right.data].flatMap((stage) => stage.operators);
  const measures = measuredOf(ofOperators, every);
  const chosen = search.get("open");
  const open = new Set(
    chosen === null && every.length <= OPEN_UP_TO
      ? stages.map((_, index) => index)
      : (chosen ?? "").split(".").filter(Boolean).map(Number),
  );
  const toggle = (index: number) => {
    const next = new Set(open);
    if (!next.delete(index)) next.add(index);
    // A point alone says that none is open, where all are by themselves.
    address({ open: [...next].sort((a, b) => a - b).join(".") || "." });
  };
  return (
    <Card title="Stages and operators" note="paired by what they do, A → B">
      <div className="scroll">
        <table className="compared">
          <Heads name="Stage" all={ofStages} />
          {stages.map(({ key, a: one, b: other }, index) => (
            <tbody key={key}>
              <tr className="stage-row">
                <td className="wide">
                  <button
                    className="plain opens-operators"
                    aria-expanded={open.has(index)}
                    aria-label={`Operators of ${key}`}
                    onClick={() => toggle(index)}
                  >
                    <span aria-hidden="true">{open.has(index) ? "▾" : "▸"}</span>
                  </button>
                  <strong>{key}</strong>
                  <span className="muted mono stage-ids">{` ${one?.id ?? "–"} / ${other?.id ?? "–"}`}</span>
                  <Only a={one} b={other} />
                </td>
                {ofStages.map((measured) => (
                  <Compared key={measured.title} measured={measured} a={one} b={other} />
                ))}
              </tr>
              {open.has(index) && (
                <tr className="operators-row">
                  <td colSpan={2 + ofStages.length}>
                    <ComparedOperators a={one?.operators ?? []} b={other?.operators ?? []} all={measures} />
                  </td>
                </tr>
              )}
            </tbody>
          ))}
        </table>
      </div>
      {stages.length === 0 && <Empty small icon="runs" title="Neither has been planned" />}
    </Card>
  );
}

/** Operators of a pair of stages, in the order of rows; paired by their way to the root. */
function ComparedOperators({ a, b, all: measures }: { a: Operator[]; b: Operator[]; all: Measured<Operator>[] }) {
  const all = pairs(steps(a), steps(b), (step) => step.path);
  if (all.length === 0) return <p className="muted">No task of it has told of its operators.</p>;
  return (
    <table className="compared inner">
      <Heads name="Operator" all={measures} />
      <tbody>
        {all.map(({ key, a: one, b: other }) => {
          const step = other ?? one;
          return (
            <tr key={key}>
              <td style={{ paddingLeft: 28 + 12 * (step?.branch ?? 0) }}>
                {shortName(step?.operator.name ?? "")}
                <Only a={one} b={other} />
              </td>
              {measures.map((measured) => (
                <Compared key={measured.title} measured={measured} a={one?.operator} b={other?.operator} />
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Only({ a, b }: { a: unknown; b: unknown }) {
  if (a && b) return null;
  return <span className="only">{a ? "only in A" : "only in B"}</span>;
}

function Heads<T>({ name, all }: { name: string; all: Measured<T>[] }) {
  return (
    <>
      <colgroup>
        <col className="what" />
        {all.map(({ title }) => (
          <col key={title} className="measure" />
        ))}
        <col />
      </colgroup>
      <thead>
        <tr>
          <th>{name}</th>
          {all.map(({ title }) => (
            <th key={title} className="n">
              {title}
            </th>
          ))}
        </tr>
      </thead>
    </>
  );
}

/** The measures of which anything has some. */
function measuredOf<T>(all: Measured<T>[], of: T[]): Measured<T>[] {
  return all.filter((measured) => of.some((value) => (measured.of(value) ?? 0) > 0));
}

function Total<T>({ measured, a, b }: { measured: Measured<T>; a: T; b: T }) {
  const [left, right] = [measured.of(a), measured.of(b)];
  const write = (value: number | null | undefined) => (value == null ? "–" : measured.write(value));
  return (
    <div>
      <dt>{measured.title}</dt>
      <dd className="by">{left != null && right != null && <Difference measured={measured} a={left} b={right} />}</dd>
      <dd className="to">
        {write(left)} <span className="muted">→</span> {write(right)}
      </dd>
    </div>
  );
}

/** A number of both sides in one cell, and by how much they differ. */
function Compared<T>({ measured, a, b }: { measured: Measured<T>; a: T | undefined; b: T | undefined }) {
  const [left, right] = [a && measured.of(a), b && measured.of(b)];
  const write = (value: number | null | undefined) => (value == null ? "–" : measured.write(value));
  const both = left != null && right != null;
  // Of what is written the same on both sides one is enough.
  const same = both && write(left) === write(right);
  const differs = both && change(left, right, measured.floor) !== "same";
  return (
    <td className="n">
      {same ? (
        <span className="muted">{write(left)}</span>
      ) : (
        <>
          {write(left)} <span className="muted">→</span> {write(right)}
        </>
      )}
      {differs && (
        <div className="by">
          <Difference measured={measured} a={left} b={right} />
        </div>
      )}
    </td>
  );
}

/** By how much B differs: an arrow, a factor, and a colour when it matters. */
function Difference<T>({ measured, a, b }: { measured: Measured<T>; a: number; b: number }) {
  const changed = change(a, b, measured.floor);
  if (changed === "same") return <span className="muted">{a === b ? "=" : "≈"}</span>;
  const tone = !measured.worse ? "differs" : changed === "more" ? "worse" : "better";
  return (
    <span className={`difference ${tone}`}>
      <span aria-hidden="true">{changed === "more" ? "▲ " : "▼ "}</span>
      {times(a, b)}
      <span className="visually-hidden">{tone === "differs" ? "" : `, ${tone}`}</span>
    </span>
  );
}
