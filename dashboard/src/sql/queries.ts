// What the SQL editor asks of the server.

import { useMutation, useQuery } from "@tanstack/react-query";

import { api, data, Problem } from "../api/client";
import type { NamedPath } from "./history";

/** Milliseconds between two looks at a query that has just begun, and at one that takes longer. */
const SOON = 200;
const LATER = 1000;
/** How long a query has just begun, in milliseconds. */
const YOUNG = 5000;

export interface Job {
  statement: string;
  setup: string[];
  tables: NamedPath[];
}

/** Submits a statement as a run. */
export function useSubmit() {
  return useMutation({
    mutationFn: async ({ statement, setup, tables }: Job) =>
      data(
        await api.POST("/api/v1/runs", {
          body: { name: "sql", labels: { from: "sql-editor" }, sql: { statement, setup, tables } },
        }),
      ),
  });
}

/** The run of a statement, watched closely while it is young. */
export function useSqlRun(id: string | undefined) {
  return useQuery({
    queryKey: ["run", id],
    enabled: id !== undefined,
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/runs/{run}", { params: { path: { run: id ?? "" } }, signal })),
    refetchInterval: ({ state: { data } }) => {
      if (!data || data.state === "finished") return false;
      return Date.now() - Date.parse(data.created_at) < YOUNG ? SOON : LATER;
    },
    retry: (failures, error) => failures < 3 && !(error instanceof Problem && error.status < 500),
  });
}

export function useCancelRun() {
  return useMutation({
    mutationFn: async (run: string) => data(await api.POST("/api/v1/runs/{run}/cancel", { params: { path: { run } } })),
  });
}
