import { Link } from "wouter";

import { useRuns, type RunFilter } from "../api/queries";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { moment } from "../lib/format";
import { Going } from "../run/going";

/** Runs of a pipeline or schedule, the youngest first. */
export function RunsOf({ filter, empty }: { filter: RunFilter; empty: React.ReactNode }) {
  const runs = useRuns(filter);
  const rows = runs.data?.pages.flatMap((page) => page.items) ?? [];
  const now = useNow(rows.some((run) => run.state !== "finished"));
  const scheduled = filter.schedule !== undefined;
  return (
    <>
      {runs.error && <Failure error={runs.error} retry={() => void runs.refetch()} />}
      <section className="card scroll" aria-label="Runs">
        <table className="runs-of">
          <thead>
            <tr>
              <th>Run</th>
              <th>State</th>
              <th>{scheduled ? "For" : "Version"}</th>
              <th>Progress</th>
              <th className="n">Took</th>
              <th>Submitted</th>
            </tr>
          </thead>
          {runs.isPending ? (
            <LoadingRows rows={4} columns={6} />
          ) : (
            <tbody>
              {rows.map((run) => (
                <tr key={run.id}>
                  <td>
                    <Link href={`/runs/${run.id}`} className="mono">
                      {run.id}
                    </Link>
                  </td>
                  <td>
                    <RunStateBadge run={run} />
                  </td>
                  <td>
                    {scheduled
                      ? run.schedule?.at
                        ? moment(run.schedule.at)
                        : "triggered"
                      : run.pipeline && `v${run.pipeline.version}`}
                  </td>
                  <td className="progress-cell">
                    <Going run={run} />
                  </td>
                  <td className="n">
                    <Elapsed from={run.created_at} to={run.finished_at} now={now} />
                  </td>
                  <td>
                    <Ago at={run.created_at} now={now} />
                  </td>
                </tr>
              ))}
            </tbody>
          )}
        </table>
        {!runs.isPending && !runs.error && rows.length === 0 && (
          <Empty icon="runs" title="No run yet" small>
            {empty}
          </Empty>
        )}
      </section>
      <More list={runs}>Older runs</More>
    </>
  );
}
