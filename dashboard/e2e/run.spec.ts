// The page of a run.

import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "@playwright/test";

import type { Run } from "../src/api/types";
import { isAccessible } from "./accessible";
import { COUNT, finished, finishedSql, JOIN, spread, SPREAD, writing, WRONG } from "./server";

test("it shows what was found, the graph, the timeline and the stages", async ({ page, request }) => {
  const run = await finished(request, "from above", COUNT);
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`/runs/${run.id}`);
  await expect(page.getByRole("region", { name: "Findings" })).toBeVisible();
  const graph = page.getByRole("region", { name: "Graph of stages" });
  for (const stage of run.stages) await expect(graph.getByRole("button", { name: stage.name }).first()).toBeVisible();
  await expect(page.getByRole("img", { name: /attempts? over/ })).toBeVisible();
  await expect(page.getByRole("region", { name: "Stages", exact: true }).getByRole("row")).toHaveCount(
    run.stages.length + 1,
  );
  await expect(page.getByRole("region", { name: "Usage" }).getByText("Slot time")).toBeVisible();
  // What is wide scrolls by itself, not the page.
  for (const width of [1280, 1000, 800, 390]) {
    await page.setViewportSize({ width, height: 900 });
    const beyond = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await expect.poll(beyond, { message: `${width} pixels` }).toBeLessThanOrEqual(0);
  }
  await isAccessible(page);
  expect(errors).toEqual([]);
});

test("a run that its policy would try again can be kept from it", async ({ page, request }) => {
  const restart_policy = { type: "on_failure", on_failure_retry_interval_s: 3600 };
  const answer = await request.post("/api/v1/runs", {
    data: { name: "again and again", pipeline: WRONG, settings: { restart_policy } },
  });
  const { id } = (await answer.json()) as Run;
  await request.get(`/api/v1/runs/${id}?wait=30`);
  await page.goto(`/runs/${id}`);
  const stop = page.getByRole("button", { name: "Stop its restart" });
  await stop.click();
  await expect(stop).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Run again" })).toBeVisible();
  const after = (await (await request.get(`/api/v1/runs/${id}`)).json()) as Run;
  expect(after.restart_at ?? null).toBeNull();
});

test("operators are found, selected and linked to", async ({ page, request }) => {
  const run = await finishedSql(request, "join", JOIN);
  await page.goto(`/runs/${run.id}`);
  const graph = page.getByRole("region", { name: "Graph of stages" });
  const list = graph.getByRole("list", { name: "Operators" });
  await graph.getByRole("searchbox", { name: "Find operators" }).fill("hashjoin");
  await expect(list.getByRole("button")).toHaveCount(1);
  await list.getByRole("button").click();
  await expect(page).toHaveURL(/stage=\d+&operator=\d+/);
  await expect(graph.getByRole("status").getByText("Rows out")).toBeVisible();
  await page.reload();
  await expect(graph.getByRole("status").getByText("HashJoin")).toBeVisible();
  await expect(graph.getByRole("button", { name: /HashJoin.*rows/, pressed: true }).first()).toBeInViewport();
  await isAccessible(page);
});

test("the keyboard goes over the graph", async ({ page, request }) => {
  const run = await finishedSql(request, "keys", JOIN);
  await page.goto(`/runs/${run.id}`);
  const graph = page.getByRole("group", { name: "Stages, each after what it reads" });
  await graph.getByRole("button").first().focus();
  await page.keyboard.press("ArrowDown");
  await expect(graph.getByRole("button").first()).not.toBeFocused();
  await expect(graph.locator(":focus")).toHaveCount(1);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/stage=/);
});

test("the timeline zooms, and the address has what it shows", async ({ page, request }) => {
  const run = await finishedSql(request, "zoomed", JOIN);
  await page.goto(`/runs/${run.id}`);
  const timeline = page.getByRole("region", { name: "Timeline" });
  await timeline.getByRole("button", { name: "Zoom in" }).click();
  await expect(page).toHaveURL(/from=\d+&to=\d+/);
  await page.reload();
  await expect(timeline.getByRole("button", { name: "All" })).toBeEnabled();
  await timeline.getByRole("group", { name: /Attempts by worker slot/ }).focus();
  await page.keyboard.press("0");
  await expect(page).not.toHaveURL(/from=/);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("complementary", { name: /^Task \d+\.\d+$/ })).toBeVisible();
  await isAccessible(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("complementary")).toHaveCount(0);
});

test("a number of a stage opens its tasks, which the server sorts and filters", async ({ page, request }) => {
  const run = await finishedSql(request, "spread", SPREAD, spread(40));
  const last = run.stages.reduce((most, stage) => (stage.tasks > most.tasks ? stage : most));
  await page.goto(`/runs/${run.id}`);
  const stages = page.getByRole("region", { name: "Stages", exact: true });
  await stages.getByRole("button", { name: "Rows in" }).click();
  await stages.getByRole("link", { name: new RegExp(`max of stage ${last.id}:`) }).click();
  await expect(page).toHaveURL(/measure=rows_in&min=\d+&max=\d+&sort=rows_in/);
  const grid = page.getByRole("grid", { name: "Tasks" });
  await expect(grid.getByRole("columnheader", { name: "Rows in" })).toHaveAttribute("aria-sort", "descending");
  await expect(page.getByRole("table", { name: "Spread over tasks" })).toBeVisible();
  await isAccessible(page);

  await page.getByRole("button", { name: /Remove this filter/ }).click();
  await expect(grid).toHaveAttribute("aria-rowcount", String(last.tasks + 1));
  await grid.getByRole("button", { name: "Rows in" }).click();
  await expect(grid.getByRole("columnheader", { name: "Rows in" })).toHaveAttribute("aria-sort", "ascending");
  await grid.focus();
  await page.keyboard.press("End");
  await expect(grid.locator(".active")).toHaveAttribute("aria-rowindex", String(last.tasks + 1));
  await page.keyboard.press("Enter");
  const panel = page.getByRole("complementary");
  await expect(panel.getByRole("heading", { name: "Attempt 0" })).toBeVisible();
  await page.reload();
  await expect(panel.getByRole("heading", { name: "Attempt 0" })).toBeVisible();
  await isAccessible(page);
});

test("every view can be linked to", async ({ page, request }) => {
  const run = await finished(request, "linked", COUNT);
  await page.goto(`/runs/${run.id}/logs`);
  await expect(page.getByRole("log").getByText("low").first()).toBeVisible();
  await isAccessible(page);
  await page.getByRole("searchbox", { name: "Find in the lines" }).fill("low");
  await expect(page.getByRole("log").locator("mark").first()).toHaveText("low");
  await expect(page.getByRole("log").getByText("the", { exact: true })).toHaveCount(0);
  await page.getByRole("searchbox", { name: "Find in the lines" }).fill("nothing like this");
  await expect(page.getByRole("heading", { name: "No line has that" })).toBeVisible();
  await isAccessible(page);
  await page.goto(`/runs/${run.id}/configuration`);
  await expect(page.getByRole("region", { name: "Pipeline" }).getByText("AssertEqual")).toBeVisible();
  await expect(page.getByText("target_partitions")).toBeVisible();
  await expect(page.getByRole("cell", { name: "weirs" })).toBeVisible();
  await isAccessible(page);
  await page.goto(`/runs/${run.id}/events`);
  const events = page.getByRole("list", { name: "Events, in order" });
  await expect(events.getByText("finished", { exact: true })).toBeVisible();
  await events.getByRole("button").first().click();
  await expect(page).toHaveURL(/event=1/);
  await page.reload();
  await expect(events.getByRole("button", { expanded: true })).toHaveCount(1);
  await isAccessible(page);
  await page.goto(`/runs/${run.id}/no-such-view`);
  await expect(page.getByRole("heading", { name: "A run has no such view" })).toBeVisible();
});

test("a failed run says why, and can be run again", async ({ page, request }) => {
  const run = await finished(request, "wrong", WRONG);
  expect(run.result).toBe("failed");
  await page.goto(`/runs/${run.id}`);
  await expect(page.locator(".state.bad").first()).toHaveText("Failed");
  const reason = page.getByRole("status").filter({ hasText: run.reason?.message.split("\n")[0] ?? "a message" });
  const place = `${run.reason?.stage ?? "no stage"}.${run.reason?.task ?? "no task"}`;
  await expect(reason.getByText(`Task ${place} failed`)).toBeVisible();
  await expect(
    page.getByRole("region", { name: "Graph of stages" }).getByRole("img", { name: "Failed" }),
  ).toBeVisible();
  await isAccessible(page);
  await reason.getByRole("link", { name: `Task ${place}` }).click();
  const task = page.getByRole("complementary", { name: `Task ${place}` });
  await expect(task.getByText(run.reason?.code ?? "a code")).toBeVisible();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Run again" }).click();
  const dialog = page.getByRole("dialog", { name: "Run this again?" });
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Run again" }).click();
  await expect(page).not.toHaveURL(new RegExp(run.id));
  await expect(page.getByRole("link", { name: "tries another run again" })).toHaveAttribute("href", `/runs/${run.id}`);
});

test("the rows of a query are its result", async ({ page, request }) => {
  const run = await finishedSql(request, "result", JOIN);
  await page.goto(`/runs/${run.id}`);
  await page.getByRole("link", { name: "Result" }).click();
  const grid = page.getByRole("grid", { name: "Result" });
  await expect(grid.getByRole("columnheader", { name: "revenue" })).toBeVisible();
  await expect(grid).toHaveAttribute("aria-rowcount", "98");
  await isAccessible(page);
});

test("outputs have rows and files", async ({ page, request }) => {
  const folder = await mkdtemp(join(tmpdir(), "weir-e2e-"));
  const run = await finished(request, "outputs", writing(join(folder, "counts")));
  expect(run.result, JSON.stringify(run.reason)).toBe("succeeded");
  await page.goto(`/runs/${run.id}/outputs`);
  const outputs = page.getByRole("region", { name: "Outputs" });
  await expect(outputs.getByRole("row", { name: /csv/ })).toBeVisible();
  const rows = page.getByRole("grid", { name: /^Rows of/ });
  await expect(rows.getByRole("gridcell", { name: "low" })).toBeVisible();
  await isAccessible(page);
  const files = page.getByRole("region", { name: "Files" });
  const download = page.waitForEvent("download");
  await files
    .getByRole("button", { name: /^counts-/ })
    .first()
    .click();
  const path = await (await download).path();
  expect(await readFile(path, "utf8")).toContain("word");
});

test("a run is exported as one file", async ({ page, request }) => {
  const run = await finished(request, "exported", COUNT);
  await page.goto(`/runs/${run.id}`);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe(`exported ${run.id}.html`);
  expect(await readFile(await file.path(), "utf8")).toContain(run.id);
});

test("an exported file says which stage failed", async ({ page, request }) => {
  const run = await finished(request, "kept though wrong", WRONG);
  const file = join(await mkdtemp(join(tmpdir(), "weir-e2e-")), "run.html");
  await writeFile(file, await (await request.get(`/api/v1/runs/${run.id}/export`)).body());
  await page.goto(`file://${file}`);
  const failed = page
    .locator("#stages")
    .getByRole("row")
    .filter({ has: page.getByRole("cell", { name: "failed", exact: true }) });
  await expect(failed).toHaveCount(1);
  await expect(failed.getByRole("cell").first()).toHaveText(new RegExp(`^${run.reason?.stage ?? "no stage"} `));
});

test("an exported file has every task, sorted and chosen without a server", async ({ page, request }) => {
  const run = await finishedSql(request, "kept", SPREAD, spread(40));
  const last = run.stages.reduce((most, stage) => (stage.tasks > most.tasks ? stage : most));
  const total = run.stages.reduce((sum, stage) => sum + stage.tasks, 0);
  const file = join(await mkdtemp(join(tmpdir(), "weir-e2e-")), "run.html");
  await writeFile(file, await (await request.get(`/api/v1/runs/${run.id}/export`)).body());
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => !request.url().startsWith("file:") && errors.push(request.url()));
  await page.goto(`file://${file}`);
  const tasks = page.locator("#tasks");
  await expect(tasks.getByRole("status")).toContainText(`of ${total}`);
  const rows = tasks.getByRole("row");
  await expect(rows).toHaveCount(total + 1);
  await tasks.getByRole("button", { name: "Rows in" }).click();
  await expect(tasks.getByRole("columnheader", { name: "Rows in" })).toHaveAttribute("aria-sort", "descending");
  await tasks.getByRole("combobox", { name: "Stage" }).selectOption(String(last.id));
  await expect(rows).toHaveCount(last.tasks + 1);

  // The most of a stage's rows stands for the task that has them.
  await page.getByText(`Stage ${last.id}:`).click();
  const spreadOver = page.getByRole("row", { name: /^Rows in/ }).locator(`td[data-stage="${last.id}"]`);
  const most = await spreadOver.last().textContent();
  await spreadOver.last().getByRole("button").click();
  await expect(tasks.getByRole("button", { name: /remove this filter/ })).toBeVisible();
  await expect(rows.nth(1).getByRole("cell").nth(8)).toHaveText(most ?? "");
  expect(await rows.count()).toBeLessThan(last.tasks);

  // Every attempt that a worker ran is drawn, in the window that its reader chooses.
  const timeline = page.locator("#timeline");
  const status = timeline.getByRole("status");
  await expect(status).toHaveText(/^\d+ attempts in \d+ slots$/);
  const painted = () =>
    timeline.locator("canvas").evaluate((canvas: HTMLCanvasElement) => {
      const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
      const colours = new Set<string>();
      for (let at = 0; at < pixels.length; at += 4) colours.add(pixels.slice(at, at + 3).join());
      return colours.has("68,147,248") || colours.has("63,185,80");
    });
  await expect.poll(painted).toBe(true);
  await timeline.getByRole("button", { name: "Zoom in" }).click();
  await expect(status).toContainText("from ");
  await timeline.getByRole("button", { name: "All", exact: true }).click();
  await expect(status).not.toContainText("from ");
  await isAccessible(page);
  expect(errors).toEqual([]);
});

test("the end of many tasks is there at once, however they are sorted", async ({ page, request }) => {
  const statement = "select value % 5000 as k, count(*) as n from generate_series(1, 50000) group by 1";
  const run = await finishedSql(request, "many tasks", statement, spread(700));
  const total = run.stages.reduce((sum, stage) => sum + stage.tasks, 0);
  expect(total).toBeGreaterThanOrEqual(700);
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/tasks?") && asked.push(request.url()));
  for (const sort of ["", "?sort=elapsed_us"]) {
    await page.goto(`/runs/${run.id}/tasks${sort}`);
    const grid = page.getByRole("grid", { name: "Tasks" });
    await expect(grid).toHaveAttribute("aria-rowcount", String(total + 1));
    asked.length = 0;
    await grid.focus();
    await page.keyboard.press("End");
    const end = grid.getByRole("row").and(page.locator(`[aria-rowindex="${total + 1}"]`));
    await expect(end.getByRole("gridcell").first()).toHaveText(/^\d+\.\d+$/);
    await expect(end).toBeInViewport();
    expect(asked.length, asked.join("\n")).toBeLessThanOrEqual(2);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("complementary", { name: /^Task \d+\.\d+$/ })).toBeVisible();
    await page.keyboard.press("Escape");
  }
});
