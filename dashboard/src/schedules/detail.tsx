import { useState } from "react";
import { Link, useLocation } from "wouter";

import { Problem } from "../api/client";
import { useDeleteSchedule, usePreview, useSchedule, useSuspend, useTrigger } from "../api/schedules";
import type { Schedule } from "../api/types";
import { Card, Facts } from "../components/card";
import { Confirm } from "../components/dialog";
import { Empty, Failure, LoadingPage } from "../components/feedback";
import { Tags } from "../components/tags";
import { Ago, useNow } from "../components/time";
import { count, duration, moment } from "../lib/format";
import { RunsOf } from "../pipelines/runs-of";
import { useMay } from "../session/session";
import { Firings } from "./firings";
import { ScheduleStateBadge, Until } from "./table";

/** One schedule. */
export function ScheduleDetail({ name }: { name: string }) {
  const schedule = useSchedule(name);
  if (schedule.data) return <Loaded schedule={schedule.data} stale={schedule.error} />;
  if (schedule.isPending) return <LoadingPage />;
  return schedule.error instanceof Problem && schedule.error.status === 404 ? (
    <div className="card">
      <Empty page icon="search" title="There is no such schedule">
        <Link href="/schedules">All schedules</Link>
      </Empty>
    </div>
  ) : (
    <Failure error={schedule.error} retry={() => void schedule.refetch()} />
  );
}

const policies: Record<Schedule["concurrency_policy"], string> = {
  allow: "runs beside it",
  forbid: "leaves the time out",
  replace: "replaces it",
};
const catchUps: Record<Schedule["catch_up"], string> = {
  none: "left out",
  latest: "the latest gets a run",
  all: "each gets a run",
};

function Loaded({ schedule, stale }: { schedule: Schedule; stale: Error | null }) {
  const now = useNow(true);
  const suspend = useSuspend();
  const trigger = useTrigger(schedule.name);
  const remove = useDeleteSchedule(schedule.name);
  const [asked, setAsked] = useState<"delete" | "trigger">();
  const [, navigate] = useLocation();
  const mayChange = useMay("operator");
  const isSuspended = schedule.state === "suspended";
  const preview = usePreview(schedule.cron, schedule.time_zone);
  const error = stale ?? suspend.error;
  const close = () => setAsked(undefined);
  const limit = (value: number | null | undefined) => (value == null ? "all" : count(value));
  return (
    <>
      <title>{`${schedule.name} · Weir`}</title>
      <div className="row spread page-head">
        <div>
          <div className="row">
            <h1>{schedule.name}</h1>
            <ScheduleStateBadge schedule={schedule} />
            <Tags labels={schedule.labels} />
          </div>
          {schedule.description && <p className="muted">{schedule.description}</p>}
        </div>
        {mayChange && (
          <div className="row">
            <button className="danger" onClick={() => setAsked("delete")}>
              Delete
            </button>
            <Link className="button" href={`/schedules/${schedule.name}/edit`}>
              Edit
            </Link>
            <button
              disabled={suspend.isPending}
              onClick={() => suspend.mutate({ name: schedule.name, suspend: !isSuspended })}
            >
              {isSuspended ? "Resume" : "Suspend"}
            </button>
            <button className="primary" onClick={() => setAsked("trigger")}>
              Run now
            </button>
          </div>
        )}
      </div>
      {error && <Failure error={error} />}
      {schedule.reason && (
        <div className={`notice ${schedule.state === "failing" ? "bad" : "warn"}`} role="status">
          <span aria-hidden="true">{schedule.state === "failing" ? "✕" : "!"}</span>
          <div>
            <strong className="mono">{schedule.reason.code}</strong>
            <pre>{schedule.reason.message}</pre>
          </div>
        </div>
      )}
      <section className="card" aria-label="About" style={{ padding: 16 }}>
        <Facts
          facts={[
            [
              "Pipeline",
              <span key="pipeline">
                <Link href={`/pipelines/${schedule.pipeline}`}>{schedule.pipeline}</Link>{" "}
                <small>{schedule.version == null ? "latest" : `v${schedule.version}`}</small>
              </span>,
              schedule.pipeline,
              "text",
            ],
            [
              "Next",
              schedule.next_at ? <Until key="next" at={schedule.next_at} now={now} /> : isSuspended ? "suspended" : "–",
            ],
            [
              "Last",
              schedule.last_at ? (
                schedule.last_run ? (
                  <Link key="last" href={`/runs/${schedule.last_run}`}>
                    <Ago at={schedule.last_at} now={now} />
                  </Link>
                ) : (
                  <Ago key="last" at={schedule.last_at} now={now} />
                )
              ) : (
                "–"
              ),
            ],
            [
              "Left out",
              <span key="skipped">
                {count(schedule.skipped)} <small>{schedule.skipped === 1 ? "time" : "times"}</small>
              </span>,
              schedule.skipped_at ? `The last one was ${moment(schedule.skipped_at)}` : "",
            ],
            ["While one runs", policies[schedule.concurrency_policy], undefined, "text"],
            ["Missed times", catchUps[schedule.catch_up], undefined, "text"],
            ["Given up after", schedule.start_deadline_s == null ? null : duration(schedule.start_deadline_s * 1000)],
            [
              "Kept runs",
              `${limit(schedule.successful_run_history_limit)} succeeded, ${limit(schedule.failed_run_history_limit)} failed`,
              undefined,
              "text",
            ],
          ]}
        />
      </section>
      <Card
        title="When"
        note={
          <>
            <code>{schedule.cron}</code> in {schedule.time_zone}
          </>
        }
      >
        {preview.error && <Failure error={preview.error} retry={() => void preview.refetch()} />}
        <Firings preview={preview.data} zone={schedule.time_zone} isStale={isSuspended || preview.isPlaceholderData} />
      </Card>
      <RunsOf filter={{ schedule: schedule.name }} empty="Runs that it makes appear here." />
      {asked === "delete" && (
        <Confirm
          title={`Delete ${schedule.name}?`}
          action="Delete the schedule"
          danger
          pending={remove.isPending}
          error={remove.error}
          onClose={close}
          onConfirm={() => remove.mutate(schedule.etag, { onSuccess: () => navigate("/schedules") })}
        >
          It makes no more runs. Those that it made stay, and go on.
        </Confirm>
      )}
      {asked === "trigger" && (
        <Confirm
          title={`Run ${schedule.name} now?`}
          action="Make a run"
          pending={trigger.isPending}
          error={trigger.error}
          onClose={close}
          onConfirm={() => trigger.mutate(undefined, { onSuccess: (made) => navigate(`/runs/${made.id}`) })}
        >
          A run of <strong>{schedule.pipeline}</strong> is made with what the schedule gives it. Its times stay as they
          are.
        </Confirm>
      )}
    </>
  );
}
