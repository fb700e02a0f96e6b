import { useEffect, useState } from "react";

import { ago, duration, moment } from "../lib/format";

/** The time, once a second while `ticking`. */
export function useNow(ticking: boolean, everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [ticking, everyMs]);
  return now;
}

/** How long ago, with the moment itself for those who ask. */
export function Ago({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at, now)}
    </time>
  );
}

/** From a moment to another, or to now. */
export function Elapsed({ from, to, now }: { from: string; to: string | null | undefined; now: number }) {
  return <>{duration((to ? Date.parse(to) : now) - Date.parse(from))}</>;
}
