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
