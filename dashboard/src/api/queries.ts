// What pages ask for. The stream tells when it has changed.

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { api, data, Problem } from "./client";
import { useFollow } from "./stream";
import { PIECE, useWindow } from "./window";
import type { Attempt, ListedRun, LogEntry, RowPage, Run, RunEvent } from "./types";

const PAGE = 50;
const ATTEMPTS = 5000;
const ROWS = 200;
const LINKS = 100;

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
  /** Entries that were looked at. */
  searched: number;
}

/** What was found in a list that only grows, so far. */
export type Found<T> = Page<T>;

/** Searches a list until `wanted` entries are found; what is added to it later is searched then. */
function useFound<T>(
  queryKey: readonly unknown[],
  page: (after: string, signal: AbortSignal) => Promise<Page<T>>,
  wanted: number,
  enabled: boolean,
) {
  const client = useQueryClient();
  const query = useQuery({
    queryKey,
    enabled,
    queryFn: async ({ signal }): Promise<Found<T>> => {
      const known = client.getQueryData<Found<T>>(queryKey);
      let { next_cursor, complete, searched } = known ?? { next_cursor: "", complete: false, searched: 0 };
      const items = [...(known?.items ?? [])];
      for (;;) {
        const next = await page(next_cursor, signal);
        items.push(...next.items);
        searched += next.searched;
        ({ next_cursor, complete } = next);
        const found = { items: [...items], next_cursor, complete, searched };
        if (complete || items.length >= wanted) return found;
        client.setQueryData(queryKey, found);
      }
    },
    structuralSharing: false,
    staleTime: Infinity,
  });
  const { data, isFetching, error, refetch } = query;
  const short = data !== undefined && !data.complete && data.items.length < wanted;
  useEffect(() => {
    if (short && !isFetching && !error) void refetch();
  }, [short, isFetching, error, refetch]);
  return query;
}

/** So many entries of a list, or those that there are: a page may have fewer although more follow. */
async function pieceOf<T>(first: Page<T>, page: (after: string) => Promise<Page<T>>): Promise<T[]> {
  const { items } = first;
  let last = first;
  while (!last.complete && items.length < PIECE) {
    last = await page(last.next_cursor);
    items.push(...last.items);
  }
  return items.slice(0, PIECE);
}

async function eventPage(run: string, query: { after?: string; search?: string }, signal: AbortSignal) {
  const params = { path: { run }, query: { ...query, limit: PIECE } };
  return data(await api.GET("/api/v1/runs/{run}/events", { params, signal }));
}

/** What happened to a run, by its place. */
export function useEvents(id: string, total: number) {
  return useWindow<RunEvent>(["events", id, "places"], total, async (from, signal) => {
    const page = (after: string) => eventPage(id, { after }, signal);
    return pieceOf(await page(String(from)), page);
  });
}

/** Events of a run that have a text. */
export function useFoundEvents(id: string, search: string, wanted: number) {
  const page = (after: string, signal: AbortSignal) => eventPage(id, { search, ...(after ? { after } : {}) }, signal);
  return useFound<RunEvent>(["events", id, "found", search], page, wanted, search !== "");
}

export interface LineFilter {
  search?: string;
  stage?: number;
  task?: number;
  severity?: LogEntry["severity"];
}

async function linePage(run: string, query: LineFilter & { after?: string; offset?: number }, signal: AbortSignal) {
  const params = { path: { run }, query: { ...query, limit: PIECE } };
  return data(await api.GET("/api/v1/runs/{run}/logs", { params, signal }));
}

/** What the functions of a run wrote, by its place. */
export function useLogs(id: string, total: number) {
  return useWindow<LogEntry>(["logs", id, "places"], total, async (offset, signal) => {
    const page = (after: string) => linePage(id, { after }, signal);
    return pieceOf(await linePage(id, { offset }, signal), page);
  });
}

/** Lines of a run that pass a filter. */
export function useFoundLogs(id: string, filter: LineFilter, wanted: number) {
  const page = (after: string, signal: AbortSignal) => linePage(id, { ...filter, ...(after ? { after } : {}) }, signal);
  return useFound<LogEntry>(["logs", id, "found", filter], page, wanted, Object.keys(filter).length > 0);
}

/** Lines that a task wrote, of the first that its run has. */
export function useTaskLines(id: string, task: { stage: number; task: number } | undefined) {
  return useQuery({
    queryKey: ["logs", id, "of", task],
    enabled: task !== undefined,
    staleTime: Infinity,
    queryFn: async ({ signal }) => (await linePage(id, task ?? {}, signal)).items,
  });
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
