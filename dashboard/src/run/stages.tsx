// The stages of a run, and how their tasks spread: any number opens the tasks that it is about.

import { Link } from "wouter";

import type { Run, StageProfile } from "../api/types";
import { Card } from "../components/card";
import { Empty } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { StageMark } from "../components/state";
import { Elapsed } from "../components/time";
import { useAddress } from "../lib/address";
import { standing, until } from "../lib/ending";
import { bytes, count, short } from "../lib/format";
import { asMeasure, measures, type MeasureName } from "../lib/measures";
import { quantiles, quantileRange } from "../lib/quantiles";

/** What the table can be about. */
const choices: MeasureName[] = [
  "elapsed_us",
  "rows_in",
  "rows_out",
  "shuffle_bytes_in",
  "shuffle_bytes_out",
  "spilled_bytes",
  "peak_memory_bytes",
  "wasm_us",
  "queue_delay_ms",
];

/** A largest task that is so many times the median is marked. */
const SKEW = 10;

export function Stages({ run, details, now }: { run: Run; details: StageProfile[]; now: number }) {
  const [search, change] = useAddress();
  const measure = asMeasure(search.get("measure")) ?? "elapsed_us";
  const selected = search.get("stage");
  if (run.stages.length === 0) {
    return (
      <section className="card">
        <Empty
          icon="runs"
          title={run.state === "finished" ? "It ended before it was planned" : "It is being planned"}
        />
      </section>
    );
  }
  const byId = new Map(details.map((stage) => [stage.id, stage]));
  return (
    <Card
      title="Stages"
      note="each number opens its tasks"
      actions={
        <div className="chips" role="group" aria-label="Spread of">
          {choices.map((name) => (
            <button
              key={name}
              aria-pressed={name === measure}
              title={measures[name].hint}
              onClick={() => change({ measure: name === "elapsed_us" ? null : name })}
            >
              {measures[name].title}
            </button>
          ))}
        </div>
      }
    >
      <div className="scroll">
        <table className="stages">
          <thead>
            <tr>
              <th>Stage</th>
              <th className="bars">Tasks</th>
              <th className="n">Rows in</th>
              <th className="n">Rows out</th>
              <th className="n">Read</th>
              <th className="n">Written</th>
              <th className="n">Spilled</th>
              <th className="n">Failed</th>
              <th className="n">Took</th>
              {quantiles.map(({ key, title }) => (
                <th key={key} className={key === "p0" ? "n first" : "n"} title={`${measures[measure].hint}: ${title}`}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {run.stages.map((stage) => (
              <tr key={stage.id} id={`stage-${stage.id}`} aria-selected={selected === String(stage.id)}>
                <td>
                  <div className="stage-name">
                    <StageMark standing={standing(stage, run)} />
                    <span className="muted mono">{stage.id}</span>
                    <Link href={`/runs/${run.id}/tasks?stage=${stage.id}`}>{stage.name}</Link>
                  </div>
                </td>
                <td className="bars">
                  <TaskBar done={stage.tasks_done} running={stage.tasks_running} total={stage.tasks} />
                  <span className="muted">
                    {stage.tasks_done === stage.tasks
                      ? count(stage.tasks)
                      : `${count(stage.tasks_done)} of ${count(stage.tasks)}`}
                  </span>
                </td>
                <td className="n" title={count(stage.rows_in)}>
                  {short(stage.rows_in)}
                </td>
                <td className="n" title={count(stage.rows_out)}>
                  {short(stage.rows_out)}
                </td>
                <td className="n">{bytes(stage.bytes_in)}</td>
                <td className="n">{bytes(stage.bytes_out)}</td>
                <td className={stage.spilled_bytes > 0 ? "n spill" : "n"}>{bytes(stage.spilled_bytes)}</td>
                <td className={stage.attempts_failed > 0 ? "n spill" : "n"}>{count(stage.attempts_failed)}</td>
                <td className="n">
                  {stage.started_at ? (
                    <Elapsed from={stage.started_at} to={stage.finished_at} now={until(run, now)} />
                  ) : (
                    "–"
                  )}
                </td>
                <Spread run={run.id} stage={byId.get(stage.id)} measure={measure} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

/** Quantiles of one measure; each links to the tasks from it up to the next. */
function Spread({ run, stage, measure }: { run: string; stage: StageProfile | undefined; measure: MeasureName }) {
  const known = stage && stage.tasks_done > 0 ? stage.quantiles[measure] : undefined;
  if (!stage || !known) {
    return quantiles.map(({ key }) => (
      <td key={key} className={key === "p0" ? "n first muted" : "n muted"}>
        –
      </td>
    ));
  }
  const skewed = known.p50 > 0 && known.p100 > SKEW * known.p50;
  return quantiles.map(({ key, title }) => {
    const { min, max } = quantileRange(known, key);
    const href = `/runs/${run}/tasks?stage=${stage.id}&measure=${measure}&min=${min}&max=${max}&sort=${measure}&down=1`;
    return (
      <td
        key={key}
        className={["n heat-cell", key === "p0" && "first", key === "p100" && skewed && "skewed"]
          .filter(Boolean)
          .join(" ")}
      >
        <i
          hidden={stage.tasks_done < 2}
          style={{ width: `${known.p100 === 0 ? 0 : (100 * known[key]) / known.p100}%` }}
        />
        <Link
          href={href}
          aria-label={`${title} of stage ${stage.id}: ${measures[measure].write(known[key])}. Show its tasks`}
        >
          {measures[measure].write(known[key])}
        </Link>
      </td>
    );
  });
}
