import { useNow } from "../components/time";
import { Until } from "./table";
import "./schedules.css";

/** A moment on a time zone's clock, with its weekday; in the reader's own when the zone is none. */
function onClock(iso: string, zone: string): string {
  const parts: Intl.DateTimeFormatOptions = {
    weekday: "short",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  };
  try {
    return new Intl.DateTimeFormat("en-CA", { ...parts, timeZone: zone }).format(new Date(iso));
  } catch {
    return new Intl.DateTimeFormat("en-CA", parts).format(new Date(iso));
  }
}

/** The next times of a schedule, on its own clock. */
export function Firings(props: {
  preview: { description: string; times: string[] } | undefined;
  zone: string;
  /** Whether the times are of what was there before. */
  isStale: boolean;
}) {
  const { preview, zone, isStale } = props;
  const now = useNow(true);
  return (
    <section className={isStale ? "firings stale" : "firings"} aria-label="Next times" aria-busy={isStale}>
      <p>{preview ? preview.description : <span className="muted">The next times appear here.</span>}</p>
      <ol>
        {preview?.times.map((time) => (
          <li key={time}>
            <span>{onClock(time, zone)}</span>
            <span className="muted">
              <Until at={time} now={now} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
