import { defineConfig } from "@playwright/test";

import config, { address } from "./playwright.config";

const binary = process.env["WEIR_BIN"] ?? "../target/debug/weir";
const folder = process.env["WEIR_HISTORY"];
if (!folder) throw new Error("WEIR_HISTORY is the folder that `cargo run ... --bin history -- --keep FOLDER` left");

/** The tests' browser over the history of a run of very many tasks. */
export default defineConfig({
  ...config,
  projects: [{ name: "large", testMatch: "large.ts" }],
  use: { ...config.use, baseURL: `http://${address}` },
  webServer: {
    command: `exec ${binary} history --storage ${folder} --listen ${address}`,
    url: `http://${address}/healthz`,
    timeout: 60_000,
    reuseExistingServer: false,
  },
});
