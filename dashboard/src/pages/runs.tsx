import { useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";

import { useRuns, type RunFilter } from "../api/queries";
import type { ListedRun } from "../api/types";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { RunStateBadge } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { useAddress } from "../lib/address";
import { useSettled } from "../lib/settle";
import { useSlash } from "../lib/slash";
import { Going } from "../run/going";

const shows: Record<string, RunFilter> = {
  all: {},
  running: { state: "running" },
  succeeded: { result: "succeeded" },
  failed: { result: "failed" },
  cancelled: { result: "cancelled" },
};

/** How long ago runs were submitted at most. */
const ages: Record<string, [string, number]> = {
  "1h": ["Last hour", 3_600_000],
  "24h": ["Last 24 hours", 24 * 3_600_000],
  "7d": ["Last 7 days", 7 * 24 * 3_600_000],
  "30d": ["Last 30 days", 30 * 24 * 3_600_000],
};

export default function RunsPage() {
  const [search, change] = useAddress();
  const [, navigate] = useLocation();
  const show = search.get("show") ?? "all";
  const words = search.get("search") ?? "";
  const label = search.get("label") ?? "";
  const since = search.get("since") ?? "";
  const age = ages[since]?.[1];
  const settled = useSettled(words.trim());
  const field = useRef<HTMLInputElement>(null);
  useSlash(field);
  const runs = useRuns({
    ...(shows[show] ?? {}),
    ...(settled ? { search: settled } : {}),
    ...(label ? { label } : {}),
    ...(age === undefined ? {} : { age }),
  });
  const rows = runs.data?.pages.flatMap((page) => page.items) ?? [];
  // An answer looks at so many runs; where it found none it is gone on with.
  const { hasNextPage, isFetching, isError, fetchNextPage } = runs;
  const searching = rows.length === 0 && hasNextPage;
  useEffect(() => {
    if (searching && !isFetching && !isError) void fetchNextPage();
  }, [searching, isFetching, isError, fetchNextPage]);
  const now = useNow(true);
  const picked = (search.get("pick") ?? "").split(",").filter(Boolean);
  const pick = (id: string, on: boolean) =>
    change({ pick: (on ? [...picked, id] : picked.filter((other) => other !== id)).slice(-2).join(",") });
  // The older of two is what the younger one is compared with.
  const [older = "", younger = ""] = [...picked].sort();
  const filtered = show !== "all" || settled !== "" || label !== "" || age !== undefined;

  return (
    <>
      <title>Runs · Weir</title>
      <div className="row spread">
        <h1>Runs</h1>
        <div className="row">
          {picked.length > 0 && (
            <>
              <button onClick={() => change({ pick: null })}>Pick none</button>
              <button
                className="primary"
                disabled={picked.length < 2}
                onClick={() => navigate(`/compare?a=${older}&b=${younger}`)}
              >
                {picked.length < 2 ? "Pick another to compare" : "Compare two runs"}
              </button>
            </>
          )}
          <div className="chips" role="group" aria-label="Show">
            {Object.keys(shows).map((key) => (
              <button
                key={key}
                aria-pressed={key === show}
                onClick={() => change({ show: key === "all" ? null : key })}
              >
                {key.charAt(0).toUpperCase() + key.slice(1)}
              </button>
            ))}
          </div>
          <select
            aria-label="Submitted"
            value={age === undefined ? "" : since}
            onChange={(event) => change({ since: event.target.value })}
          >
            <option value="">Any time</option>
            {Object.entries(ages).map(([key, [title]]) => (
              <option key={key} value={key}>
                {title}
              </option>
            ))}
          </select>
          <input
            ref={field}
            type="search"
            className="find"
            placeholder="Name, label, person or id"
            aria-label="Find runs"
            aria-keyshortcuts="/"
            title="Words that are in names, in labels as key=value, in who submitted a run, or at the beginning of its id. Press / to come here"
            maxLength={200}
            value={words}
            onChange={(event) => change({ search: event.target.value })}
          />
        </div>
      </div>
      {label && (
        <div className="row">
          <button className="pill" title="Show all labels" onClick={() => change({ label: null })}>
            {label} <span aria-label="Remove this filter">✕</span>
          </button>
        </div>
      )}
      {runs.error && <Failure error={runs.error} retry={() => void runs.refetch()} />}
      <section className="card scroll" aria-label="Runs">
        <table className="runs">
          <thead>
            <tr>
              <th className="pick">
                <span className="visually-hidden">Pick</span>
              </th>
              <th>Run</th>
              <th>State</th>
              <th>Progress</th>
              <th className="n">Took</th>
              <th>Submitted</th>
            </tr>
          </thead>
          {runs.isPending || searching ? (
            <LoadingRows rows={8} columns={6} />
          ) : (
            <tbody>
              {rows.map((run) => (
                <Row
                  key={run.id}
                  run={run}
                  now={now}
                  picked={picked.includes(run.id)}
                  onPick={pick}
                  onLabel={(label) => change({ label })}
                />
              ))}
            </tbody>
          )}
        </table>
        {!runs.isPending && !searching && !runs.error && rows.length === 0 && (
          <Empty icon={filtered ? "search" : "runs"} title={filtered ? "No run is like that" : "Nothing has run yet"}>
            {filtered ? (
              <button onClick={() => change({ show: null, search: null, label: null, since: null })}>Show all</button>
            ) : (
              <>
                Submit a pipeline, and it appears here.
                <pre>weir submit examples/wordcount/pipeline.yaml --wait</pre>
              </>
            )}
          </Empty>
        )}
      </section>
      <More list={runs}>Older runs</More>
    </>
  );
}

interface RowProps {
  run: ListedRun;
  now: number;
  picked: boolean;
  onPick: (id: string, on: boolean) => void;
  onLabel: (label: string) => void;
}

/** Labels of a run that its row shows. */
const LABELS = 3;

function Row({ run, now, picked, onPick, onLabel }: RowProps) {
  const labels = Object.entries(run.labels).map(([key, value]) => `${key}=${value}`);
  return (
    <tr aria-selected={picked}>
      <td className="pick">
        <input
          type="checkbox"
          checked={picked}
          aria-label={`Pick ${run.name}, ${run.id}, to compare`}
          onChange={(event) => onPick(run.id, event.target.checked)}
        />
      </td>
      <td className="what">
        <Link className="name" href={`/runs/${run.id}`} title={run.name}>
          {run.name}
        </Link>
        <div className="row identity">
          <span className="muted mono">{run.id}</span>
          {labels.length > 0 && (
            <span className="tags">
              {labels.slice(0, LABELS).map((label) => (
                <button key={label} className="tag" title={`Show runs with ${label}`} onClick={() => onLabel(label)}>
                  {label}
                </button>
              ))}
              {labels.length > LABELS && (
                <span className="muted" title={labels.slice(LABELS).join(", ")}>{`+${labels.length - LABELS}`}</span>
              )}
            </span>
          )}
        </div>
      </td>
      <td>
        <RunStateBadge run={run} />
      </td>
      <td className="progress-cell">
        <Going run={run} />
      </td>
      <td className="n">
        <Elapsed from={run.created_at} to={run.finished_at} now={now} />
      </td>
      <td>
        <Ago at={run.created_at} now={now} />
        {run.created_by && (
          <div className="muted by" title={run.created_by}>
            {run.created_by}
          </div>
        )}
      </td>
    </tr>
  );
}
