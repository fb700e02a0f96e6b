import { useId, useState } from "react";
import { Link } from "wouter";

import { Problem } from "../api/client";
import { useModule, useModules } from "../api/modules";
import { rowsOf } from "../api/paged";
import type { ModuleFunction } from "../api/types";
import { Dialog } from "../components/dialog";
import { Failure } from "../components/feedback";
import { More } from "../components/more";
import { Ago, useNow } from "../components/time";
import { bytes } from "../lib/format";
import { Drop } from "../modules/drop";
import { NoModules } from "../modules/no-modules";
import { isForSql, signature } from "../modules/signature";
import { useMay } from "../session/session";

/** Components that a statement may use at once, which is the server's limit. */
const MOST = 256;

/** With one more, unless it is there or there are as many as can be. */
export const withModule = (modules: string[], digest: string) =>
  modules.includes(digest) || modules.length >= MOST ? modules : [...modules, digest];

/** Wasm components whose functions the statements call. */
export function Modules(props: {
  /** Their digests. */
  modules: string[];
  /** Changes them as they are then: an upload may end later. */
  onChange: (change: (modules: string[]) => string[]) => void;
  /** A click on a function. */
  onPick: (call: string) => void;
}) {
  const { modules, onChange, onPick } = props;
  const [choosing, setChoosing] = useState(false);
  const id = useId();
  return (
    <section className="card" aria-labelledby={id}>
      <header>
        <h2 id={id}>Modules</h2>
        <button className="quiet" onClick={() => setChoosing(true)}>
          Choose
        </button>
      </header>
      {modules.length === 0 ? (
        <p className="muted tables-help">Choose modules to call functions of your own.</p>
      ) : (
        <ul className="sql-modules">
          {modules.map((digest) => (
            <Chosen
              key={digest}
              digest={digest}
              onPick={onPick}
              onRemove={() => onChange((now) => now.filter((other) => other !== digest))}
            />
          ))}
        </ul>
      )}
      {choosing && <Choose chosen={modules} onChange={onChange} onClose={() => setChoosing(false)} />}
    </section>
  );
}

/** One that was chosen, with what can be called. */
function Chosen(props: { digest: string; onPick: (call: string) => void; onRemove: () => void }) {
  const { digest, onPick } = props;
  const module = useModule(digest);
  const short = digest.slice(0, 12);
  const gone = module.error instanceof Problem && module.error.status === 404;
  const functions = module.data?.functions.filter(isForSql) ?? [];
  return (
    <li>
      <div className="row spread">
        <Link className="mono" href={`/modules/${digest}`} title={digest}>
          {short}
        </Link>
        <button
          className="icon quiet tiny"
          aria-label={`Remove the module ${short}`}
          title="Remove"
          onClick={props.onRemove}
        >
          <span aria-hidden="true">✕</span>
        </button>
      </div>
      {module.isPending && (
        <div className="sql-function" role="status" aria-label="Loading its functions">
          <span className="skeleton">{"·".repeat(24)}</span>
        </div>
      )}
      {module.error && (
        <p className="sql-module-wrong" role="alert">
          {gone ? (
            "It was deleted. Upload it again, or remove it here."
          ) : (
            <>
              The server does not say what is in it.{" "}
              <button className="tiny" onClick={() => void module.refetch()}>
                Try again
              </button>
            </>
          )}
        </p>
      )}
      {functions.map((one) => (
        <Function key={one.name} one={one} onPick={onPick} />
      ))}
      {module.data && functions.length === 0 && (
        <p className="muted sql-function">It has no function that SQL can call, only some for pipelines.</p>
      )}
    </li>
  );
}

function Function({ one, onPick }: { one: ModuleFunction; onPick: (call: string) => void }) {
  return (
    <button
      className="sql-function"
      aria-label={`Write ${one.name} into the statement`}
      title={one.docs || "Write it into the statement"}
      onClick={() => onPick(`${one.name}(`)}
    >
      <code>{signature(one)}</code>
      {one.kind === "aggregate" && <span className="tag">aggregate</span>}
    </button>
  );
}

/** The modules of the namespace to choose from, and a place for new ones. */
function Choose(props: {
  chosen: string[];
  onChange: (change: (modules: string[]) => string[]) => void;
  onClose: () => void;
}) {
  const { chosen, onChange } = props;
  const modules = useModules();
  const mayUpload = useMay("submitter");
  const [search, setSearch] = useState("");
  const now = useNow(true, 30_000);
  const wanted = search.trim().toLowerCase();
  const all = rowsOf(modules);
  const rows = all.filter(({ digest, functions }) =>
    `${digest} ${functions?.join(" ") ?? ""}`.toLowerCase().includes(wanted),
  );
  const isFull = chosen.length >= MOST;
  return (
    <Dialog title="Modules" onClose={props.onClose} wide>
      <div className="choose">
        <input
          type="search"
          placeholder="Function or digest"
          aria-label="Function or digest"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        {modules.error && <Failure error={modules.error} retry={() => void modules.refetch()} />}
        <ul className="choose-list" aria-label="Modules of the namespace" aria-busy={modules.isPending}>
          {modules.isPending &&
            [0, 1, 2].map((row) => (
              <li key={row}>
                <span className="skeleton">{"·".repeat(30)}</span>
              </li>
            ))}
          {rows.map((module) => {
            const isChosen = chosen.includes(module.digest);
            return (
              <li key={module.digest}>
                <label>
                  <input
                    type="checkbox"
                    checked={isChosen}
                    disabled={isFull && !isChosen}
                    onChange={() =>
                      onChange((now) =>
                        isChosen ? now.filter((digest) => digest !== module.digest) : withModule(now, module.digest),
                      )
                    }
                  />
                  <span className="mono">{module.digest.slice(0, 12)}</span>
                  <span className="tags">
                    {module.functions?.map((name) => (
                      <span className="tag" key={name}>
                        {name}
                      </span>
                    ))}
                  </span>
                  <span className="muted">
                    {bytes(module.bytes)}, <Ago at={module.uploaded_at} now={now} />
                  </span>
                </label>
              </li>
            );
          })}
        </ul>
        {modules.data && rows.length === 0 && <NoModules wanted={wanted} onShowAll={() => setSearch("")} />}
        <More list={modules}>More modules</More>
        {mayUpload && <Drop onUploaded={({ digest }) => onChange((now) => withModule(now, digest))} />}
      </div>
      <footer>
        <button className="primary" onClick={props.onClose}>
          Done
        </button>
      </footer>
    </Dialog>
  );
}
