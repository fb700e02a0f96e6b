// Operators of a stage: a tree that is told as a list, each before its inputs.

export interface Operator {
  /** Its place in the plan of the stage. */
  id: number;
  name: string;
  /** Its depth in the plan; the root is at zero. */
  depth: number;
  rows: number;
  bytes: number;
  cpu_us: number;
  wasm_us: number;
  spilled_bytes: number;
  peak_memory_bytes: number;
  functions: string[];
}

export interface Step<T> {
  operator: T;
  /** How many branches away from the way of the first inputs it is. */
  branch: number;
  /** Names from the root to it. */
  path: string;
}

/** The operators in the order in which rows go through them: inputs before those that read them. */
export function steps<T extends Pick<Operator, "depth" | "name">>(operators: T[]): Step<T>[] {
  const way: { operator: T; branch: number; inputs: number; path: string }[] = [];
  const found = operators.map((operator): Step<T> => {
    while (way.length > 0 && (way.at(-1)?.operator.depth ?? 0) >= operator.depth) way.pop();
    const reader = way.at(-1);
    const input = reader ? reader.inputs++ : 0;
    const branch = (reader?.branch ?? 0) + (input > 0 ? 1 : 0);
    const name = input > 0 ? `${operator.name}#${input + 1}` : operator.name;
    const path = reader ? `${reader.path}/${name}` : name;
    way.push({ operator, branch, inputs: 0, path });
    return { operator, branch, path };
  });
  return found.reverse();
}

/** An operator's name without what all of them end with. */
export function shortName(name: string): string {
  return name.replace(/Exec$/, "");
}

/** What operators are compared by. */
export const measures = {
  time: { title: "Time", of: (operator: Operator) => operator.cpu_us, unit: "us" },
  rows: { title: "Rows", of: (operator: Operator) => operator.rows, unit: "count" },
  bytes: { title: "Bytes", of: (operator: Operator) => operator.bytes, unit: "bytes" },
  memory: { title: "Memory", of: (operator: Operator) => operator.peak_memory_bytes, unit: "bytes" },
  spilled: { title: "Spill", of: (operator: Operator) => operator.spilled_bytes, unit: "bytes" },
  wasm: { title: "Wasm", of: (operator: Operator) => operator.wasm_us, unit: "us" },
} as const;

export type Measure = keyof typeof measures;
