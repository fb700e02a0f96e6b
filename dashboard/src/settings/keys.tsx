import { useState } from "react";

import { rowsOf } from "../api/paged";
import { useCreateKey, useKeys, useRevokeKey } from "../api/settings";
import type { CreatedKey, Key, Role } from "../api/types";
import { Card } from "../components/card";
import { Copy } from "../components/copy";
import { Confirm, Dialog } from "../components/dialog";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { Field } from "../components/field";
import { More } from "../components/more";
import { State, type Tone } from "../components/state";
import { Ago, useNow } from "../components/time";
import { moment } from "../lib/format";
import { useSession } from "../session/session";
import { ScopeChips, useScope } from "./scope";

const states: Record<Key["state"], [Tone, string]> = {
  active: ["good", "Active"],
  expired: ["idle", "Expired"],
  revoked: ["bad", "Revoked"],
};

const roles: [Role, string][] = [
  ["viewer", "Viewer: looks at everything"],
  ["submitter", "Submitter: submits runs, cancels and retries them"],
  ["operator", "Operator: changes pipelines and schedules"],
  ["admin", "Admin: makes keys"],
];

const lives: [string, number | undefined][] = [
  ["30 days", 30],
  ["90 days", 90],
  ["1 year", 365],
  ["Until it is revoked", undefined],
];

/** The API keys of the namespace, or of the whole service. */
export function Keys() {
  const scope = useScope();
  const keys = useKeys(scope);
  const rows = rowsOf(keys);
  const now = useNow(true, 30_000);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<CreatedKey>();
  const [revoking, setRevoking] = useState<Key>();
  const columns = scope === "service" ? 8 : 7;
  return (
    <>
      <Card
        title="API keys"
        actions={
          <>
            <ScopeChips />
            <button className="primary" onClick={() => setMaking(true)}>
              New key
            </button>
          </>
        }
      >
        {keys.error && <Failure error={keys.error} retry={() => void keys.refetch()} />}
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>Key</th>
                {scope === "service" && <th>Namespace</th>}
                <th>Role</th>
                <th>State</th>
                <th>Used</th>
                <th>Expires</th>
                <th>Made</th>
                <th>
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            {keys.isPending ? (
              <LoadingRows rows={4} columns={columns} />
            ) : (
              <tbody>
                {rows.map((key) => {
                  const [tone, word] = states[key.state];
                  return (
                    <tr key={key.id}>
                      <td>
                        <strong>{key.name}</strong>
                        <div className="muted mono">{key.prefix}…</div>
                      </td>
                      {scope === "service" && <td>{key.namespace ?? <em>whole service</em>}</td>}
                      <td>{key.role}</td>
                      <td>
                        <State tone={tone}>{word}</State>
                      </td>
                      <td>
                        {key.last_used_at ? (
                          <Ago at={key.last_used_at} now={now} />
                        ) : (
                          <span className="muted">never</span>
                        )}
                      </td>
                      <td>
                        {key.expires_at ? moment(key.expires_at).slice(0, 10) : <span className="muted">never</span>}
                      </td>
                      <td>
                        <Ago at={key.created_at} now={now} /> <span className="muted">by {key.created_by}</span>
                      </td>
                      <td className="n">
                        {key.state === "active" && (
                          <button
                            className="quiet danger"
                            aria-label={`Revoke ${key.name}`}
                            onClick={() => setRevoking(key)}
                          >
                            Revoke
                          </button>
                        )}
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            )}
          </table>
        </div>
        {keys.data && rows.length === 0 && (
          <Empty icon="key" title="There are no keys yet" small>
            Programs and people show one to use the API of this namespace.
          </Empty>
        )}
      </Card>
      <More list={keys}>Older keys</More>
      {making && (
        <NewKey
          onClose={() => setMaking(false)}
          onMade={(created) => {
            setMaking(false);
            setMade(created);
          }}
        />
      )}
      {made && <Made made={made} onClose={() => setMade(undefined)} />}
      {revoking && <Revoke revoked={revoking} onClose={() => setRevoking(undefined)} />}
    </>
  );
}

function NewKey({ onClose, onMade }: { onClose: () => void; onMade: (made: CreatedKey) => void }) {
  const session = useSession();
  const create = useCreateKey();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("submitter");
  const [life, setLife] = useState(1);
  const [whole, setWhole] = useState(false);
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    const days = lives[life]?.[1];
    create.mutate(
      {
        name: name.trim(),
        role,
        ...(whole ? { whole_service: true } : {}),
        ...(days === undefined ? {} : { expires_at: new Date(Date.now() + days * 86_400_000).toISOString() }),
      },
      { onSuccess: onMade },
    );
  };
  return (
    <Dialog title="New API key" onClose={onClose}>
      <form className="stack" onSubmit={send}>
        <Field label="Name" help="What uses it, so that you know it again.">
          {(control) => (
            <input
              {...control}
              required
              autoFocus
              maxLength={100}
              placeholder="airflow production"
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label="Role" help={`In the namespace ${session.namespace}${whole ? " and every other" : ""}.`}>
          {(control) => (
            <select {...control} value={role} onChange={(event) => setRole(event.target.value as Role)}>
              {roles.map(([value, title]) => (
                <option key={value} value={value}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Good for">
          {(control) => (
            <select {...control} value={life} onChange={(event) => setLife(Number(event.target.value))}>
              {lives.map(([title], index) => (
                <option key={title} value={index}>
                  {title}
                </option>
              ))}
            </select>
          )}
        </Field>
        {session.whole_service && (
          <label className="row">
            <input type="checkbox" checked={whole} onChange={(event) => setWhole(event.target.checked)} />
            Good in every namespace
          </label>
        )}
        {create.error && <Failure error={create.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={name.trim() === "" || create.isPending}>
            {create.isPending ? "Making…" : "Make the key"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The secret, for the only time. */
function Made({ made, onClose }: { made: CreatedKey; onClose: () => void }) {
  return (
    <Dialog title={`The key ${made.key.name}`} onClose={onClose}>
      <p>
        Copy it now: <strong>it is not shown again.</strong>
      </p>
      <div className="secret">
        <code tabIndex={0} aria-label="The secret">
          {made.secret}
        </code>
        <Copy text={made.secret} label="Copy the secret" />
      </div>
      <p className="muted">
        Programs send it as <code>Authorization: Bearer …</code>, the command line takes it from{" "}
        <code>WEIR_API_KEY</code>.
      </p>
      <footer className="dialog-actions">
        <button className="primary" onClick={onClose}>
          I have it
        </button>
      </footer>
    </Dialog>
  );
}

function Revoke({ revoked, onClose }: { revoked: Key; onClose: () => void }) {
  const revoke = useRevokeKey();
  return (
    <Confirm
      title={`Revoke ${revoked.name}?`}
      action="Revoke the key"
      danger
      pending={revoke.isPending}
      error={revoke.error}
      onClose={onClose}
      onConfirm={() => revoke.mutate(revoked.id, { onSuccess: onClose })}
    >
      Whoever uses <strong>{revoked.prefix}…</strong> is refused within seconds. It can not be taken back.
    </Confirm>
  );
}
