import { createHash } from "node:crypto";

import { expect, it } from "vitest";

import { digestOf, sha256 } from "./sha256";

it("is the digest that everybody else computes", async () => {
  // Lengths around the block's end, where the padding changes.
  for (const length of [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 1000, 70_000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 131 + length) % 256);
    const expected = createHash("sha256").update(bytes).digest("hex");
    expect(Buffer.from(sha256(bytes)).toString("hex"), `${length} bytes`).toBe(expected);
    expect(await digestOf(bytes.buffer)).toBe(expected);
  }
});
