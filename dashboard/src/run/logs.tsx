// Lines that functions and logging transforms wrote.

import { useCallback, useMemo } from "react";

import { useLogs } from "../api/queries";
import type { LogEntry, Run } from "../api/types";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { Lines, Marked } from "../components/lines";
import { useAddress } from "../lib/address";
import { count, moment } from "../lib/format";
import { useSettled } from "../lib/settle";
import { useWanted } from "./wanted";

const severities = ["debug", "info", "warn", "error"] as const;

export function Logs({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const least = Math.max(
    0,
    severities.findIndex((severity) => severity === search.get("severity")),
  );
  const task = search.get("task") ?? "";
  const text = search.get("find") ?? "";
  const wanted = useSettled(text.trim().toLowerCase());
  const filtered = least > 0 || task !== "" || wanted !== "";
  const [limit, more] = useWanted(filtered);
  const logs = useLogs(run.id, limit);
  const lines = useMemo(() => logs.data?.items ?? [], [logs.data]);
  const found = useMemo(() => {
    const fits = (line: LogEntry) =>
      severities.indexOf(line.severity) >= least &&
      (task === "" || line.task === task || line.task.split(".")[0] === task) &&
      (wanted === "" || `${line.source} ${line.message}`.toLowerCase().includes(wanted));
    return filtered ? lines.filter(fits) : lines;
  }, [lines, filtered, least, task, wanted]);
  const onLast = useCallback(
    (last: number) => {
      if (last > found.length - 200) more(lines.length);
    },
    [found.length, lines.length, more],
  );
  const all = Math.max(run.log_lines, lines.length);
  return (
    <section className="card" aria-label="Logs">
      <header>
        <div className="row">
          <h2>Logs</h2>
          <span className="muted" role="status">
            {filtered
              ? `${count(found.length)} in ${count(lines.length)} of ${count(all)} lines`
              : `${count(lines.length)} of ${count(all)} lines`}
            {logs.isFetching && lines.length < all ? " …" : ""}
          </span>
        </div>
        <div className="row">
          <div className="chips" role="group" aria-label="Severity">
            {severities.map((severity, index) => (
              <button
                key={severity}
                aria-pressed={index === least}
                onClick={() => change({ severity: index === 0 ? null : severity })}
              >
                {index === 0 ? "All" : severity === "error" ? "Errors" : `${severity} and worse`}
              </button>
            ))}
          </div>
          <input
            type="search"
            className="narrow"
            placeholder="Task or stage"
            aria-label="Task or stage"
            value={task}
            onChange={(event) => change({ task: event.target.value.trim() })}
          />
          <input
            type="search"
            placeholder="Find in the lines"
            aria-label="Find in the lines"
            value={text}
            onChange={(event) => change({ find: event.target.value })}
          />
        </div>
      </header>
      {logs.error && <Failure error={logs.error} retry={() => void logs.refetch()} />}
      {logs.isPending ? (
        <LoadingBlock height={240} label="Loading the lines" />
      ) : found.length > 0 ? (
        <Lines
          label="Log lines"
          role="log"
          count={found.length}
          keyOf={(index) => index}
          onLast={onLast}
          line={(index) => {
            const line = found[index];
            return line && <Line line={line} wanted={wanted} />;
          }}
        />
      ) : (
        <Empty icon="lines" title={filtered ? "No line has that" : "Nothing was logged"}>
          {filtered
            ? lines.length < all && "The lines that are still to come are searched as they come."
            : "Functions write lines with the SDK's log macros, pipelines with LogForTesting."}
        </Empty>
      )}
      {logs.data?.full && (
        <p className="foot muted">
          These are the first {count(lines.length)} lines. <code>weir runs logs {run.id}</code> has all of them.
        </p>
      )}
    </section>
  );
}

function Line({ line, wanted }: { line: LogEntry; wanted: string }) {
  return (
    <div className={`line ${line.severity}`}>
      <span className="muted">{moment(line.at)}</span>
      <span className="severity">{line.severity}</span>
      <span className="muted">{line.task}</span>
      <span className="muted">{line.source}</span>
      <span>
        <Marked text={line.message} wanted={wanted} />
      </span>
    </div>
  );
}
