// Selections live in the address, so that a link shows the same to somebody else.

import { useCallback } from "react";
import { useSearchParams } from "wouter";

export type Params = Record<string, string | number | null | undefined>;

/** The parameters of the address, and a change of some of them: an empty value removes one. */
export function useAddress(): [URLSearchParams, (changes: Params, options?: { push?: boolean }) => void] {
  const [search, setSearch] = useSearchParams();
  const change = useCallback(
    (changes: Params, options?: { push?: boolean }) =>
      setSearch((old) => changed(old, changes), { replace: !options?.push }),
    [setSearch],
  );
  return [search, change];
}

/** Parameters with some changed. */
export function changed(old: URLSearchParams, changes: Params): URLSearchParams {
  const params = new URLSearchParams(old);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(key);
    else params.set(key, String(value));
  }
  return params;
}

/** The number of a parameter; `undefined` when it is not there or no number. */
export function numeric(search: URLSearchParams, key: string): number | undefined {
  const text = search.get(key);
  if (text === null || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
