// Pipelines and their versions.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { requestKey } from "../lib/random";
import { api, data, Problem } from "./client";
import { usePaged } from "./paged";
import { useFollow } from "./stream";
import type { PipelineRequest, PipelineRunRequest } from "./types";

const PAGE = 100;

/** Pipelines in the order of their names. */
export function usePipelines() {
  useFollow("pipelines");
  return usePaged(["pipelines"], async (cursor, signal) => {
    const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/pipelines", { params: { query }, signal }));
  });
}

export function usePipeline(name: string) {
  useFollow("pipelines");
  return useQuery({
    queryKey: ["pipeline", name],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/pipelines/{pipeline}", { params: { path: { pipeline: name } }, signal })),
  });
}

/** A pipeline's versions, the latest first. */
export function useVersions(name: string) {
  return usePaged(["pipeline", name, "versions"], async (cursor, signal) => {
    const params = { path: { pipeline: name }, query: { limit: PAGE, ...(cursor ? { cursor } : {}) } };
    return data(await api.GET("/api/v1/pipelines/{pipeline}/versions", { params, signal }));
  });
}

/** A version; it never changes. */
export function useVersion(name: string, version: number | undefined) {
  return useQuery({
    queryKey: ["pipeline", name, "version", version],
    enabled: version !== undefined,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const params = { path: { pipeline: name, version: String(version) } };
      return data(await api.GET("/api/v1/pipelines/{pipeline}/versions/{version}", { params, signal }));
    },
  });
}

/** Makes a pipeline, or with the `etag` of the one that is known a version of it. */
export function useSavePipeline() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async ({ name, etag, body }: { name: string; etag: string | undefined; body: PipelineRequest }) => {
      if (etag === undefined) return data(await api.POST("/api/v1/pipelines", { body: { ...body, name } }));
      const params = { path: { pipeline: name }, header: { "If-Match": `"${etag}"` } };
      return data(await api.PUT("/api/v1/pipelines/{pipeline}", { params, body }));
    },
    onSuccess: (saved) => {
      client.setQueryData(["pipeline", saved.name], saved);
      void client.invalidateQueries({ queryKey: ["pipeline", saved.name] });
      void client.invalidateQueries({ queryKey: ["pipelines"] });
    },
  });
}

export function useDeletePipeline(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (etag: string) => {
      const params = { path: { pipeline: name }, header: { "If-Match": `"${etag}"` } };
      const { error, response } = await api.DELETE("/api/v1/pipelines/{pipeline}", { params });
      if (error) throw new Problem(response.status, error);
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["pipelines"] }),
  });
}

/** Makes a run of a pipeline. */
export function useRunPipeline(name: string) {
  return useMutation({
    mutationFn: async (body: PipelineRunRequest) => {
      const params = { path: { pipeline: name }, header: { "Idempotency-Key": requestKey() } };
      return data(await api.POST("/api/v1/pipelines/{pipeline}/runs", { params, body }));
    },
  });
}
