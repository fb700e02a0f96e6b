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
  const pieces = usePieces(queryKey, first, end, (number, signal) => piece(number * PIECE, signal));
  const entry = (place: number): T | undefined => pieces.piece(Math.floor(place / PIECE))?.[place % PIECE];
  return { entry, onRange, error: pieces.error, retry: pieces.retry };
}

export interface Pieces<P> {
  /** A piece by its number; `undefined` while it is on the way, and for one that is not asked for. */
  piece: (number: number) => P | undefined;
  /** What went wrong, if a piece could not be had. */
  error: Error | null;
  /** Asks again for the pieces that could not be had. */
  retry: () => void;
}

/** The pieces of a list from one number to another, both included. */
export function usePieces<P>(
  queryKey: readonly unknown[],
  first: number,
  last: number,
  piece: (number: number, signal: AbortSignal) => Promise<P>,
): Pieces<P> {
  const results = useQueries({
    queries: Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => ({
      queryKey: [...queryKey, first + at],
      queryFn: ({ signal }: { signal: AbortSignal }) => piece(first + at, signal),
      staleTime: Infinity,
      gcTime: KEPT,
    })),
  });
  const failed = results.filter((result) => result.error && !result.data);
  return {
    piece: (number) => results[number - first]?.data,
    error: failed[0]?.error ?? null,
    retry: () => void Promise.all(failed.map((result) => result.refetch())),
  };
}
