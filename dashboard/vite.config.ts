import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The server of `weir dev`; only the development server uses it.
const api = process.env["WEIR_ENDPOINT"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", reportCompressedSize: true },
  server: { host: "127.0.0.1", proxy: { "/api": api } },
  test: { include: ["src/**/*.test.ts"] },
});
