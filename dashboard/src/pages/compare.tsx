import "../run/run.css";
import "./compare.css";

import { Link } from "wouter";

import { useRun, useRuns } from "../api/queries";
import type { Run, Stage } from "../api/types";
import { Card } from "../components/card";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { RunStateBadge } from "../components/state";
import { Ago, useNow } from "../components/time";
import { useAddress } from "../lib/address";
import { change, differences, pairs, times } from "../lib/compare";
import { bytes, count, duration } from "../lib/format";

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
            {run.submitted_by && ` by ${run.submitted_by}`}
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
  { title: "Planning", of: (run) => run.durations.planning_ms, write: duration, floor: 100, worse: true },
  { title: "Running", of: (run) => run.durations.running_ms, write: duration, floor: 100, worse: true },
  { title: "Committing", of: (run) => run.durations.committing_ms, write: duration, floor: 100, worse: true },
  { title: "Stages", of: (run) => run.progress.stages, write: count },
  { title: "Tasks", of: (run) => run.progress.tasks, write: count },
  { title: "Rows in", of: (run) => run.progress.rows_in, write: count },
  { title: "Rows out", of: (run) => run.progress.rows_out, write: count },
  { title: "Read", of: (run) => run.progress.bytes_in, write: bytes, floor: 4096, worse: true },
  { title: "Written", of: (run) => run.progress.bytes_out, write: bytes, floor: 4096, worse: true },
  { title: "Spilled", of: (run) => run.progress.spilled_bytes, write: bytes, worse: true },
  { title: "Failed attempts", of: (run) => run.progress.attempts_failed, write: count, worse: true },
];

const ofStages: Measured<Stage>[] = [
  { title: "Took", of: (stage) => took(stage.started_at, stage.finished_at), write: duration, floor: 50, worse: true },
  { title: "Tasks", of: (stage) => stage.tasks, write: count },
  { title: "Rows out", of: (stage) => stage.rows_out, write: count },
  { title: "Written", of: (stage) => stage.bytes_out, write: bytes, floor: 4096, worse: true },
  { title: "Spilled", of: (stage) => stage.spilled_bytes, write: bytes, worse: true },
];

function Comparison({ a, b }: { a: Run; b: Run }) {
  const stages = pairs(a.stages, b.stages, (stage) => stage.name);
  const settings = differences(
    { settings: a.settings, modules: a.modules, labels: a.labels, job: a.job },
    { settings: b.settings, modules: b.modules, labels: b.labels, job: b.job },
  );
  return (
    <>
      <Card title="In total">
        <div className="scroll">
          <table className="compared">
            <thead>
              <tr>
                <th />
                <th className="n">A</th>
                <th className="n">B</th>
                <th>B is</th>
              </tr>
            </thead>
            <tbody>
              {ofRuns.map((measured) => (
                <Row key={measured.title} measured={measured} a={a} b={b} />
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <Card title="Stages" note="paired by what they do">
        <div className="scroll">
          <table className="compared">
            <thead>
              <tr>
                <th rowSpan={2}>Stage</th>
                {ofStages.map(({ title }) => (
                  <th key={title} colSpan={3} className="group">
                    {title}
                  </th>
                ))}
              </tr>
              <tr>
                {ofStages.flatMap(({ title }) => [
                  <th key={`${title} a`} className="n first">
                    A
                  </th>,
                  <th key={`${title} b`} className="n">
                    B
                  </th>,
                  <th key={`${title} c`}>B is</th>,
                ])}
              </tr>
            </thead>
            <tbody>
              {stages.map(({ key, a: left, b: right }) => (
                <tr key={key}>
                  <td className="wide">
                    {key}
                    <span className="muted mono">{` ${left?.id ?? "–"} / ${right?.id ?? "–"}`}</span>
                    {!right && <span className="only a">only in A</span>}
                    {!left && <span className="only b">only in B</span>}
                  </td>
                  {ofStages.map((measured) => (
                    <Cells key={measured.title} measured={measured} a={left} b={right} />
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        {stages.length === 0 && <Empty small icon="runs" title="Neither has been planned" />}
      </Card>
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

function Row<T>({ measured, a, b }: { measured: Measured<T>; a: T; b: T }) {
  return (
    <tr>
      <td>{measured.title}</td>
      <Cells measured={measured} a={a} b={b} />
    </tr>
  );
}

function Cells<T>({ measured, a, b }: { measured: Measured<T>; a: T | undefined; b: T | undefined }) {
  const [left, right] = [a && measured.of(a), b && measured.of(b)];
  return (
    <>
      <td className="n first">{left == null ? <span className="muted">–</span> : measured.write(left)}</td>
      <td className="n">{right == null ? <span className="muted">–</span> : measured.write(right)}</td>
      <td>{left != null && right != null && <Difference measured={measured} a={left} b={right} />}</td>
    </>
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
