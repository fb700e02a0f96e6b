// A run that goes on while its page is open.

import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";
import { submitSql } from "./server";

/** Takes some seconds: every pair of two series is looked at. */
const SLOW =
  "select a.value % 7 as k, count(*) as n from generate_series(1, 20000) a, generate_series(1, 10000) b " +
  "where (a.value * b.value) % 11 = 3 group by 1";

/** Lets the first stream of the page break after the piece that has the first event, as a network does. */
function cutFirstStream() {
  const real = window.fetch.bind(window);
  let first = true;
  window.fetch = async (input, init) => {
    const answer = await real(input, init);
    if (!first || !answer.body || !new URL(answer.url).pathname.endsWith("/stream")) return answer;
    first = false;
    const reader = answer.body.getReader();
    let heard = "";
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (heard.includes("data:")) {
          await reader.cancel();
          controller.error(new TypeError("the connection is lost"));
          return;
        }
        const { value } = await reader.read();
        if (!value) return;
        heard += new TextDecoder().decode(value);
        controller.enqueue(value);
      },
    });
    return new Response(body, answer);
  };
}

test("its page follows it over one stream, which goes on where it was cut", async ({ page, request }) => {
  // The run takes what the machine gives it.
  test.setTimeout(200_000);
  const streams: string[] = [];
  const asked: string[] = [];
  page.on("request", (sent) => {
    const { pathname, search } = new URL(sent.url());
    if (pathname === "/api/v1/stream") streams.push(search);
    if (/^\/api\/v1\/runs\/[^/]+$/.test(pathname)) asked.push(pathname);
  });
  await page.addInitScript(cutFirstStream);
  const run = await submitSql(request, "slow", SLOW);
  await page.goto(`/runs/${run.id}`);
  await expect(page.locator(".state.busy").first()).toBeVisible();
  // The connection was cut after its first words: the next one says what has been heard.
  await expect.poll(() => streams.length).toBe(2);
  expect(decodeURIComponent(streams[1] ?? "")).toContain(`last_event_id=run:${run.id}=`);
  await isAccessible(page);

  await expect(page.locator(".run-header .state.good")).toHaveText("Succeeded", { timeout: 150_000 });
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

test("it can be paused and goes on again", async ({ page, request }) => {
  const run = await submitSql(request, "to pause", SLOW);
  await page.goto(`/runs/${run.id}`);
  await page.getByRole("button", { name: "Pause" }).click();
  const state = page.locator(".run-header .state").first();
  await expect(state).toHaveText(/Pausing|Paused/);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(state).toHaveText("Running");
  await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();
  await request.post(`/api/v1/runs/${run.id}/cancel`);
});
