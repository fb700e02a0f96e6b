// Namespaces, quotas, keys and the audit log.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, data, Problem } from "./client";
import { usePaged } from "./paged";
import { useFollow } from "./stream";
import type { AuditEntry, KeyRequest, NamespaceRequest, NamespaceSettings, QuotaLimits } from "./types";

const PAGE = 100;

/** The namespaces that the reader may use; those of everybody change under the eyes of admins of the service. */
export function useNamespaces(wholeService: boolean) {
  useFollow(wholeService ? "namespaces" : undefined);
  return usePaged(["namespaces"], async (cursor, signal) => {
    const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/namespaces", { params: { query }, signal }));
  });
}

/** What a namespace may use, and what it uses. */
export function useQuota(namespace: string) {
  useFollow(`quota:${namespace}`);
  return useQuery({
    queryKey: ["quota", namespace],
    queryFn: async ({ signal }) =>
      data(await api.GET("/api/v1/namespaces/{namespace}/quota", { params: { path: { namespace } }, signal })),
  });
}

export function useSaveQuota(namespace: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (body: QuotaLimits) =>
      data(await api.PUT("/api/v1/namespaces/{namespace}/quota", { params: { path: { namespace } }, body })),
    onSuccess: (saved) => client.setQueryData(["quota", namespace], saved),
  });
}

/** What a change of namespaces changes: the list, and what the reader may choose from. */
function useNamespacesChanged() {
  const client = useQueryClient();
  return () => {
    void client.invalidateQueries({ queryKey: ["namespaces"] });
    void client.invalidateQueries({ queryKey: ["session"] });
  };
}

export function useCreateNamespace() {
  const onSuccess = useNamespacesChanged();
  return useMutation({
    mutationFn: async (body: NamespaceRequest) => data(await api.POST("/api/v1/namespaces", { body })),
    onSuccess,
  });
}

export function useSaveNamespace(namespace: string) {
  const onSuccess = useNamespacesChanged();
  return useMutation({
    mutationFn: async (body: NamespaceSettings) =>
      data(await api.PUT("/api/v1/namespaces/{namespace}", { params: { path: { namespace } }, body })),
    onSuccess,
  });
}

export function useDeleteNamespace() {
  const onSuccess = useNamespacesChanged();
  return useMutation({
    mutationFn: async (namespace: string) => {
      const params = { path: { namespace } };
      const { error, response } = await api.DELETE("/api/v1/namespaces/{namespace}", { params });
      if (error) throw new Problem(response.status, error);
    },
    onSuccess,
  });
}

/** Keys, the youngest first; of the namespace, or of the service and all that is in it. */
export function useKeys(scope: "namespace" | "service") {
  useFollow(scope === "service" ? "keys:service" : "keys");
  return usePaged(["keys", scope], async (cursor, signal) => {
    const query = { scope, limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/keys", { params: { query }, signal }));
  });
}

export function useCreateKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (body: KeyRequest) => data(await api.POST("/api/v1/keys", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
}

export function useRevokeKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (key: string) => data(await api.DELETE("/api/v1/keys/{key}", { params: { path: { key } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
}

/** Sessions of browsers, the youngest first; the reader's own, or everybody's. */
export function useSessions(scope: "own" | "service") {
  return usePaged(["sessions", scope], async (cursor, signal) => {
    const query = { scope, limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/sessions", { params: { query }, signal }));
  });
}

export function useEndSession() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (session: string) => {
      const { error, response } = await api.DELETE("/api/v1/sessions/{session}", { params: { path: { session } } });
      if (error) throw new Problem(response.status, error);
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["sessions"] }),
  });
}

/** Ends all sessions of somebody; of the reader when nobody is named. */
export function useEndSessions() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (principal: string | undefined) => {
      const params = principal === undefined ? {} : { query: { principal } };
      return data(await api.DELETE("/api/v1/sessions", { params }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["sessions"] }),
  });
}

export interface AuditFilter {
  scope: "namespace" | "service";
  outcome?: AuditEntry["outcome"];
  principal?: string;
  action?: string;
}

/** What was done and what was not let be done, the youngest first. */
export function useAudit(filter: AuditFilter) {
  useFollow(filter.scope === "service" ? "audit:service" : "audit");
  return usePaged(["audit", filter], async (cursor, signal) => {
    const query = { ...filter, limit: PAGE, ...(cursor ? { cursor } : {}) };
    return data(await api.GET("/api/v1/audit", { params: { query }, signal }));
  });
}
