// What tests submit, through the API that everybody uses.

import type { APIRequestContext } from "@playwright/test";
import { expect } from "@playwright/test";

import type { Run } from "../src/api/types";

/** A pipeline of two stages whose result is checked: three words, counted. */
export const COUNT = `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{word: the}, {word: low}, {word: the}]
    - type: Combine
      config:
        group_by: word
        combine: {count: {value: word, fn: count}}
    - type: LogForTesting
    - type: AssertEqual
      config:
        elements: [{word: the, count: 2}, {word: low, count: 1}]
`;

/** One that writes its counts to CSV files whose paths begin so. */
export const writing = (path: string) => `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{word: the}, {word: low}, {word: the}]
    - type: Combine
      config:
        group_by: word
        combine: {count: {value: word, fn: count}}
    - type: WriteToCsv
      config:
        path: ${path}
`;

/** One that fails for a reason of its own. */
export const WRONG = COUNT.replace("count: 2", "count: 3");

/** Submits a pipeline; gives the run. */
export async function submit(request: APIRequestContext, name: string, pipeline: string): Promise<Run> {
  const answer = await request.post("/api/v1/runs", { data: { name, pipeline, labels: { team: "weirs" } } });
  expect(answer.status(), await answer.text()).toBe(201);
  return (await answer.json()) as Run;
}

/** Submits a pipeline and waits for its end. */
export async function finished(request: APIRequestContext, name: string, pipeline: string): Promise<Run> {
  const run = await submit(request, name, pipeline);
  const answer = await request.get(`/api/v1/runs/${run.id}?wait=30`);
  const ended = (await answer.json()) as Run;
  expect(ended.state).toBe("finished");
  return ended;
}

/** A join of two tables that are made of numbers, with an aggregation. */
export const JOIN =
  "select a.value % 97 as country, count(*) as orders, sum(b.value) as revenue from generate_series(1, 300000) a " +
  "join generate_series(1, 200000) b on a.value % 200000 = b.value group by 1 order by 3 desc";

/** Many groups over many partitions, of which one has most rows. */
export const SPREAD =
  "select k, count(*) as n, sum(v) as total from (select case when value % 3 = 0 then 0 else value % 5000 end as k, " +
  "value as v from generate_series(1, 400000)) t group by k";

/** Settings by which small partitions stay tasks of their own. */
export const spread = (partitions: number) => ({
  target_partitions: partitions,
  coalesce: { target_bytes: 1, min_bytes: 1, parallelism: partitions },
});

/** Submits an SQL statement; gives the run. */
export async function submitSql(
  request: APIRequestContext,
  name: string,
  statement: string,
  settings: Record<string, unknown> = {},
): Promise<Run> {
  const answer = await request.post("/api/v1/runs", { data: { name, sql: { statement }, settings } });
  expect(answer.status(), await answer.text()).toBe(201);
  return (await answer.json()) as Run;
}

/** Submits an SQL statement and waits for its end. */
export async function finishedSql(
  request: APIRequestContext,
  name: string,
  statement: string,
  settings: Record<string, unknown> = {},
): Promise<Run> {
  const run = await submitSql(request, name, statement, settings);
  const answer = await request.get(`/api/v1/runs/${run.id}?wait=45`);
  const ended = (await answer.json()) as Run;
  expect(ended.result, JSON.stringify(ended.reason)).toBe("succeeded");
  return ended;
}
