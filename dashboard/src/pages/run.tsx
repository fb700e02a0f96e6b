import "../run/run.css";

import { useState } from "react";
import { Link } from "wouter";

import { Problem } from "../api/client";
import { useRun, useStages } from "../api/queries";
import type { Run } from "../api/types";
import { Empty, Failure, LoadingPage } from "../components/feedback";
import { Tabs } from "../components/tabs";
import { useNow } from "../components/time";
import { short } from "../lib/format";
import { Configuration } from "../run/configuration";
import { Events } from "../run/events";
import { Header, Progress } from "../run/header";
import { Logs } from "../run/logs";
import { Overview } from "../run/overview";
import { Reason, useLastWords } from "../run/reason";
import { TaskPanel } from "../run/task-panel";
import { OutputView } from "../run/output-view";
import { Tasks } from "../run/tasks";

export default function RunPage({ id, view }: { id: string; view: string; item: string | undefined }) {
  const run = useRun(id);
  // With the reason at the top of the page, and not after it: nothing is pushed down then.
  const words = useLastWords(run.data);
  const [opened, setOpened] = useState(false);
  if (!opened && run.data && !words.isLoading) setOpened(true);
  if (run.isPending || (words.isLoading && !opened)) return <LoadingPage />;
  if (run.error && !run.data) {
    return run.error instanceof Problem && run.error.status === 404 ? (
      <div className="card">
        <Empty page icon="search" title="There is no such run">
          <Link href="/">All runs</Link>
        </Empty>
      </div>
    ) : (
      <Failure error={run.error} retry={() => void run.refetch()} />
    );
  }
  return <Loaded run={run.data} view={view} stale={run.error} />;
}

function Loaded({ run, view, stale }: { run: Run; view: string; stale: Error | null }) {
  const live = run.state !== "finished";
  // A page that was opened while its run went on keeps its shape when that ends.
  const [steady] = useState(live);
  const now = useNow(live);
  const none = steady ? "" : undefined;
  const tabs = [
    { key: "overview", title: "Overview" },
    { key: "tasks", title: "Tasks", note: run.progress.tasks > 0 ? short(run.progress.tasks) : none },
    { key: "logs", title: "Logs", note: run.log_lines > 0 ? short(run.log_lines) : none },
    { key: "outputs", title: run.job === "sql" && run.outputs.length === 0 ? "Result" : "Outputs" },
    { key: "configuration", title: "Configuration" },
    { key: "events", title: "Events" },
  ].map((tab) => ({ ...tab, href: tab.key === "overview" ? `/runs/${run.id}` : `/runs/${run.id}/${tab.key}` }));
  return (
    <>
      <title>{`${run.name} · Weir`}</title>
      <Header run={run} now={now} />
      {!steady && <Reason run={run} />}
      <Progress run={run} now={now} stale={stale} steady={steady} />
      <Tabs label="Run" tabs={tabs} current={view} />
      {view === "overview" && <Overview run={run} now={now} steady={steady} />}
      {view === "tasks" && <TasksView run={run} />}
      {view === "logs" && <Logs run={run} />}
      {view === "outputs" && <OutputView run={run} />}
      {view === "configuration" && <Configuration run={run} />}
      {view === "events" && <Events run={run} />}
      {(view === "overview" || view === "tasks") && <TaskPanel run={run.id} />}
      {!tabs.some((tab) => tab.key === view) && (
        <div className="card">
          <Empty icon="search" title="A run has no such view">
            <Link href={`/runs/${run.id}`}>Overview</Link>
          </Empty>
        </div>
      )}
    </>
  );
}

function TasksView({ run }: { run: Run }) {
  const stages = useStages(run.id);
  return <Tasks run={run} stages={stages.data ?? []} />;
}
