import { describe, expect, it } from "vitest";

import { merge, mergeRun } from "./merge";
import { EventReader } from "./sse";

describe("server-sent events", () => {
  it("are complete with an empty line, however the text is cut", () => {
    const text = 'retry: 1000\n\nevent: run\nid: a=1\ndata: {"x":\ndata: 1}\n\n:\n\ndata:2\r\n\r\n';
    const whole = new EventReader().push(text);
    expect(whole).toEqual([
      { type: "run", data: '{"x":\n1}', id: "a=1" },
      { type: "message", data: "2", id: "a=1" },
    ]);
    const reader = new EventReader();
    expect(Array.from(text).flatMap((letter) => reader.push(letter))).toEqual(whole);
  });

  it("are not given before they are complete", () => {
    const reader = new EventReader();
    expect(reader.push("event: end\ndata: 1\n")).toEqual([]);
    expect(reader.push("\n")).toHaveLength(1);
  });
});

describe("patches", () => {
  it("change, add and remove", () => {
    expect(merge({ a: 1, b: { c: 2, d: 3 }, e: 4 }, { a: 9, b: { c: null }, e: null, f: [1] })).toEqual({
      a: 9,
      b: { d: 3 },
      f: [1],
    });
    expect(merge([1], [2])).toEqual([2]);
    expect(merge(1, { a: { b: null } })).toEqual({ a: {} });
  });

  it("of a run replace its stages one by one", () => {
    const run = {
      name: "n",
      stages: [
        { id: 0, done: 1 },
        { id: 1, done: 0 },
      ],
    };
    const next = mergeRun(run, {
      stages: [
        { id: 1, done: 5 },
        { id: 2, done: 0 },
      ],
    });
    expect(next).toEqual({
      name: "n",
      stages: [
        { id: 0, done: 1 },
        { id: 1, done: 5 },
        { id: 2, done: 0 },
      ],
    });
    expect(next.stages[0]).toBe(run.stages[0]);
    expect(mergeRun(run, { name: "m" }).stages).toBe(run.stages);
  });
});
