// Pictures of every page in both themes, for the documentation: `npm run screenshots`.

import { expect, test } from "@playwright/test";

import { COUNT, finished, WRONG } from "./server";

const folder = process.env["WEIR_SCREENSHOTS"] ?? "../docs/screenshots";

test("every page, in both themes", async ({ page, request }) => {
  await finished(request, "nightly revenue", COUNT);
  await finished(request, "sessions by country", WRONG);
  const run = await finished(request, "word count", COUNT);
  for (const theme of ["light", "dark"]) {
    await page.addInitScript((theme) => localStorage.setItem("weir-theme", theme), theme);
    for (const [name, path] of [
      ["runs", "/"],
      ["run", `/runs/${run.id}`],
      ["tasks", `/runs/${run.id}/tasks`],
      ["logs", `/runs/${run.id}/logs`],
    ]) {
      await page.goto(path ?? "/");
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.waitForLoadState("networkidle").catch(() => undefined);
      await page.screenshot({ path: `${folder}/${name ?? ""}-${theme}.png` });
    }
  }
});
