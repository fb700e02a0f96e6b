import { useState } from "react";
import { Link } from "wouter";

import { useModules } from "../api/modules";
import { rowsOf } from "../api/paged";
import { Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { Ago, useNow } from "../components/time";
import { bytes } from "../lib/format";
import { useMay } from "../session/session";
import { Drop } from "./drop";
import { NoModules } from "./no-modules";

/** All components of the namespace, and a place to drop others. */
export function ModuleList() {
  const modules = useModules();
  const [search, setSearch] = useState("");
  const now = useNow(true, 30_000);
  const mayUpload = useMay("submitter");
  const all = rowsOf(modules);
  const wanted = search.trim().toLowerCase();
  const rows = all.filter(({ digest, functions, uploaded_by }) =>
    `${digest} ${functions?.join(" ") ?? ""} ${uploaded_by ?? ""}`.toLowerCase().includes(wanted),
  );
  return (
    <>
      <title>Modules · Weir</title>
      <div className="row spread">
        <h1>Modules</h1>
        <input
          type="search"
          placeholder="Function or digest"
          aria-label="Function or digest"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      {mayUpload && <Drop />}
      {modules.error && <Failure error={modules.error} retry={() => void modules.refetch()} />}
      <section className="card scroll" aria-label="Modules">
        <table>
          <thead>
            <tr>
              <th>Digest</th>
              <th>Functions</th>
              <th className="n">Size</th>
              <th>Uploaded</th>
              <th>By</th>
            </tr>
          </thead>
          {modules.isPending ? (
            <LoadingRows rows={4} columns={5} />
          ) : (
            <tbody>
              {rows.map((module) => (
                <tr key={module.digest}>
                  <td>
                    <Link className="mono" href={`/modules/${module.digest}`} title={module.digest}>
                      {module.digest.slice(0, 16)}
                    </Link>
                  </td>
                  <td className="wide">
                    {module.functions ? (
                      <span className="tags">
                        {module.functions.map((name) => (
                          <span className="tag" key={name}>
                            {name}
                          </span>
                        ))}
                      </span>
                    ) : (
                      <span className="muted">–</span>
                    )}
                  </td>
                  <td className="n">{bytes(module.bytes)}</td>
                  <td>
                    <Ago at={module.uploaded_at} now={now} />
                  </td>
                  <td className="muted">{module.uploaded_by ?? "–"}</td>
                </tr>
              ))}
            </tbody>
          )}
        </table>
        {modules.data && rows.length === 0 && (
          <NoModules wanted={wanted} onShowAll={() => setSearch("")}>
            A module holds functions that pipelines and SQL call.
          </NoModules>
        )}
      </section>
      <More list={modules}>More modules</More>
    </>
  );
}
