// Where the stages of a run are drawn, and which of them share a box when there are too many to look at.

import dagre from "@dagrejs/dagre";

export interface StageNode {
  id: number;
  inputs: number[];
}

/** A box of the graph: a stage, or several that are drawn as one. */
export interface Box {
  /** The first stage of the box. */
  id: number;
  stages: number[];
  /** The boxes that it reads, by their first stage. */
  inputs: number[];
}

interface Point {
  x: number;
  y: number;
}

export interface PlacedBox extends Box, Point {
  height: number;
}

export interface Placed {
  width: number;
  height: number;
  boxes: PlacedBox[];
  edges: { from: number; to: number; path: string }[];
}

export const WIDTH = 268;

/** One box for each stage; above `limit` stages, chains are drawn as one box, and then stages of the same depth. */
export function boxes(stages: StageNode[], limit: number): Box[] {
  const single = merge(stages, (stage) => stage.id);
  if (stages.length <= limit) return single;
  const chained = merge(stages, chains(stages));
  if (chained.length <= limit) return chained;
  const level = depths(stages);
  return merge(stages, (stage) => level.get(stage.id) ?? 0);
}

/** Stages of the same group in one box, in the order of their first stages. */
function merge(stages: StageNode[], group: (stage: StageNode) => number): Box[] {
  const groups = new Map<number, StageNode[]>();
  for (const stage of stages) {
    const key = group(stage);
    const known = groups.get(key);
    if (known) known.push(stage);
    else groups.set(key, [stage]);
  }
  const first = new Map<number, number>();
  for (const members of groups.values()) {
    const id = Math.min(...members.map((stage) => stage.id));
    for (const stage of members) first.set(stage.id, id);
  }
  return [...groups.values()].map((members) => {
    const id = first.get(members[0]?.id ?? 0) ?? 0;
    const inputs = members.flatMap((stage) => stage.inputs).flatMap((input) => first.get(input) ?? []);
    return {
      id,
      stages: members.map((stage) => stage.id).sort((a, b) => a - b),
      inputs: [...new Set(inputs)].filter((input) => input !== id),
    };
  });
}

/** Groups stages that only read one stage which only they read. */
function chains(stages: StageNode[]): (stage: StageNode) => number {
  const readers = new Map<number, number>();
  for (const stage of stages) {
    for (const input of new Set(stage.inputs)) readers.set(input, (readers.get(input) ?? 0) + 1);
  }
  const head = new Map<number, number>();
  for (const stage of inOrder(stages)) {
    const [input, ...others] = new Set(stage.inputs);
    const follows = input !== undefined && others.length === 0 && readers.get(input) === 1;
    head.set(stage.id, follows ? (head.get(input) ?? stage.id) : stage.id);
  }
  return (stage) => head.get(stage.id) ?? stage.id;
}

/** How many stages are above each at most. */
function depths(stages: StageNode[]): Map<number, number> {
  const depth = new Map<number, number>();
  for (const stage of inOrder(stages)) {
    depth.set(stage.id, 1 + Math.max(-1, ...stage.inputs.map((input) => depth.get(input) ?? -1)));
  }
  return depth;
}

/** Stages, each after those that it reads; stages that read each other come last, as they are. */
function inOrder(stages: StageNode[]): StageNode[] {
  const left = new Map(stages.map((stage) => [stage.id, stage]));
  const order: StageNode[] = [];
  const waiting = new Map(stages.map((s) => [s.id, new Set(s.inputs.filter((id) => left.has(id) && id !== s.id))]));
  const readers = new Map<number, number[]>();
  for (const [id, inputs] of waiting) {
    for (const input of inputs) readers.set(input, [...(readers.get(input) ?? []), id]);
  }
  const ready = stages.filter((stage) => waiting.get(stage.id)?.size === 0).map((stage) => stage.id);
  for (let at = 0; at < ready.length; at += 1) {
    const id = ready[at] ?? 0;
    const stage = left.get(id);
    if (!stage) continue;
    left.delete(id);
    order.push(stage);
    for (const reader of readers.get(id) ?? []) {
      const inputs = waiting.get(reader);
      inputs?.delete(id);
      if (inputs?.size === 0) ready.push(reader);
    }
  }
  return [...order, ...left.values()];
}

/** Lays boxes out from left to right, each after what it reads: pages are wider than high. */
export function layout(all: Box[], height: (box: Box) => number): Placed {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 24, ranksep: 48, marginx: 4, marginy: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  const known = new Set(all.map((box) => box.id));
  for (const box of all) graph.setNode(String(box.id), { width: WIDTH, height: height(box) });
  for (const box of all) {
    for (const input of box.inputs) {
      if (known.has(input)) graph.setEdge(String(input), String(box.id));
    }
  }
  dagre.layout(graph);
  const size = graph.graph() as { width?: number; height?: number };
  return {
    width: size.width ?? 0,
    height: size.height ?? 0,
    boxes: all.map((box) => {
      const { x, y } = graph.node(String(box.id)) as Point;
      const tall = height(box);
      return { ...box, x: x - WIDTH / 2, y: y - tall / 2, height: tall };
    }),
    edges: graph.edges().map(({ v, w }) => ({
      from: Number(v),
      to: Number(w),
      path: curve((graph.edge(v, w) as { points?: Point[] }).points ?? []),
    })),
  };
}

/** A smooth line through points: quadratic curves between the middles of its parts. */
function curve(points: Point[]): string {
  const [first, ...rest] = points;
  const last = rest.at(-1);
  if (!first || !last) return "";
  let path = `M${first.x} ${first.y}`;
  for (let i = 0; i < rest.length - 1; i += 1) {
    const [at, next] = [rest[i], rest[i + 1]];
    if (!at || !next) break;
    path += ` Q${at.x} ${at.y} ${(at.x + next.x) / 2} ${(at.y + next.y) / 2}`;
  }
  return `${path} L${last.x} ${last.y}`;
}

export type Direction = "up" | "down" | "left" | "right";

/** The rectangle that comes next in a direction; what is beside the way is farther than what is on it. */
export function nextIn(direction: Direction, from: DOMRect, others: DOMRect[]): number {
  const [x, y] = [from.x + from.width / 2, from.y + from.height / 2];
  const across = direction === "left" || direction === "right";
  const sign = direction === "up" || direction === "left" ? -1 : 1;
  let [best, nearest] = [-1, Infinity];
  others.forEach((other, index) => {
    const [dx, dy] = [other.x + other.width / 2 - x, other.y + other.height / 2 - y];
    const ahead = sign * (across ? dx : dy);
    const aside = Math.abs(across ? dy : dx);
    if (ahead <= 1 || (across && ahead < from.width / 2)) return;
    const distance = ahead + 2 * aside;
    if (distance < nearest) [best, nearest] = [index, distance];
  });
  return best;
}
