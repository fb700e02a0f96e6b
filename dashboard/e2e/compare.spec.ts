import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";
import { finishedSql, JOIN } from "./server";

test("two runs are compared operator by operator", async ({ page, request }) => {
  const a = await finishedSql(request, "compared", JOIN, { target_partitions: 2 });
  const b = await finishedSql(request, "compared", JOIN, { target_partitions: 4 });
  await page.goto("/compare");
  await isAccessible(page);
  await page
    .getByRole("region", { name: "Run A" })
    .getByRole("button", { name: new RegExp(a.id.slice(-8)) })
    .click();
  await page
    .getByRole("region", { name: "Run B" })
    .getByRole("button", { name: new RegExp(b.id.slice(-8)) })
    .click();
  await expect(page).toHaveURL(new RegExp(`a=${a.id}&b=${b.id}`));
  const stages = page.getByRole("region", { name: "Stages and operators" });
  await expect(stages.getByRole("row", { name: /^HashJoin/ })).toBeVisible();
  await expect(page.getByRole("row", { name: "settings.target_partitions 2 4" })).toBeVisible();
  await isAccessible(page);
  await stages.getByRole("button", { name: /^Operators of .*join/ }).click();
  await expect(stages.getByRole("row", { name: /^HashJoin/ })).toHaveCount(0);
  await page.reload();
  await expect(stages.getByRole("button", { name: /^Operators of .*join/ })).toHaveAttribute("aria-expanded", "false");
  await page.getByRole("button", { name: "Swap" }).click();
  await expect(page).toHaveURL(new RegExp(`a=${b.id}&b=${a.id}`));
});
