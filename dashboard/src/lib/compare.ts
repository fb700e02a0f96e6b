// Two runs beside each other.

export interface Pair<T> {
  key: string;
  a: T | undefined;
  b: T | undefined;
}

/** Pairs what has the same name in two lists; the second of a name with the second. The order is that of both. */
export function pairs<T>(a: T[], b: T[], name: (value: T) => string): Pair<T>[] {
  const [left, right] = [numbered(a, name), numbered(b, name)];
  const result: Pair<T>[] = [];
  const order = [...right.keys()];
  let next = 0;
  const upTo = (end: number) => {
    for (; next < end; next += 1) {
      const key = order[next];
      if (key !== undefined && !left.has(key)) result.push({ key, a: undefined, b: right.get(key) });
    }
  };
  for (const [key, value] of left) {
    const other = right.get(key);
    if (other !== undefined) upTo(Math.max(next, order.indexOf(key)));
    result.push({ key, a: value, b: other });
  }
  upTo(order.length);
  return result;
}

function numbered<T>(list: T[], name: (value: T) => string): Map<string, T> {
  const seen = new Map<string, number>();
  const result = new Map<string, T>();
  for (const value of list) {
    const text = name(value);
    const count = (seen.get(text) ?? 0) + 1;
    seen.set(text, count);
    result.set(count === 1 ? text : `${text} (${count})`, value);
  }
  return result;
}

/** How much of a change is told apart from noise. */
const NOISE = 1.1;

export type Change = "same" | "more" | "less";

/** How `b` differs from `a`; what is below `floor` in both is the same. */
export function change(a: number, b: number, floor = 0): Change {
  if (Math.max(a, b) <= floor || a === b) return "same";
  if (b > a * NOISE) return "more";
  if (a > b * NOISE) return "less";
  return "same";
}

/** How many times `a` the other is, for people: "×1.8", "×0.50"; a dash when there is nothing to say. */
export function times(a: number, b: number): string {
  if (a === b) return "=";
  if (a === 0) return "new";
  const ratio = b / a;
  if (ratio >= 100) return `×${ratio.toFixed(0)}`;
  return ratio >= 10 ? `×${ratio.toFixed(1)}` : `×${ratio.toFixed(2)}`;
}

/** What two flat or nested settings have not in common, by their path. */
export function differences(a: unknown, b: unknown): { path: string; a: string; b: string }[] {
  const [left, right] = [flat(a), flat(b)];
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths.flatMap((path) => {
    const [one, other] = [left.get(path) ?? "–", right.get(path) ?? "–"];
    return one === other ? [] : [{ path, a: one, b: other }];
  });
}

function flat(value: unknown, path = "", found = new Map<string, string>()): Map<string, string> {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flat(inner, path ? `${path}.${key}` : key, found);
  } else if (value !== undefined) {
    found.set(path, typeof value === "string" ? value : JSON.stringify(value));
  }
  return found;
}
