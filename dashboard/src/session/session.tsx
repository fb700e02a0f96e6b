// Who the reader is, and which namespace the pages are about.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, lazy, Suspense, useContext, useEffect } from "react";

import { accompany, api, data, Problem, whenUnauthorized } from "../api/client";
import type { Role, Session } from "../api/types";
import { Failure, LoadingPage } from "../components/feedback";
import { readStored, writeStored } from "../lib/stored";

const LoginPage = lazy(() => import("../pages/login"));

const NAMESPACE = "weir-namespace";
const KEY = ["session"];

const Context = createContext<Session | null>(null);

/** The reader. */
export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("there is no session around this page");
  return session;
}

const roles: Role[] = ["viewer", "submitter", "operator", "admin"];

/** Whether the reader may do what takes a role in the present namespace. */
export function useMay(role: Role): boolean {
  return roles.indexOf(useSession().role) >= roles.indexOf(role);
}

/** The namespace that was chosen: by the address, which a link may name it in, or the last time. */
function chosenNamespace(): string | undefined {
  const address = new URL(location.href);
  const named = address.searchParams.get("namespace");
  if (named !== null) {
    writeStored(NAMESPACE, named || undefined);
    address.searchParams.delete("namespace");
    history.replaceState(history.state, "", address);
  }
  const stored = readStored(NAMESPACE);
  return typeof stored === "string" ? stored : undefined;
}

accompany({ namespace: chosenNamespace() });

async function whoAmI(signal: AbortSignal): Promise<Session> {
  let answer = await api.GET("/api/v1/session", { signal });
  if (answer.error && answer.response.status !== 401 && readStored(NAMESPACE) !== undefined) {
    // The namespace that was chosen is there no more, or not for this reader: theirs is.
    writeStored(NAMESPACE, undefined);
    accompany({ namespace: undefined });
    answer = await api.GET("/api/v1/session", { signal });
  }
  const session = data(answer);
  accompany({ csrfToken: session.csrf_token ?? undefined });
  return session;
}

/** Shows the pages to whom the server knows, and the login to everybody else, under the same address. */
export function SessionGate({ children }: { children: React.ReactNode }) {
  const client = useQueryClient();
  const session = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => whoAmI(signal),
    staleTime: 60_000,
  });
  useEffect(() => {
    whenUnauthorized(() => {
      // The session's own question answers itself.
      if (client.getQueryState(KEY)?.fetchStatus !== "fetching") void client.invalidateQueries({ queryKey: KEY });
    });
    return () => whenUnauthorized(() => undefined);
  }, [client]);

  if (session.error instanceof Problem && session.error.status === 401) {
    return (
      <Suspense>
        <LoginPage />
      </Suspense>
    );
  }
  if (session.data) return <Context value={session.data}>{children}</Context>;
  return (
    <div className="frame">
      <div className="top">
        <div className="brand">
          <img src="/favicon.svg" width="22" height="22" alt="" />
          Weir
        </div>
      </div>
      <main id="content">
        {session.error ? <Failure error={session.error} retry={() => void session.refetch()} /> : <LoadingPage />}
      </main>
    </div>
  );
}

/** Logs in; the page that was asked for appears. */
export function useLogin() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (body: { api_key: string } | { token: string }) =>
      data(await api.POST("/api/v1/session", { body })),
    onSuccess: async () => {
      client.removeQueries({ predicate: (query) => query.queryKey[0] !== KEY[0] });
      await client.invalidateQueries({ queryKey: KEY });
    },
  });
}

/** Logs out. The page is loaded anew, so that nothing of it stays in memory. */
export function useLogout() {
  return useMutation({
    mutationFn: async () => {
      const { error, response } = await api.DELETE("/api/v1/session");
      if (error && response.status !== 401) throw new Problem(response.status, error);
    },
    onSuccess: () => location.reload(),
  });
}

/** Goes over to another namespace. The page is loaded anew: its stream, too, is of one namespace. */
export function switchNamespace(namespace: string): void {
  writeStored(NAMESPACE, namespace);
  location.assign("/");
}
