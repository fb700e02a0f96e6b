// Files of the server, kept by the browser. A plain link would go without the namespace that the page is about.

import { useMutation } from "@tanstack/react-query";

import { headersOf, Problem } from "./client";

/** Fetches a path of this server and lets the browser keep it under a name. */
async function download({ path, name }: { path: string; name: string }): Promise<void> {
  const response = await fetch(path, { headers: headersOf("GET") });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => undefined));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken it when it has had time to look.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function useDownload() {
  return useMutation({ mutationFn: download });
}
