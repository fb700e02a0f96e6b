import { useState } from "react";
import { Link } from "wouter";

import { rowsOf } from "../api/paged";
import { useCreateNamespace, useDeleteNamespace, useNamespaces } from "../api/settings";
import { Card } from "../components/card";
import { Confirm, Dialog } from "../components/dialog";
import { Empty, Failure, LoadingRows } from "../components/feedback";
import { Field } from "../components/field";
import { More } from "../components/more";
import { Ago, useNow } from "../components/time";
import { switchNamespace, useSession } from "../session/session";

const NAME = /^[a-z0-9-]{1,63}$/;

/** The tenants. */
export function Namespaces() {
  const session = useSession();
  const namespaces = useNamespaces();
  const rows = rowsOf(namespaces);
  const now = useNow(true, 30_000);
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<string>();
  return (
    <>
      <Card
        title="Namespaces"
        note="Each sees nothing of the others"
        actions={
          session.whole_service && (
            <button className="primary" onClick={() => setMaking(true)}>
              New namespace
            </button>
          )
        }
      >
        {namespaces.error && <Failure error={namespaces.error} retry={() => void namespaces.refetch()} />}
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>Namespace</th>
                <th>Name for people</th>
                <th>Made</th>
                <th>By</th>
                <th>
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            {namespaces.isPending ? (
              <LoadingRows rows={3} columns={5} />
            ) : (
              <tbody>
                {rows.map((namespace) => (
                  <tr key={namespace.name}>
                    <td>
                      <strong>{namespace.name}</strong>
                      {namespace.name === session.namespace && <span className="muted"> · you are here</span>}
                    </td>
                    <td>{namespace.display_name}</td>
                    <td>
                      <Ago at={namespace.created_at} now={now} />
                    </td>
                    <td className="muted">{namespace.created_by}</td>
                    <td className="n">
                      <Link className="beside" href={`/settings/quota?of=${namespace.name}`}>
                        Quota
                      </Link>
                      {namespace.name !== session.namespace && (
                        <button className="quiet" onClick={() => switchNamespace(namespace.name)}>
                          Go there
                        </button>
                      )}
                      {session.whole_service && namespace.name !== "default" && (
                        <button
                          className="quiet danger"
                          aria-label={`Delete ${namespace.name}`}
                          onClick={() => setDeleting(namespace.name)}
                        >
                          Delete
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            )}
          </table>
        </div>
        {namespaces.data && rows.length === 0 && <Empty icon="box" title="There are no namespaces" small />}
      </Card>
      <More list={namespaces}>More namespaces</More>
      {making && <NewNamespace onClose={() => setMaking(false)} />}
      {deleting !== undefined && <Delete name={deleting} onClose={() => setDeleting(undefined)} />}
    </>
  );
}

function NewNamespace({ onClose }: { onClose: () => void }) {
  const create = useCreateNamespace();
  const [name, setName] = useState("");
  const [display, setDisplay] = useState("");
  const isNamed = NAME.test(name);
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (!isNamed) return;
    create.mutate({ name, ...(display.trim() === "" ? {} : { display_name: display.trim() }) }, { onSuccess: onClose });
  };
  return (
    <Dialog title="New namespace" onClose={onClose}>
      <form className="stack" onSubmit={send}>
        <Field
          label="Name"
          help="What requests call it. It stays as it is."
          error={name !== "" && !isNamed ? "1 to 63 lower-case letters, digits and hyphens" : undefined}
        >
          {(control) => (
            <input
              {...control}
              className="mono"
              required
              autoFocus
              placeholder="team-revenue"
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label="Name for people">
          {(control) => (
            <input
              {...control}
              maxLength={100}
              placeholder="Revenue"
              value={display}
              onChange={(event) => setDisplay(event.target.value)}
            />
          )}
        </Field>
        {create.error && <Failure error={create.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={!isNamed || create.isPending}>
            {create.isPending ? "Making…" : "Make the namespace"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function Delete({ name, onClose }: { name: string; onClose: () => void }) {
  const remove = useDeleteNamespace();
  return (
    <Confirm
      title={`Delete ${name}?`}
      action="Delete the namespace"
      danger
      pending={remove.isPending}
      error={remove.error}
      onClose={onClose}
      onConfirm={() => remove.mutate(name, { onSuccess: onClose })}
    >
      Its keys are gone with it. A namespace that has runs is refused.
    </Confirm>
  );
}
