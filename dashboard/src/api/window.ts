// A list of any length, of which only the pieces in sight are here.

import { useQueries } from "@tanstack/react-query";
import { useCallback, useState } from "react";

import { useSettled } from "../lib/settle";

/** Entries that are asked for at once. */
export const PIECE = 500;
/** How long a piece is kept that nobody looks at, in milliseconds. */
const KEPT = 60_000;
/** Pieces that are flung past are not asked for. */
const SETTLED = 80;

export interface Window<T> {
  /** An entry by its place in the list; `undefined` while it is on the way. */
  entry: (place: number) => T | undefined;
  /** To be told the places that are in sight. */
  onRange: (first: number, last: number) => void;
  error: Error | null;
  retry: () => void;
}

/** `piece` gives so many entries from a place on: fewer only where the list ends. */
export function useWindow<T>(
  queryKey: readonly unknown[],
  total: number,
  piece: (from: number, signal: AbortSignal) => Promise<T[]>,
): Window<T> {
  const [range, setRange] = useState("0-0");
  const onRange = useCallback((first: number, last: number) => {
    setRange(`${Math.floor(first / PIECE)}-${Math.floor(last / PIECE)}`);
  }, []);
  const [first = 0, last = 0] = useSettled(range, SETTLED).split("-").map(Number);
  const end = Math.min(last, Math.ceil(total / PIECE) - 1);
  const pieces = Array.from({ length: Math.max(0, end - first + 1) }, (_, at) => first + at);
  const results = useQueries({
    queries: pieces.map((number) => ({
      queryKey: [...queryKey, number],
      queryFn: ({ signal }: { signal: AbortSignal }) => piece(number * PIECE, signal),
      staleTime: Infinity,
      gcTime: KEPT,
    })),
  });
  const entry = (place: number): T | undefined => results[Math.floor(place / PIECE) - first]?.data?.[place % PIECE];
  const failed = results.find((result) => result.error && !result.data);
  return { entry, onRange, error: failed?.error ?? null, retry: () => void failed?.refetch() };
}
