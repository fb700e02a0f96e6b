import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

/** No finding of axe, in both themes. */
export async function isAccessible(page: Page) {
  // Pages come by and by; what there is before one is no page yet.
  await page.getByRole("heading", { level: 1 }).first().waitFor();
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
