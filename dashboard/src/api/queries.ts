// What pages ask for. The stream tells when it has changed.

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { api, data, Problem } from "./client";
import { useFollow } from "./stream";
import type { Attempt, ListedRun, LogEntry, RowPage, Run, RunEvent } from "./types";

const PAGE = 50;
const ATTEMPTS = 5000;
const EVENTS = 500;
const LINES = 1000;
const ROWS = 200;
const LINKS = 100;
/** A page holds no more entries of a list than so many; a program has the rest. */
export const MOST = 100_000;

export interface RunFilter {
  state?: ListedRun["state"];
  result?: NonNullable<ListedRun["result"]>;
  /** The name of their job. */
  name?: string;
  /** Words that they are found by. */
  search?: string;
  /** A label of them, `key=value`. */
  label?: string;
  /** How long ago they were submitted at most, in milliseconds. */
  age?: number;
  /** The pipeline that they are made of. */
  pipeline?: string;
  /** The schedule that made them. */
  schedule?: string;
}

/** Runs, the youngest first, page by page. */
export function useRuns(filter: RunFilter) {
  useFollow("runs");
  return useInfiniteQuery({
    queryKey: ["runs", filter],
    queryFn: async ({ pageParam, signal }) => {
      const { age, label, ...rest } = filter;
      const query = {
        ...rest,
        limit: PAGE,
        ...(label === undefined ? {} : { label: label.replace(/[\\,]/g, "\\$&") }),
        ...(age === undefined ? {} : { since: new Date(Date.now() - age).toISOString() }),
        ...(pageParam ? { cursor: pageParam } : {}),
      };
      return data(await api.GET("/api/v1/runs", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
}

/** One run with its stages, live until it is over; without an id there is none. */
export function useRun(id: string) {
  const known = useQueryClient().getQueryData<Run>(["run", id]);
  useFollow(known && known.state !== "finished" ? `run:${id}` : undefined);
  return useQuery({
    queryKey: ["run", id],
    enabled: id !== "",
    queryFn: async ({ signal }) => data(await api.GET("/api/v1/runs/{run}", { params: { path: { run: id } }, signal })),
    retry: (failures, error) => failures < 3 && !(error instanceof Problem && error.status < 500),
  });
}

export interface Attempts {
  items: Attempt[];
  /** How many there are, those that are on the way included. */
  total: number;
}

/**
 * All attempts of a run, in the order in which they were dispatched. Pages are shown as they come; later looks ask only
 * from the first attempt on that was under way, since those before it stay as they are.
 */
export function useAttempts(id: string, enabled = true) {
  const client = useQueryClient();
  const queryKey = ["attempts", id];
  return useQuery({
    queryKey,
    enabled,
    queryFn: async ({ signal }): Promise<Attempts> => {
      const known = client.getQueryData<Attempts>(queryKey)?.items ?? [];
      const open = known.findIndex((attempt) => attempt.state === "queued" || attempt.state === "running");
      const items = known.slice(0, open < 0 ? known.length : open);
      for (;;) {
        const params = { path: { run: id }, query: { limit: ATTEMPTS, after: String(items.length) } };
        const page = data(await api.GET("/api/v1/runs/{run}/attempts", { params, signal }));
        items.push(...page.items);
        if (page.complete) return { items, total: page.total };
        if (items.length >= known.length) client.setQueryData(queryKey, { items: [...items], total: page.total });
      }
    },
    structuralSharing: false,
    staleTime: Infinity,
  });
}

interface Page<T> {
  items: T[];
  next_cursor: string;
  complete: boolean;
}

export interface Tail<T> extends Page<T> {
  /** Whether there may be more, but not here. */
  full: boolean;
}

/** The beginning of a list that only grows: `wanted` entries of it, or a few more; while it grows, all that comes. */
function useTail<T>(
  queryKey: readonly string[],
  page: (after: string, signal: AbortSignal) => Promise<Page<T>>,
  wanted: number,
) {
  const client = useQueryClient();
  const query = useQuery({
    queryKey,
    queryFn: async ({ signal }): Promise<Tail<T>> => {
      const known = client.getQueryData<Tail<T>>(queryKey);
      let { next_cursor, complete } = known ?? { next_cursor: "", complete: false };
      const items = [...(known?.items ?? [])];
      while (items.length < MOST) {
        const next = await page(next_cursor, signal);
        items.push(...next.items);
        ({ next_cursor, complete } = next);
        if (complete || items.length >= wanted) break;
        client.setQueryData(queryKey, { items: [...items], next_cursor, complete, full: false });
      }
      return { items, next_cursor, complete, full: !complete && items.length >= MOST };
    },
    structuralSharing: false,
    staleTime: Infinity,
  });
  const { data, isFetching, error, refetch } = query;
  const short = data !== undefined && !data.complete && data.items.length < Math.min(wanted, MOST);
  useEffect(() => {
    if (short && !isFetching && !error) void refetch();
  }, [short, isFetching, error, refetch]);
  return query;
}

/** What happened to a run. */
export function useEvents(id: string, wanted: number) {
  const page = async (after: string, signal: AbortSignal) => {
    const query = { limit: EVENTS, ...(after ? { after } : {}) };
    return data(await api.GET("/api/v1/runs/{run}/events", { params: { path: { run: id }, query }, signal }));
  };
  return useTail<RunEvent>(["events", id], page, wanted);
}

/** All of one event. */
export function useEvent(id: string, seq: number) {
  return useQuery({
    queryKey: ["event", id, seq],
    staleTime: Infinity,
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/runs/{run}/events/{seq}", { params: { path: { run: id, seq } }, signal })),
  });
}

/** What the functions of a run wrote. */
export function useLogs(id: string, wanted: number) {
  const page = async (after: string, signal: AbortSignal) => {
    const query = { limit: LINES, ...(after ? { after } : {}) };
    return data(await api.GET("/api/v1/runs/{run}/logs", { params: { path: { run: id }, query }, signal }));
  };
  return useTail<LogEntry>(["logs", id], page, wanted);
}

/** The stages of a run with what was measured of them. */
export function useStages(id: string) {
  return useQuery({
    queryKey: ["stages", id],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/runs/{run}/stages", { params: { path: { run: id } }, signal })).items,
    staleTime: Infinity,
  });
}

/** What is worth a look in a run. */
export function useFindings(id: string) {
  return useQuery({
    queryKey: ["findings", id],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/runs/{run}/findings", { params: { path: { run: id } }, signal })),
    staleTime: Infinity,
  });
}

/** One task with its attempts. */
export function useTask(id: string, stage: number, task: number) {
  return useQuery({
    queryKey: ["task", id, stage, task],
    queryFn: async ({ signal }) => {
      const params = { path: { run: id, stage, task } };
      return data(await api.GET("/api/v1/runs/{run}/tasks/{stage}/{task}", { params, signal }));
    },
    staleTime: Infinity,
    retry: (failures, error) => failures < 3 && !(error instanceof Problem && error.status < 500),
  });
}

/** What the sinks of a run wrote. */
export function useOutputs(id: string, enabled: boolean) {
  return useQuery({
    queryKey: ["outputs", id],
    enabled,
    staleTime: Infinity,
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/runs/{run}/outputs", { params: { path: { run: id } }, signal })),
  });
}

/** Rows of an output of a run, or of the result of its query, page by page. */
export function useOutputRows(id: string, output: number | undefined) {
  return useInfiniteQuery({
    queryKey: ["rows", id, output ?? null],
    staleTime: Infinity,
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: ROWS, ...(pageParam ? { cursor: pageParam } : {}) };
      const path = { run: id };
      if (output === undefined) {
        // It comes as CSV or an Arrow stream to those who ask for that.
        return data(await api.GET("/api/v1/runs/{run}/result", { params: { path, query }, signal })) as RowPage;
      }
      const params = { path: { ...path, output }, query };
      return data(await api.GET("/api/v1/runs/{run}/outputs/{output}/rows", { params, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    retry: (failures, error) => failures < 3 && !(error instanceof Problem && error.status < 500),
  });
}

/** Where to read the files of an output. */
export function useOutputLinks(id: string, output: number) {
  return useInfiniteQuery({
    queryKey: ["links", id, output],
    // Links can be used for a quarter of an hour.
    staleTime: 10 * 60_000,
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: LINKS, ...(pageParam ? { cursor: pageParam } : {}) };
      const params = { path: { run: id, output }, query };
      return data(await api.GET("/api/v1/runs/{run}/outputs/{output}/links", { params, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
}

/** What a run can be told while it is not over. */
export type Order = "cancel" | "pause" | "resume";

/** Tells a run to stop, to begin nothing new, or to go on. */
export function useOrder(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (order: Order) => {
      const params = { path: { run: id } };
      switch (order) {
        case "cancel":
          return data(await api.POST("/api/v1/runs/{run}/cancel", { params }));
        case "pause":
          return data(await api.POST("/api/v1/runs/{run}/pause", { params }));
        case "resume":
          return data(await api.POST("/api/v1/runs/{run}/resume", { params }));
      }
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["run", id] }),
  });
}

export function useRetry(id: string) {
  return useMutation({
    mutationFn: async () => data(await api.POST("/api/v1/runs/{run}/retry", { params: { path: { run: id } } })),
  });
}
