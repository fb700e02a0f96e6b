// Pipelines, schedules, SQL, modules, workers and settings, over a real server.

import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";
import { COUNT, submitSql } from "./server";

/** A component with one function, for pipelines. */
const COMPONENT = "../examples/wordcount/tokenizer.wasm";
/** One whose functions SQL can call. */
const TEXTKIT = "../examples/textkit/textkit.wasm";

/** What a page writes to the console is a mistake of the page. */
test.beforeEach(({ page }) => {
  page.on("pageerror", (error) => expect(error).toBeUndefined());
});

test("a pipeline is made, changed, compared with itself, run and deleted", async ({ page }) => {
  await page.goto("/pipelines");
  await expect(page.getByRole("heading", { name: "There are no pipelines yet" })).toBeVisible();
  await isAccessible(page);

  await page.getByRole("link", { name: "New pipeline" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Words");
  await expect(page.getByText("A name like nightly-revenue")).toBeVisible();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("words");
  await page.getByRole("textbox", { name: "Pipeline", exact: true }).fill("pipeline:\n  type: chai\n  transforms: [");
  await page.getByRole("button", { name: "Make the pipeline" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page.locator(".code-line.marked")).toHaveCount(1);
  await isAccessible(page);

  await page.getByRole("textbox", { name: "Pipeline", exact: true }).fill(COUNT.trimStart());
  await page.getByRole("textbox", { name: "Description" }).fill("Counts words");
  await page.getByRole("button", { name: "Make the pipeline" }).click();
  await expect(page).toHaveURL(/\/pipelines\/words$/);
  await expect(page.getByRole("region", { name: "Job" })).toContainText("group_by: word");
  await isAccessible(page);

  await page.getByRole("link", { name: "Edit" }).click();
  const job = page.getByRole("textbox", { name: "Pipeline", exact: true });
  await job.fill((await job.inputValue()).replace("    - type: LogForTesting\n", ""));
  await page.getByRole("textbox", { name: "What is new" }).fill("Logs nothing");
  await page.getByRole("textbox", { name: "Settings" }).fill('{ "target_partitions": 2');
  await expect(page.getByRole("button", { name: "Save as a new version" })).toBeDisabled();
  await page.getByRole("textbox", { name: "Settings" }).fill('{ "target_partitions": 2 }');
  await page.getByRole("button", { name: "Save as a new version" }).click();
  await expect(page).toHaveURL(/\/pipelines\/words$/);

  await page.getByRole("link", { name: /^Versions/ }).click();
  await expect(page.getByRole("cell", { name: "Logs nothing" })).toBeVisible();
  await expect(page.getByRole("region", { name: "Changes of the job" })).toContainText("removed: ");
  await expect(page.getByRole("region", { name: "Changes of the options" })).toContainText("target_partitions");
  await page.getByRole("radio", { name: "Compare from version 2" }).check();
  await expect(page).toHaveURL(/from=2/);
  await expect(page.getByText("They run the same.")).toBeVisible();
  await isAccessible(page);

  await page.getByRole("button", { name: "Run", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Run words" });
  await dialog.getByRole("textbox", { name: "Version" }).fill("3");
  await expect(dialog.getByText("A whole number from 1 to 2")).toBeVisible();
  await dialog.getByRole("textbox", { name: "Version" }).fill("1");
  await dialog.getByRole("textbox", { name: "Labels: key 1" }).fill("why");
  await dialog.getByRole("textbox", { name: "Labels: value 1" }).fill("a test");
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Run", exact: true }).click();
  await expect(page).toHaveURL(/\/runs\//);
  await expect(page.getByText("Succeeded").first()).toBeVisible();

  await page.goto("/pipelines/words/runs");
  const run = page.getByRole("region", { name: "Runs" }).getByRole("row").nth(1);
  await expect(run).toContainText("v1");
  await isAccessible(page);
});

test("a schedule shows its next times before it is made, and can be suspended", async ({ page }) => {
  await page.goto("/schedules");
  await expect(page.getByRole("heading", { name: "There are no schedules yet" })).toBeVisible();
  await isAccessible(page);
  await page.goto("/schedules/-/new?pipeline=words");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("nightly-words");
  await page.getByRole("combobox", { name: "Time zone" }).fill("Europe/Berlin");
  const times = page.getByRole("region", { name: "Next times" });
  await expect(times.getByRole("listitem")).toHaveCount(10);
  await page.getByRole("textbox", { name: "When" }).fill("61 * * * *");
  await expect(page.getByRole("textbox", { name: "When" })).toHaveAttribute("aria-invalid", "true");
  await isAccessible(page);
  await page.getByRole("button", { name: "Every week" }).click();
  await expect(page.getByRole("textbox", { name: "When" })).toHaveValue("0 3 * * MON");
  await expect(times.getByRole("listitem").first()).toContainText("Mon");
  await page.getByRole("combobox", { name: "While a run of it is under way" }).selectOption("replace");
  await page.getByRole("button", { name: "Make the schedule" }).click();

  await expect(page).toHaveURL(/\/schedules\/nightly-words$/);
  await expect(page.getByText("Scheduled", { exact: true })).toBeVisible();
  await expect(page.getByText("replaces it")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Suspend" }).click();
  await expect(page.getByText("Suspended", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Run now" }).click();
  await page.getByRole("button", { name: "Make a run" }).click();
  await expect(page).toHaveURL(/\/runs\//);

  await page.goto("/schedules?state=scheduled");
  await expect(page.getByRole("heading", { name: "No schedule here is like that" })).toBeVisible();
  await page.getByRole("button", { name: "Show all" }).click();
  const row = page.getByRole("row", { name: /nightly-words/ });
  await expect(row).toContainText("Europe/Berlin");
  await isAccessible(page);

  await row.getByRole("link", { name: "nightly-words" }).click();
  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Succeeded runs to keep" }).fill("5");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("5 succeeded, all failed")).toBeVisible();
  await expect(page.getByText("Suspended", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the schedule" }).click();
  await expect(page.getByRole("heading", { name: "There are no schedules yet" })).toBeVisible();
});

test("a pipeline that is deleted is gone", async ({ page }) => {
  await page.goto("/pipelines/words");
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Leave it" }).click();
  await expect(page.getByRole("heading", { name: "words", level: 1 })).toBeVisible();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the pipeline" }).click();
  await expect(page.getByRole("heading", { name: "There are no pipelines yet" })).toBeVisible();
  await page.goto("/pipelines/words");
  await expect(page.getByRole("heading", { name: "There is no such pipeline" })).toBeVisible();
});

test("workers are there with their slots", async ({ page }) => {
  await page.goto("/workers");
  const row = page.getByRole("grid", { name: "Workers" }).getByRole("row").nth(1);
  await expect(row).toContainText("Active");
  await expect(row).toContainText("0 of");
  await isAccessible(page);
  await page.getByRole("button", { name: "Lost" }).click();
  await expect(page.getByRole("heading", { name: "No worker is like that" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("button", { name: "Lost" })).toHaveAttribute("aria-pressed", "true");
  await isAccessible(page);
});

test("a worker shows what it runs", async ({ page, request }) => {
  const statement =
    "select a.value % 10 as k, count(*) as n from generate_series(1, 100000) a, generate_series(1, 100000) b " +
    "where sin(a.value * b.value) > 2 group by 1";
  const run = await submitSql(request, "endless", statement, { target_partitions: 1 });
  await page.goto("/workers");
  const row = page.getByRole("grid", { name: "Workers" }).getByRole("row").nth(1);
  await expect(row.getByRole("link", { name: "0.0" })).toBeVisible();
  await row.getByText("Active").click();
  const panel = page.getByRole("complementary");
  await expect(panel.getByRole("link", { name: run.id })).toBeVisible();
  await isAccessible(page);
  await page.keyboard.press("Escape");
  await expect(panel).toHaveCount(0);
  await row.getByRole("link", { name: "0.0" }).click();
  await expect(page).toHaveURL(new RegExp(`/runs/${run.id}/tasks\\?stage=0&task=0\\.0$`));
  await expect(page.getByRole("complementary", { name: "Task 0.0" })).toBeVisible();
  await request.post(`/api/v1/runs/${run.id}/cancel`);
  await request.get(`/api/v1/runs/${run.id}?wait=30`);
  await page.goto("/workers");
  await expect(row).toContainText("0 of", { timeout: 30_000 });
});

test("a quota is set, shown beside what is used, and checked", async ({ page }) => {
  await page.goto("/settings");
  await expect(page.getByText("no limit").first()).toBeVisible();
  await page.getByRole("button", { name: "Change", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Quota of default" });
  await dialog.getByRole("textbox", { name: "Runs under way" }).fill("x");
  await expect(dialog.getByRole("button", { name: "Save" })).toBeDisabled();
  await dialog.getByRole("textbox", { name: "Runs under way" }).fill("7");
  await dialog.getByRole("textbox", { name: "Storage, GiB" }).fill("1.5");
  await isAccessible(page);
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("meter", { name: "Runs under way" })).toHaveAttribute("aria-valuetext", "0 of 7");
  await expect(page.getByText("of 1.5 GiB")).toBeVisible();
  await isAccessible(page);
});

test("a key is shown once and is revoked", async ({ page }) => {
  await page.goto("/settings/keys");
  await expect(page.getByRole("heading", { name: "There are no keys yet" })).toBeVisible();
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("a test");
  await page.getByRole("combobox", { name: "Role" }).selectOption("viewer");
  await isAccessible(page);
  await page.getByRole("button", { name: "Make the key" }).click();
  const secret = await page.getByLabel("The secret", { exact: true }).innerText();
  expect(secret).toMatch(/^weir_[0-9A-Za-z]{36}$/);
  await isAccessible(page);
  await page.getByRole("button", { name: "I have it" }).click();
  await expect(page.getByText(secret)).toHaveCount(0);
  await expect(page.getByRole("row", { name: /a test/ })).toContainText("viewer");
  await page.getByRole("button", { name: "Revoke a test" }).click();
  await page.getByRole("button", { name: "Revoke the key" }).click();
  await expect(page.getByText("Revoked", { exact: true })).toBeVisible();
  await isAccessible(page);
});

test("namespaces keep what is theirs to themselves", async ({ page }) => {
  await page.goto("/settings/namespaces");
  await page.getByRole("button", { name: "New namespace" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("revenue");
  await page.getByRole("textbox", { name: "Name for people" }).fill("Revenue");
  await page.getByRole("button", { name: "Make the namespace" }).click();
  await expect(page.getByRole("row", { name: /revenue/ })).toBeVisible();
  await isAccessible(page);

  await page.getByRole("button", { name: /^Namespace/ }).click();
  await page
    .getByRole("dialog", { name: "Account and namespace" })
    .getByRole("button", { name: /revenue/ })
    .click();
  await expect(page).toHaveURL(/\/$/);
  await expect(page.getByRole("heading", { name: "Nothing has run yet" })).toBeVisible();
  await isAccessible(page);
  // The next visit is to the same namespace, and a link can name another.
  await page.goto("/settings");
  await expect(page.getByRole("heading", { name: "Quota of revenue" })).toBeVisible();
  await page.goto("/settings?namespace=default");
  await expect(page.getByRole("heading", { name: "Quota of default" })).toBeVisible();
  await expect(page).toHaveURL(/\/settings$/);
  // One that is not there is not held on to.
  await page.goto("/settings?namespace=nowhere");
  await expect(page.getByRole("heading", { name: "Quota of default" })).toBeVisible();

  await page.goto("/settings/namespaces");
  await page.getByRole("button", { name: "Delete revenue" }).click();
  await page.getByRole("button", { name: "Delete the namespace" }).click();
  await expect(page.getByRole("row", { name: /revenue/ })).toHaveCount(0);
});

test("SQL is written, run and read in a grid", async ({ page, context }) => {
  test.slow();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const folder = await mkdtemp(join(tmpdir(), "weir-e2e-"));
  const path = join(folder, "orders.csv");
  const rows = Array.from({ length: 3000 }, (_, id) => `${id},${id % 3 === 0 ? "open" : "shipped"},${id * 1.5}`);
  await writeFile(path, `id,status,amount\n${rows.join("\n")}\n`);

  await page.goto("/sql");
  await expect(page.getByRole("heading", { name: "Rows appear here" })).toBeVisible();
  await isAccessible(page);
  await page.getByRole("textbox", { name: "Path of a file, glob or folder" }).fill(path);
  await page.getByRole("button", { name: "Add" }).click();
  const editor = page.getByRole("textbox", { name: "SQL", exact: true });
  await editor.fill("SELECT id, statu FROM orders");
  await expect(page.locator(".code-line.marked")).toHaveCount(1);
  await expect(page.locator("#sql-status")).toContainText("statu");
  await isAccessible(page);

  await editor.fill("-- all of them\nSELECT id, status, amount, NULL AS nothing FROM orders ORDER BY id");
  await expect(page.locator("#sql-status")).toContainText("4 columns");
  await editor.press("Control+Enter");
  const grid = page.getByRole("grid", { name: "Rows" });
  await expect(grid.getByRole("columnheader", { name: /status/ })).toBeVisible();
  await expect(grid.getByRole("gridcell", { name: "shipped" }).first()).toBeVisible();
  await isAccessible(page);

  await grid.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowDown");
  await page.keyboard.press("Control+c");
  await expect(page.getByText("2 cells copied")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("open\nshipped");
  // The rows come page by page until the last is there.
  await expect(async () => {
    await page.keyboard.press("Control+End");
    await expect(page.getByText("3,000 rows, 4 columns")).toBeVisible({ timeout: 500 });
  }).toPass();
  await page.keyboard.press("Control+End");
  await page.keyboard.press("Home");
  await expect(grid.getByRole("gridcell", { name: "2999", exact: true })).toBeVisible();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog", { name: "id, row 3,000" })).toContainText("2999");
  await page.keyboard.press("Escape");

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download CSV" }).click();
  const file = await (await download).path();
  expect((await readFile(file, "utf8")).trimEnd().split("\n")).toHaveLength(3001);

  await page.getByRole("button", { name: "Plan" }).click();
  await expect(page.getByRole("region", { name: "Logical plan" })).toContainText("Sort");
  await isAccessible(page);
  await page.reload();
  await expect(editor).toHaveValue(/all of them/);
  await expect(page.getByRole("region", { name: "Logical plan" })).toContainText("Sort");

  await page.getByRole("button", { name: "Result", exact: true }).click();
  await editor.fill("SELECT 1 / 0; SELECT 2 AS two");
  await editor.press("Control+Enter");
  await expect(grid.getByRole("columnheader", { name: /two/ })).toBeVisible();
  await page.getByRole("link", { name: /all of them/ }).click();
  await expect(grid.getByRole("columnheader", { name: /status/ })).toBeVisible();
  await expect(editor).toHaveValue(/all of them/);
});

test("a module is uploaded once, and shows what it exports", async ({ page }) => {
  await page.goto("/modules");
  await expect(page.getByRole("heading", { name: "There are no modules yet" })).toBeVisible();
  await isAccessible(page);
  const files = page.getByLabel("choose files");
  await files.setInputFiles(COMPONENT);
  const uploads = page.getByRole("region", { name: "Upload" });
  await expect(uploads.getByText("Uploaded", { exact: true })).toBeVisible();
  await files.setInputFiles({ name: "notes.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
  await expect(page.getByText("Failed", { exact: true })).toBeVisible();
  await files.setInputFiles(COMPONENT);
  await expect(page.getByText("Was there already")).toBeVisible();
  const row = page.getByRole("region", { name: "Modules" }).getByRole("row", { name: /tokenize/ });
  await expect(row).toHaveCount(1);
  await isAccessible(page);

  await row.getByRole("link").click();
  await expect(page.getByRole("heading", { name: "tokenize", level: 2 })).toBeVisible();
  await expect(page.getByText("flat_map")).toBeVisible();
  await expect(page.getByRole("cell", { name: "takes" }).first()).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the module" }).click();
  await expect(page.getByRole("heading", { name: "There are no modules yet" })).toBeVisible();
  await page.goto(`/modules/${"0".repeat(64)}`);
  await expect(page.getByRole("heading", { name: "There is no such module" })).toBeVisible();
});

test("SQL calls the functions of modules that are chosen", async ({ page }) => {
  test.slow();
  await page.goto("/sql");
  const editor = page.getByRole("textbox", { name: "SQL", exact: true });
  await editor.fill("SELECT slug('Weirs & Locks') AS slug");
  await expect(page.locator("#sql-status")).toContainText("slug");

  const modules = page.getByRole("region", { name: "Modules", exact: true });
  await modules.getByRole("button", { name: "Choose" }).click();
  const dialog = page.getByRole("dialog", { name: "Modules" });
  await expect(dialog.getByRole("heading", { name: "There are no modules yet" })).toBeVisible();
  await isAccessible(page);
  await dialog.getByLabel("choose files").setInputFiles([COMPONENT, TEXTKIT]);
  const textkit = dialog.getByRole("checkbox", { name: /edit_distance/ });
  await expect(textkit).toBeChecked();
  const tokenizer = dialog.getByRole("checkbox", { name: /tokenize/ });
  await expect(tokenizer).toBeChecked();
  await dialog.getByRole("searchbox", { name: "Function or digest" }).fill("slug");
  await expect(tokenizer).toHaveCount(0);
  await isAccessible(page);
  // With the keyboard alone.
  await textkit.press("Space");
  await expect(textkit).not.toBeChecked();
  await textkit.press("Space");
  await dialog.getByRole("searchbox", { name: "Function or digest" }).fill("nothing has this name");
  await expect(dialog.getByRole("heading", { name: "No module here is like that" })).toBeVisible();
  await dialog.getByRole("button", { name: "Done" }).press("Enter");
  await expect(dialog).toHaveCount(0);

  await expect(modules.getByText("no function that SQL can call")).toBeVisible();
  await expect(modules).toContainText("edit_distance(a: Utf8, b: Utf8) → Int64");
  await expect(page.locator("#sql-status")).toContainText("1 column");
  await isAccessible(page);
  await editor.press("Control+Enter");
  await expect(page.getByRole("gridcell", { name: "weirs-locks" })).toBeVisible();

  // The page is as it was left, and a function is written where the caret is.
  await page.reload();
  await expect(modules).toContainText("slug(text: Utf8) → Utf8");
  await editor.fill("SELECT ");
  await modules.getByRole("button", { name: "Write edit_distance into the statement" }).click();
  await expect(editor).toHaveValue("SELECT edit_distance(");
  await page.keyboard.type("'weir', 'wier') AS typos");
  await editor.press("Control+Enter");
  await expect(page.getByRole("grid", { name: "Rows" }).getByRole("gridcell", { name: "2" })).toBeVisible();
  await page.getByRole("link", { name: /slug\('Weirs/ }).click();
  await expect(page.getByRole("gridcell", { name: "weirs-locks" })).toBeVisible();

  // A link from the module's page, and one that was deleted meanwhile.
  await modules
    .getByRole("button", { name: /^Remove the module/ })
    .first()
    .click();
  await modules.getByRole("button", { name: /^Remove the module/ }).click();
  await expect(page.locator("#sql-status")).toContainText("slug");
  await page.goto("/modules");
  await page
    .getByRole("row", { name: /tokenize/ })
    .getByRole("link")
    .click();
  await expect(page.getByRole("heading", { name: "tokenize", level: 2 })).toBeVisible();
  await expect(page.getByRole("link", { name: "Use in SQL" })).toHaveCount(0);
  const tokenizerUrl = page.url();
  await page.goto("/modules");
  await page
    .getByRole("row", { name: /edit_distance/ })
    .getByRole("link")
    .click();
  await page.getByRole("link", { name: "Use in SQL" }).click();
  await expect(modules).toContainText("slug(text: Utf8) → Utf8");
  await expect(page.locator("#sql-status")).toContainText("1 column");
  await page.goto(`/sql?module=${tokenizerUrl.split("/").at(-1)}`);
  await expect(modules.getByText("no function that SQL can call")).toBeVisible();
  const request = page.request;
  expect((await request.delete(`/api/v1/modules/${tokenizerUrl.split("/").at(-1)}`)).status()).toBe(204);
  await page.reload();
  await expect(modules.getByRole("alert")).toContainText("It was deleted");
  await editor.fill("SELECT slug('a')");
  await expect(page.locator("#sql-status")).toContainText("there is no module");
  await isAccessible(page);
});

test("on a phone the section that one is in is in sight", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 800 });
  for (const [path, name] of [
    ["/settings", "Settings"],
    ["/sql", "SQL"],
    ["/", "Runs"],
  ] as const) {
    await page.goto(path);
    const link = page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true });
    await expect(link).toHaveAttribute("aria-current", "page");
    await expect(link).toBeInViewport({ ratio: 1 });
  }
  await page.goto("/sql");
  await isAccessible(page);
  // After a click on another one, too.
  await page.getByRole("link", { name: "Schedules" }).click();
  await expect(page).toHaveURL(/schedules/);
  await expect(page.getByRole("link", { name: "Schedules" })).toBeInViewport({ ratio: 1 });
});

test("what was done is in the audit log", async ({ page }) => {
  await page.goto("/settings/audit");
  await expect(page.getByRole("cell", { name: "pipelines_delete" }).first()).toBeVisible();
  await isAccessible(page);
  await page.getByRole("searchbox", { name: "Did, as runs_submit" }).fill("keys_revoke");
  await expect(page.getByRole("cell", { name: "pipelines_delete" })).toHaveCount(0);
  await expect(page.getByRole("cell", { name: "keys_revoke" })).toHaveCount(1);
  await page.getByRole("cell").getByRole("button").first().click();
  await expect(page.getByRole("dialog", { name: "keys_revoke" })).toContainText("request_id");
  await isAccessible(page);
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Denied" }).click();
  await expect(page.getByRole("heading", { name: "No entry is like that" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("searchbox", { name: "Did, as runs_submit" })).toHaveValue("keys_revoke");
});
