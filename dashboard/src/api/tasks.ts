// The tasks of a run: the server sorts and filters them, and gives any part of them at once.

import { useCallback, useState } from "react";

import type { MeasureName } from "../lib/measures";
import { api, data } from "./client";
import type { Attempt, Task } from "./types";
import { usePieces } from "./window";

/** Tasks of a part. */
const PART = 250;

export interface TaskQuery {
  stage?: number;
  state?: Attempt["state"];
  metric?: MeasureName;
  min?: number;
  max?: number;
  sort?: string;
}

export interface Tasks {
  /** How many there are; nothing until that is known. */
  total: number | undefined;
  /** A task by its place; `undefined` while it is on the way. */
  row: (index: number) => Task | undefined;
  /** Says which places are in sight: their parts are asked for. */
  look: (first: number, last: number) => void;
  /** What went wrong, if no part could be had. */
  error: Error | null;
  /** Asks again for what could not be had. */
  retry: () => void;
}

/** Tasks of a run, those of them that are in sight. */
export function useTasks(id: string, filter: TaskQuery): Tasks {
  const [[first, last], setParts] = useState<readonly [number, number]>([0, 0]);
  const look = useCallback((from: number, to: number) => {
    const parts = [Math.floor(from / PART), Math.floor(to / PART)] as const;
    setParts((old) => (old[0] === parts[0] && old[1] === parts[1] ? old : parts));
  }, []);
  const { piece, error, retry } = usePieces(["tasks", id, filter], first, last, async (part, signal) => {
    const query = { ...filter, limit: PART, ...(part > 0 ? { offset: part * PART } : {}) };
    return data(await api.GET("/api/v1/runs/{run}/tasks", { params: { path: { run: id }, query }, signal }));
  });
  // Until the first part of another list is here, it is taken to be as long as the one before: nothing jumps.
  const [total, setTotal] = useState<number>();
  const known = piece(first)?.total ?? piece(last)?.total;
  if (known !== undefined && known !== total) setTotal(known);
  const length = known ?? total;
  // Of a list that is shorter than the one before, the place that was looked at may not be there.
  const end = length === undefined ? 0 : Math.max(0, Math.ceil(length / PART) - 1);
  if (first > end) setParts([end, end]);
  return {
    total: length,
    row: (index) => piece(Math.floor(index / PART))?.items[index % PART],
    look,
    error,
    retry,
  };
}
