// Calls of the API. Types come from `openapi.json`: `npm run client` makes them.

import createClient from "openapi-fetch";

import type { components, paths } from "./schema";

/** One of several things that are wrong with what was sent. */
export type ProblemDetail = components["schemas"]["ProblemDetail"];

/** An answer that says no, as RFC 9457 has it. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly errors: ProblemDetail[];

  constructor(status: number, body: unknown) {
    const text = (key: string): string | undefined => {
      const value: unknown = body && typeof body === "object" ? (body as Record<string, unknown>)[key] : undefined;
      return typeof value === "string" ? value : undefined;
    };
    const title = text("title") ?? `The server answered with status ${status}`;
    super(title);
    this.name = "Problem";
    this.status = status;
    this.code = text("code") ?? "unknown";
    this.title = title;
    this.detail = text("detail") ?? "";
    const errors: unknown = body && typeof body === "object" ? (body as Record<string, unknown>)["errors"] : undefined;
    this.errors = Array.isArray(errors) ? (errors as ProblemDetail[]) : [];
  }
}

/** What goes with each request: the namespace that it is about, and the proof that it comes from this page. */
interface Companions {
  namespace?: string | undefined;
  csrfToken?: string | undefined;
}

let companions: Companions = {};
let onUnauthorized: () => void = () => undefined;

/** Sets what goes with the requests from now on. */
export function accompany(changed: Companions): void {
  companions = { ...companions, ...changed };
}

/** Sets what happens when the server knows the reader no more. */
export function whenUnauthorized(listener: () => void): void {
  onUnauthorized = listener;
}

/** The headers that go with a request. */
export function headersOf(method: string): Record<string, string> {
  const { namespace, csrfToken } = companions;
  return {
    ...(namespace ? { "Weir-Namespace": namespace } : {}),
    ...(csrfToken && method !== "GET" && method !== "HEAD" ? { "X-CSRF-Token": csrfToken } : {}),
  };
}

export const api = createClient<paths>({ baseUrl: "" });
api.use({
  onRequest: ({ request }) => {
    for (const [name, value] of Object.entries(headersOf(request.method))) request.headers.set(name, value);
  },
  onResponse: ({ response, schemaPath }) => {
    // Whoever asks for a session, or who they are, is told so themselves.
    if (response.status === 401 && schemaPath !== "/api/v1/session") onUnauthorized();
  },
});

/** The data of an answer; a problem is thrown. */
export function data<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Problem(answer.response.status, answer.error);
  return answer.data;
}
