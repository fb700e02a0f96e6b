import { describe, expect, it } from "vitest";

import type { RunRequest } from "../api/types";
import { jobText, optionsText } from "./definition";

const yaml = "pipeline:\n  transforms: []\n";

describe("a definition", () => {
  it("shows its job as it was written", () => {
    const written: RunRequest = { pipeline: yaml };
    expect(jobText(written)).toEqual({ text: yaml, language: "yaml" });
    const object = { pipeline: { pipeline: { transforms: [] } } } as unknown as RunRequest;
    expect(jobText(object).language).toBe("json");
    const sql: RunRequest = { sql: { setup: ["CREATE VIEW v AS SELECT 1;"], statement: "SELECT * FROM v" } };
    expect(jobText(sql)).toEqual({ text: "CREATE VIEW v AS SELECT 1;\n\nSELECT * FROM v;\n", language: "sql" });
  });

  it("compares what differs and nothing else", () => {
    const one = { parameters: { b: "2", a: "1" }, settings: { retry: { max: 2, base: 1 } } } as unknown as RunRequest;
    const other = {
      settings: { retry: { base: 1, max: 2 } },
      parameters: { a: "1", b: "2" },
      labels: {},
    } as unknown as RunRequest;
    expect(optionsText(one)).toBe(optionsText(other));
    expect(optionsText({ parameters: { a: "1" } })).not.toBe(optionsText(one));
    expect(optionsText({})).toBe("{}");
  });
});
