// What is worth a look in a run: what was found, where, and what to do about it.

import { useState } from "react";
import { Link } from "wouter";

import { useFindings } from "../api/queries";
import type { Finding, Run } from "../api/types";
import { Card } from "../components/card";
import { Failure, LoadingBlock } from "../components/feedback";
import { Words } from "../components/words";
import { bytes, count, duration, percent } from "../lib/format";

const severities = {
  error: { word: "Error", tone: "bad", shape: "M7 1 13.5 12.5H.5ZM7 5v3.5M7 10.3v.6" },
  warning: { word: "Warning", tone: "warn", shape: "M7 1 13 7 7 13 1 7ZM7 4v3.6M7 9.6v.5" },
  info: { word: "Info", tone: "busy", shape: "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1ZM7 6.4v4M7 3.6v.5" },
} as const;

/** Pixels that the closed bar is high. */
export const BAR = 46;

/** What was found. While more may be found, `steady`, it is a bar of one height that opens on a click. */
export function Findings({ run, steady }: { run: Run; steady: boolean }) {
  const findings = useFindings(run.id);
  const [open, setOpen] = useState(false);
  const items = findings.data?.items ?? [];
  if (steady && findings.data) {
    return (
      <section className="card" aria-label="Findings">
        <header className="findings-bar">
          <div className="row">
            <h2>Findings</h2>
            <Counts items={items} />
          </div>
          <button aria-expanded={open} disabled={items.length === 0} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
          </button>
        </header>
        {open && items.length > 0 && <List items={items} />}
      </section>
    );
  }
  if (findings.isPending) return <LoadingBlock height={steady ? BAR : 86} label="Loading the findings" />;
  if (findings.error && !findings.data) {
    return <Failure error={findings.error} retry={() => void findings.refetch()} />;
  }
  return (
    <Card title="Findings" note={items.length > 0 ? count(items.length) : undefined}>
      {items.length > 0 ? (
        <List items={items} />
      ) : (
        <p className="all-well">
          <svg className="tone good" width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M3 7.2 5.8 10 11 4.5" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />
          </svg>
          {run.result === "succeeded" ? "Nothing" : "Nothing else"} stands out: no skew, no spill, no retries, no idle
          slots that cost anything.
        </p>
      )}
    </Card>
  );
}

function List({ items }: { items: Finding[] }) {
  return (
    <ul className="findings">
      {items.map((finding, index) => (
        <Entry key={`${finding.code}.${finding.evidence.stage ?? ""}.${index}`} finding={finding} />
      ))}
    </ul>
  );
}

/** How many there are of each severity. */
function Counts({ items }: { items: Finding[] }) {
  const all = (Object.keys(severities) as Finding["severity"][]).map((severity) => ({
    ...severities[severity],
    found: items.filter((finding) => finding.severity === severity).length,
  }));
  if (items.length === 0) return <span className="muted">Nothing stands out so far</span>;
  return (
    <span className="row finding-counts" role="status">
      {all.map(({ word, tone, shape, found }) =>
        found === 0 ? null : (
          <span className={`severity tone ${tone}`} key={word}>
            <Mark shape={shape} />
            {found} {word.toLowerCase()}
          </span>
        ),
      )}
    </span>
  );
}

function Mark({ shape }: { shape: string }) {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
      <path
        d={shape}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.6"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}

function Entry({ finding }: { finding: Finding }) {
  const { word, tone, shape } = severities[finding.severity];
  const { evidence } = finding;
  return (
    <li className={`finding ${tone}`}>
      <span className={`severity tone ${tone}`}>
        <Mark shape={shape} />
        {word}
      </span>
      <div className="finding-text">
        <h3>{finding.title}</h3>
        <p className="muted">
          <Words text={finding.detail} />
        </p>
        <p className="fix">
          <b>Do this</b> <Words text={finding.fix} />
        </p>
      </div>
      <div className="finding-evidence">
        <span className="measured">
          {write(evidence.unit, evidence.value)}
          <span className="muted"> · compared with {write(evidence.unit, evidence.threshold)}</span>
        </span>
        <code className="muted">{finding.code}</code>
        {(evidence.stage != null || evidence.task != null) && <Link href={evidence.link}>{place(finding)}</Link>}
      </div>
    </li>
  );
}

function place({ evidence }: Finding): string {
  if (evidence.task != null) return `Show task ${evidence.stage ?? 0}.${evidence.task}`;
  return evidence.operator != null
    ? `Show the operator in stage ${evidence.stage ?? 0}`
    : `Show stage ${evidence.stage ?? 0}`;
}

function write(unit: Finding["evidence"]["unit"], value: number): string {
  switch (unit) {
    case "bytes":
      return bytes(value);
    case "milliseconds":
      return duration(value);
    case "share":
      return percent(value);
    case "ratio":
      return `×${value >= 100 ? count(value) : value.toFixed(1)}`;
    case "count":
      return count(value);
  }
}
