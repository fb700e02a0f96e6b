import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Page } from "@playwright/test";

import { COUNT, finished, submit, WRONG } from "./server";

/** No finding of axe, in both themes. */
async function isAccessible(page: Page) {
  for (const theme of ["light", "dark"]) {
    await page.evaluate((theme) => (document.documentElement.dataset["theme"] = theme), theme);
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.map((violation) => ({
      rule: violation.id,
      where: violation.nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary ?? ""}`),
    }));
    expect(found, theme).toEqual([]);
  }
}

test.describe.configure({ mode: "serial" });

test("nothing has run yet", async ({ page }) => {
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Nothing has run yet" })).toBeVisible();
  await expect(page.getByText("weir submit")).toBeVisible();
  await isAccessible(page);
  expect(errors).toEqual([]);
});

test("a run appears by itself, and its page tells what it did", async ({ page, request }) => {
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Nothing has run yet" })).toBeVisible();
  const run = await finished(request, "count words", COUNT);
  const row = page.getByRole("row", { name: /count words/ });
  await expect(row.getByText("Succeeded")).toBeVisible();
  await isAccessible(page);

  await row.getByRole("link").click();
  await expect(page).toHaveURL(new RegExp(run.id));
  await expect(page.getByRole("heading", { name: "count words", level: 1 })).toBeVisible();
  const graph = page.getByRole("region", { name: "Graph of stages" });
  for (const stage of run.stages) await expect(graph.getByRole("button", { name: stage.name }).first()).toBeVisible();
  await expect(page.getByRole("region", { name: "Stages", exact: true }).getByRole("row")).toHaveCount(
    run.stages.length + 1,
  );
  await isAccessible(page);
});

test("every view of a run can be linked to", async ({ page, request }) => {
  const run = await finished(request, "linked", COUNT);
  await page.goto(`/runs/${run.id}/logs`);
  await expect(page.getByRole("log").getByText("low").first()).toBeVisible();
  await page.getByRole("searchbox", { name: "Find in the lines" }).fill("nothing like this");
  await expect(page.getByRole("heading", { name: "No line has that" })).toBeVisible();
  await isAccessible(page);
  await page.goto(`/runs/${run.id}/configuration`);
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
});

test("every attempt is on the timeline and in the table", async ({ page, request }) => {
  const run = await finished(request, "timed", COUNT);
  await page.goto(`/runs/${run.id}`);
  await expect(page.getByRole("img", { name: /attempts over/ })).toBeVisible();
  await page.goto(`/runs/${run.id}/tasks?stage=0`);
  const table = page.getByRole("table", { name: "Attempts" });
  await expect(table.getByRole("cell", { name: "0.0", exact: true })).toBeVisible();
  await expect(table.getByText("Accepted").first()).toBeVisible();
  await page.getByRole("button", { name: "Took" }).click();
  await expect(page.getByRole("columnheader", { name: "Took" })).toHaveAttribute("aria-sort", "ascending");
  await expect(page.getByRole("region", { name: "Spread over tasks" }).getByRole("row")).toHaveCount(9);
  await isAccessible(page);
});

test("a failed run says why, and can be run again", async ({ page, request }) => {
  const run = await finished(request, "wrong", WRONG);
  expect(run.result).toBe("failed");
  await page.goto(`/runs/${run.id}`);
  await expect(page.locator(".state.bad").first()).toHaveText("Failed");
  await expect(page.getByRole("status").getByText(run.reason?.message.split("\n")[0] ?? "a message")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Run again" }).click();
  const dialog = page.getByRole("dialog", { name: "Run this again?" });
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Run again" }).click();
  await expect(page).not.toHaveURL(new RegExp(run.id));
  await expect(page.getByRole("link", { name: "tries another run again" })).toHaveAttribute("href", `/runs/${run.id}`);
});

test("runs are filtered by how they ended and by name, and the address remembers it", async ({ page, request }) => {
  await submit(request, "another", COUNT);
  await page.goto("/");
  await page.getByRole("button", { name: "Failed" }).click();
  await expect(page.getByRole("row", { name: /wrong/ }).first()).toBeVisible();
  await expect(page.getByRole("row", { name: /another/ })).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole("button", { name: "Failed" })).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "All" }).click();
  await page.getByRole("searchbox", { name: "Job name" }).fill("another");
  await expect(page.getByRole("row", { name: /wrong/ })).toHaveCount(0);
  await expect(page.getByRole("row", { name: /another/ }).first()).toBeVisible();
});

test("what is not there is said kindly", async ({ page }) => {
  await page.goto("/runs/01jz0000000000000000000000");
  await expect(page.getByRole("heading", { name: "There is no such run" })).toBeVisible();
  await page.goto("/no/such/page");
  await expect(page.getByRole("heading", { name: "There is no such page" })).toBeVisible();
  await isAccessible(page);
});

test("the keyboard reaches everything, and the theme is remembered", async ({ page }) => {
  await page.goto("/");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  const theme = page.getByRole("button", { name: /^Theme/ });
  await theme.focus();
  await page.keyboard.press("Enter");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
  await page.keyboard.press("Enter");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});
