// Schedules, which make runs of pipelines.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { requestKey } from "../lib/random";
import { api, data, Problem } from "./client";
import { usePaged } from "./paged";
import { useFollow } from "./stream";
import type { ScheduleRequest } from "./types";

const PAGE = 100;

/** Schedules in the order of their names, those of a pipeline if one is given. */
export function useSchedules(pipeline?: string) {
  useFollow("schedules");
  return usePaged(["schedules", pipeline ?? null], async (cursor, signal) => {
    const query = { limit: PAGE, ...(pipeline ? { pipeline } : {}), ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/schedules", { params: { query }, signal }));
  });
}

export function useSchedule(name: string) {
  useFollow("schedules");
  return useQuery({
    queryKey: ["schedule", name],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/schedules/{schedule}", { params: { path: { schedule: name } }, signal })),
  });
}

/** The next times of a cron expression, or why it is none. */
export function usePreview(cron: string, timeZone: string) {
  return useQuery({
    queryKey: ["preview", cron, timeZone],
    enabled: cron !== "",
    queryFn: async ({ signal }) => {
      const query = { cron, ...(timeZone ? { time_zone: timeZone } : {}) };
      return data(await api.GET("/api/v1/schedules/preview", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
}

/** Makes a schedule, or with the `etag` of the one that is known changes it. */
export function useSaveSchedule() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async ({ name, etag, body }: { name: string; etag: string | undefined; body: ScheduleRequest }) => {
      if (etag === undefined) return data(await api.POST("/api/v1/schedules", { body: { ...body, name } }));
      const params = { path: { schedule: name }, header: { "If-Match": `"${etag}"` } };
      return data(await api.PUT("/api/v1/schedules/{schedule}", { params, body }));
    },
    onSuccess: (saved) => {
      client.setQueryData(["schedule", saved.name], saved);
      void client.invalidateQueries({ queryKey: ["schedules"] });
    },
  });
}

/** Suspends a schedule or resumes it. */
export function useSuspend() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async ({ name, suspend }: { name: string; suspend: boolean }) => {
      const params = { path: { schedule: name } };
      return data(
        suspend
          ? await api.POST("/api/v1/schedules/{schedule}/suspend", { params })
          : await api.POST("/api/v1/schedules/{schedule}/resume", { params }),
      );
    },
    onSuccess: (changed) => {
      client.setQueryData(["schedule", changed.name], changed);
      void client.invalidateQueries({ queryKey: ["schedules"] });
    },
  });
}

/** Makes a run of a schedule now. */
export function useTrigger(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () => {
      const params = { path: { schedule: name }, header: { "Idempotency-Key": requestKey() } };
      return data(await api.POST("/api/v1/schedules/{schedule}/trigger", { params }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["runs"] }),
  });
}

export function useDeleteSchedule(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (etag: string) => {
      const params = { path: { schedule: name }, header: { "If-Match": `"${etag}"` } };
      const { error, response } = await api.DELETE("/api/v1/schedules/{schedule}", { params });
      if (error) throw new Problem(response.status, error);
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["schedules"] }),
  });
}
