import { describe, expect, it } from "vitest";

import { ago, bytes, count, counted, duration, percent, short } from "./format";

describe("numbers for people", () => {
  it("groups digits", () => expect(count(1234567)).toBe("1,234,567"));
  it("counts things", () => expect([counted(1, "slot"), counted(2000, "slot")]).toEqual(["1 slot", "2,000 slots"]));
  it("shortens", () => expect(short(1_250_000)).toBe("1.3M"));
  it("uses binary units", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(1023)).toBe("1023 B");
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(bytes(200 * 1024 * 1024)).toBe("200 MiB");
  });
  it("writes durations in two units at most", () => {
    expect(duration(-5)).toBe("0 ms");
    expect(duration(999)).toBe("999 ms");
    expect(duration(1500)).toBe("1.5 s");
    expect(duration(59_960)).toBe("1 m 00 s");
    expect(duration(61_000)).toBe("1 m 01 s");
    expect(duration(7_260_000)).toBe("2 h 01 m");
  });
  it("says how long ago in the largest unit", () => {
    const now = Date.parse("2026-01-10T12:00:00Z");
    expect(ago("2026-01-10T11:59:50Z", now)).toBe("just now");
    expect(ago("2026-01-10T11:55:00Z", now)).toBe("5 min ago");
    expect(ago("2026-01-10T09:00:00Z", now)).toBe("3 h ago");
    expect(ago("2026-01-07T12:00:00Z", now)).toBe("3 days ago");
    expect(ago("2026-01-10T12:00:09Z", now)).toBe("just now");
  });
  it("rounds shares", () => expect(percent(0.126)).toBe("13 %"));
});
