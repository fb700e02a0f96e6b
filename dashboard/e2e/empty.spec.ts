// A server on which nothing has run yet: these come before all others.

import { expect, test } from "@playwright/test";

import { isAccessible } from "./accessible";

test("nothing has run yet", async ({ page }) => {
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Nothing has run yet" })).toBeVisible();
  await expect(page.getByText("weir submit")).toBeVisible();
  await isAccessible(page);
  expect(errors).toEqual([]);
});
