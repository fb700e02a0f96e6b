import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";

import { Problem } from "../api/client";
import { CodeEditor, insert } from "../code/editor";
import type { Mark } from "../code/view";
import { useAddress } from "../lib/address";
import { draft, entries, forget, keepDraft, remember, type Draft, type Entry } from "../sql/history";
import { Outcome } from "../sql/outcome";
import { useSubmit } from "../sql/queries";
import { Recent } from "../sql/recent";
import { inScript, statementAt, statements, withSetup, type Statement } from "../sql/statements";
import { Tables } from "../sql/tables";
import { useSession } from "../session/session";
import "../sql/sql.css";

const isApple = /Mac|iP(hone|ad|od)/.test(navigator.userAgent);
const empty: Draft = { statement: "", tables: [] };

/** Where in the script a refusal points to. */
function marksOf(error: Error | null, chosen: Statement | undefined): Mark[] {
  if (!(error instanceof Problem) || !chosen) return [];
  return error.errors.flatMap(({ line, column, message }) =>
    line ? [{ ...inScript(chosen, line, column ?? 1), message }] : [],
  );
}

export default function SqlPage() {
  const [address, setAddress] = useAddress();
  const { namespace } = useSession();
  const run = address.get("run") ?? undefined;
  const [past, setPast] = useState(() => entries(namespace));
  // A link to one's own query brings its statement back; else the page is as it was left.
  const [script, setScript] = useState<Draft>(
    () => past.find((entry) => entry.run === run) ?? draft(namespace) ?? empty,
  );
  const [sent, setSent] = useState<Statement>();
  const area = useRef<HTMLTextAreaElement>(null);
  const client = useQueryClient();
  const submit = useSubmit();

  const all = useMemo(() => statements(script.statement), [script.statement]);
  const write = (changed: Partial<Draft>) => {
    const next = { statement: script.statement, tables: script.tables, ...changed };
    setScript(next);
    keepDraft(namespace, next);
    if (submit.error) submit.reset();
  };
  const start = (explain: boolean) => {
    const chosen = statementAt(all, area.current?.selectionStart ?? script.statement.length);
    if (!chosen || submit.isPending) return;
    setSent(chosen);
    const { statement, setup } = withSetup(all, chosen);
    submit.mutate(
      { statement: explain ? `EXPLAIN ${statement}` : statement, setup, tables: script.tables },
      {
        onSuccess: (made) => {
          client.setQueryData(["run", made.id], made);
          setAddress({ run: made.id }, { push: true });
          setPast(remember(namespace, { ...script, run: made.id, at: Date.now() }));
        },
      },
    );
  };
  const marks = marksOf(submit.error, sent);

  return (
    <>
      <title>SQL · Weir</title>
      <div className="row spread">
        <h1>SQL</h1>
        <div className="row">
          {all.length > 1 && <span className="muted">{`${all.length} statements; the one at the caret runs`}</span>}
          <button disabled={all.length === 0 || submit.isPending} onClick={() => start(true)}>
            Explain
          </button>
          <button className="primary" disabled={all.length === 0 || submit.isPending} onClick={() => start(false)}>
            Run <kbd>{isApple ? "⌘ ↵" : "Ctrl ↵"}</kbd>
          </button>
        </div>
      </div>
      <div className="sql">
        <div className="stack">
          <section className="card" aria-label="Statement">
            <CodeEditor
              area={area}
              value={script.statement}
              onChange={(statement) => write({ statement })}
              language="sql"
              label="SQL"
              rows={10}
              marks={marks}
              invalid={submit.error !== null}
              describedBy="sql-error"
              placeholder={"SELECT status, count(*) AS orders\nFROM orders\nGROUP BY status"}
              onSubmit={() => start(false)}
            />
          </section>
          <Outcome run={run} error={submit.error} marks={marks} pending={submit.isPending} />
        </div>
        <aside className="stack" aria-label="Tables and history">
          <Tables
            tables={script.tables}
            onChange={(tables) => write({ tables })}
            onPick={(name) => area.current && insert(area.current, name)}
          />
          <Recent
            entries={past}
            current={run}
            onOpen={(entry: Entry) => write({ statement: entry.statement, tables: entry.tables })}
            onForget={() => {
              forget(namespace);
              setPast([]);
            }}
          />
        </aside>
      </div>
    </>
  );
}
