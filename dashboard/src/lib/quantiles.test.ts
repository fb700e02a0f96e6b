import { expect, it } from "vitest";

import { quantileRange } from "./quantiles";

it("a quantile stands for the tasks up to the next one", () => {
  const values = { p0: 1, p25: 3, p50: 5, p75: 9, p95: 40, p100: 100 };
  expect(quantileRange(values, "p0")).toEqual({ min: 1, max: 1 });
  expect(quantileRange(values, "p50")).toEqual({ min: 5, max: 9 });
  expect(quantileRange(values, "p95")).toEqual({ min: 40, max: 100 });
  expect(quantileRange(values, "p100")).toEqual({ min: 100, max: 100 });
});
