import { useState } from "react";
import { Link, useLocation } from "wouter";

import { Problem } from "../api/client";
import { useSavePipeline } from "../api/pipelines";
import type { Pipeline, PipelineRequest, RunRequest } from "../api/types";
import { CodeEditor } from "../code/editor";
import type { Mark } from "../code/view";
import { Failure } from "../components/feedback";
import { Field } from "../components/field";
import { JsonField, parseObject } from "../forms/json-field";
import { KeyValues, toObject, type Entries } from "../forms/key-values";
import { isName, NameField } from "../forms/name-field";
import { statements } from "../sql/statements";
import { jobText } from "./definition";
import "../forms/forms.css";

const example = `pipeline:
  type: chain
  transforms:
    - type: ReadFromCsv
      config:
        path: s3://bucket/orders/*.csv
    - type: WriteToParquet
      config:
        path: s3://bucket/out/
`;

/** What the form holds, as text. */
interface Draft {
  name: string;
  description: string;
  kind: "pipeline" | "sql";
  job: string;
  parameters: Entries;
  labels: Entries;
  tables: Entries;
  modules: Entries;
  settings: string;
  note: string;
}

function draftOf(pipeline: Pipeline | undefined): Draft {
  const definition = pipeline?.definition ?? {};
  const { settings, sql } = definition;
  return {
    name: pipeline?.name ?? "",
    description: pipeline?.description ?? "",
    kind: sql ? "sql" : "pipeline",
    job: pipeline ? jobText(definition).text : "",
    parameters: Object.entries(definition.parameters ?? {}),
    labels: Object.entries(definition.labels ?? {}),
    tables: (sql?.tables ?? []).map(({ name, path }) => [name, path]),
    modules: Object.entries(definition.modules ?? {}),
    settings: settings && Object.keys(settings).length > 0 ? JSON.stringify(settings, null, 2) : "",
    note: "",
  };
}

/** What is sent; `undefined` while it can not be. */
function requestOf(draft: Draft, pipeline: Pipeline | undefined): PipelineRequest | undefined {
  const settings = parseObject(draft.settings);
  if ("error" in settings) return undefined;
  const common: RunRequest = {
    // What the form does not show stays as it is.
    ...(pipeline?.definition.base == null ? {} : { base: pipeline.definition.base }),
    ...(pipeline?.definition.file == null || draft.kind === "sql" ? {} : { file: pipeline.definition.file }),
    labels: toObject(draft.labels),
    modules: toObject(draft.modules),
    ...(Object.keys(settings.value).length > 0 ? { settings: settings.value } : {}),
  };
  const all = statements(draft.job);
  const last = all.at(-1);
  const definition: RunRequest =
    draft.kind === "sql"
      ? {
          ...common,
          sql: {
            statement: last?.text ?? "",
            setup: all.slice(0, -1).map((statement) => statement.text),
            tables: Object.entries(toObject(draft.tables)).map(([name, path]) => ({ name, path })),
          },
        }
      : {
          ...common,
          parameters: toObject(draft.parameters),
          pipeline: draft.job,
        };
  return {
    ...(draft.description.trim() === "" ? {} : { description: draft.description.trim() }),
    ...(draft.note.trim() === "" ? {} : { note: draft.note.trim() }),
    labels: pipeline?.labels ?? {},
    definition,
  };
}

function marksOf(error: Error | null): Mark[] {
  if (!(error instanceof Problem)) return [];
  return error.errors.flatMap(({ line, column, message }) =>
    line ? [{ line, column: column ?? undefined, message }] : [],
  );
}

/** Makes a pipeline, or a new version of one. */
export function PipelineForm({ pipeline }: { pipeline?: Pipeline }) {
  const save = useSavePipeline();
  const [, navigate] = useLocation();
  const [draft, setDraft] = useState(() => draftOf(pipeline));
  const set = (changed: Partial<Draft>) => {
    setDraft({ ...draft, ...changed });
    if (save.error) save.reset();
  };
  const request = requestOf(draft, pipeline);
  const isNamed = isName(draft.name);
  const isReady = request !== undefined && isNamed && draft.job.trim() !== "" && !save.isPending;
  const send = () => {
    if (!isReady) return;
    save.mutate(
      { name: draft.name, etag: pipeline?.etag, body: request },
      { onSuccess: (saved) => navigate(`/pipelines/${saved.name}`) },
    );
  };
  const marks = draft.kind === "sql" ? [] : marksOf(save.error);
  const home = pipeline ? `/pipelines/${pipeline.name}` : "/pipelines";
  const isStale = save.error instanceof Problem && save.error.status === 412;
  return (
    <>
      <title>{pipeline ? `Edit ${pipeline.name} · Weir` : "New pipeline · Weir"}</title>
      <h1>{pipeline ? `Edit ${pipeline.name}` : "New pipeline"}</h1>
      <form
        className="card form"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <div className="form-columns">
          {!pipeline && <NameField value={draft.name} isValid={isNamed} onChange={(name) => set({ name })} />}
          <Field label="Description">
            {(control) => (
              <input
                {...control}
                maxLength={2000}
                value={draft.description}
                onChange={(event) => set({ description: event.target.value })}
              />
            )}
          </Field>
          {pipeline && (
            <Field label="What is new" help="A note for the list of versions.">
              {(control) => (
                <input
                  {...control}
                  maxLength={1000}
                  value={draft.note}
                  onChange={(event) => set({ note: event.target.value })}
                />
              )}
            </Field>
          )}
        </div>
        <div className="field">
          <div className="row spread">
            <span className="field-name">{draft.kind === "sql" ? "Statements" : "Pipeline"}</span>
            <div className="chips" role="group" aria-label="Kind of job">
              <button type="button" aria-pressed={draft.kind === "pipeline"} onClick={() => set({ kind: "pipeline" })}>
                Beam YAML
              </button>
              <button type="button" aria-pressed={draft.kind === "sql"} onClick={() => set({ kind: "sql" })}>
                SQL
              </button>
            </div>
          </div>
          <CodeEditor
            value={draft.job}
            onChange={(job) => set({ job })}
            language={draft.kind === "sql" ? "sql" : "yaml"}
            label={draft.kind === "sql" ? "Statements" : "Pipeline"}
            rows={16}
            marks={marks}
            invalid={marks.length > 0}
            describedBy="pipeline-error"
            placeholder={draft.kind === "sql" ? "COPY (SELECT * FROM orders) TO 's3://bucket/out/'" : example}
            onSubmit={send}
          />
        </div>
        {save.error && (
          <div id="pipeline-error">
            <Failure error={save.error} />
            {isStale && pipeline && (
              <p className="muted">
                Somebody else made a version meanwhile. Copy what you wrote, <Link href={home}>look at theirs</Link>,
                and edit that.
              </p>
            )}
          </div>
        )}
        <div className="form-columns">
          {draft.kind === "pipeline" ? (
            <KeyValues
              title="Parameters"
              nouns={["name", "value"]}
              help="Of the template: {{ name }} in the pipeline."
              entries={draft.parameters}
              onChange={(parameters) => set({ parameters })}
            />
          ) : (
            <KeyValues
              title="Tables"
              nouns={["name", "path"]}
              help="Files that the statements read by name."
              entries={draft.tables}
              onChange={(tables) => set({ tables })}
            />
          )}
          <KeyValues
            title="Modules"
            nouns={["path in the job", "digest"]}
            help={
              <>
                Wasm components, which are <Link href="/modules">uploaded before</Link>.
              </>
            }
            entries={draft.modules}
            onChange={(modules) => set({ modules })}
          />
          <KeyValues
            title="Labels of its runs"
            nouns={["key", "value"]}
            entries={draft.labels}
            onChange={(labels) => set({ labels })}
          />
          <JsonField
            label="Settings"
            help="Over the server's defaults."
            placeholder={'{ "target_partitions": 32 }'}
            text={draft.settings}
            onChange={(settings) => set({ settings })}
          />
        </div>
        <footer>
          <button className="primary" type="submit" disabled={!isReady}>
            {save.isPending ? "Saving…" : pipeline ? "Save as a new version" : "Make the pipeline"}
          </button>
          <Link className="button" href={home}>
            Leave it
          </Link>
        </footer>
      </form>
    </>
  );
}
