// One stage: how its tasks spread, what went in and came out, and whether that adds up.

import { Link } from "wouter";

import type { Run, StageProfile } from "../api/types";
import { Card } from "../components/card";
import { State, StageStateBadge, type Tone } from "../components/state";
import { standing } from "../lib/ending";
import { bytes, count, counted, duration, percent } from "../lib/format";
import { measureNames, measures } from "../lib/measures";
import { quantileRange, quantiles } from "../lib/quantiles";

export function StageCard({ run: { id: run, ...ending }, stage }: { run: Run; stage: StageProfile }) {
  // What no task has is left out: most stages spill nothing and call no function.
  const rows = measureNames.filter((name) => stage.quantiles[name].p100 > 0 || name === "elapsed_us");
  return (
    <Card
      title={`Stage ${stage.id}: ${stage.name}`}
      label={`Stage ${stage.id}`}
      note={<StageStateBadge standing={standing(stage, ending)} />}
      actions={<span className="muted">{`${percent(stage.time_share)} of the time of all tasks`}</span>}
    >
      <div className="stage-parts">
        <div className="scroll">
          <table className="spread" aria-label="Spread over tasks">
            <thead>
              <tr>
                <th>{counted(stage.tasks_done, "task")}</th>
                {quantiles.map(({ key, title }) => (
                  <th key={key} className="n">
                    {title}
                  </th>
                ))}
                <th className="n">sum</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((name) => {
                const of = stage.quantiles[name];
                const { title, hint, write } = measures[name];
                return (
                  <tr key={name}>
                    <td title={hint}>{title}</td>
                    {quantiles.map(({ key, title: quantile }) => {
                      const { min, max } = quantileRange(of, key);
                      return (
                        <td key={key} className="n heat-cell">
                          <i style={{ width: `${of.p100 === 0 ? 0 : (100 * of[key]) / of.p100}%` }} />
                          <Link
                            href={`/runs/${run}/tasks?stage=${stage.id}&measure=${name}&min=${min}&max=${max}&sort=${name}&down=1`}
                            aria-label={`${title}, ${quantile}: ${write(of[key])}. Show these tasks`}
                          >
                            {write(of[key])}
                          </Link>
                        </td>
                      );
                    })}
                    <td className="n muted">{name === "peak_memory_bytes" ? "" : write(of.sum)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
        <Sides run={run} stage={stage} />
      </div>
    </Card>
  );
}

function Sides({ run, stage }: { run: string; stage: StageProfile }) {
  const { attempts, sink } = stage;
  const failures = Object.entries(attempts.failures);
  return (
    <dl className="pairs stage-facts">
      <dt>Attempts</dt>
      <dd>
        {`${count(attempts.dispatched)}: ${count(attempts.succeeded)} accepted, ${count(attempts.failed)} failed, ${count(attempts.given_up)} given up`}
      </dd>
      {attempts.retries > 0 && (
        <>
          <dt>Tried again</dt>
          <dd className="spill">{count(attempts.retries)}</dd>
        </>
      )}
      {attempts.speculative > 0 && (
        <>
          <dt>Copies</dt>
          <dd>{`${count(attempts.speculative)} of slow attempts; ${count(attempts.speculative_wins)} were first`}</dd>
        </>
      )}
      {failures.length > 0 && (
        <>
          <dt>Failures</dt>
          <dd className="mono">{failures.map(([code, times]) => `${code} ×${times}`).join(", ")}</dd>
        </>
      )}
      {stage.reopened > 0 && (
        <>
          <dt>Ran again</dt>
          <dd className="spill">{`${count(stage.reopened)} times, since what tasks had written was lost`}</dd>
        </>
      )}
      {stage.inputs.length > 0 && <dt>Reads</dt>}
      {stage.inputs.map((input) => (
        <dd key={input.stage} className="input">
          <Link href={`/runs/${run}/tasks?stage=${input.stage}`}>stage {input.stage}</Link>
          {`: ${count(input.rows)} rows, ${bytes(input.bytes)}${input.broadcast ? ", all of it by every task" : ""}`}
        </dd>
      ))}
      {sink && (
        <>
          <dt>Writes</dt>
          <dd>
            {`${count(sink.files)} ${sink.format} files by ${sink.transform}, ${bytes(sink.bytes)}`}
            {sink.small_files > 0 && `, ${count(sink.small_files)} of them small`}
          </dd>
        </>
      )}
      {stage.transforms.length > 0 && (
        <>
          <dt>Transforms</dt>
          <dd>{stage.transforms.join(", ")}</dd>
        </>
      )}
      {stage.functions.length > 0 && <dt>Functions</dt>}
      {stage.functions.map((of) => (
        <dd key={of.name} className="input">
          <span className="mono">{of.name}</span>
          {`: ${duration(of.wasm_us / 1000)} in ${count(of.calls)} calls, ${percent(of.time_share)} of the tasks' time`}
        </dd>
      ))}
      <dt>Rows add up</dt>
      <dd>
        <Conservation conservation={stage.conservation} />
      </dd>
    </dl>
  );
}

const verdicts: Record<StageProfile["conservation"]["inside"], [Tone, string]> = {
  holds: ["good", "yes"],
  broken: ["bad", "no"],
  not_applicable: ["idle", "not to be said"],
};

/** Whether rows were lost or doubled on the way in, inside and on the way out. */
function Conservation({ conservation: of }: { conservation: StageProfile["conservation"] }) {
  const dropped = of.rows_dropped + of.rows_refused;
  const parts: [string, StageProfile["conservation"]["inside"], string][] = [
    [
      "read",
      of.exchange,
      `${count(of.rows_offered)} were written for it; it took ${count(of.rows_taken)} and left ${count(of.rows_unread)} unread`,
    ],
    ["inside", of.inside, `${count(of.rows_in)} in, ${count(of.rows_out)} out, ${count(dropped)} dropped as declared`],
    [
      "committed",
      of.commit,
      of.rows_committed == null
        ? "nothing is committed"
        : `${count(of.rows_committed)} of ${count(of.rows_out)} are visible`,
    ],
  ];
  return (
    <ul className="conservation">
      {parts.map(([name, verdict, text]) => (
        <li key={name} title={text}>
          <State tone={verdicts[verdict][0]}>
            {name}
            <span className="visually-hidden">{`: ${verdicts[verdict][1]}. ${text}`}</span>
          </State>
        </li>
      ))}
    </ul>
  );
}
