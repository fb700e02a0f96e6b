// Events of the stream, put into what pages know.

import type { InfiniteData, QueryClient } from "@tanstack/react-query";

import { mergeRun } from "../lib/merge";
import type { ServerEvent } from "../lib/sse";
import type { ListedRun, Run, RunPage } from "./types";

interface Rows {
  topic: string;
  complete: boolean;
  items: { id: string }[];
  removed?: string[];
}

/** Takes an event; the topic of which nothing more comes, if it says so. */
export function apply(client: QueryClient, event: ServerEvent): string | undefined {
  switch (event.type) {
    case "run": {
      const { run } = JSON.parse(event.data) as { run: Run };
      client.setQueryData(["run", run.id], run);
      return undefined;
    }
    case "run_patch": {
      const { topic, patch } = JSON.parse(event.data) as { topic: string; patch: Record<string, unknown> };
      const key = ["run", topic.slice("run:".length)];
      const known = client.getQueryData<Run>(key);
      if (known) client.setQueryData(key, mergeRun(known, patch));
      else void client.invalidateQueries({ queryKey: key });
      return undefined;
    }
    case "rows": {
      const rows = JSON.parse(event.data) as Rows;
      if (rows.topic === "runs") takeRuns(client, rows);
      else void client.invalidateQueries({ queryKey: [rows.topic] });
      return undefined;
    }
    case "end":
      return (JSON.parse(event.data) as { topic: string }).topic;
    default:
      return undefined;
  }
}

/** Rows that pages show are replaced; when others are new or gone, lists are asked for again, filtered as they are. */
function takeRuns(client: QueryClient, rows: Rows): void {
  const changed = new Map((rows.items as ListedRun[]).map((run) => [run.id, run]));
  const lists = client.getQueriesData<InfiniteData<RunPage, string>>({ queryKey: ["runs"] });
  for (const [key, list] of lists) {
    if (!list) continue;
    const known = new Set(list.pages.flatMap((page) => page.items.map((run) => run.id)));
    const fresh = [...changed.keys()].some((id) => !known.has(id));
    const gone = rows.removed?.some((id) => known.has(id)) ?? false;
    const [, filter] = key as [string, object];
    const filtered = Object.keys(filter).length > 0;
    if ((fresh && (!rows.complete || filtered || known.size === 0)) || gone || filtered) {
      void client.invalidateQueries({ queryKey: key, exact: true });
    }
    client.setQueryData<InfiniteData<RunPage, string>>(key, {
      ...list,
      pages: list.pages.map((page) => ({ ...page, items: page.items.map((run) => changed.get(run.id) ?? run) })),
    });
  }
}
