import { useState } from "react";
import { useLocation } from "wouter";

import { useRunPipeline } from "../api/pipelines";
import type { Pipeline } from "../api/types";
import { Dialog } from "../components/dialog";
import { Failure } from "../components/feedback";
import { Field } from "../components/field";
import { KeyValues, toObject, type Entries } from "../forms/key-values";
import "../forms/forms.css";

/** Asks for what a run has over the definition, and makes it. */
export function RunDialog({ pipeline, onClose }: { pipeline: Pipeline; onClose: () => void }) {
  const run = useRunPipeline(pipeline.name);
  const [, navigate] = useLocation();
  const [version, setVersion] = useState("");
  const [parameters, setParameters] = useState<Entries>(Object.entries(pipeline.definition.parameters ?? {}));
  const [labels, setLabels] = useState<Entries>([]);
  const chosen = version === "" ? undefined : Number(version);
  const isWrong = chosen !== undefined && !(Number.isInteger(chosen) && chosen >= 1 && chosen <= pipeline.version);
  const start = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (isWrong) return;
    run.mutate(
      {
        ...(chosen === undefined ? {} : { version: chosen }),
        parameters: toObject(parameters),
        labels: toObject(labels),
      },
      { onSuccess: (made) => navigate(`/runs/${made.id}`) },
    );
  };
  return (
    <Dialog title={`Run ${pipeline.name}`} onClose={onClose}>
      <form className="stack" onSubmit={start}>
        <Field
          label="Version"
          error={isWrong ? `A whole number from 1 to ${pipeline.version}` : undefined}
          help={`The latest, ${pipeline.version}, when it is left out.`}
        >
          {(control) => (
            <input
              {...control}
              inputMode="numeric"
              placeholder={String(pipeline.version)}
              value={version}
              onChange={(event) => setVersion(event.target.value.trim())}
            />
          )}
        </Field>
        <KeyValues
          title="Parameters"
          nouns={["name", "value"]}
          help="Over those of the definition."
          entries={parameters}
          onChange={setParameters}
        />
        <KeyValues title="Labels" nouns={["key", "value"]} entries={labels} onChange={setLabels} />
        {run.error && <Failure error={run.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={run.isPending || isWrong}>
            {run.isPending ? "Starting…" : "Run"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
