// Events of the stream, put into what pages know. What an event does not carry is asked for again.

import type { InfiniteData, Query, QueryClient, QueryFilters } from "@tanstack/react-query";

import { mergeRun } from "../lib/merge";
import type { ServerEvent } from "../lib/sse";
import { Refresher } from "./refresh";
import type { ListedRun, Run, RunPage } from "./types";

interface Row {
  id: string;
}

interface Rows {
  topic: string;
  complete: boolean;
  items: Row[];
  removed?: string[];
}

type Listed<T> = InfiniteData<{ items: T[] }, string>;

/** What follows from the log of a run; `logs` only from lines that were written. */
const parts = new Set(["stages", "findings", "attempts", "tasks", "task", "events", "metrics"]);
/** A long list is asked for again, page by page, when its run is over. */
const LONG = 2;

/** What a page knows of a run that it shows. */
interface Seen {
  events: number;
  lines: number;
  over: boolean;
}

function pagesOf(query: Query): number {
  return (query.state.data as Partial<Listed<unknown>> | undefined)?.pages?.length ?? 0;
}

/** The queries that a topic is about. */
function about(topic: string): QueryFilters {
  const [kind, name] = topic.split(":");
  switch (kind) {
    case "run":
    case "quota":
      return { queryKey: [kind, name] };
    case "pipelines":
    case "schedules":
      return { predicate: ({ queryKey: [key] }) => key === kind || key === kind.slice(0, -1) };
    case "keys":
      return { queryKey: ["keys", name ?? "namespace"] };
    case "audit":
      // Whoever reads older entries is left in peace.
      return { queryKey: ["audit"], predicate: (query) => pagesOf(query) <= 1 };
    default:
      return { queryKey: [kind] };
  }
}

/** Keeps what pages know up to date. */
export class Changes {
  private readonly refresher: Refresher;
  private readonly seen = new WeakMap<Query, Seen>();

  constructor(private readonly client: QueryClient) {
    this.refresher = new Refresher(client);
    // However it becomes known that a run went on: what follows from that is asked for again.
    client.getQueryCache().subscribe((event) => {
      if (event.type !== "updated" || event.action.type !== "success") return;
      const query = event.query as Query;
      if (query.queryKey[0] === "run" && query.state.data) this.sawRun(query, query.state.data as Run);
    });
  }

  /** Asks for what a topic is about, because nothing tells of it. */
  refresh(topic: string): void {
    this.refresher.ask(topic, about(topic));
  }

  /** Takes an event; the topic of which nothing more comes, if it says so. */
  take(event: ServerEvent): string | undefined {
    switch (event.type) {
      case "run": {
        const { run } = JSON.parse(event.data) as { run: Run };
        this.client.setQueryData(["run", run.id], run);
        return undefined;
      }
      case "run_patch": {
        const { topic, patch } = JSON.parse(event.data) as { topic: string; patch: Record<string, unknown> };
        const key = ["run", topic.slice("run:".length)];
        const known = this.client.getQueryData<Run>(key);
        if (known) this.client.setQueryData(key, mergeRun(known, patch));
        else this.refresh(topic);
        return undefined;
      }
      case "rows": {
        const rows = JSON.parse(event.data) as Rows;
        if (rows.topic === "runs") this.takeRuns(rows);
        else this.takeRows(rows);
        return undefined;
      }
      case "resource": {
        const { topic, resource } = JSON.parse(event.data) as { topic: string; resource: unknown };
        this.client.setQueryData(topic.split(":"), resource);
        return undefined;
      }
      case "changed":
        this.refresh((JSON.parse(event.data) as { topic: string }).topic);
        return undefined;
      case "end":
        return (JSON.parse(event.data) as { topic: string }).topic;
      default:
        return undefined;
    }
  }

  private sawRun(query: Query, run: Run): void {
    const { events, log_lines: lines } = run;
    const over = run.state === "finished";
    const before = this.seen.get(query);
    this.seen.set(query, { events, lines, over });
    const wrote = !before || before.lines !== lines || before.over !== over;
    if (!wrote && before.events === events) return;
    const filters: QueryFilters = {
      predicate: (part) => {
        const [kind, id] = part.queryKey;
        if (id !== run.id || typeof kind !== "string") return false;
        if (kind === "logs") return wrote;
        return parts.has(kind) && (over || pagesOf(part) <= LONG);
      },
    };
    this.refresher.ask(`parts of ${run.id}${wrote ? " with lines" : ""}`, filters, over);
  }

  /** Runs that pages show are replaced; when others are new or gone, lists are asked for again, filtered as they are. */
  private takeRuns(rows: Rows): void {
    const changed = new Map((rows.items as ListedRun[]).map((run) => [run.id, run]));
    const lists = this.client.getQueriesData<InfiniteData<RunPage, string>>({ queryKey: ["runs"] });
    for (const [key, list] of lists) {
      if (!list) continue;
      const known = new Set(list.pages.flatMap((page) => page.items.map((run) => run.id)));
      const fresh = [...changed.keys()].some((id) => !known.has(id));
      const gone = rows.removed?.some((id) => known.has(id)) ?? false;
      const [, filter] = key as [string, object];
      const filtered = Object.keys(filter).length > 0;
      if ((fresh && (!rows.complete || filtered || known.size === 0)) || gone || filtered) {
        this.refresher.ask(JSON.stringify(key), { queryKey: key, exact: true });
      }
      this.client.setQueryData<InfiniteData<RunPage, string>>(key, replaced(list, changed));
    }
  }

  /** Rows of a list that has no filters. */
  private takeRows(rows: Rows): void {
    const key = [rows.topic];
    const list = this.client.getQueryData<Listed<Row>>(key);
    if (!list) return;
    const changed = new Map(rows.items.map((row) => [row.id, row]));
    const known = new Set(list.pages.flatMap((page) => page.items.map((row) => row.id)));
    const fresh = [...changed.keys()].some((id) => !known.has(id));
    const gone = rows.complete ? [...known].some((id) => !changed.has(id)) : rows.removed?.some((id) => known.has(id));
    this.client.setQueryData<Listed<Row>>(key, replaced(list, changed));
    if (fresh || gone) this.refresh(rows.topic);
  }
}

/** A list with changed rows in their places. */
function replaced<T extends Row, P extends { items: T[] }>(list: InfiniteData<P, string>, changed: Map<string, T>) {
  const pages = list.pages.map((page) => ({ ...page, items: page.items.map((row) => changed.get(row.id) ?? row) }));
  return { ...list, pages };
}
