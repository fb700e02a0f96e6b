// Why a run ended as it did, when that was not well: where, with what words, and what to do about it.

import { Link } from "wouter";

import { useTaskLines } from "../api/queries";
import type { Run, RunReason } from "../api/types";
import { Words } from "../components/words";
import { advice, headline } from "../lib/ending";
import { Line } from "./line";

/** Lines that are shown of what the failed task wrote, its last ones. */
const LINES = 5;

/** Lines that the task wrote whose failure ended the run. */
export function useLastWords(run: Run | undefined) {
  const { stage, task } = run?.reason ?? {};
  const spoke = run !== undefined && run.log_lines > 0;
  return useTaskLines(run?.id ?? "", spoke && stage != null && task != null ? { stage, task } : undefined);
}

/** Why the run ended, as a part of its page. */
export function Reason({ run }: { run: Run }) {
  const { reason } = run;
  if (!reason) return null;
  const cancelled = run.result === "cancelled";
  return (
    <section className={`notice reason ${cancelled ? "warn" : "bad"}`} role="status">
      <svg
        className={`tone ${cancelled ? "warn" : "bad"}`}
        width="18"
        height="18"
        viewBox="0 0 18 18"
        aria-hidden="true"
      >
        <path d="M9 1.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15ZM9 5v4.600M9 12.200v.3" />
      </svg>
      <div>
        <div className="row spread">
          <strong>{headline({ ...run, reason })}</strong>
          <code className="muted">{reason.code}</code>
        </div>
        <Explained run={run} reason={reason} />
      </div>
    </section>
  );
}

/** The words of the failure, what the task wrote before it, and the ways on from there. */
export function Explained({ run, reason }: { run: Run; reason: RunReason }) {
  const lines = useLastWords(run).data?.slice(-LINES) ?? [];
  const todo = advice(reason);
  const { stage, task } = reason;
  return (
    <>
      <pre tabIndex={0}>{reason.message}</pre>
      {lines.length > 0 && (
        <div className="last-words" role="group" aria-label="Its last log lines" tabIndex={0}>
          {lines.map((line, index) => (
            <Line key={index} line={line} wanted="" />
          ))}
        </div>
      )}
      {todo && (
        <p className="fix">
          <b>Do this</b> <Words text={todo} />
        </p>
      )}
      {stage != null && task != null && (
        <div className="row reason-links">
          <Link className="button" href={`/runs/${run.id}?task=${stage}.${task}`}>
            Task {stage}.{task}
          </Link>
          <Link className="button" href={`/runs/${run.id}/tasks?stage=${stage}&state=failed`}>
            Failed tasks of stage {stage}
          </Link>
          {run.log_lines > 0 && (
            <Link className="button" href={`/runs/${run.id}/logs?task=${stage}.${task}`}>
              Its log lines
            </Link>
          )}
        </div>
      )}
    </>
  );
}
