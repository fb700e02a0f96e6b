import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";

import type { Attempt, Run } from "../api/types";
import { AttemptStateBadge } from "../components/state";
import { Empty } from "../components/feedback";
import { bytes, count, duration } from "../lib/format";
import { percentiles } from "../lib/timeline";

const ROW = 34;

interface Column {
  key: string;
  title: string;
  width: string;
  numeric?: boolean;
  value: (attempt: Attempt) => number | string;
  show: (attempt: Attempt) => React.ReactNode;
}

const took = (attempt: Attempt) => attempt.elapsed_us / 1000;

const columns: Column[] = [
  {
    key: "task",
    title: "Task",
    width: "92px",
    value: (a) => a.stage * 1e7 + a.task,
    show: (a) => <span className="mono">{`${a.stage}.${a.task}`}</span>,
  },
  { key: "attempt", title: "Try", width: "52px", numeric: true, value: (a) => a.attempt, show: (a) => a.attempt },
  {
    key: "state",
    title: "State",
    width: "136px",
    value: (a) => a.state,
    show: (a) => <AttemptStateBadge attempt={a} />,
  },
  { key: "took", title: "Took", width: "96px", numeric: true, value: took, show: (a) => duration(took(a)) },
  {
    key: "wasm",
    title: "In Wasm",
    width: "96px",
    numeric: true,
    value: (a) => a.wasm_us,
    show: (a) => duration(a.wasm_us / 1000),
  },
  {
    key: "rows_in",
    title: "Rows in",
    width: "1fr",
    numeric: true,
    value: (a) => a.rows_in,
    show: (a) => count(a.rows_in),
  },
  {
    key: "rows_out",
    title: "Rows out",
    width: "1fr",
    numeric: true,
    value: (a) => a.rows_out,
    show: (a) => count(a.rows_out),
  },
  {
    key: "bytes_in",
    title: "Read",
    width: "1fr",
    numeric: true,
    value: (a) => a.bytes_in,
    show: (a) => bytes(a.bytes_in),
  },
  {
    key: "bytes_out",
    title: "Written",
    width: "1fr",
    numeric: true,
    value: (a) => a.bytes_out,
    show: (a) => bytes(a.bytes_out),
  },
  {
    key: "spilled",
    title: "Spilled",
    width: "96px",
    numeric: true,
    value: (a) => a.spilled_bytes,
    show: (a) => bytes(a.spilled_bytes),
  },
  {
    key: "memory",
    title: "Memory",
    width: "96px",
    numeric: true,
    value: (a) => a.peak_memory_bytes,
    show: (a) => bytes(a.peak_memory_bytes),
  },
  {
    key: "worker",
    title: "Worker",
    width: "110px",
    value: (a) => a.worker ?? "",
    show: (a) => <span className="mono muted">{a.worker ? `…${a.worker.slice(-8)}` : "–"}</span>,
  },
];

const template = columns.map((column) => column.width).join(" ");

function compare(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** All attempts, sorted by any column. Only the rows in sight are drawn. */
export function Tasks({ attempts, stage }: { attempts: Attempt[]; stage: number | undefined }) {
  const [sort, setSort] = useState({ key: "task", down: false });
  const frame = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => {
    const wanted = stage === undefined ? attempts : attempts.filter((attempt) => attempt.stage === stage);
    const column = columns.find((column) => column.key === sort.key);
    if (!column) return wanted;
    const sign = sort.down ? -1 : 1;
    return [...wanted].sort((a, b) => sign * compare(column.value(a), column.value(b)));
  }, [attempts, stage, sort]);
  // The virtualizer hands out functions of its own state, which the compiler of React cannot follow.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  return (
    <section className="card" aria-label="Tasks">
      <header>
        <h2>{stage === undefined ? "Tasks" : `Tasks of stage ${stage}`}</h2>
        <span className="muted">{`${count(rows.length)} attempts`}</span>
      </header>
      <div ref={frame} className="grid" role="table" aria-label="Attempts" aria-rowcount={rows.length + 1} tabIndex={0}>
        <div className="grid-row head" role="row" style={{ gridTemplateColumns: template }}>
          {columns.map((column) => (
            <div
              key={column.key}
              role="columnheader"
              className={column.numeric ? "n" : undefined}
              aria-sort={sort.key === column.key ? (sort.down ? "descending" : "ascending") : "none"}
            >
              <button
                className="plain"
                onClick={() => setSort((old) => ({ key: column.key, down: old.key === column.key && !old.down }))}
              >
                {column.title}
                <span aria-hidden="true">{sort.key === column.key ? (sort.down ? " ↓" : " ↑") : ""}</span>
              </button>
            </div>
          ))}
        </div>
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map(({ index, start }) => {
            const attempt = rows[index];
            if (!attempt) return null;
            return (
              <div
                key={`${attempt.stage}.${attempt.task}.${attempt.attempt}`}
                role="row"
                aria-rowindex={index + 2}
                className="grid-row"
                title={attempt.failure ?? undefined}
                style={{ gridTemplateColumns: template, transform: `translateY(${start}px)`, height: ROW }}
              >
                {columns.map((column) => (
                  <div key={column.key} role="cell" className={column.numeric ? "n" : undefined}>
                    {column.show(attempt)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
      {rows.length === 0 && <Empty icon="runs" title="No task has been dispatched" />}
    </section>
  );
}

const shares = [0, 0.25, 0.5, 0.75, 0.95, 1];

const measures: [string, (attempt: Attempt) => number, (value: number) => string][] = [
  ["Time", took, duration],
  ["In Wasm", (a) => a.wasm_us / 1000, duration],
  ["Rows in", (a) => a.rows_in, count],
  ["Rows out", (a) => a.rows_out, count],
  ["Read", (a) => a.bytes_in, bytes],
  ["Written", (a) => a.bytes_out, bytes],
  ["Spilled", (a) => a.spilled_bytes, bytes],
  ["Memory", (a) => a.peak_memory_bytes, bytes],
];

/** How a stage's tasks differ: the slowest beside the middle tells of skew. */
export function Spread(props: { run: Run; attempts: Attempt[]; stage: number; choose: (stage: number) => void }) {
  const { run, attempts, stage, choose } = props;
  const accepted = useMemo(
    () => attempts.filter((attempt) => attempt.stage === stage && attempt.state === "succeeded"),
    [attempts, stage],
  );
  return (
    <section className="card" aria-label="Spread over tasks">
      <header>
        <h2>Spread over tasks</h2>
        <label className="row">
          Stage
          <select value={stage} onChange={(event) => choose(Number(event.target.value))}>
            {run.stages.map(({ id, name }) => (
              <option key={id} value={id}>
                {`${id} ${name}`}
              </option>
            ))}
          </select>
        </label>
      </header>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th>{`${count(accepted.length)} accepted attempts`}</th>
              {["least", "25 %", "median", "75 %", "95 %", "most"].map((title) => (
                <th className="n" key={title}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {measures.map(([title, value, write]) => (
              <tr key={title}>
                <td>{title}</td>
                {percentiles(accepted.map(value), shares).map((at, index) => (
                  <td className="n" key={index}>
                    {write(at)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
