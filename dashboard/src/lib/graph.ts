// Where the stages of a run are drawn.

import dagre from "@dagrejs/dagre";

export interface StageNode {
  id: number;
  inputs: number[];
}

interface Point {
  x: number;
  y: number;
}

export interface PlacedNode {
  id: number;
  x: number;
  y: number;
}

export interface Placed {
  width: number;
  height: number;
  nodes: PlacedNode[];
  edges: { from: number; to: number; path: string }[];
}

export const NODE = { width: 216, height: 74 };

/** Lays stages out from top to bottom, each below what it reads. */
export function layout(stages: StageNode[]): Placed {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 28, ranksep: 44, marginx: 4, marginy: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  const known = new Set(stages.map((stage) => stage.id));
  for (const stage of stages) graph.setNode(String(stage.id), { ...NODE });
  for (const stage of stages) {
    for (const input of new Set(stage.inputs)) {
      if (known.has(input)) graph.setEdge(String(input), String(stage.id));
    }
  }
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return {
    width,
    height,
    nodes: stages.map((stage) => {
      const { x, y } = graph.node(String(stage.id)) as Point;
      return { id: stage.id, x: x - NODE.width / 2, y: y - NODE.height / 2 };
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

/** The inputs of each stage, from the event that planned the run; nothing when it is not as expected. */
export function plannedStages(event: { data: Record<string, unknown> } | null | undefined): StageNode[] {
  const graph = event?.data["graph"];
  const stages = graph && typeof graph === "object" ? (graph as Record<string, unknown>)["stages"] : undefined;
  if (!Array.isArray(stages)) return [];
  return stages.flatMap((stage: unknown): StageNode[] => {
    if (!stage || typeof stage !== "object") return [];
    const { id, inputs } = stage as { id?: unknown; inputs?: unknown };
    if (typeof id !== "number") return [];
    const sources = Array.isArray(inputs) ? inputs : [];
    return [{ id, inputs: sources.flatMap(source) }];
  });
}

function source(input: unknown): number[] {
  if (typeof input === "number") return [input];
  const stage: unknown = input && typeof input === "object" ? (input as Record<string, unknown>)["stage"] : undefined;
  return typeof stage === "number" ? [stage] : [];
}
