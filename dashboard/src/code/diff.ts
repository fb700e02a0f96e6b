// What changed between two texts, line by line, after Myers' "An O(ND) Difference Algorithm".

/** A line of the comparison, with its numbers (from one) in the text that has it. */
export interface DiffLine {
  kind: "same" | "removed" | "added";
  text: string;
  before?: number;
  after?: number;
}

/** Lines between two changes that are not shown. */
export interface Gap {
  kind: "gap";
  lines: number;
}

/** Changes beyond this many are not matched with each other: what is left is shown as removed and added whole. */
const LIMIT = 2_000;

/** The matching lines of two lists, as pairs of indices, in order. */
function matches(a: string[], b: string[]): [number, number][] {
  const reach = Math.min(a.length + b.length, LIMIT);
  // The furthest place on each diagonal, for each number of changes; places of too few changes cannot be on a path.
  const steps: Int32Array[] = [];
  let furthest = new Int32Array(2 * reach + 3);
  for (let d = 0; d <= reach; d += 1) {
    furthest = furthest.slice();
    for (let k = -d; k <= d; k += 2) {
      const at = (diagonal: number) => furthest[diagonal + reach + 1] ?? 0;
      let x = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest[k + reach + 1] = x;
      if (x >= a.length && x - k >= b.length) return walkBack(steps, reach, d, a.length, b.length);
    }
    steps.push(furthest);
  }
  return [];
}

function walkBack(steps: Int32Array[], reach: number, d: number, x: number, y: number): [number, number][] {
  const pairs: [number, number][] = [];
  for (; d > 0; d -= 1) {
    const before = steps[d - 1] ?? new Int32Array();
    const at = (diagonal: number) => before[diagonal + reach + 1] ?? 0;
    const k = x - y;
    const from = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? k + 1 : k - 1;
    const [px, py] = [at(from), at(from) - from];
    while (x > px && y > py) pairs.push([(x -= 1), (y -= 1)]);
    [x, y] = [px, py];
  }
  while (x > 0 && y > 0) pairs.push([(x -= 1), (y -= 1)]);
  return pairs.reverse();
}

/** Every line of both texts. */
export function diff(before: string, after: string): DiffLine[] {
  const split = (text: string) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));
  const [a, b] = [split(before), split(after)];
  // Equal ends cost nothing, and most texts have them.
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const middle = matches(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const pairs: [number, number][] = [
    ...Array.from({ length: head }, (_, i): [number, number] => [i, i]),
    ...middle.map(([x, y]): [number, number] => [x + head, y + head]),
    ...Array.from({ length: tail + 1 }, (_, i): [number, number] => [a.length - tail + i, b.length - tail + i]),
  ];
  const lines: DiffLine[] = [];
  let [x, y] = [0, 0];
  for (const [i, j] of pairs) {
    for (; x < i; x += 1) lines.push({ kind: "removed", text: a[x] ?? "", before: x + 1 });
    for (; y < j; y += 1) lines.push({ kind: "added", text: b[y] ?? "", after: y + 1 });
    if (i < a.length) lines.push({ kind: "same", text: a[i] ?? "", before: i + 1, after: j + 1 });
    [x, y] = [i + 1, j + 1];
  }
  return lines;
}

/** The changes with some lines around each, and how many lines are left out between. */
export function folded(lines: DiffLine[], context = 3): (DiffLine | Gap)[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, index) => {
    if (line.kind !== "same") near.fill(1, Math.max(0, index - context), index + context + 1);
  });
  const shown: (DiffLine | Gap)[] = [];
  let hidden = 0;
  const close = () => {
    if (hidden > 0) shown.push({ kind: "gap", lines: hidden });
    hidden = 0;
  };
  lines.forEach((line, index) => {
    if (near[index] !== 1) {
      hidden += 1;
      return;
    }
    close();
    shown.push(line);
  });
  close();
  return shown;
}
