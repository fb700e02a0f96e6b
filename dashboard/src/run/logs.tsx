// Lines that functions and logging transforms wrote.

import { useCallback, useMemo, useState } from "react";

import { useFoundLogs, useLogs, type LineFilter } from "../api/queries";
import type { Run } from "../api/types";
import { Empty, Failure } from "../components/feedback";
import { LinePlace, Lines, SegmentBar } from "../components/lines";
import { numeric, useAddress } from "../lib/address";
import { count } from "../lib/format";
import { segmentOf } from "../lib/segments";
import { useSettled } from "../lib/settle";
import { Found, LONGEST, STEP } from "./found";
import { Line } from "./line";

const severities = ["debug", "info", "warn", "error"] as const;

/** A stage, `2`, or a task of it, `2.13`; nothing when it is neither. */
function placeOf(text: string): Pick<LineFilter, "stage" | "task"> | undefined {
  const found = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text);
  if (!found) return undefined;
  return { stage: Number(found[1]), ...(found[2] === undefined ? {} : { task: Number(found[2]) }) };
}

export function Logs({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const severity = severities.find((severity) => severity === search.get("severity")) ?? "debug";
  const task = search.get("task") ?? "";
  const text = search.get("find") ?? "";
  const wanted = useSettled(text.trim().toLowerCase());
  const place = useSettled(task);
  const filter = useMemo<LineFilter>(
    () => ({
      ...(wanted === "" ? {} : { search: wanted.slice(0, LONGEST) }),
      ...placeOf(place),
      ...(severity === "debug" ? {} : { severity }),
    }),
    [wanted, place, severity],
  );
  const filtered = Object.keys(filter).length > 0;
  const [status, setStatus] = useState("");
  return (
    <section className="card" aria-label="Logs">
      <header>
        <div className="row">
          <h2>Logs</h2>
          <span className="muted" role="status">
            {filtered ? status : `${count(run.log_lines)} ${run.log_lines === 1 ? "line" : "lines"}`}
          </span>
        </div>
        <div className="row">
          <div className="chips" role="group" aria-label="Severity">
            {severities.map((key, index) => (
              <button
                key={key}
                aria-pressed={key === severity}
                onClick={() => change({ severity: index === 0 ? null : key })}
              >
                {index === 0 ? "All" : key === "error" ? "Errors" : `${key} and worse`}
              </button>
            ))}
          </div>
          <input
            type="search"
            className="narrow"
            placeholder="Task or stage"
            title="A stage, such as 2, or a task of it, such as 2.13"
            aria-label="Task or stage"
            aria-invalid={task !== "" && !placeOf(task)}
            value={task}
            onChange={(event) => change({ task: event.target.value.trim() })}
          />
          <input
            type="search"
            placeholder="Find in the lines"
            aria-label="Find in the lines"
            maxLength={LONGEST}
            value={text}
            onChange={(event) => change({ find: event.target.value })}
          />
        </div>
      </header>
      {filtered ? (
        <FoundLines key={JSON.stringify(filter)} run={run} filter={filter} onStatus={setStatus} />
      ) : (
        <AllLines run={run} />
      )}
    </section>
  );
}

/** Every line, in the order in which their attempts ended. */
function AllLines({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const total = run.log_lines;
  const { entry, onRange, error, retry } = useLogs(run.id, total);
  const segment = segmentOf((numeric(search, "line") ?? 1) - 1, total);
  const { from } = segment;
  const inSight = useCallback((first: number, last: number) => onRange(from + first, from + last), [from, onRange]);
  if (total === 0) {
    return (
      <Empty icon="lines" title="Nothing was logged">
        Functions write lines with the SDK's log macros, pipelines with LogForTesting.
      </Empty>
    );
  }
  return (
    <>
      <SegmentBar what="Lines" segment={segment} total={total} onEntry={(line) => change({ line: line + 1 })} />
      {error && <Failure error={error} retry={retry} />}
      <Lines
        key={from}
        label="Log lines"
        role="log"
        count={segment.count}
        keyOf={(index) => from + index}
        onRange={inSight}
        line={(index) => {
          const line = entry(from + index);
          return line ? <Line line={line} wanted="" /> : <LinePlace />;
        }}
      />
    </>
  );
}

/** The lines that pass a filter, as far as the reader goes. */
function FoundLines(props: { run: Run; filter: LineFilter; onStatus: (status: string) => void }) {
  const { run, filter, onStatus } = props;
  const [limit, setLimit] = useState(STEP);
  return (
    <Found
      what="line"
      label="Log lines"
      role="log"
      list={useFoundLogs(run.id, filter, limit)}
      total={run.log_lines}
      onLimit={setLimit}
      onStatus={onStatus}
      keyOf={(_, index) => index}
      line={(line) => <Line line={line} wanted={filter.search ?? ""} />}
    />
  );
}
