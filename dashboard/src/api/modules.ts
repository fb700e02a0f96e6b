// Wasm components.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, data, Problem } from "./client";
import { usePaged } from "./paged";
import { useFollow } from "./stream";

const PAGE = 100;

/** Components of the namespace, in the order of their digests. */
export function useModules() {
  useFollow("modules");
  return usePaged(["modules"], async (cursor, signal) => {
    const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/modules", { params: { query }, signal }));
  });
}

/** A component and what it exports; it never changes. */
export function useModule(digest: string) {
  return useQuery({
    queryKey: ["module", digest],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/modules/{digest}", { params: { path: { digest } }, signal })),
    staleTime: Infinity,
  });
}

export function useDeleteModule() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (digest: string) => {
      const { error, response } = await api.DELETE("/api/v1/modules/{digest}", { params: { path: { digest } } });
      if (error) throw new Problem(response.status, error);
    },
    onSuccess: (_, digest) => {
      client.removeQueries({ queryKey: ["module", digest] });
      return client.invalidateQueries({ queryKey: ["modules"] });
    },
  });
}
