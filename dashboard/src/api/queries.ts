// What pages ask for, and how often while it changes.

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, data, Problem } from "./client";
import type { Attempt, ListedRun, RunEvent } from "./types";

/** Milliseconds between two looks at what is changing. */
const LIVE = 1000;
/** Milliseconds between two looks at a list in which something new may appear. */
const LIST = 3000;
const PAGE = 50;
const ATTEMPTS = 5000;

export interface RunFilter {
  state?: ListedRun["state"];
  result?: NonNullable<ListedRun["result"]>;
  name?: string;
}

/** Runs, the youngest first, page by page. */
export function useRuns(filter: RunFilter) {
  return useInfiniteQuery({
    queryKey: ["runs", filter],
    queryFn: async ({ pageParam, signal }) => {
      const query = { ...filter, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) };
      return data(await api.GET("/api/v1/runs", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: (query) => (query.state.data && query.state.data.pages.length > 1 ? false : LIST),
  });
}

/** One run with its stages, live until it is over. */
export function useRun(id: string) {
  return useQuery({
    queryKey: ["run", id],
    queryFn: async ({ signal }) => data(await api.GET("/api/v1/runs/{run}", { params: { path: { run: id } }, signal })),
    refetchInterval: (query) => (query.state.data?.state === "finished" ? false : LIVE),
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
export function useAttempts(id: string, live: boolean, enabled = true) {
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
    refetchInterval: live ? LIST : false,
  });
}

/** What happened to a run, page by page. */
export function useEvents(id: string, live: boolean) {
  return useInfiniteQuery({
    queryKey: ["events", id],
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: 500, ...(pageParam ? { after: pageParam } : {}) };
      return data(await api.GET("/api/v1/runs/{run}/events", { params: { path: { run: id }, query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => (page.complete ? undefined : page.next_cursor),
    refetchInterval: live ? LIST : false,
  });
}

/** What the functions of a run wrote, page by page. */
export function useLogs(id: string, live: boolean) {
  return useInfiniteQuery({
    queryKey: ["logs", id],
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: 500, ...(pageParam ? { after: pageParam } : {}) };
      return data(await api.GET("/api/v1/runs/{run}/logs", { params: { path: { run: id }, query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => (page.complete ? undefined : page.next_cursor),
    refetchInterval: live ? LIST : false,
  });
}

/** The stages of a run as they were planned, from the event that planned them. */
export function usePlan(id: string, planned: boolean) {
  return useQuery({
    queryKey: ["plan", id],
    enabled: planned,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const params = { path: { run: id }, query: { limit: 50 } };
      const page = data(await api.GET("/api/v1/runs/{run}/events", { params, signal }));
      return page.items.find((event: RunEvent) => event.type === "planned") ?? null;
    },
  });
}

export function useCancel(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () => data(await api.POST("/api/v1/runs/{run}/cancel", { params: { path: { run: id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ["run", id] }),
  });
}

export function useRetry(id: string) {
  return useMutation({
    mutationFn: async () => data(await api.POST("/api/v1/runs/{run}/retry", { params: { path: { run: id } } })),
  });
}
