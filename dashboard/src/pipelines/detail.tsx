import { useState } from "react";
import { Link, useLocation } from "wouter";

import { Problem } from "../api/client";
import { rowsOf } from "../api/paged";
import { useDeletePipeline, usePipeline } from "../api/pipelines";
import { useSchedules } from "../api/schedules";
import type { Pipeline } from "../api/types";
import { CodeView } from "../code/view";
import { Card, Facts } from "../components/card";
import { Copy } from "../components/copy";
import { Confirm } from "../components/dialog";
import { Empty, Failure, LoadingPage } from "../components/feedback";
import { Tabs } from "../components/tabs";
import { Tags } from "../components/tags";
import { Ago, useNow } from "../components/time";
import { useAddress } from "../lib/address";
import { ScheduleTable } from "../schedules/table";
import { useMay } from "../session/session";
import { jobText, optionsText } from "./definition";
import { RunDialog } from "./run-dialog";
import { RunsOf } from "./runs-of";
import { Versions } from "./versions";

/** One pipeline. */
export function PipelineDetail({ name, view }: { name: string; view: string }) {
  const pipeline = usePipeline(name);
  if (pipeline.data) return <Loaded pipeline={pipeline.data} view={view} />;
  if (pipeline.isPending) return <LoadingPage />;
  return pipeline.error instanceof Problem && pipeline.error.status === 404 ? (
    <div className="card">
      <Empty page icon="search" title="There is no such pipeline">
        <Link href="/pipelines">All pipelines</Link>
      </Empty>
    </div>
  ) : (
    <Failure error={pipeline.error} retry={() => void pipeline.refetch()} />
  );
}

function Loaded({ pipeline, view }: { pipeline: Pipeline; view: string }) {
  const now = useNow(true, 30_000);
  const [address, setAddress] = useAddress();
  const [deleting, setDeleting] = useState(false);
  const mayRun = useMay("submitter");
  const mayChange = useMay("operator");
  const path = `/pipelines/${pipeline.name}`;
  const tabs = [
    { key: "definition", title: "Definition", href: path },
    { key: "versions", title: "Versions", href: `${path}/versions`, note: pipeline.version },
    { key: "runs", title: "Runs", href: `${path}/runs` },
    { key: "schedules", title: "Schedules", href: `${path}/schedules` },
  ];
  return (
    <>
      <title>{`${pipeline.name} · Weir`}</title>
      <div className="row spread page-head">
        <div>
          <div className="row">
            <h1>{pipeline.name}</h1>
            <span className="tag">v{pipeline.version}</span>
            <Tags labels={pipeline.labels} />
          </div>
          {pipeline.description && <p className="muted">{pipeline.description}</p>}
        </div>
        <div className="row">
          {mayChange && (
            <>
              <button className="danger" onClick={() => setDeleting(true)}>
                Delete
              </button>
              <Link className="button" href={`${path}/edit`}>
                Edit
              </Link>
            </>
          )}
          {mayRun && (
            <button className="primary" onClick={() => setAddress({ run: "now" })}>
              Run
            </button>
          )}
        </div>
      </div>
      <Tabs label="Pipeline" tabs={tabs} current={view} />
      {view === "definition" && <Definition pipeline={pipeline} now={now} />}
      {view === "versions" && <Versions pipeline={pipeline} />}
      {view === "runs" && <RunsOf filter={{ pipeline: pipeline.name }} empty="Run it, or let a schedule do so." />}
      {view === "schedules" && <SchedulesOf pipeline={pipeline.name} mayChange={mayChange} />}
      {address.get("run") === "now" && mayRun && (
        <RunDialog pipeline={pipeline} onClose={() => setAddress({ run: null })} />
      )}
      {deleting && <DeleteDialog pipeline={pipeline} onClose={() => setDeleting(false)} />}
    </>
  );
}

function Definition({ pipeline, now }: { pipeline: Pipeline; now: number }) {
  const job = jobText(pipeline.definition);
  const options = optionsText(pipeline.definition);
  return (
    <>
      <section className="card" aria-label="About" style={{ padding: 16 }}>
        <Facts
          facts={[
            ["Job", pipeline.job === "sql" ? "SQL" : "Beam YAML"],
            ["Changed", <Ago key="at" at={pipeline.updated_at} now={now} />],
            ["By", pipeline.updated_by],
            ["Made", <Ago key="made" at={pipeline.created_at} now={now} />],
            [
              "Digest",
              <span key="digest" className="mono">
                {pipeline.digest.slice(0, 12)}
              </span>,
              pipeline.digest,
            ],
          ]}
        />
      </section>
      <Card
        title={pipeline.job === "sql" ? "Statements" : "Pipeline"}
        note={pipeline.definition.file}
        actions={<Copy text={job.text} label="Copy the job" />}
      >
        <CodeView text={job.text} language={job.language} label="Job" />
      </Card>
      {options !== "{}" && (
        <Card title="Options" actions={<Copy text={options} label="Copy the options" />}>
          <CodeView text={options} language="json" label="Options" />
        </Card>
      )}
    </>
  );
}

function SchedulesOf({ pipeline, mayChange }: { pipeline: string; mayChange: boolean }) {
  const schedules = useSchedules(pipeline);
  return (
    <>
      {schedules.error && <Failure error={schedules.error} retry={() => void schedules.refetch()} />}
      <ScheduleTable schedules={schedules} rows={rowsOf(schedules)} ofPipeline>
        <Empty icon="clock" title="No schedule runs it" small>
          {mayChange && <Link href={`/schedules/-/new?pipeline=${pipeline}`}>Make one</Link>}
        </Empty>
      </ScheduleTable>
    </>
  );
}

function DeleteDialog({ pipeline, onClose }: { pipeline: Pipeline; onClose: () => void }) {
  const remove = useDeletePipeline(pipeline.name);
  const [, navigate] = useLocation();
  return (
    <Confirm
      title={`Delete ${pipeline.name}?`}
      action="Delete the pipeline"
      danger
      pending={remove.isPending}
      error={remove.error}
      onClose={onClose}
      onConfirm={() => remove.mutate(pipeline.etag, { onSuccess: () => navigate("/pipelines") })}
    >
      All {pipeline.version === 1 ? "of it" : `${pipeline.version} versions`} will be gone. Its runs stay, and go on.
    </Confirm>
  );
}
