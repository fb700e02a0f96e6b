import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The server of `weir dev`; only the development server and the preview use it.
const api = process.env["WEIR_ENDPOINT"] ?? "http://127.0.0.1:8080";
const proxy = { "/api": { target: api, changeOrigin: true } };

/** The server's own policy, so that a preview shows what it forbids. */
const policy =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** What a page may cost before it is there: gzipped bytes of all that its first load fetches. */
const FIRST_LOAD_LIMIT = 250 * 1024;

/** Fails a build of which a page's first load is larger than the limit: its own chunk, what that imports, styles and fonts. */
function firstLoad(): Plugin {
  return {
    name: "first-load",
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? [file] : []));
      const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
      const size = (name: string): number => {
        const file = bundle[name];
        return file ? gzipSync(file.type === "chunk" ? file.code : file.source).length : 0;
      };
      const closure = (names: Iterable<string>): Set<string> => {
        const reached = new Set<string>();
        const left = [...names];
        for (let name = left.pop(); name !== undefined; name = left.pop()) {
          if (reached.has(name)) continue;
          reached.add(name);
          const chunk = byName.get(name);
          const { importedCss = [], importedAssets = [] } = chunk?.viteMetadata ?? {};
          left.push(...(chunk?.imports ?? []), ...importedCss, ...importedAssets);
        }
        return reached;
      };
      const entries = chunks.filter((chunk) => chunk.isEntry).map((chunk) => chunk.fileName);
      const pages = chunks.filter((chunk) => chunk.isDynamicEntry).map((chunk) => chunk.fileName);
      for (const page of [undefined, ...pages]) {
        const files = closure(page ? [...entries, page] : entries);
        const total = [...files].reduce((sum, name) => sum + size(name), 0);
        const text = `${page ?? "the frame"}: ${(total / 1024).toFixed(1)} KiB gzipped in a first load`;
        if (total > FIRST_LOAD_LIMIT) this.error(`${text}; the limit is ${FIRST_LOAD_LIMIT / 1024} KiB`);
        this.info(text);
      }
    },
  };
}

/** Puts the licence of the typeface beside it, as it asks. */
function licence(): Plugin {
  return {
    name: "licence",
    generateBundle() {
      const source = readFileSync(new URL("node_modules/@fontsource-variable/inter/LICENSE", import.meta.url));
      this.emitFile({ type: "asset", fileName: "assets/inter-license.txt", source });
    },
  };
}

export default defineConfig({
  plugins: [react(), firstLoad(), licence()],
  build: { target: "es2022", reportCompressedSize: true },
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy, headers: { "Content-Security-Policy": policy } },
  test: { include: ["src/**/*.test.ts"] },
});
