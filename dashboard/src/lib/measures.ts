// What the tasks of a run are compared by, by the names that the API has for it.

import { bytes, count, duration } from "./format";

const us = (value: number) => duration(value / 1000);

export interface Measure {
  title: string;
  hint: string;
  write: (value: number) => string;
}

export const measures = {
  elapsed_us: { title: "Time", hint: "Wall time on the worker", write: us },
  cpu_us: { title: "CPU", hint: "CPU time of the attempt's own thread", write: us },
  wasm_us: { title: "In Wasm", hint: "Wall time inside Wasm functions", write: us },
  queue_delay_ms: { title: "Waited", hint: "From when it could be taken until a worker had it", write: duration },
  rows_in: { title: "Rows in", hint: "Rows read", write: count },
  rows_out: { title: "Rows out", hint: "Rows written", write: count },
  bytes_in: { title: "Read", hint: "Bytes read, from files and shuffle objects", write: bytes },
  bytes_out: { title: "Written", hint: "Bytes written, to files and shuffle objects", write: bytes },
  shuffle_bytes_in: { title: "Shuffle in", hint: "Bytes read from shuffle objects", write: bytes },
  shuffle_bytes_out: { title: "Shuffle out", hint: "Bytes written to shuffle objects", write: bytes },
  spilled_bytes: { title: "Spilled", hint: "Bytes spilled to local disk", write: bytes },
  peak_memory_bytes: { title: "Memory", hint: "The most memory held at once", write: bytes },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof measures;

export const measureNames = Object.keys(measures) as MeasureName[];

/** A parameter of the address as the name of a measure. */
export function asMeasure(text: string | null): MeasureName | undefined {
  return measureNames.find((name) => name === text);
}
