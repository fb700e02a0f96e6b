// Uploads of Wasm components: the digest first, so that what is there already is not sent again.

import { api, headersOf, Problem } from "../api/client";
import type { Module } from "../api/types";
import { digestOf } from "../lib/sha256";

/** How far an upload is. */
export type Progress =
  | { step: "reading" }
  | { step: "sending"; digest: string; sent: number; total: number }
  | { step: "checking"; digest: string }
  | { step: "done"; digest: string; module: Module; known: boolean }
  | { step: "failed"; error: Error };

/** `PUT`s bytes and says how many are sent, which `fetch` does not. */
function put(
  url: string,
  bytes: ArrayBuffer,
  onSent: (sent: number) => void,
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headersOf("PUT"))) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/wasm");
    request.responseType = "json";
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => resolve({ status: request.status, body: request.response as unknown });
    request.onerror = () => reject(new Error("the connection broke"));
    request.send(bytes);
  });
}

/** Uploads a component; never throws. */
export async function upload(file: File, report: (progress: Progress) => void): Promise<void> {
  try {
    report({ step: "reading" });
    const bytes = await file.arrayBuffer();
    const digest = await digestOf(bytes);
    const params = { path: { digest } };
    const head = await api.HEAD("/api/v1/modules/{digest}", { params });
    if (head.response.ok) {
      const known = await api.GET("/api/v1/modules/{digest}", { params });
      if (known.data) {
        report({ step: "done", digest, module: known.data, known: true });
        return;
      }
    }
    const total = bytes.byteLength;
    report({ step: "sending", digest, sent: 0, total });
    const { status, body } = await put(`/api/v1/modules/${digest}`, bytes, (sent) =>
      report(sent < total ? { step: "sending", digest, sent, total } : { step: "checking", digest }),
    );
    if (status >= 300) throw new Problem(status, body);
    report({ step: "done", digest, module: body as Module, known: false });
  } catch (error) {
    report({ step: "failed", error: error instanceof Error ? error : new Error(String(error)) });
  }
}
