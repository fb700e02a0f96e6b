// One task beside the page: its attempts, how they failed and what they did.

import { useEffect } from "react";
import { Link } from "wouter";

import { useTask } from "../api/queries";
import type { AttemptDetail } from "../api/types";
import { Failure, LoadingBlock } from "../components/feedback";
import { AttemptStateBadge } from "../components/state";
import { useAddress } from "../lib/address";
import { bytes, count, duration, instant, percent, short } from "../lib/format";
import { measureNames, measures } from "../lib/measures";
import { shortName, steps } from "../lib/operators";
import { written } from "./metrics";
import { measured } from "./tasks";

const kinds: Record<NonNullable<AttemptDetail["error"]>["kind"], string> = {
  user: "of the user's code, data or query: the run fails",
  platform: "of the platform: it is tried again",
  shuffle_lost: "what it was to read was lost: that is made again",
  cancelled: "it was told to stop",
};

/** The task that the address names, as `stage.index`. */
export function TaskPanel({ run }: { run: string }) {
  const [search, change] = useAddress();
  const match = /^(\d+)\.(\d+)$/.exec(search.get("task") ?? "");
  useEffect(() => {
    const close = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented) change({ task: null });
    };
    document.addEventListener("keydown", close);
    return () => document.removeEventListener("keydown", close);
  }, [change]);
  if (!match) return null;
  const [stage, index] = [Number(match[1]), Number(match[2])];
  return (
    <aside className="panel" aria-label={`Task ${stage}.${index}`}>
      <header>
        <h2>
          Task <span className="mono">{`${stage}.${index}`}</span>
        </h2>
        <div className="row">
          <Link className="button" href={`/runs/${run}/logs?task=${stage}.${index}`}>
            Logs
          </Link>
          <button className="icon quiet" aria-label="Close the task" onClick={() => change({ task: null })}>
            <span aria-hidden="true">✕</span>
          </button>
        </div>
      </header>
      <Body run={run} stage={stage} index={index} />
    </aside>
  );
}

function Body({ run, stage, index }: { run: string; stage: number; index: number }) {
  const task = useTask(run, stage, index);
  if (task.isPending) return <LoadingBlock height={260} label="Loading the task" />;
  if (!task.data) return <Failure error={task.error} retry={() => void task.refetch()} />;
  const { attempts, task: row } = task.data;
  return (
    <div className="panel-body" tabIndex={0} role="region" aria-label="Attempts">
      {attempts.length < row.attempts && (
        <p className="muted">{`The latest ${count(attempts.length)} of ${count(row.attempts)} attempts`}</p>
      )}
      {[...attempts].reverse().map((attempt) => (
        <AttemptCard key={attempt.attempt} attempt={attempt} />
      ))}
    </div>
  );
}

function AttemptCard({ attempt }: { attempt: AttemptDetail }) {
  const { error } = attempt;
  const shown = measureNames.filter((name) => measured(attempt, name) > 0);
  const metrics = Object.entries(attempt.metrics);
  return (
    <section className="attempt" aria-label={`Attempt ${attempt.attempt}`}>
      <header className="row spread">
        <h3>{`Attempt ${attempt.attempt}`}</h3>
        <AttemptStateBadge attempt={attempt} />
      </header>
      {error && (
        <div className="notice bad">
          <span aria-hidden="true">✕</span>
          <div>
            <strong className="mono">{error.code}</strong> <span className="muted">{kinds[error.kind]}</span>
            {(error.function ?? error.transform) && (
              <p className="muted">
                {error.transform && `transform ${error.transform}`}
                {error.function && `${error.transform ? ", " : ""}function ${error.function}`}
                {error.first_row != null && `, rows ${count(error.first_row)} to ${count((error.end_row ?? 1) - 1)}`}
              </p>
            )}
            <pre>{error.message}</pre>
          </div>
        </div>
      )}
      <dl className="pairs">
        <dt>Worker</dt>
        <dd className="mono">{attempt.worker ?? "none yet"}</dd>
        <dt>Dispatched</dt>
        <dd>{instant(attempt.dispatched_at)}</dd>
        {attempt.started_at && (
          <>
            <dt>Started</dt>
            <dd>{instant(attempt.started_at)}</dd>
          </>
        )}
        {attempt.finished_at && (
          <>
            <dt>Ended</dt>
            <dd>{instant(attempt.finished_at)}</dd>
          </>
        )}
        {shown.map((name) => (
          <Measured key={name} name={name} attempt={attempt} />
        ))}
        {attempt.log_lines > 0 && (
          <>
            <dt>Log lines</dt>
            <dd>{count(attempt.log_lines)}</dd>
          </>
        )}
        {metrics.map(([name, metric]) => (
          <Pair key={name} name={name} value={written(metric)} />
        ))}
      </dl>
      {attempt.operators.length > 0 && <AttemptOperators operators={attempt.operators} />}
    </section>
  );
}

function Measured({ name, attempt }: { name: (typeof measureNames)[number]; attempt: AttemptDetail }) {
  const { title, hint, write } = measures[name];
  return (
    <>
      <dt title={hint}>{title}</dt>
      <dd>{write(measured(attempt, name))}</dd>
    </>
  );
}

function Pair({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt className="mono">{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function AttemptOperators({ operators }: { operators: AttemptDetail["operators"] }) {
  const total = Math.max(
    1,
    operators.reduce((sum, operator) => sum + operator.cpu_us, 0),
  );
  return (
    <table className="attempt-operators">
      <thead>
        <tr>
          <th>Operator</th>
          <th className="n">Time</th>
          <th className="n">Rows</th>
          <th className="n">Bytes</th>
          <th className="n">Memory</th>
          <th className="n">Spill</th>
        </tr>
      </thead>
      <tbody>
        {steps(operators).map(({ operator, branch }) => (
          <tr key={operator.id}>
            <td style={{ paddingLeft: branch * 12 }}>{shortName(operator.name)}</td>
            <td className="n" title={percent(operator.cpu_us / total)}>
              {duration(operator.cpu_us / 1000)}
            </td>
            <td className="n">{short(operator.rows)}</td>
            <td className="n">{operator.bytes > 0 ? bytes(operator.bytes) : "–"}</td>
            <td className="n">{operator.peak_memory_bytes > 0 ? bytes(operator.peak_memory_bytes) : "–"}</td>
            <td className={operator.spilled_bytes > 0 ? "n spill" : "n"}>
              {operator.spilled_bytes > 0 ? bytes(operator.spilled_bytes) : "–"}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
