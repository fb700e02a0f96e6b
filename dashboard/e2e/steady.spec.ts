// What is there stays where it is, and nothing is asked for without a reason.

import { expect, test, type APIRequestContext, type Page } from "@playwright/test";

import type { Run } from "../src/api/types";
import { COUNT, finished, finishedSql, JOIN, spread, SPREAD, submit, submitSql } from "./server";

declare global {
  interface Window {
    shifts?: { value: number; moved: string[] }[];
  }
}

interface Shift extends PerformanceEntry {
  value: number;
  hadRecentInput: boolean;
  sources: { node: Node | null; previousRect: DOMRectReadOnly; currentRect: DOMRectReadOnly }[];
}

/** Notes what moves without the reader having done something. */
function watchShifts() {
  window.shifts = [];
  const name = (node: Node | null) => {
    const element = node instanceof Element ? node : node?.parentElement;
    return element ? `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""}` : "?";
  };
  const box = ({ x, y, width, height }: DOMRectReadOnly) => [x, y, width, height].map(Math.round).join(",");
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as Shift[]) {
      if (entry.hadRecentInput) continue;
      const moved = entry.sources.map(
        ({ node, previousRect, currentRect }) => `${name(node)} ${box(previousRect)} -> ${box(currentRect)}`,
      );
      window.shifts?.push({ value: entry.value, moved });
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** A tenth of what counts as good: a column grows by a digit, but no row is pushed away. */
const STILL = 0.01;

async function isStill(page: Page, where: string): Promise<void> {
  const shifts = (await page.evaluate(() => window.shifts)) ?? [];
  const sum = shifts.reduce((sum, { value }) => sum + value, 0);
  expect(sum, `${where}: ${JSON.stringify(shifts, undefined, 1)}`).toBeLessThan(STILL);
}

/** Requests to the API, and how many streams were open at once. */
function watchRequests(page: Page) {
  const watched = { asked: [] as string[], streams: 0, mostStreams: 0 };
  const isStream = (url: string) => new URL(url).pathname === "/api/v1/stream";
  page.on("request", (sent) => {
    const url = sent.url();
    if (isStream(url)) watched.mostStreams = Math.max(watched.mostStreams, ++watched.streams);
    else if (new URL(url).pathname.startsWith("/api/")) watched.asked.push(url);
  });
  const ended = (sent: { url: () => string }) => {
    if (isStream(sent.url())) watched.streams--;
  };
  page.on("requestfinished", ended);
  page.on("requestfailed", ended);
  return watched;
}

const SLOW =
  "select a.value % 7 as k, count(*) as n from generate_series(1, 20000) a, generate_series(1, 10000) b " +
  "where (a.value * b.value) % 11 = 3 group by 1";

/** Most of its rows are refused, which is found when it has run. */
const REFUSED = `
pipeline:
  transforms:
    - type: Create
      config: {elements: [{t: "1"}, {t: x}, {t: y}, {t: z}]}
    - {type: MapToFields, name: Parse, input: Create, config: {
        language: sql, fields: {n: CAST(t AS INT)}, error_handling: {output: bad}}}
    - {type: LogForTesting, name: Good, input: Parse}
    - {type: LogForTesting, name: Bad, input: Parse.bad}
`;

/** A run that is held up before most of its tasks. One that was over sooner is followed by another. */
async function paused(request: APIRequestContext, submitted: () => Promise<Run>): Promise<Run> {
  for (let tries = 0; tries < 20; tries++) {
    const run = await submitted();
    const answer = await request.post(`/api/v1/runs/${run.id}/pause`);
    if (answer.status() === 409) continue;
    expect(answer.status(), await answer.text()).toBe(202);
    const now = async () => (await (await request.get(`/api/v1/runs/${run.id}`)).json()) as Run;
    await expect.poll(async () => (await now()).state, { timeout: 60_000 }).toMatch(/^(paused|finished)$/);
    if ((await now()).state === "paused") return run;
  }
  throw new Error("every run was over before it could be paused");
}

/** Waits until this has not grown for five seconds. */
async function settled(asked: string[]): Promise<void> {
  const askedMeanwhile = async () => {
    const before = asked.length;
    await new Promise((resume) => setTimeout(resume, 5_000));
    return asked.slice(before);
  };
  await expect.poll(askedMeanwhile, { timeout: 60_000 }).toEqual([]);
}

test("nothing jumps on the page of a run from its start to its end", async ({ page, request }) => {
  await page.setViewportSize({ width: 1280, height: 2400 });
  await page.addInitScript(watchShifts);
  const watched = watchRequests(page);
  const run = await paused(request, () => submit(request, "steady", REFUSED));
  await page.goto(`/runs/${run.id}`);
  await expect(page.getByRole("region", { name: "Findings" })).toBeVisible();
  await request.post(`/api/v1/runs/${run.id}/resume`);
  await expect(page.locator(".run-header .state.good")).toHaveText("Succeeded", { timeout: 90_000 });
  const bar = page.locator(".findings-bar");
  await expect(bar.getByRole("status")).toContainText(/\d (error|warning|info)/);
  await expect(page.getByRole("region", { name: "Stages", exact: true }).locator("tbody tr")).not.toHaveCount(0);
  await isStill(page, "a run from its start to its end");
  expect(watched.mostStreams).toBe(1);
  // What was found opens on a click, and stays as it was chosen.
  await bar.getByRole("button", { name: "Show" }).click();
  await expect(page.locator(".finding").first()).toBeVisible();
});

test("the end of a run that fails moves nothing, and says why", async ({ page, request }) => {
  await page.setViewportSize({ width: 1280, height: 2400 });
  await page.addInitScript(watchShifts);
  const run = await submitSql(request, "to be stopped", SLOW);
  await page.goto(`/runs/${run.id}`);
  await expect(page.getByRole("region", { name: "Findings" })).toBeVisible();
  await request.post(`/api/v1/runs/${run.id}/cancel`);
  await expect(page.locator(".run-header .state").first()).toHaveText("Cancelled", { timeout: 40_000 });
  await expect(page.locator(".outcome")).toContainText("cancel");
  await isStill(page, "a run that is cancelled");
});

test("nothing jumps while pages load", async ({ page, request }) => {
  const [run, other] = [await finishedSql(request, "still", JOIN), await finished(request, "still lines", COUNT)];
  await page.addInitScript(watchShifts);
  for (const path of [
    "/",
    `/runs/${run.id}`,
    `/runs/${run.id}/tasks`,
    `/runs/${other.id}/logs`,
    `/runs/${other.id}/events`,
    `/runs/${run.id}/outputs`,
    `/runs/${run.id}/configuration`,
    `/compare?a=${run.id}&b=${other.id}`,
    "/pipelines",
    "/schedules",
    "/sql",
    "/modules",
    "/workers",
    "/settings",
    "/settings/keys",
    "/settings/audit",
    "/settings/namespaces",
  ]) {
    await page.goto(path);
    await page.waitForLoadState("load");
    await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
    await expect(page.locator(".loading, [aria-busy=true]")).toHaveCount(0);
    await isStill(page, path);
  }
});

test("a page that shows nothing new asks for nothing", async ({ page, request }) => {
  test.setTimeout(480_000);
  const run = await paused(request, () => submitSql(request, "held up", SPREAD, spread(40)));
  const watched = watchRequests(page);
  await page.goto(`/runs/${run.id}`);
  await expect(page.locator(".run-header .state").first()).toHaveText("Paused");
  for (const path of [`/runs/${run.id}`, `/runs/${run.id}/tasks`, "/pipelines", "/schedules", "/settings"]) {
    await page.goto(path);
    await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
    await expect.poll(() => watched.streams).toBe(1);
    // The first look at what is followed may ask once more.
    await settled(watched.asked);
    expect(watched.streams, path).toBe(1);
  }
  await request.post(`/api/v1/runs/${run.id}/cancel`);
});
