// A run from above: what is wrong with it, its graph, its timeline and its stages.

import { useEffect, useMemo, useRef, useState } from "react";

import { useAttempts, useFindings, useStages } from "../api/queries";
import type { Attempt, Run } from "../api/types";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { numeric, useAddress } from "../lib/address";
import { until } from "../lib/ending";
import { count } from "../lib/format";
import { useSettled } from "../lib/settle";
import { BAR, Findings } from "./findings";
import { Gantt, timelineHeight, type View } from "./gantt";
import { HIGH, StageGraph, type Selection } from "./graph";
import { Metrics } from "./metrics";
import { Outputs } from "./outputs";
import { Stages } from "./stages";
import { UsageCard } from "./usage";

/** Pixels that the graph is high at most, with its borders. */
const GRAPH = HIGH + 2;
/** Attempts that are waited for, so that the timeline has its height when it appears. */
const FEW = 2_000;

/** `steady` is the page of a run that went on when it was opened: nothing moves when something comes. */
export function Overview({ run, now, steady }: { run: Run; now: number; steady: boolean }) {
  const stages = useStages(run.id);
  const findings = useFindings(run.id);
  const [few] = useState(run.progress.tasks <= FEW);
  const attempts = useAttempts(run.id, few);
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
  if (findings.isPending || stages.isPending || (few && attempts.isPending)) {
    return (
      <>
        <LoadingBlock height={steady ? BAR : 86} label="Loading the findings" />
        <LoadingBlock height={GRAPH} label="Loading the stages" />
      </>
    );
  }
  const planned = run.stages.length > 0;
  const outputs = <Outputs run={run} />;
  return (
    <>
      <Findings run={run} steady={steady} />
      {stages.error && !stages.data && <Failure error={stages.error} retry={() => void stages.refetch()} />}
      {planned ? (
        <StageGraph
          run={run}
          nodes={nodes}
          operators={operators}
          now={until(run, now)}
          steady={steady}
          selected={selected}
          onSelect={select}
        />
      ) : (
        steady && (
          <section className="card" aria-label="Graph of stages" style={{ height: GRAPH }}>
            <Empty icon="runs" title={run.state === "finished" ? "It has no stages" : "Its stages are being planned"} />
          </section>
        )
      )}
      {(planned || steady) && <RunTimeline run={run} now={now} steady={steady} few={few} />}
      <Stages run={run} details={details} now={now} />
      {!steady && outputs}
      {(planned || run.state === "finished") && <UsageCard usage={run.usage} resources={run.resources} />}
      <Metrics metrics={run.metrics} />
      {steady && outputs}
    </>
  );
}

interface TimelineProps {
  run: Run;
  now: number;
  /** Whether it keeps its height when slots come. */
  steady: boolean;
  /** Whether its attempts are asked for at once, and not when it comes into sight. */
  few: boolean;
}

/** The timeline of a run. */
function RunTimeline({ run, now, steady, few }: TimelineProps) {
  const place = useRef<HTMLDivElement>(null);
  const seen = useSeen(place);
  const [search, change] = useAddress();
  const attempts = useAttempts(run.id, few || seen);
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
        <LoadingBlock height={timelineHeight(steady)} label="Loading the timeline" />
      ) : (
        <Gantt
          attempts={items}
          from={run.created_at}
          now={now}
          steady={steady}
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
