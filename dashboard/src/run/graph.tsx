import { useMemo } from "react";

import type { Stage } from "../api/types";
import { duration, percent, short } from "../lib/format";
import { layout, NODE, type StageNode } from "../lib/graph";

/** Milliseconds that a stage has taken so far. */
function taken(stage: Stage, now: number): number {
  if (!stage.started_at) return 0;
  return (stage.finished_at ? Date.parse(stage.finished_at) : now) - Date.parse(stage.started_at);
}

function clip(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** The stages and what flows between them; each shows its share of the time of all. */
export function StageGraph({ stages, nodes, now }: { stages: Stage[]; nodes: StageNode[]; now: number }) {
  const inputs = nodes.length > 0 ? nodes : stages.map(({ id }) => ({ id, inputs: [] }));
  const key = JSON.stringify(inputs);
  const placed = useMemo(() => layout(JSON.parse(key) as StageNode[]), [key]);
  const byId = new Map(stages.map((stage) => [stage.id, stage]));
  const total = Math.max(
    1,
    stages.reduce((sum, stage) => sum + taken(stage, now), 0),
  );
  return (
    <section className="card" aria-label="Graph of stages">
      <div className="graph">
        <svg width={placed.width} height={placed.height} role="group" aria-label="Stages, each below what it reads">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0 8 4 0 8Z" fill="var(--line-strong)" />
            </marker>
          </defs>
          {placed.edges.map((edge) => (
            <path key={`${edge.from}-${edge.to}`} className="edge" d={edge.path} markerEnd="url(#arrow)">
              <title>{`${short(byId.get(edge.from)?.rows_out ?? 0)} rows from stage ${edge.from} to stage ${edge.to}`}</title>
            </path>
          ))}
          {placed.nodes.map(({ id, x, y }) => {
            const stage = byId.get(id);
            if (!stage) return null;
            const ms = taken(stage, now);
            const share = ms / total;
            return (
              <a key={id} href={`#stage-${id}`} className="node" aria-label={`Stage ${id}: ${stage.name}`}>
                <g transform={`translate(${x} ${y})`}>
                  <title>{stage.name}</title>
                  <rect className="box" width={NODE.width} height={NODE.height} rx="7" />
                  <text x="12" y="21" fontWeight="600">
                    {`${id}  ${clip(stage.name, 27)}`}
                  </text>
                  <text className="sub" x="12" y="39">
                    {`${stage.tasks_done}/${stage.tasks} tasks · ${short(stage.rows_out)} rows`}
                  </text>
                  <rect className="share-track" x="12" y="52" width={NODE.width - 84} height="5" rx="2.5" />
                  <rect className="share" x="12" y="52" width={(NODE.width - 84) * share} height="5" rx="2.5" />
                  <text className="sub" x={NODE.width - 12} y="59" textAnchor="end">
                    {stage.started_at ? `${duration(ms)} ${percent(share)}` : stage.state}
                  </text>
                </g>
              </a>
            );
          })}
        </svg>
      </div>
    </section>
  );
}
