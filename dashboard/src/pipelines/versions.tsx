// The versions of a pipeline, and two of them side by side.

import { rowsOf } from "../api/paged";
import { useVersion, useVersions } from "../api/pipelines";
import type { Pipeline, PipelineVersion } from "../api/types";
import { DiffView } from "../code/diff-view";
import { Card } from "../components/card";
import { Failure, LoadingBlock, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { Ago, useNow } from "../components/time";
import { numeric, useAddress } from "../lib/address";
import { jobText, optionsText } from "./definition";

/** The versions; the two that are compared are in the address. */
export function Versions({ pipeline }: { pipeline: Pipeline }) {
  const versions = useVersions(pipeline.name);
  const [address, setAddress] = useAddress();
  const now = useNow(true, 30_000);
  const rows = rowsOf(versions);
  const after = numeric(address, "to") ?? pipeline.version;
  const before = numeric(address, "from") ?? (after > 1 ? after - 1 : undefined);
  return (
    <>
      <Card title="Versions" note={pipeline.version}>
        {versions.error && <Failure error={versions.error} retry={() => void versions.refetch()} />}
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>
                  <span title="Compared from">From</span>
                </th>
                <th>
                  <span title="Compared with">To</span>
                </th>
                <th>Version</th>
                <th>Note</th>
                <th>Digest</th>
                <th>Made</th>
                <th>By</th>
              </tr>
            </thead>
            {versions.isPending ? (
              <LoadingRows rows={3} columns={7} />
            ) : (
              <tbody>
                {rows.map((row) => (
                  <tr key={row.version}>
                    {(["from", "to"] as const).map((end) => (
                      <td key={end}>
                        <input
                          type="radio"
                          name={end}
                          aria-label={`Compare ${end} version ${row.version}`}
                          checked={row.version === (end === "from" ? before : after)}
                          onChange={() => setAddress({ from: before, to: after, [end]: row.version })}
                        />
                      </td>
                    ))}
                    <td>
                      <strong>{row.version}</strong>
                    </td>
                    <td className="wide">{row.note ?? <span className="muted">–</span>}</td>
                    <td className="mono muted" title={row.digest}>
                      {row.digest.slice(0, 12)}
                    </td>
                    <td>
                      <Ago at={row.created_at} now={now} />
                    </td>
                    <td className="muted">{row.created_by}</td>
                  </tr>
                ))}
              </tbody>
            )}
          </table>
        </div>
      </Card>
      <More list={versions}>Older versions</More>
      {before !== undefined && <Comparison name={pipeline.name} before={before} after={after} />}
    </>
  );
}

function Comparison({ name, before, after }: { name: string; before: number; after: number }) {
  const old = useVersion(name, before);
  const now = useVersion(name, after);
  const error = old.error ?? now.error;
  const title = `From version ${before} to ${after}`;
  if (error) return <Failure error={error} />;
  if (!old.data || !now.data) return <LoadingBlock height={220} label="Loading the comparison" />;
  return <Compared title={title} before={old.data} after={now.data} />;
}

function Compared({ title, before, after }: { title: string; before: PipelineVersion; after: PipelineVersion }) {
  const [a, b] = [jobText(before.definition), jobText(after.definition)];
  const [c, d] = [optionsText(before.definition), optionsText(after.definition)];
  return (
    <Card title={title}>
      {a.text === b.text && c === d && <p className="pad muted">They run the same.</p>}
      {a.text !== b.text && (
        <DiffView before={a.text} after={b.text} language={b.language} label="Changes of the job" />
      )}
      {c !== d && (
        <>
          <h3 className="part">Parameters, settings, labels and modules</h3>
          <DiffView before={c} after={d} language="json" label="Changes of the options" />
        </>
      )}
    </Card>
  );
}
