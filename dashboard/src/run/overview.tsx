// A run from above: what is wrong with it, its graph, its timeline and its stages.

import { useEffect, useMemo, useRef, useState } from "react";

import { useAttempts, useStages } from "../api/queries";
import type { Attempt, Run } from "../api/types";
import { Failure, LoadingBlock } from "../components/feedback";
import { numeric, useAddress } from "../lib/address";
import { count } from "../lib/format";
import { useSettled } from "../lib/settle";
import { Findings } from "./findings";
import { Gantt, type View } from "./gantt";
import { StageGraph, type Selection } from "./graph";
import { Metrics } from "./metrics";
import { Outputs } from "./outputs";
import { Stages } from "./stages";
import { UsageCard } from "./usage";

export function Overview({ run, now }: { run: Run; now: number }) {
  const stages = useStages(run.id);
  const details = useMemo(() => stages.data ?? [], [stages.data]);
  const nodes = useMemo(
    () => details.map(({ id, inputs }) => ({ id, inputs: inputs.map((input) => input.stage) })),
    [details],
  );
  const operators = useMemo(() => new Map(details.map((stage) => [stage.id, stage.operators])), [details]);
  const [search, change] = useAddress();
  const stage = numeric(search, "stage");
  const selected: Selection | undefined =
    stage === undefined ? undefined : { stage, operator: numeric(search, "operator") };
  const select = (next: Selection | undefined) => change({ stage: next?.stage, operator: next?.operator });
  return (
    <>
      <Findings run={run} />
      {stages.error && !stages.data && <Failure error={stages.error} retry={() => void stages.refetch()} />}
      {run.stages.length > 0 && (
        <StageGraph
          stages={run.stages}
          nodes={nodes}
          operators={operators}
          now={now}
          selected={selected}
          onSelect={select}
        />
      )}
      {run.stages.length > 0 && <RunTimeline run={run} now={now} />}
      <Stages run={run} details={details} now={now} />
      <Outputs run={run} />
      <UsageCard usage={run.usage} resources={run.resources} />
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
  const attempts = useAttempts(run.id, seen);
  const [view, setView] = useState(() => viewOf(search));
  // While somebody zooms and moves, the address waits until they have settled.
  const settled = useSettled(view);
  useEffect(
    () => change({ from: settled && Math.floor(settled.from), to: settled && Math.ceil(settled.to) }),
    [settled, change],
  );
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
          view={view}
          onView={setView}
          compress={search.get("gaps") !== "whole"}
          onCompress={(compress) => change({ gaps: compress ? null : "whole" })}
          onOpen={open}
          note={items.length < total ? `${count(items.length)} of ${count(total)} attempts are here` : undefined}
        />
      )}
    </div>
  );
}

/** The stretch that an address names. */
function viewOf(search: URLSearchParams): View | undefined {
  const [from, to] = [numeric(search, "from"), numeric(search, "to")];
  return from !== undefined && to !== undefined && to > from ? { from, to } : undefined;
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
