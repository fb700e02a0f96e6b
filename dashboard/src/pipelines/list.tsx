import { useState } from "react";
import { Link } from "wouter";

import { rowsOf } from "../api/paged";
import { usePipelines } from "../api/pipelines";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { Tags } from "../components/tags";
import { Ago, useNow } from "../components/time";
import { useMay } from "../session/session";

/** All pipelines of the namespace. */
export function PipelineList() {
  const pipelines = usePipelines();
  const [search, setSearch] = useState("");
  const now = useNow(true, 30_000);
  const mayChange = useMay("operator");
  const all = rowsOf(pipelines);
  const wanted = search.trim().toLowerCase();
  const rows = all.filter(({ name, description, labels }) =>
    `${name} ${description ?? ""} ${Object.entries(labels).flat().join(" ")}`.toLowerCase().includes(wanted),
  );
  return (
    <>
      <title>Pipelines · Weir</title>
      <div className="row spread">
        <h1>Pipelines</h1>
        <div className="row">
          <input
            type="search"
            placeholder="Name or label"
            aria-label="Name or label"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
          {mayChange && (
            <Link className="button primary" href="/pipelines/-/new">
              New pipeline
            </Link>
          )}
        </div>
      </div>
      {pipelines.error && <Failure error={pipelines.error} retry={() => void pipelines.refetch()} />}
      <section className="card scroll" aria-label="Pipelines">
        <table>
          <thead>
            <tr>
              <th>Pipeline</th>
              <th className="n">Version</th>
              <th>Labels</th>
              <th>Changed</th>
              <th>By</th>
            </tr>
          </thead>
          {pipelines.isPending ? (
            <LoadingRows rows={6} columns={5} />
          ) : (
            <tbody>
              {rows.map((pipeline) => (
                <tr key={pipeline.name}>
                  <td className="wide">
                    <Link className="name" href={`/pipelines/${pipeline.name}`}>
                      {pipeline.name}
                    </Link>
                    {pipeline.description && <div className="muted clip">{pipeline.description}</div>}
                  </td>
                  <td className="n">{pipeline.version}</td>
                  <td>
                    <Tags labels={pipeline.labels} />
                  </td>
                  <td>
                    <Ago at={pipeline.updated_at} now={now} />
                  </td>
                  <td className="muted">{pipeline.updated_by}</td>
                </tr>
              ))}
            </tbody>
          )}
        </table>
        {pipelines.data && rows.length === 0 && (
          <Empty
            icon={wanted ? "search" : "lines"}
            title={wanted ? "No pipeline here is like that" : "There are no pipelines yet"}
          >
            {wanted ? (
              <button onClick={() => setSearch("")}>Show all</button>
            ) : (
              <>
                A pipeline is a job with a name and versions, which people and schedules make runs of.
                <pre>weir pipelines apply pipeline.yaml</pre>
              </>
            )}
          </Empty>
        )}
      </section>
      <More list={pipelines}>More pipelines</More>
    </>
  );
}
