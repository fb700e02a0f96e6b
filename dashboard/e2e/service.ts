// What the pages of the service show in pictures: pipelines with versions, schedules, keys, a quota and modules.

import { readFile, writeFile, mkdtemp } from "node:fs/promises";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, type APIRequestContext } from "@playwright/test";

import { COUNT } from "./server";

const COMPONENT = "../examples/wordcount/tokenizer.wasm";
const TEXTKIT = "../examples/textkit/textkit.wasm";

const REVENUE = `SELECT country, count(*) AS orders, sum(amount) AS revenue
FROM orders
WHERE status <> 'returned'
GROUP BY country
ORDER BY revenue DESC`;

/** Uploads a component; gives its digest. */
async function uploadModule(request: APIRequestContext, path: string): Promise<string> {
  const component = await readFile(path);
  const digest = createHash("sha256").update(component).digest("hex");
  const answer = await request.put(`/api/v1/modules/${digest}`, {
    data: component,
    headers: { "Content-Type": "application/wasm" },
  });
  expect(answer.ok(), await answer.text()).toBe(true);
  return digest;
}

async function send(request: APIRequestContext, method: "post" | "put", path: string, data: unknown): Promise<unknown> {
  const answer = await request[method](`/api/v1${path}`, { data });
  expect(answer.ok(), await answer.text()).toBe(true);
  return answer.json();
}

/** The same with a function of a module. */
const BY_SLUG = REVENUE.replace("SELECT country", "SELECT slug('Shop ' || country) AS shop").replace(
  "GROUP BY country",
  "GROUP BY shop",
);

/** Orders of a shop, as a CSV file. */
async function orders(): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "weir-pictures-")), "orders.csv");
  const countries = ["DE", "FR", "JP", "BR", "KE", "US", "IN"];
  const rows = Array.from({ length: 20_000 }, (_, id) => {
    const status = id % 11 === 0 ? "returned" : id % 3 === 0 ? "open" : "shipped";
    return `${id},${countries[(id * 7) % 5 === 0 ? id % 7 : (id * 13) % 7]},${status},${((id * 37) % 9000) / 100}`;
  });
  await writeFile(path, `id,country,status,amount\n${rows.join("\n")}\n`);
  return path;
}

export interface Service {
  /** Addresses by the names of the pictures. */
  pages: Record<string, string>;
  /** What the browser has kept. */
  stored: Record<string, unknown>;
}

/** Fills a service. */
export async function fill(request: APIRequestContext): Promise<Service> {
  const path = await orders();
  const tables = [{ name: "orders", path }];
  const words = {
    name: "word-count",
    description: "Counts the words of last night's books",
    labels: { team: "reading" },
    definition: { pipeline: COUNT.trimStart(), settings: { target_partitions: 4 } },
  };
  await send(request, "post", "/pipelines", words);
  await send(request, "put", "/pipelines/word-count", {
    ...words,
    note: "Logs nothing, and spreads wider",
    definition: {
      pipeline: COUNT.trimStart().replace("    - type: LogForTesting\n", ""),
      settings: { target_partitions: 8 },
    },
  });
  await send(request, "post", "/pipelines", {
    name: "nightly-revenue",
    description: "Revenue by country, for the morning's report",
    labels: { team: "finance", tier: "gold" },
    definition: { sql: { statement: REVENUE, tables } },
  });
  await send(request, "post", "/schedules", {
    name: "revenue-after-close",
    description: "When the books of the day are closed",
    pipeline: "nightly-revenue",
    cron: "30 2 * * MON-FRI",
    time_zone: "Europe/Berlin",
    concurrency_policy: "replace",
    catch_up: "latest",
    successful_run_history_limit: 30,
  });
  await send(request, "post", "/schedules", { name: "words", pipeline: "word-count", cron: "@hourly", suspend: true });
  for (const version of [1, 2, 2]) await send(request, "post", "/pipelines/word-count/runs", { version });
  await send(request, "post", "/namespaces", { name: "team-revenue", display_name: "Revenue" });
  for (const [name, role] of [
    ["airflow production", "submitter"],
    ["grafana", "viewer"],
    ["release bot", "operator"],
  ]) {
    await send(request, "post", "/keys", { name, role, expires_at: "2035-01-01T00:00:00Z" });
  }
  await send(request, "put", "/namespaces/default/quota", {
    weight: 4,
    min_share: 2,
    max_runs: 40,
    max_queued_runs: 500,
    max_tasks: 64,
    max_storage_bytes: 2 ** 30,
    submissions_per_minute: 600,
    submission_burst: 100,
  });
  const digest = await uploadModule(request, COMPONENT);
  const textkit = await uploadModule(request, TEXTKIT);
  const run = (await send(request, "post", "/runs", {
    name: "sql",
    sql: { statement: BY_SLUG, tables },
    modules: { textkit },
  })) as { id: string };
  await request.get(`/api/v1/runs/${run.id}?wait=30`);
  const draft = { statement: BY_SLUG, tables, modules: [textkit] };
  const entry = { ...draft, run: run.id, at: Date.now() };
  return {
    pages: {
      pipelines: "/pipelines",
      versions: "/pipelines/word-count/versions",
      schedules: "/schedules",
      schedule: "/schedules/revenue-after-close",
      sql: `/sql?run=${run.id}`,
      modules: `/modules/${digest}`,
      workers: "/workers",
      settings: "/settings",
      keys: "/settings/keys",
      audit: "/settings/audit",
    },
    stored: { "weir-sql-history:default": [entry], "weir-sql-draft:default": draft },
  };
}
