import { Link } from "wouter";

import type { Paged } from "../api/paged";
import type { Schedule } from "../api/types";
import { LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { State, type Tone } from "../components/state";
import { useNow } from "../components/time";
import { moment } from "../lib/format";
import { until } from "./until";

const states: Record<Schedule["state"], [Tone, string]> = {
  scheduled: ["good", "Scheduled"],
  failing: ["bad", "Failing"],
  suspended: ["warn", "Suspended"],
  completed: ["idle", "Completed"],
};

/** Whether a schedule makes runs. */
export function ScheduleStateBadge({ schedule }: { schedule: Pick<Schedule, "state" | "reason"> }) {
  const [tone, word] = states[schedule.state];
  return (
    <span title={schedule.reason?.message}>
      <State tone={tone}>{word}</State>
    </span>
  );
}

/** In how long, with the moment itself for those who ask. */
export function Until({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {until(at, now)}
    </time>
  );
}

/** Schedules, each with when and what; `children` is what is shown when there is none. */
export function ScheduleTable(props: {
  schedules: Paged<Schedule>;
  rows: Schedule[];
  ofPipeline?: boolean;
  children: React.ReactNode;
}) {
  const { schedules, rows, ofPipeline } = props;
  const now = useNow(true);
  return (
    <>
      <section className="card scroll" aria-label="Schedules">
        <table>
          <thead>
            <tr>
              <th>Schedule</th>
              <th>State</th>
              {!ofPipeline && <th>Pipeline</th>}
              <th>When</th>
              <th>Next</th>
              <th>Last</th>
            </tr>
          </thead>
          {schedules.isPending ? (
            <LoadingRows rows={5} columns={ofPipeline ? 5 : 6} />
          ) : (
            <tbody>
              {rows.map((schedule) => (
                <tr key={schedule.name}>
                  <td className="wide">
                    <Link className="name" href={`/schedules/${schedule.name}`}>
                      {schedule.name}
                    </Link>
                    {schedule.description && <div className="muted clip">{schedule.description}</div>}
                  </td>
                  <td>
                    <ScheduleStateBadge schedule={schedule} />
                  </td>
                  {!ofPipeline && (
                    <td>
                      <Link href={`/pipelines/${schedule.pipeline}`}>{schedule.pipeline}</Link>
                      {schedule.version != null && <span className="muted"> v{schedule.version}</span>}
                    </td>
                  )}
                  <td>
                    <code>{schedule.cron}</code>
                    <div className="muted">{schedule.time_zone}</div>
                  </td>
                  <td>
                    {schedule.next_at ? <Until at={schedule.next_at} now={now} /> : <span className="muted">–</span>}
                  </td>
                  <td>
                    {schedule.last_at ? (
                      schedule.last_run ? (
                        <Link href={`/runs/${schedule.last_run}`}>{moment(schedule.last_at)}</Link>
                      ) : (
                        moment(schedule.last_at)
                      )
                    ) : (
                      <span className="muted">–</span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          )}
        </table>
        {schedules.data && rows.length === 0 && props.children}
      </section>
      <More list={schedules}>More schedules</More>
    </>
  );
}
