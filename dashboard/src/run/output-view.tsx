// What a run made: its outputs with their rows and files, and the rows of a query.

import { useCallback, useMemo } from "react";

import { useDownload } from "../api/download";
import { useOutputLinks, useOutputRows, useOutputs } from "../api/queries";
import type { Run, RunOutput } from "../api/types";
import { Card } from "../components/card";
import { Copy } from "../components/copy";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { numeric, useAddress } from "../lib/address";
import { bytes, count, moment } from "../lib/format";
import { ResultGrid } from "../sql/result";

export function OutputView({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const outputs = useOutputs(run.id, run.result === "succeeded");
  if (run.result !== "succeeded") {
    return (
      <div className="card">
        <Empty icon="box" title={run.state === "finished" ? "It made nothing visible" : "Nothing is visible yet"}>
          Outputs become visible all at once, when a run has succeeded.
        </Empty>
      </div>
    );
  }
  if (outputs.isPending) return <LoadingBlock height={240} label="Loading the outputs" />;
  if (!outputs.data) return <Failure error={outputs.error} retry={() => void outputs.refetch()} />;
  const { items } = outputs.data;
  const chosen = items.find((output) => output.id === numeric(search, "output")) ?? items[0];
  if (!chosen) {
    return run.job === "sql" ? (
      <RowsCard title="Result" run={run.id} output={undefined} />
    ) : (
      <div className="card">
        <Empty icon="box" title="It has no outputs">
          Its pipeline writes nothing to files.
        </Empty>
      </div>
    );
  }
  return (
    <>
      <Card title="Outputs" note={count(items.length)}>
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>Transform</th>
                <th>Format</th>
                <th>Location</th>
                <th className="n">Files</th>
                <th className="n">Rows</th>
                <th className="n">Size</th>
              </tr>
            </thead>
            <tbody>
              {items.map((output) => (
                <tr key={output.id} aria-selected={output.id === chosen.id}>
                  <td>
                    <button className="link" onClick={() => change({ output: output.id })}>
                      {output.transform}
                    </button>
                  </td>
                  <td>{output.format}</td>
                  <td className="wide mono">
                    {output.location} <Copy text={output.location} label="Copy the location" />
                  </td>
                  <td className="n">{count(output.files)}</td>
                  <td className="n">{count(output.rows)}</td>
                  <td className="n">{bytes(output.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <RowsCard key={chosen.id} title={`Rows of ${chosen.transform}`} run={run.id} output={chosen.id} />
      <Files key={`files ${chosen.id}`} run={run.id} output={chosen} />
    </>
  );
}

function RowsCard({ title, run, output }: { title: string; run: string; output: number | undefined }) {
  const rows = useOutputRows(run, output);
  const pages = rows.data?.pages;
  const columns = useMemo(() => pages?.[0]?.columns ?? [], [pages]);
  const all = useMemo(() => pages?.flatMap((page) => page.rows) ?? [], [pages]);
  const { hasNextPage, isFetching, fetchNextPage } = rows;
  const more = useCallback(() => {
    if (hasNextPage && !isFetching) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage]);
  return (
    <Card title={title} note={hasNextPage ? `the first ${count(all.length)}` : count(all.length)}>
      {rows.isPending ? (
        <LoadingBlock height={220} label="Loading the rows" />
      ) : rows.error && !rows.data ? (
        <Failure error={rows.error} retry={() => void rows.refetch()} />
      ) : all.length === 0 ? (
        <Empty small icon="table" title="There are no rows" />
      ) : (
        <ResultGrid label={title} columns={columns} rows={all} more={hasNextPage} onMore={more} />
      )}
    </Card>
  );
}

function Files({ run, output }: { run: string; output: RunOutput }) {
  const links = useOutputLinks(run, output.id);
  const download = useDownload();
  const items = links.data?.pages.flatMap((page) => page.items) ?? [];
  const until = items[0]?.expires_at;
  return (
    <Card
      title="Files"
      note={count(output.files)}
      actions={until && <span className="muted">links can be used until {moment(until)}</span>}
    >
      {links.isPending ? (
        <LoadingBlock height={90} label="Loading the files" />
      ) : links.error && !links.data ? (
        <Failure error={links.error} retry={() => void links.refetch()} />
      ) : (
        <ul className="files">
          {items.map((link) => (
            <li key={link.file}>
              {link.url.startsWith("/") ? (
                <button
                  className="link mono"
                  disabled={download.isPending}
                  onClick={() => download.mutate({ path: link.url, name: link.file })}
                >
                  {link.file}
                </button>
              ) : (
                <a className="mono" href={link.url} download rel="noreferrer">
                  {link.file}
                </a>
              )}
            </li>
          ))}
        </ul>
      )}
      {download.error && <Failure error={download.error} />}
      {links.hasNextPage && (
        <div className="foot">
          <button disabled={links.isFetchingNextPage} onClick={() => void links.fetchNextPage()}>
            More files
          </button>
        </div>
      )}
    </Card>
  );
}
