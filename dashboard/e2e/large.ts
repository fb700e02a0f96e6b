// A run of very many tasks, from its history alone: `npm run e2e:large` with WEIR_HISTORY, a folder that the bench
// `history` kept. How long a jump takes is measured in the page, from the key to the rows.

import { expect, test, type Page } from "@playwright/test";

import type { RunPage } from "../src/api/types";

/** Milliseconds from a jump to its rows. */
const MOST = 300;

/** Presses a key; gives how long it takes until the row of a place is there. */
async function jump(page: Page, key: string, row: number): Promise<number> {
  const taken = await page.evaluateHandle((row) => {
    const place = `[role="row"][aria-rowindex="${row}"] [role="gridcell"]`;
    const isThere = () => /^\d+\.\d+$/.test(document.querySelector(place)?.textContent ?? "");
    const taken = new Promise<number>((resolve) => {
      const onKeyDown = () => {
        const pressed = performance.now();
        const look = () => (isThere() ? resolve(performance.now() - pressed) : requestAnimationFrame(look));
        look();
      };
      document.addEventListener("keydown", onKeyDown, { once: true, capture: true });
    });
    return { taken };
  }, row);
  await page.keyboard.press(key);
  return taken.evaluate(({ taken }) => taken);
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

    // Scrolled through from top to bottom, frames stay short.
    const frames = await grid.evaluate(async (grid) => {
      const frames: number[] = [];
      let before = performance.now();
      for (let step = 0; step <= 120; step += 1) {
        grid.scrollTop = (grid.scrollHeight * step) / 120;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        frames.push(performance.now() - before);
        before = performance.now();
      }
      return frames.sort((a, b) => a - b);
    });
    const [median, slowest] = [frames[60] ?? 0, frames.at(-1) ?? 0];
    console.log(`scrolling: a frame takes ${median.toFixed(0)} ms, at most ${slowest.toFixed(0)} ms`);
    expect(median).toBeLessThan(50);
  }
});
