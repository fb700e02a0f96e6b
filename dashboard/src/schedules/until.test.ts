import { expect, it } from "vitest";

import { until } from "./until";

it("says in how long something is, in two units", () => {
  const at = "2026-03-01T00:00:00Z";
  const before = (seconds: number) => until(at, Date.parse(at) - seconds * 1000);
  expect(before(-5)).toBe("now");
  expect(before(0)).toBe("now");
  expect(before(0.5)).toBe("in 1 s");
  expect(before(59)).toBe("in 59 s");
  expect(before(61)).toBe("in 1 m 01 s");
  expect(before(3 * 3600 + 5 * 60)).toBe("in 3 h 05 m");
  expect(before(24 * 3600)).toBe("in 1 day 0 h");
  expect(before(52 * 3600)).toBe("in 2 days 4 h");
});
