// A run from above: what is wrong with it, its graph, its timeline and its stages.

import { useEffect, useRef, useState } from "react";

import { useAttempts, usePlan } from "../api/queries";
import type { Attempt, Run } from "../api/types";
import { Failure, LoadingBlock } from "../components/feedback";
import { numeric, useAddress } from "../lib/address";
import { count } from "../lib/format";
import { plannedStages } from "../lib/graph";
import type { Operator } from "../lib/operators";
import { Gantt } from "./gantt";
import { StageGraph, type Selection } from "./graph";
import { Metrics } from "./metrics";
import { Outputs } from "./outputs";
import { Stages } from "./stages";

const NONE = new Map<number, Operator[]>();

export function Overview({ run, now }: { run: Run; now: number }) {
  const plan = usePlan(run.id, run.planned_at != null);
  const [search, change] = useAddress();
  const stage = numeric(search, "stage");
  const selected: Selection | undefined =
    stage === undefined ? undefined : { stage, operator: numeric(search, "operator") };
  const select = (next: Selection | undefined) => change({ stage: next?.stage, operator: next?.operator });
  return (
    <>
      {run.stages.length > 0 && (
        <StageGraph
          stages={run.stages}
          nodes={plannedStages(plan.data)}
          operators={NONE}
          now={now}
          selected={selected}
          onSelect={select}
        />
      )}
      {run.stages.length > 0 && <RunTimeline run={run} now={now} />}
      <Stages run={run} now={now} />
      <Outputs outputs={run.outputs} />
      <Metrics metrics={run.metrics} />
    </>
  );
}

const TIMELINE = 360;

/** The timeline of a run; its attempts are asked for when it comes into sight. */
export function RunTimeline({ run, now }: { run: Run; now: number }) {
  const place = useRef<HTMLDivElement>(null);
  const seen = useSeen(place);
  const [search, change] = useAddress();
  const attempts = useAttempts(run.id, run.state !== "finished", seen);
  const [from, to] = [numeric(search, "from"), numeric(search, "to")];
  const items = attempts.data?.items ?? [];
  const total = attempts.data?.total ?? 0;
  const open = (attempt: Attempt) => change({ task: `${attempt.stage}.${attempt.task}` }, { push: true });
  return (
    <div ref={place}>
      {attempts.error && !attempts.data ? (
        <Failure error={attempts.error} retry={() => void attempts.refetch()} />
      ) : !attempts.data ? (
        <LoadingBlock height={Math.min(TIMELINE, 140)} label="Loading the timeline" />
      ) : (
        <Gantt
          attempts={items}
          from={run.created_at}
          now={now}
          stage={numeric(search, "stage")}
          task={search.get("task") ?? undefined}
          view={from !== undefined && to !== undefined && to > from ? { from, to } : undefined}
          onView={(view) => change({ from: view && Math.floor(view.from), to: view && Math.ceil(view.to) })}
          compress={search.get("gaps") !== "whole"}
          onCompress={(compress) => change({ gaps: compress ? null : "whole" })}
          onOpen={open}
          note={items.length < total ? `${count(items.length)} of ${count(total)} attempts are here` : undefined}
        />
      )}
    </div>
  );
}

/** Whether an element has come into sight, or close to it. */
function useSeen(element: React.RefObject<HTMLElement | null>): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (seen || !element.current) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true),
      {
        rootMargin: "400px",
      },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, seen]);
  return seen;
}
