// The tasks of a run: the server sorts and filters, the table asks for what comes into sight.

import { useCallback, useMemo } from "react";

import { useTasks, type TaskQuery } from "../api/tasks";
import type { Run, StageProfile, Task } from "../api/types";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { Grid, type Column, type Sort } from "../components/grid";
import { AttemptStateBadge, attemptStates } from "../components/state";
import { numeric, useAddress } from "../lib/address";
import { count, moment } from "../lib/format";
import { asMeasure, measures, type MeasureName } from "../lib/measures";
import { StageCard } from "./stage";

const shown: MeasureName[] = [
  "elapsed_us",
  "cpu_us",
  "wasm_us",
  "rows_in",
  "rows_out",
  "bytes_in",
  "bytes_out",
  "shuffle_bytes_in",
  "shuffle_bytes_out",
  "spilled_bytes",
  "peak_memory_bytes",
];

/** What an attempt measured; how long it waited follows from when it was taken. */
export function measured(attempt: Task["attempt"], name: MeasureName): number {
  if (name !== "queue_delay_ms") return attempt[name];
  return attempt.started_at ? Math.max(0, Date.parse(attempt.started_at) - Date.parse(attempt.ready_at)) : 0;
}

const columns: Column<Task>[] = [
  {
    key: "task",
    title: "Task",
    width: "76px",
    sortable: true,
    show: (task) => <span className="mono">{`${task.stage}.${task.task}`}</span>,
  },
  {
    key: "state",
    title: "State",
    width: "132px",
    sortable: true,
    show: (task) => <AttemptStateBadge attempt={task.attempt} />,
  },
  {
    key: "attempts",
    title: "Tries",
    width: "56px",
    numeric: true,
    sortable: true,
    hint: "Attempts; those that failed",
    show: (task) =>
      task.attempts_failed > 0 ? (
        <span className="spill">{`${task.attempts}, ${task.attempts_failed} ✕`}</span>
      ) : (
        task.attempts
      ),
  },
  ...shown.map((name): Column<Task> => ({
    key: name,
    title: measures[name].title,
    width: "minmax(84px, 1fr)",
    numeric: true,
    sortable: true,
    hint: measures[name].hint,
    show: ({ attempt }) => measures[name].write(measured(attempt, name)),
  })),
  {
    key: "started_at",
    title: "Started",
    width: "150px",
    sortable: true,
    show: ({ attempt }) => <span className="muted">{attempt.started_at ? moment(attempt.started_at) : "–"}</span>,
  },
  {
    key: "worker",
    title: "Worker",
    width: "96px",
    sortable: true,
    show: ({ attempt }) => (
      <span className="mono muted" title={attempt.worker ?? undefined}>
        {attempt.worker ? `…${attempt.worker.slice(-8)}` : "–"}
      </span>
    ),
  },
];

const states = ["queued", "running", "succeeded", "failed", "given_up"] as const;

/** The query of an address. */
function queryOf(search: URLSearchParams): TaskQuery {
  const stage = numeric(search, "stage");
  const state = states.find((state) => state === search.get("state"));
  const metric = asMeasure(search.get("measure"));
  const [min, max] = [numeric(search, "min"), numeric(search, "max")];
  const key = search.get("sort");
  const sort = columns.some((column) => column.key === key) ? key : undefined;
  return {
    ...(stage === undefined ? {} : { stage }),
    ...(state ? { state } : {}),
    ...(metric && (min !== undefined || max !== undefined) ? { metric } : {}),
    ...(metric && min !== undefined ? { min } : {}),
    ...(metric && max !== undefined ? { max } : {}),
    ...(sort ? { sort: search.get("down") ? `-${sort}` : sort } : {}),
  };
}

export function Tasks({ run, stages }: { run: Run; stages: StageProfile[] }) {
  const [search, change] = useAddress();
  const query = useMemo(() => queryOf(search), [search]);
  const { total, row, look, error, retry } = useTasks(run.id, query);
  const stage = stages.find((stage) => stage.id === query.stage);
  const open = search.get("task") ?? undefined;
  const openTask = useCallback((task: Task) => change({ task: `${task.stage}.${task.task}` }), [change]);
  const sort: Sort = { key: search.get("sort") ?? "task", down: search.get("down") !== null };
  const filtered = query.state !== undefined || query.metric !== undefined;
  return (
    <>
      {stage && <StageCard run={run} stage={stage} />}
      <section className="card" aria-label="Tasks">
        <header>
          <div className="row">
            <h2>Tasks</h2>
            <span className="muted" role="status">
              {total === undefined ? "" : count(total)}
            </span>
            {query.metric && (
              <button
                className="pill"
                title="Show all values"
                onClick={() => change({ min: null, max: null, measure: null })}
              >
                {range(query.metric, query.min, query.max)} <span aria-label="Remove this filter">✕</span>
              </button>
            )}
          </div>
          <div className="row">
            <div className="chips" role="group" aria-label="State">
              {[undefined, ...states].map((state) => (
                <button key={state ?? "all"} aria-pressed={state === query.state} onClick={() => change({ state })}>
                  {state ? attemptStates[state][1] : "All"}
                </button>
              ))}
            </div>
            <select
              aria-label="Stage"
              value={query.stage ?? ""}
              onChange={(event) => change({ stage: event.target.value, min: null, max: null, measure: null })}
            >
              <option value="">All stages</option>
              {run.stages.map(({ id, name }) => (
                <option key={id} value={id}>
                  {`${id} ${name}`}
                </option>
              ))}
            </select>
          </div>
        </header>
        {error ? (
          <Failure error={error} retry={retry} />
        ) : total === undefined ? (
          <LoadingBlock height={280} label="Loading the tasks" />
        ) : total === 0 ? (
          <Empty icon="runs" title={filtered ? "No task is like that" : "No task has been dispatched"}>
            {filtered && (
              <button onClick={() => change({ state: null, min: null, max: null, measure: null })}>Show all</button>
            )}
          </Empty>
        ) : (
          <Grid
            label="Tasks"
            columns={columns}
            total={total}
            row={row}
            rowKey={(task) => `${task.stage}.${task.task}`}
            sort={sort}
            onSort={({ key, down }) => change({ sort: key === "task" && !down ? null : key, down: down ? 1 : null })}
            onRange={look}
            onOpen={openTask}
            open={open}
            minWidth={1500}
          />
        )}
      </section>
    </>
  );
}

function range(name: MeasureName, min: number | undefined, max: number | undefined): string {
  const { title, write } = measures[name];
  if (min !== undefined && min === max) return `${title} = ${write(min)}`;
  if (min !== undefined && max !== undefined) return `${title} ${write(min)} to ${write(max)}`;
  return min === undefined ? `${title} ≤ ${write(max ?? 0)}` : `${title} ≥ ${write(min)}`;
}
