// A run that goes on while its page is open.

import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";
import { submitSql } from "./server";

/** Takes some seconds: every pair of two series is looked at. */
const SLOW =
  "select a.value % 7 as k, count(*) as n from generate_series(1, 40000) a, generate_series(1, 20000) b " +
  "where (a.value * b.value) % 11 = 3 group by 1";

test("its page follows it over one stream, which goes on where it was cut", async ({ page, request }) => {
  const streams: string[] = [];
  const asked: string[] = [];
  page.on("request", (sent) => {
    const { pathname, search } = new URL(sent.url());
    if (pathname === "/api/v1/stream") streams.push(search);
    if (/^\/api\/v1\/runs\/[^/]+$/.test(pathname)) asked.push(pathname);
  });
  const run = await submitSql(request, "slow", SLOW);
  await page.goto(`/runs/${run.id}`);
  await expect(page.locator(".state.busy").first()).toBeVisible();
  await expect.poll(() => streams.length).toBe(1);
  await isAccessible(page);

  await page.context().setOffline(true);
  await page.context().setOffline(false);
  await expect(page.locator(".run-header .state.good")).toHaveText("Succeeded", { timeout: 45_000 });
  await expect(page.getByRole("progressbar").first()).toHaveAttribute("aria-valuetext", /0 running/);
  // The page was told; it did not ask every second.
  expect(asked.length).toBeLessThan(6);
  expect(decodeURIComponent(streams[0] ?? "")).toContain(`run:${run.id}`);
});

test("it can be cancelled, after a question", async ({ page, request }) => {
  const run = await submitSql(request, "to cancel", SLOW);
  await page.goto(`/runs/${run.id}`);
  await page.getByRole("button", { name: "Cancel" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel this run?" });
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await expect(dialog).toHaveCount(0);
  await page.getByRole("button", { name: "Cancel" }).click();
  await dialog.getByRole("button", { name: "Cancel the run" }).click();
  await expect(page.locator(".run-header .state").first()).toHaveText("Cancelled", { timeout: 20_000 });
  await expect(page.getByRole("button", { name: "Run again" })).toBeVisible();
});
