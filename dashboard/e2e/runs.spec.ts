// The list of runs, and the frame around all pages.

import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";
import { COUNT, finished, submit, WRONG } from "./server";

test("a run appears by itself", async ({ page, request }) => {
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Runs", level: 1 })).toBeVisible();
  const run = await finished(request, "count words", COUNT);
  const row = page.getByRole("row", { name: new RegExp(`count words.*${run.id}`) });
  await expect(row.getByText("Succeeded")).toBeVisible();
  await isAccessible(page);
  await row.getByRole("link").click();
  await expect(page).toHaveURL(new RegExp(run.id));
  await expect(page.getByRole("heading", { name: "count words", level: 1 })).toBeVisible();
});

test("runs are filtered by how they ended and by words, and the address remembers it", async ({ page, request }) => {
  await finished(request, "wrong", WRONG);
  await submit(request, "another", COUNT);
  await page.goto("/");
  await page.getByRole("button", { name: "Failed" }).click();
  const wrong = page.getByRole("row", { name: /wrong/ }).first();
  await expect(wrong.getByText("the rows are not those that are expected")).toBeVisible();
  await expect(page.getByRole("row", { name: /another/ })).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole("button", { name: "Failed" })).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "All" }).click();
  await page.getByRole("heading", { name: "Runs", level: 1 }).click();
  await page.keyboard.press("/");
  const find = page.getByRole("searchbox", { name: "Find runs" });
  await expect(find).toBeFocused();
  await page.keyboard.type("ANOTHER team=weirs");
  await expect(page.getByRole("row", { name: /wrong/ })).toHaveCount(0);
  await expect(page.getByRole("row", { name: /another/ }).first()).toBeVisible();
  await expect(page).toHaveURL(/search=ANOTHER/);
  const fresh = await submit(request, "another one", COUNT);
  await submit(request, "something else", COUNT);
  await expect(page.getByRole("row", { name: new RegExp(fresh.id) })).toBeVisible();
  await expect(page.getByRole("row", { name: /something else/ })).toHaveCount(0);
  await page.reload();
  await expect(find).toHaveValue("ANOTHER team=weirs");
  await expect(page.getByRole("row", { name: new RegExp(fresh.id) })).toBeVisible();
  await find.fill(fresh.id.slice(0, 20));
  await expect(page.getByRole("row", { name: new RegExp(fresh.id) })).toBeVisible();
  await find.fill("no job of this name");
  await expect(page.getByRole("heading", { name: "No run is like that" })).toBeVisible();
  await isAccessible(page);
});

test("a label of a run shows those that have it too", async ({ page, request }) => {
  const labelled = await finished(request, "labelled", COUNT);
  await request.post("/api/v1/runs", { data: { name: "unlabelled", pipeline: COUNT, labels: { team: "a,b" } } });
  await page.goto("/");
  await expect(page.getByRole("row", { name: /unlabelled/ })).toBeVisible();
  await page
    .getByRole("row", { name: new RegExp(labelled.id) })
    .getByRole("button", { name: "team=weirs" })
    .click();
  await expect(page).toHaveURL(/label=team%3Dweirs/);
  await expect(page.getByRole("row", { name: /unlabelled/ })).toHaveCount(0);
  await expect(page.getByRole("row", { name: new RegExp(labelled.id) })).toBeVisible();
  await isAccessible(page);
  await page.goto("/?label=team%3Da%2Cb");
  await expect(page.getByRole("row", { name: /unlabelled/ })).toBeVisible();
  await expect(page.getByRole("row", { name: new RegExp(labelled.id) })).toHaveCount(0);
  await page.getByRole("button", { name: /Remove this filter/ }).click();
  await expect(page.getByRole("row", { name: new RegExp(labelled.id) })).toBeVisible();
  await page.getByRole("combobox", { name: "Submitted" }).selectOption("1h");
  await expect(page).toHaveURL(/since=1h/);
  await expect(page.getByRole("row", { name: new RegExp(labelled.id) })).toBeVisible();
});

test("two runs are picked to be compared", async ({ page, request }) => {
  const runs = [await finished(request, "picked", COUNT), await finished(request, "picked", COUNT)];
  await page.goto("/?search=picked");
  for (const run of runs) await page.getByRole("checkbox", { name: new RegExp(run.id) }).check();
  await page.reload();
  await page.getByRole("button", { name: "Compare two runs" }).click();
  const [a, b] = runs.map((run) => run.id).sort();
  await expect(page).toHaveURL(new RegExp(`compare\\?a=${a ?? ""}&b=${b ?? ""}`));
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
  await expect(page.getByRole("heading", { name: "Runs", level: 1 })).toBeVisible();
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

test("a server that does not answer is said, and it is asked again", async ({ page }) => {
  await page.route("**/api/v1/runs?*", (route) => route.abort());
  await page.goto("/");
  await expect(page.getByRole("alert").getByText("The server does not answer")).toBeVisible({ timeout: 20_000 });
  await isAccessible(page);
  await page.unroute("**/api/v1/runs?*");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
});
