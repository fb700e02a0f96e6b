import { expect, test } from "vitest";

import { flat, submitted } from "./submitted";

test("the job of a run is read from its first event", () => {
  const job = { kind: "sql", setup: ["create view v as select 1;"], statement: "select * from v", tables: [] };
  const sql = submitted({ submission: { job } });
  expect(sql?.text).toBe("create view v as select 1;\n\nselect * from v;\n");
  expect(sql?.language).toBe("sql");
  const yaml = submitted({
    submission: { job: { kind: "pipeline", file: "p.yaml", yaml: "pipeline:", params: { a: "1" } } },
  });
  expect(yaml).toEqual({ text: "pipeline:", language: "yaml", file: "p.yaml", inputs: [["parameter", "a", "1"]] });
  for (const other of [null, {}, { submission: { job: { kind: "spark" } } }]) expect(submitted(other)).toBeUndefined();
});

test("settings are told by their paths, with units", () => {
  expect(flat({ retry: { backoff_ms: 200 }, target_bytes: 67_108_864, timeout_s: null, empty: {} })).toEqual([
    ["retry.backoff_ms", "200", "200 ms"],
    ["target_bytes", "67108864", "64.0 MiB"],
    ["timeout_s", "none", undefined],
  ]);
});
