import { useState } from "react";

import { rowsOf } from "../api/paged";
import { useAudit } from "../api/settings";
import type { AuditEntry } from "../api/types";
import { Card } from "../components/card";
import { Dialog } from "../components/dialog";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { State } from "../components/state";
import { useAddress } from "../lib/address";
import { moment } from "../lib/format";
import { useSettled } from "../lib/settle";
import { ScopeChips, useScope } from "./scope";

const shows = ["all", "allowed", "denied"] as const;
const isShow = (text: string): text is (typeof shows)[number] => shows.some((show) => show === text);

/** What was changed, and what was not let be done. */
export function Audit() {
  const [address, setAddress] = useAddress();
  const asked = address.get("outcome") ?? "all";
  const show = isShow(asked) ? asked : "all";
  const principal = address.get("principal") ?? "";
  const action = address.get("action") ?? "";
  const scope = useScope();
  const filter = useSettled(JSON.stringify({ principal: principal.trim(), action: action.trim() }));
  const settled = JSON.parse(filter) as { principal: string; action: string };
  const audit = useAudit({
    scope,
    ...(show === "all" ? {} : { outcome: show }),
    ...(settled.principal === "" ? {} : { principal: settled.principal }),
    ...(settled.action === "" ? {} : { action: settled.action }),
  });
  const rows = rowsOf(audit);
  const [open, setOpen] = useState<AuditEntry>();
  const filtered = show !== "all" || principal !== "" || action !== "";
  return (
    <>
      <Card
        title="Audit log"
        actions={
          <>
            <ScopeChips />
            <div className="chips" role="group" aria-label="Outcome">
              {shows.map((key) => (
                <button
                  key={key}
                  aria-pressed={key === show}
                  onClick={() => setAddress({ outcome: key === "all" ? null : key })}
                >
                  {key.charAt(0).toUpperCase() + key.slice(1)}
                </button>
              ))}
            </div>
            <input
              type="search"
              size={16}
              placeholder="Who, in full"
              aria-label="Who, in full"
              value={principal}
              onChange={(event) => setAddress({ principal: event.target.value })}
            />
            <input
              type="search"
              size={20}
              placeholder="Did, as runs_submit"
              aria-label="Did, as runs_submit"
              value={action}
              onChange={(event) => setAddress({ action: event.target.value })}
            />
          </>
        }
      >
        {audit.error && <Failure error={audit.error} retry={() => void audit.refetch()} />}
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>When</th>
                <th>Who</th>
                <th>Did</th>
                <th>To</th>
                <th>Outcome</th>
                <th>From</th>
              </tr>
            </thead>
            {audit.isPending ? (
              <LoadingRows rows={8} columns={6} />
            ) : (
              <tbody>
                {rows.map((entry) => (
                  <tr key={entry.id}>
                    <td>
                      <button className="link" onClick={() => setOpen(entry)}>
                        {moment(entry.at)}
                      </button>
                    </td>
                    <td>{entry.principal}</td>
                    <td className="mono">{entry.action}</td>
                    <td className="mono clip" title={entry.target}>
                      {entry.target}
                    </td>
                    <td>
                      <span className="row">
                        <State tone={entry.outcome === "allowed" ? "good" : "bad"}>
                          {entry.outcome === "allowed" ? "Allowed" : "Denied"}
                        </State>
                        <span className="muted">{entry.status}</span>
                      </span>
                    </td>
                    <td className="mono muted">{entry.source}</td>
                  </tr>
                ))}
              </tbody>
            )}
          </table>
        </div>
        {audit.data && rows.length === 0 && (
          <Empty
            icon={filtered ? "search" : "lines"}
            title={filtered ? "No entry is like that" : "Nothing has been changed or refused yet"}
            small
          >
            {filtered && (
              <button onClick={() => setAddress({ outcome: null, principal: null, action: null })}>Show all</button>
            )}
          </Empty>
        )}
      </Card>
      <More list={audit}>Older entries</More>
      {open && (
        <Dialog title={open.action} onClose={() => setOpen(undefined)}>
          <dl className="entry-list">
            {Object.entries(open).map(([key, value]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd className="mono">{String(value)}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </>
  );
}
