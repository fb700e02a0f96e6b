import type { LogEntry } from "../api/types";
import { Marked } from "../components/lines";
import { instant } from "../lib/format";

/** A line that a function or a logging transform wrote. */
export function Line({ line, wanted }: { line: LogEntry; wanted: string }) {
  return (
    <div className={`line ${line.severity}`}>
      <span className="muted">{instant(line.at)}</span>
      <span className="severity">{line.severity}</span>
      <span className="muted">{line.task}</span>
      <span className="muted" title={line.source}>
        {line.source}
      </span>
      <span>
        <Marked text={line.message} wanted={wanted} />
      </span>
    </div>
  );
}
