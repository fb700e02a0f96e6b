// The login, over a server that asks for a key.

import { expect, test, type Page } from "@playwright/test";

import { isAccessible } from "./accessible";

const server = `http://${process.env["WEIR_E2E_GUARDED_PAGES"] ?? process.env["WEIR_E2E_GUARDED_ADDRESS"]}`;
const BOOTSTRAP = "a key for the tests of the login";

test.use({ baseURL: server });
test.skip(process.env["WEIR_E2E_URL"] !== undefined, "there is no server that asks for a key");

async function logIn(page: Page, key: string) {
  await page.getByLabel("API key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Log in" }).click();
}

async function logOut(page: Page) {
  await page.getByRole("button", { name: /^Namespace/ }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
}

test("whoever has no key is asked for one, and comes to where they wanted to be", async ({ page }) => {
  await page.goto("/settings/keys");
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await expect(page.getByLabel("API key", { exact: true })).toBeFocused();
  await isAccessible(page);
  await logIn(page, "wrong");
  await expect(page.getByRole("alert")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Use a token instead" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await page.getByLabel("Token", { exact: true }).fill("no.token.atall");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toBeVisible();
  await page.getByRole("button", { name: "Use an API key instead" }).click();
  await logIn(page, BOOTSTRAP);
  await expect(page.getByRole("heading", { name: "API keys" })).toBeVisible();
  await expect(page).toHaveURL(/\/settings\/keys$/);
  // No script of the page can read the session.
  expect(await page.evaluate(() => document.cookie)).toBe("");
  await page.reload();
  await expect(page.getByRole("heading", { name: "API keys" })).toBeVisible();
  await logOut(page);
  await page.reload();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
});

test("a key is made, opens as much as its role, and nothing when it is revoked", async ({ page, browser }) => {
  await page.goto("/settings/keys");
  await logIn(page, BOOTSTRAP);
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("a reader");
  await page.getByRole("combobox", { name: "Role" }).selectOption("viewer");
  await page.getByRole("button", { name: "Make the key" }).click();
  const secret = await page.getByLabel("The secret", { exact: true }).innerText();
  await page.getByRole("button", { name: "I have it" }).click();

  const other = await browser.newContext({ baseURL: server });
  const reader = await other.newPage();
  await reader.goto("/settings");
  await logIn(reader, secret);
  await expect(reader.getByRole("heading", { name: "This is for admins" })).toBeVisible();
  await isAccessible(reader);
  await reader.goto("/workers");
  await expect(reader.getByRole("heading", { name: "Workers belong to the whole service" })).toBeVisible();
  await isAccessible(reader);
  await reader.goto("/sql");
  await reader.getByRole("textbox", { name: "SQL", exact: true }).fill("SELECT 1");
  await expect(reader.getByText("You may look, but not run statements")).toBeVisible();
  await expect(reader.getByRole("button", { name: "Run" })).toBeDisabled();
  await isAccessible(reader);
  await reader.goto("/pipelines");
  await expect(reader.getByRole("heading", { name: "There are no pipelines yet" })).toBeVisible();
  await expect(reader.getByRole("link", { name: "New pipeline" })).toHaveCount(0);

  await page.getByRole("button", { name: "Revoke a reader" }).click();
  await page.getByRole("button", { name: "Revoke the key" }).click();
  await expect(page.getByText("Revoked", { exact: true })).toBeVisible();
  // The reader's page asks by itself and finds out.
  await expect(reader.getByRole("heading", { name: "Log in" })).toBeVisible({ timeout: 30_000 });
  await logIn(reader, secret);
  await expect(reader.getByRole("alert")).toBeVisible();
  await other.close();
});

test("sessions are listed, ended one by one, and all at once", async ({ page, browser }) => {
  await page.goto("/settings/sessions");
  await logIn(page, BOOTSTRAP);
  await expect(page.getByText("This browser", { exact: true })).toBeVisible();
  const other = await browser.newContext({ baseURL: server });
  const elsewhere = await other.newPage();
  await elsewhere.goto("/settings/sessions");
  await logIn(elsewhere, BOOTSTRAP);
  await expect(elsewhere.getByText("This browser", { exact: true })).toBeVisible();
  await isAccessible(elsewhere);

  await page.reload();
  const rows = page.getByRole("row").filter({ has: page.getByRole("button", { name: /^End the session/ }) });
  const others = rows.filter({ hasNotText: "This browser" });
  await expect(others.first()).toBeVisible();
  // Those of the tests before may still be there.
  while ((await others.count()) > 0) {
    const left = await others.count();
    await others
      .first()
      .getByRole("button", { name: /^End the session/ })
      .click();
    await page.getByRole("button", { name: "End the session", exact: true }).click();
    await expect(others).toHaveCount(left - 1);
  }
  await elsewhere.reload();
  await expect(elsewhere.getByRole("heading", { name: "Log in" })).toBeVisible();
  await logIn(elsewhere, BOOTSTRAP);
  await expect(elsewhere.getByText("This browser", { exact: true })).toBeVisible();

  await page.getByRole("button", { name: "Whole service" }).click();
  await expect(rows).toHaveCount(2);
  await isAccessible(page);
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await isAccessible(page);
  await page.getByRole("dialog").getByRole("button", { name: "Sign out everywhere" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await elsewhere.reload();
  await expect(elsewhere.getByRole("heading", { name: "Log in" })).toBeVisible();
  await other.close();
});

test("keys that are made elsewhere appear by themselves", async ({ page, request }) => {
  await page.goto("/settings/keys");
  await logIn(page, BOOTSTRAP);
  await expect(page.getByRole("heading", { name: "API keys" })).toBeVisible();
  const name = `made elsewhere ${Date.now()}`;
  const headers = { authorization: `Bearer ${BOOTSTRAP}` };
  const made = await request.post("/api/v1/keys", { headers, data: { name, role: "viewer" } });
  expect(made.status()).toBe(201);
  await expect(page.getByText(name)).toBeVisible();
  const { key } = (await made.json()) as { key: { id: string } };
  expect((await request.delete(`/api/v1/keys/${key.id}`, { headers })).status()).toBe(200);
  await expect(page.getByRole("row", { name: new RegExp(name) })).toContainText("Revoked");
});
