// What of a long list has a text or passes a filter, as far as the reader goes.

import { useCallback, useEffect } from "react";

import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { Lines, type LinesProps } from "../components/lines";
import { count } from "../lib/format";

/** Entries that are asked for at once. */
export const STEP = 500;
/** The server takes no longer text. */
export const LONGEST = 200;

interface FoundProps<T> extends Pick<LinesProps, "label" | "role"> {
  /** What an entry is called. */
  what: "event" | "line";
  list: {
    data: { items: T[]; searched: number; complete: boolean } | undefined;
    error: Error | null;
    isFetching: boolean;
    refetch: () => Promise<unknown>;
  };
  /** How many entries there are to look at, as far as that is known. */
  total: number;
  /** Gets how many found entries are wanted when the reader comes near the end of those that are here. */
  onLimit: (change: (limit: number) => number) => void;
  onStatus: (status: string) => void;
  keyOf: (entry: T | undefined, index: number) => number;
  line: (entry: T) => React.ReactNode;
}

export function Found<T>({ what, list, total, onLimit, onStatus, keyOf, line, label, role }: FoundProps<T>) {
  const found = list.data?.items ?? [];
  const searched = list.data?.searched ?? 0;
  const all = Math.max(total, searched);
  const status = `${count(found.length)} in ${count(searched)} of ${count(all)} ${what}s${list.isFetching ? " …" : ""}`;
  useEffect(() => onStatus(status), [status, onStatus]);
  const known = found.length;
  const onRange = useCallback(
    (_: number, last: number) => {
      if (last > known - 200) onLimit((limit) => Math.max(limit, known + STEP));
    },
    [known, onLimit],
  );
  return (
    <>
      {list.error && <Failure error={list.error} retry={() => void list.refetch()} />}
      {found.length > 0 ? (
        <Lines
          label={label}
          role={role}
          count={found.length}
          keyOf={(index) => keyOf(found[index], index)}
          onRange={onRange}
          line={(index) => {
            const entry = found[index];
            return entry && line(entry);
          }}
        />
      ) : list.data?.complete ? (
        <Empty icon="lines" title={`No ${what} has that`} />
      ) : (
        <LoadingBlock height={240} label={`Searching the ${what}s`} />
      )}
    </>
  );
}
