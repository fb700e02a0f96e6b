// Pictures of every page in both themes, for the documentation: `npm run screenshots`.

import { mkdir, writeFile } from "node:fs/promises";

import { expect, test, type APIRequestContext, type Page } from "@playwright/test";

import { fill } from "./service";
import { COUNT, finished, finishedSql, JOIN, spread, SPREAD, submitSql, WRONG } from "./server";

const folder = process.env["WEIR_SCREENSHOTS"] ?? "../docs/screenshots";
/** Pictures are to be looked at in a document, not to fill a repository. */
const MOST_BYTES = 150 * 1024;

test.use({ viewport: { width: 1360, height: 900 }, deviceScaleFactor: 1 });

/** What the pages show; the address of each by its name. */
async function prepare(request: APIRequestContext): Promise<Record<string, string>> {
  await finished(request, "sessions by country", WRONG);
  const before = await finishedSql(request, "revenue by country", JOIN, { target_partitions: 2 });
  const words = await finished(request, "word count", COUNT);
  const many = await finishedSql(request, "customers by orders", SPREAD, spread(24));
  const join = await finishedSql(request, "revenue by country", JOIN, { target_partitions: 4 });
  await submitSql(request, "nightly inventory", SPREAD.replace("400000", "20000000"), spread(8));
  const stage = many.stages.reduce((most, stage) => (stage.tasks > most.tasks ? stage : most)).id;
  return {
    runs: "/",
    run: `/runs/${join.id}?stage=2`,
    tasks: `/runs/${many.id}/tasks?stage=${stage}&sort=rows_in&down=1`,
    task: `/runs/${many.id}/tasks?stage=${stage}&sort=rows_in&down=1&task=${stage}.0`,
    logs: `/runs/${words.id}/logs`,
    events: `/runs/${words.id}/events?event=2`,
    compare: `/compare?a=${before.id}&b=${join.id}`,
  };
}

test("every page, in both themes", async ({ page, request }) => {
  test.setTimeout(240_000);
  const runs = await prepare(request);
  const service = await fill(request);
  const pages = { ...runs, ...service.pages };
  await page.addInitScript((stored) => {
    for (const [key, value] of Object.entries(stored)) localStorage.setItem(key, JSON.stringify(value));
  }, service.stored);
  await mkdir(folder, { recursive: true });
  for (const theme of ["light", "dark"]) {
    await page.addInitScript((theme) => localStorage.setItem("weir-theme", theme), theme);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(path);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await expect(page.locator(".skeleton, [aria-busy=true]")).toHaveCount(0);
      // Pictures that are drawn on a canvas come with the next frame.
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      const picture = await smaller(page, await page.screenshot());
      expect(picture.length, name).toBeLessThan(MOST_BYTES);
      await writeFile(`${folder}/${name}-${theme}.webp`, picture);
    }
  }
});

/** A picture as WebP, which the browser can make. */
async function smaller(page: Page, png: Buffer): Promise<Buffer> {
  const other = await page.context().newPage();
  const encoded = await other.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d")?.drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.86).replace(/^[^,]*,/, "");
  }, png.toString("base64"));
  await other.close();
  return Buffer.from(encoded, "base64");
}
