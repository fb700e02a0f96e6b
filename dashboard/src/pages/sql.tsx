import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";

import { Problem } from "../api/client";
import type { SqlCheck } from "../api/types";
import { CodeEditor, insert } from "../code/editor";
import type { Mark } from "../code/view";
import { useAddress } from "../lib/address";
import { bytes, counted } from "../lib/format";
import { useSettled } from "../lib/settle";
import { draft, entries, forget, keepDraft, remember, type Draft, type Entry } from "../sql/history";
import { Outcome } from "../sql/outcome";
import { Modules, withModule } from "../sql/modules";
import { Plan } from "../sql/plan";
import { useCheck, useSubmit } from "../sql/queries";
import { Recent } from "../sql/recent";
import { inScript, statementAt, statements, withSetup, type Statement } from "../sql/statements";
import { Tables } from "../sql/tables";
import { useMay, useSession } from "../session/session";
import "../sql/sql.css";

const isApple = /Mac|iP(hone|ad|od)/.test(navigator.userAgent);
const empty: Draft = { statement: "", tables: [], modules: [] };

/** Where in the script a refusal points to. */
function marksOf(error: Error | null, chosen: Statement | undefined): Mark[] {
  if (!(error instanceof Problem) || !chosen) return [];
  return error.errors.flatMap(({ line, column, message }) =>
    line ? [{ ...inScript(chosen, line, column ?? 1), message }] : [],
  );
}

const marksOfCheck = (errors: SqlCheck["errors"]): Mark[] =>
  errors.flatMap(({ line, column, message }) => (line ? [{ line, column: column ?? undefined, message }] : []));

/** Why a statement was not looked at, as what is wrong. */
function unchecked(refusal: Error): SqlCheck["errors"][number] {
  if (!(refusal instanceof Problem)) return { message: "The server does not answer; the statement is not checked." };
  return { message: refusal.errors[0]?.message ?? refusal.detail };
}

/** One line below the editor: what is wrong with the statement, or what it would read and give. */
function Status(props: {
  check: SqlCheck | undefined;
  /** Why the server did not look at it. */
  refusal: Error | null;
  isEmpty: boolean;
  mayRun: boolean;
}) {
  const { check, refusal, isEmpty, mayRun } = props;
  const error = check?.errors[0] ?? (mayRun && !isEmpty && refusal ? unchecked(refusal) : undefined);
  const scanned = check?.stages.reduce((sum, stage) => sum + stage.scan_bytes, 0) ?? 0;
  const isSetup = check?.statements.at(-1)?.role === "setup";
  const parts = !check?.valid
    ? []
    : isSetup
      ? ["It defines something for the statements after it, and has no rows"]
      : [
          check.columns.length > 0 ? counted(check.columns.length, "column") : "writes files",
          counted(check.stages.length, "stage"),
          ...(scanned > 0 ? [`${bytes(scanned)} to read`] : []),
        ];
  return (
    <div className={error ? "sql-status bad" : "sql-status"} id="sql-status" role="status">
      {error ? (
        <>
          <span aria-hidden="true">✕</span>
          <span>
            {error.line && `Line ${error.line}${error.column ? `, column ${error.column}` : ""}: `}
            {error.message}
          </span>
        </>
      ) : (
        <span className="muted">
          {!mayRun
            ? "You may look, but not run statements in this namespace."
            : isEmpty
              ? ""
              : check
                ? parts.join(" · ")
                : "Checking…"}
        </span>
      )}
    </div>
  );
}

export default function SqlPage() {
  const [address, setAddress] = useAddress();
  const { namespace } = useSession();
  const mayRun = useMay("submitter");
  const run = address.get("run") ?? undefined;
  const [past, setPast] = useState(() => entries(namespace));
  // A link to one's own query brings its statement back; else the page is as it was left. A link from a module adds it.
  const wanted = address.get("module");
  const [script, setScript] = useState<Draft>(() => {
    const found = past.find((entry) => entry.run === run) ?? draft(namespace) ?? empty;
    return wanted === null ? found : { ...found, modules: withModule(found.modules, wanted) };
  });
  // For what ends after the next change.
  const latest = useRef(script);
  const [sent, setSent] = useState<Statement>();
  const [caret, setCaret] = useState(script.statement.length);
  const area = useRef<HTMLTextAreaElement>(null);
  const client = useQueryClient();
  const submit = useSubmit();

  const all = useMemo(() => statements(script.statement), [script.statement]);
  const write = (changed: Partial<Draft>) => {
    const { statement, tables, modules } = latest.current;
    const next = { statement, tables, modules, ...changed };
    latest.current = next;
    setScript(next);
    keepDraft(namespace, next);
    if (submit.error) submit.reset();
  };
  const chosen = statementAt(all, caret);
  const settled = useSettled(chosen && script.statement.slice(0, chosen.to), 400);
  const tables = useSettled(script.tables, 400);
  const check = useCheck(mayRun ? settled : undefined, tables, script.modules);
  const start = () => {
    const chosen = statementAt(all, area.current?.selectionStart ?? caret);
    if (!chosen || !mayRun || submit.isPending) return;
    setSent(chosen);
    submit.mutate(
      { ...withSetup(all, chosen), tables: script.tables, modules: script.modules },
      {
        onSuccess: (made) => {
          client.setQueryData(["run", made.id], made);
          setAddress({ run: made.id, view: null }, { push: true });
          setPast(remember(namespace, { ...script, run: made.id, at: Date.now() }));
        },
      },
    );
  };
  // What the server says of the script holds for the script that it was asked about.
  const isChecked =
    check.data !== undefined && !check.isPlaceholderData && settled === script.statement.slice(0, chosen?.to);
  const found = isChecked ? check.data.errors : [];
  const marks = submit.error ? marksOf(submit.error, sent) : marksOfCheck(found);
  const view = address.get("view") === "plan" ? "plan" : "rows";

  return (
    <>
      <title>SQL · Weir</title>
      <div className="row spread">
        <h1>SQL</h1>
        <div className="row">
          {all.length > 1 && chosen && (
            <span className="muted">{`Statement ${all.indexOf(chosen) + 1} of ${all.length}, at the caret`}</span>
          )}
          <div className="chips" role="group" aria-label="Show">
            <button aria-pressed={view === "rows"} onClick={() => setAddress({ view: null })}>
              Result
            </button>
            <button aria-pressed={view === "plan"} onClick={() => setAddress({ view: "plan" })}>
              Plan
            </button>
          </div>
          <button className="primary" disabled={!chosen || !mayRun || submit.isPending} onClick={start}>
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
              invalid={submit.error !== null || found.length > 0}
              describedBy="sql-status"
              onCaret={setCaret}
              placeholder={"SELECT status, count(*) AS orders\nFROM orders\nGROUP BY status"}
              onSubmit={start}
            />
            <Status
              check={isChecked ? check.data : undefined}
              refusal={check.error}
              isEmpty={!chosen}
              mayRun={mayRun}
            />
          </section>
          {view === "plan" ? (
            <Plan check={chosen && check.data} pending={chosen !== undefined && check.isFetching} />
          ) : (
            <Outcome run={run} error={submit.error} marks={marks} />
          )}
        </div>
        <aside className="stack" aria-label="Tables, modules and history">
          <Tables
            tables={script.tables}
            onChange={(tables) => write({ tables })}
            onPick={(name) => area.current && insert(area.current, name)}
          />
          <Modules
            modules={script.modules}
            onChange={(change) => write({ modules: change(latest.current.modules) })}
            onPick={(call) => area.current && insert(area.current, call)}
          />
          <Recent
            entries={past}
            current={run}
            onOpen={({ statement, tables, modules }: Entry) => write({ statement, tables, modules })}
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
