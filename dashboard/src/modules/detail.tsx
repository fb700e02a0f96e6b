import { useState } from "react";
import { Link, useLocation } from "wouter";

import { Problem } from "../api/client";
import { useDeleteModule, useModule } from "../api/modules";
import type { Module, ModuleFunction } from "../api/types";
import { CodeView } from "../code/view";
import { Card, Facts } from "../components/card";
import { Copy } from "../components/copy";
import { Confirm } from "../components/dialog";
import { Empty, Failure, LoadingPage } from "../components/feedback";
import { Ago, useNow } from "../components/time";
import { Words } from "../components/words";
import { bytes, count } from "../lib/format";
import { useMay } from "../session/session";
import { isForSql } from "./signature";

const kinds: Record<string, string> = {
  scalar: "a value from each row",
  flat_map: "any number of rows from each row",
  aggregate: "a value from many rows",
};

/** One component, with what it exports. */
export function ModuleDetail({ digest }: { digest: string }) {
  const module = useModule(digest);
  if (module.data) return <Loaded module={module.data} />;
  if (module.isPending) return <LoadingPage />;
  return module.error instanceof Problem && module.error.status < 500 ? (
    <div className="card">
      <Empty page icon="search" title="There is no such module">
        <Link href="/modules">All modules</Link>
      </Empty>
    </div>
  ) : (
    <Failure error={module.error} retry={() => void module.refetch()} />
  );
}

function Loaded({ module }: { module: Module }) {
  const now = useNow(true, 30_000);
  const mayChange = useMay("operator");
  const [deleting, setDeleting] = useState(false);
  const remove = useDeleteModule();
  const [, navigate] = useLocation();
  return (
    <>
      <title>{`${module.digest.slice(0, 12)} · Weir`}</title>
      <div className="row spread">
        <h1>
          Module <span className="mono">{module.digest.slice(0, 12)}</span>
        </h1>
        <div className="row">
          {module.functions.some(isForSql) && (
            <Link className="button" href={`/sql?module=${module.digest}`}>
              Use in SQL
            </Link>
          )}
          {mayChange && (
            <button className="danger" onClick={() => setDeleting(true)}>
              Delete
            </button>
          )}
        </div>
      </div>
      <section className="card" aria-label="About" style={{ padding: 16 }}>
        <Facts
          facts={[
            ["Size", bytes(module.bytes)],
            ["Functions", count(module.functions.length)],
            ["Uploaded", module.uploaded_at ? <Ago key="at" at={module.uploaded_at} now={now} /> : null],
            ["By", module.uploaded_by],
          ]}
        />
        <div className="digest">
          <code>{module.digest}</code>
          <Copy text={module.digest} label="Copy the digest" />
        </div>
      </section>
      {module.functions.map((one) => (
        <Function key={one.name} one={one} />
      ))}
      <Card title="How to use it">
        <CodeView
          language="yaml"
          label="Example"
          text={`# In a pipeline, with modules: {functions.wasm: ${module.digest.slice(0, 12)}…} in the submission\nproviders:\n  - type: wasm\n    config:\n      path: functions.wasm\n    transforms:\n${module.functions.map(({ name }) => `      ${name}: ${name}`).join("\n")}\n`}
        />
      </Card>
      {deleting && (
        <Confirm
          title="Delete the module?"
          action="Delete the module"
          danger
          pending={remove.isPending}
          error={remove.error}
          onClose={() => setDeleting(false)}
          onConfirm={() => remove.mutate(module.digest, { onSuccess: () => navigate("/modules") })}
        >
          One that a pipeline or a run uses is refused.
        </Confirm>
      )}
    </>
  );
}

function Function({ one }: { one: ModuleFunction }) {
  const outputs = one.outputs ?? [];
  const args = one.arguments ?? [];
  return (
    <Card
      title={one.name}
      note={
        <>
          <span className="tag">{one.kind}</span> {kinds[one.kind] ?? ""}
          {one.volatility && `, ${one.volatility}`}
        </>
      }
    >
      {one.docs && (
        <div className="docs">
          {/* Lines that follow each other are one paragraph, as in the source that they come from. */}
          {one.docs.split(/\n\s*\n/).map((paragraph, index) => (
            <p key={index}>
              <Words text={paragraph.replace(/\s*\n\s*/g, " ")} />
            </p>
          ))}
        </div>
      )}
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th>Direction</th>
              <th>Name</th>
              <th>Type</th>
            </tr>
          </thead>
          <tbody>
            {args.map((column, index) => (
              <tr key={`in ${index}`}>
                <td className="muted">takes</td>
                <td className="mono">{column.name}</td>
                <td>
                  <code>{column.type}</code>
                  {column.nullable && <span className="muted"> or null</span>}
                </td>
              </tr>
            ))}
            {outputs.flatMap((output) =>
              output.columns.map((column, index) => (
                <tr key={`out ${output.name} ${index}`}>
                  <td className="muted">gives{outputs.length > 1 && ` to ${output.name}`}</td>
                  <td className="mono">{column.name}</td>
                  <td>
                    <code>{column.type}</code>
                    {column.nullable && <span className="muted"> or null</span>}
                  </td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
