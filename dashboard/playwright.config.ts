import { execFileSync } from "node:child_process";

import { defineConfig } from "@playwright/test";

const listen =
  'const server = require("net").createServer();' +
  'server.listen(0, "127.0.0.1", () => { console.log(`127.0.0.1:${server.address().port}`); server.close(); });';

/** The address that a variable has, or one that is free; then the processes of this run find it there. */
function addressOf(variable: string): string {
  return (process.env[variable] ??= execFileSync(process.execPath, ["-e", listen], { encoding: "utf8" }).trim());
}

export const address = addressOf("WEIR_E2E_ADDRESS");
const binary = process.env["WEIR_BIN"] ?? "../target/debug/weir";
/** A server that asks for a key. It has no queue, so that nothing runs there. */
const guarded = addressOf("WEIR_E2E_GUARDED_ADDRESS");
const browser = process.env["WEIR_CHROMIUM"] ?? "/usr/bin/chromium";

// A server that runs already; its data folder is to be empty.
const url = process.env["WEIR_E2E_URL"];

const nowhere = "http://127.0.0.1:9/000000000000";

/** The pages in a real browser, over a real server whose data folder is new. */
export default defineConfig({
  testDir: "e2e",
  // For machines that are slow and have more to do: what is waited for comes, and what is broken never does.
  timeout: 240_000,
  expect: { timeout: 30_000 },
  workers: 1,
  forbidOnly: true,
  reporter: [["list"]],
  use: {
    baseURL: url ?? `http://${address}`,
    trace: "retain-on-failure",
    viewport: { width: 1280, height: 860 },
    launchOptions: {
      executablePath: browser,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
      ],
    },
  },
  projects: [
    { name: "empty", testMatch: "empty.spec.ts" },
    { name: "pages", testMatch: "*.spec.ts", testIgnore: "empty.spec.ts", dependencies: ["empty"] },
  ],
  ...(url
    ? {}
    : {
        webServer: [
          {
            command: `folder=$(mktemp -d) && exec ${binary} dev --listen ${address} --data-dir "$folder"`,
            url: `http://${address}/healthz`,
            timeout: 60_000,
            reuseExistingServer: false,
          },
          {
            command:
              `folder=$(mktemp -d) && exec ${binary} server --listen ${guarded} --migrate --storage "$folder" ` +
              `--database-url "sqlite:$folder/database" --task-queue ${nowhere}/tasks --report-queue ${nowhere}/reports`,
            env: {
              WEIR_BOOTSTRAP_API_KEY: "a key for the tests of the login",
              AWS_ACCESS_KEY_ID: "none",
              AWS_SECRET_ACCESS_KEY: "none",
              AWS_REGION: "us-east-1",
              WEIR_LOG: "error",
            },
            url: `http://${guarded}/healthz`,
            timeout: 60_000,
            reuseExistingServer: false,
          },
        ],
      }),
});
