import { Link } from "wouter";

import { Ago, useNow } from "../components/time";
import type { Entry } from "./history";

/** What the reader ran before, in this browser. */
export function Recent(props: {
  entries: Entry[];
  /** The run that is shown. */
  current: string | undefined;
  onOpen: (entry: Entry) => void;
  onForget: () => void;
}) {
  const now = useNow(props.entries.length > 0, 30_000);
  return (
    <section className="card" aria-label="History">
      <header>
        <h2>History</h2>
        {props.entries.length > 0 && (
          <button className="quiet" onClick={props.onForget}>
            Clear
          </button>
        )}
      </header>
      {props.entries.length === 0 ? (
        <p className="muted tables-help">Statements that you run are kept here, in this browser only.</p>
      ) : (
        <ul className="recent">
          {props.entries.map((entry) => (
            <li key={entry.run}>
              <Link
                href={`/sql?run=${entry.run}`}
                aria-current={entry.run === props.current ? "true" : undefined}
                onClick={() => props.onOpen(entry)}
              >
                <code>{entry.statement.replace(/\s+/g, " ").slice(0, 160)}</code>
                <span className="muted">
                  <Ago at={new Date(entry.at).toISOString()} now={now} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
