// A run of very many tasks, from its history alone: `npm run e2e:large` with WEIR_HISTORY, a folder that the bench
// `history` kept. How long a jump takes is measured in the page, from the key to the rows.

import { expect, test, type Page } from "@playwright/test";

import type { RunPage } from "../src/api/types";

/** Milliseconds from a jump to its rows. */
const MOST = 300;

/** Presses a key; gives how long it takes until the row of a place is there. */
async function jump(page: Page, key: string, row: number): Promise<number> {
  const waiting = page.evaluate(
    async ({ row }) => {
      const pressed = await new Promise<number>((resolve) =>
        document.addEventListener("keydown", () => resolve(performance.now()), { once: true, capture: true }),
      );
      const place = `[role="row"][aria-rowindex="${row}"] [role="gridcell"]`;
      while (!/^\d+\.\d+$/.test(document.querySelector(place)?.textContent ?? "")) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
      return performance.now() - pressed;
    },
    { row },
  );
  await page.keyboard.press(key);
  return waiting;
}

test("the last of very many tasks are there at once", async ({ page, request }) => {
  const runs = (await (await request.get("/api/v1/runs")).json()) as RunPage;
  const run = runs.items.reduce((most, run) => (run.tasks > most.tasks ? run : most));
  expect(run.tasks).toBeGreaterThanOrEqual(100_000);
  for (const sort of ["", "?sort=elapsed_us", "?sort=worker&state=succeeded"]) {
    await page.goto(`/runs/${run.id}/tasks${sort}`);
    const grid = page.getByRole("grid", { name: "Tasks" });
    await expect(grid).toHaveAttribute("aria-rowcount", String(run.tasks + 1));
    await grid.focus();
    const times: number[] = [];
    for (const [key, row] of [
      ["End", run.tasks + 1],
      ["Home", 2],
      ["End", run.tasks + 1],
    ] as const) {
      times.push(await jump(page, key, row));
    }
    console.log(`${sort || "in order"}: ${times.map((time) => `${time.toFixed(0)} ms`).join(", ")}`);
    for (const time of times) expect(time).toBeLessThan(MOST);

    // Scrolled through from top to bottom, no frame takes long.
    const slowest = await grid.evaluate(async (grid) => {
      let [slowest, before] = [0, performance.now()];
      for (let step = 0; step <= 120; step += 1) {
        grid.scrollTop = (grid.scrollHeight * step) / 120;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        slowest = Math.max(slowest, performance.now() - before);
        before = performance.now();
      }
      return slowest;
    });
    console.log(`scrolling: a frame takes at most ${slowest.toFixed(0)} ms`);
    expect(slowest).toBeLessThan(200);
  }
});
