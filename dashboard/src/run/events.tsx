import { useEvents } from "../api/queries";
import { Failure, LoadingRows } from "../components/feedback";
import { moment } from "../lib/format";

/** The event log, in order. */
export function Events({ run, live }: { run: string; live: boolean }) {
  const events = useEvents(run, live);
  const rows = events.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <section className="card" aria-label="Events">
      <header>
        <h2>Events</h2>
        <span className="muted">the log that everything else follows from</span>
      </header>
      {events.error && <Failure error={events.error} retry={() => void events.refetch()} />}
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th className="n">Place</th>
              <th>At</th>
              <th>Event</th>
              <th>Details</th>
            </tr>
          </thead>
          {events.isPending ? (
            <LoadingRows rows={8} columns={4} />
          ) : (
            <tbody>
              {rows.map((event) => (
                <tr key={event.seq}>
                  <td className="n muted">{event.seq}</td>
                  <td className="muted">{moment(event.at)}</td>
                  <td>{event.type.replaceAll("_", " ")}</td>
                  <td className="wide mono">
                    <Details data={event.data} />
                  </td>
                </tr>
              ))}
            </tbody>
          )}
        </table>
      </div>
      {events.hasNextPage && (
        <div className="row" style={{ padding: 12, justifyContent: "center" }}>
          <button disabled={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
            More events
          </button>
        </div>
      )}
    </section>
  );
}

function Details({ data }: { data: Record<string, unknown> }) {
  const text = JSON.stringify(data);
  if (text === "{}") return null;
  if (text.length <= 120) return <>{text}</>;
  return (
    <details>
      <summary>{`${text.slice(0, 110)}…`}</summary>
      <pre className="json">{JSON.stringify(data, null, 2)}</pre>
    </details>
  );
}
