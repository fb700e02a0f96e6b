import { useState } from "react";

import { useLogs } from "../api/queries";
import type { Run } from "../api/types";
import { Empty, Failure } from "../components/feedback";
import { count, moment } from "../lib/format";

/** Lines that functions and logging transforms wrote, with a search over those that are loaded. */
export function Logs({ run, live }: { run: Run; live: boolean }) {
  const logs = useLogs(run.id, live);
  const [search, setSearch] = useState("");
  const lines = logs.data?.pages.flatMap((page) => page.items) ?? [];
  const wanted = search.trim().toLowerCase();
  const found = wanted
    ? lines.filter((line) => `${line.severity} ${line.source} ${line.message}`.toLowerCase().includes(wanted))
    : lines;
  return (
    <section className="card" aria-label="Logs">
      <header>
        <h2>Logs</h2>
        <div className="row">
          <span className="muted">{`${count(found.length)} of ${count(run.log_lines)} lines`}</span>
          <input
            type="search"
            placeholder="Find in these lines"
            aria-label="Find in these lines"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        </div>
      </header>
      {logs.error && <Failure error={logs.error} retry={() => void logs.refetch()} />}
      {found.length > 0 ? (
        <div className="lines" tabIndex={0} role="log" aria-label="Log lines">
          {found.map((line, index) => (
            <div className="line" key={index}>
              <span className="muted">{moment(line.at)}</span>
              <span className={line.severity}>{line.severity}</span>
              <span className="muted">{line.task}</span>
              <span className="muted">{line.source}</span>
              <span>{line.message}</span>
            </div>
          ))}
        </div>
      ) : (
        !logs.isPending && (
          <Empty icon="lines" title={wanted ? "No line has that" : "Nothing was logged"}>
            {!wanted && "Functions write lines with the SDK's log macros, pipelines with LogForTesting."}
          </Empty>
        )
      )}
      {logs.hasNextPage && (
        <div className="row" style={{ padding: 12, justifyContent: "center" }}>
          <button disabled={logs.isFetchingNextPage} onClick={() => void logs.fetchNextPage()}>
            More lines
          </button>
        </div>
      )}
    </section>
  );
}
