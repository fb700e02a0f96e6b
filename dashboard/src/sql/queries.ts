// What the SQL editor asks of the server.

import { keepPreviousData, useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";

import { api, data } from "../api/client";
import type { RowPage } from "../api/types";
import type { NamedPath } from "./history";

export interface Job {
  statement: string;
  setup: string[];
  tables: NamedPath[];
  /** Digests. */
  modules: string[];
}

/** Components by the names that a job gives them: SQL asks for none. */
const named = (modules: string[]) => Object.fromEntries(modules.map((digest) => [digest, digest]));

/** Submits a statement as a run. */
export function useSubmit() {
  return useMutation({
    mutationFn: async ({ statement, setup, tables, modules }: Job) =>
      data(
        await api.POST("/api/v1/runs", {
          body: {
            name: "sql",
            labels: { from: "sql-editor" },
            sql: { statement, setup, tables },
            modules: named(modules),
          },
        }),
      ),
  });
}

export function useCancelRun() {
  return useMutation({
    mutationFn: async (run: string) => data(await api.POST("/api/v1/runs/{run}/cancel", { params: { path: { run } } })),
  });
}

/** Rows that are asked for at once. */
const ROWS = 500;

/** The rows of a run that has succeeded, page by page. */
export function useRows(run: string) {
  return useInfiniteQuery({
    queryKey: ["result", run],
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: ROWS, ...(pageParam ? { cursor: pageParam } : {}) };
      // It comes as CSV or an Arrow stream to those who ask for that.
      return data(await api.GET("/api/v1/runs/{run}/result", { params: { path: { run }, query }, signal })) as RowPage;
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: Infinity,
  });
}

/** All rows of a run as CSV, for the reader to keep. */
export function useDownload(run: string) {
  return useMutation({
    mutationFn: async () => {
      const answer = await api.GET("/api/v1/runs/{run}/result", {
        params: { path: { run } },
        headers: { Accept: "text/csv" },
        parseAs: "blob",
      });
      const url = URL.createObjectURL(data(answer));
      const link = document.createElement("a");
      link.href = url;
      link.download = `${run}.csv`;
      link.click();
      // The browser takes the file from the URL after this turn.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    },
  });
}

/** What a script means, without running it; `undefined` for none. */
export function useCheck(script: string | undefined, tables: NamedPath[], modules: string[]) {
  return useQuery({
    queryKey: ["sql", script, tables, modules],
    enabled: script !== undefined,
    queryFn: async ({ signal }) =>
      data(
        await api.POST("/api/v1/sql/check", {
          body: { script: script ?? "", tables, modules: named(modules) },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    gcTime: 60_000,
    retry: false,
  });
}
