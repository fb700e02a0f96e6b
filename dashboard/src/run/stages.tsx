import { Link } from "wouter";

import type { Run } from "../api/types";
import { Empty } from "../components/feedback";
import { TaskBar } from "../components/progress";
import { StageStateBadge } from "../components/state";
import { Elapsed } from "../components/time";
import { bytes, count } from "../lib/format";

/** The stages of a run, with their totals. */
export function Stages({ run, now }: { run: Run; now: number }) {
  if (run.stages.length === 0) {
    return (
      <section className="card">
        <Empty
          icon="runs"
          title={run.state === "finished" ? "It ended before it was planned" : "It is being planned"}
        />
      </section>
    );
  }
  return (
    <section className="card" aria-label="Stages">
      <header>
        <h2>Stages</h2>
      </header>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th>Stage</th>
              <th>State</th>
              <th style={{ minWidth: 130 }}>Tasks</th>
              <th className="n">Rows in</th>
              <th className="n">Rows out</th>
              <th className="n">Read</th>
              <th className="n">Written</th>
              <th className="n">Spilled</th>
              <th className="n">Failed</th>
              <th className="n">Took</th>
            </tr>
          </thead>
          <tbody>
            {run.stages.map((stage) => (
              <tr key={stage.id} id={`stage-${stage.id}`}>
                <td className="wide">
                  <span className="muted mono">{stage.id}</span>{" "}
                  <Link href={`/runs/${run.id}/tasks?stage=${stage.id}`}>{stage.name}</Link>
                </td>
                <td>
                  <StageStateBadge stage={stage} />
                </td>
                <td>
                  <TaskBar done={stage.tasks_done} running={stage.tasks_running} total={stage.tasks} />
                  <span className="muted">
                    {count(stage.tasks_done)} of {count(stage.tasks)}
                  </span>
                </td>
                <td className="n">{count(stage.rows_in)}</td>
                <td className="n">{count(stage.rows_out)}</td>
                <td className="n">{bytes(stage.bytes_in)}</td>
                <td className="n">{bytes(stage.bytes_out)}</td>
                <td className="n">{bytes(stage.spilled_bytes)}</td>
                <td className="n">{count(stage.attempts_failed)}</td>
                <td className="n">
                  {stage.started_at ? <Elapsed from={stage.started_at} to={stage.finished_at} now={now} /> : "–"}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
