import { useState } from "react";

import { rowsOf } from "../api/paged";
import { useEndSession, useEndSessions, useSessions } from "../api/settings";
import type { ListedSession } from "../api/types";
import { Card } from "../components/card";
import { Confirm } from "../components/dialog";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { More } from "../components/more";
import { State } from "../components/state";
import { Ago, useNow } from "../components/time";
import { moment } from "../lib/format";
import { useSession } from "../session/session";
import { ScopeChips, useScope } from "./scope";

/** What is to be ended: one session, or all of somebody. */
type Ending = { session: ListedSession } | { principal: string };

/** The browsers that have logged in: the reader's own, and everybody's for admins of the service. */
export function Sessions() {
  const reader = useSession();
  const isService = useScope() === "service";
  const sessions = useSessions(isService ? "service" : "own");
  const rows = rowsOf(sessions);
  const now = useNow(true, 30_000);
  const [ending, setEnding] = useState<Ending>();
  return (
    <>
      <Card
        title="Sessions"
        note="Browsers that have logged in"
        actions={
          <>
            <ScopeChips own="My own" />
            {rows.some((row) => row.principal === reader.principal) && (
              <button className="danger" onClick={() => setEnding({ principal: reader.principal })}>
                Sign out everywhere
              </button>
            )}
          </>
        }
      >
        {sessions.error && <Failure error={sessions.error} retry={() => void sessions.refetch()} />}
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>{isService ? "Who" : "Session"}</th>
                <th>Began</th>
                <th>Used</th>
                <th>Ends</th>
                <th>
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            {sessions.isPending ? (
              <LoadingRows rows={3} columns={5} />
            ) : (
              <tbody>
                {rows.map((row) => (
                  <tr key={row.id}>
                    <td>
                      {isService && <strong>{row.principal} </strong>}
                      <span className={isService ? "muted mono" : "mono"}>{row.id.slice(0, 12)}</span>{" "}
                      {row.current && <State tone="good">This browser</State>}
                    </td>
                    <td>
                      <Ago at={row.created_at} now={now} />
                    </td>
                    <td>
                      <Ago at={row.last_used_at} now={now} />
                    </td>
                    <td>{moment(row.expires_at)}</td>
                    <td className="n">
                      {isService && (
                        <button
                          className="quiet danger"
                          aria-label={`End all sessions of ${row.principal}`}
                          onClick={() => setEnding({ principal: row.principal })}
                        >
                          End all
                        </button>
                      )}
                      <button
                        className="quiet danger"
                        aria-label={`End the session ${row.id.slice(0, 12)}`}
                        onClick={() => setEnding({ session: row })}
                      >
                        End
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            )}
          </table>
        </div>
        {sessions.data && rows.length === 0 && (
          <Empty icon="key" title={isService ? "Nobody has logged in" : "You have no sessions"} small>
            {reader.authentication === "anonymous"
              ? "This server asks nobody who they are."
              : "A session begins when a browser logs in, and ends with the key that it began with."}
          </Empty>
        )}
      </Card>
      <More list={sessions}>Older sessions</More>
      {ending &&
        ("session" in ending ? (
          <EndOne session={ending.session} onClose={() => setEnding(undefined)} />
        ) : (
          <EndAll principal={ending.principal} onClose={() => setEnding(undefined)} />
        ))}
    </>
  );
}

function EndOne({ session, onClose }: { session: ListedSession; onClose: () => void }) {
  const end = useEndSession();
  return (
    <Confirm
      title={session.current ? "End this session?" : "End the session?"}
      action="End the session"
      danger
      pending={end.isPending}
      error={end.error}
      onClose={onClose}
      onConfirm={() => end.mutate(session.id, { onSuccess: () => (session.current ? location.reload() : onClose()) })}
    >
      {session.current ? (
        "It is that of this browser: you will be asked to log in again."
      ) : (
        <>
          The browser of <strong>{session.principal}</strong> must log in again within seconds.
        </>
      )}
    </Confirm>
  );
}

function EndAll({ principal, onClose }: { principal: string; onClose: () => void }) {
  const reader = useSession();
  const isOwn = principal === reader.principal;
  const end = useEndSessions();
  const after = () => (isOwn && reader.authentication === "session" ? location.reload() : onClose());
  return (
    <Confirm
      title={isOwn ? "Sign out everywhere?" : `End all sessions of ${principal}?`}
      action={isOwn ? "Sign out everywhere" : "End all sessions"}
      danger
      pending={end.isPending}
      error={end.error}
      onClose={onClose}
      onConfirm={() => end.mutate(isOwn ? undefined : principal, { onSuccess: after })}
    >
      {isOwn
        ? "All browsers that you have logged in with must log in again, this one included."
        : "Their browsers must log in again within seconds. Whoever still has a key or may still come by the identity provider can do so: take that away first."}
    </Confirm>
  );
}
