import { useState } from "react";
import { Link } from "wouter";

import { rowsOf } from "../api/paged";
import { useCreateNamespace, useDeleteNamespace, useNamespaces, useSaveNamespace } from "../api/settings";
import type { Namespace, NamespaceSettings } from "../api/types";
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
  const namespaces = useNamespaces(session.whole_service);
  const rows = rowsOf(namespaces);
  const now = useNow(true, 30_000);
  const [making, setMaking] = useState(false);
  const [changing, setChanging] = useState<Namespace>();
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
                <th>Places in S3</th>
                <th>Made</th>
                <th>By</th>
                <th>
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            {namespaces.isPending ? (
              <LoadingRows rows={3} columns={6} />
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
                      <Places of={namespace.allowed_locations} />
                    </td>
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
                      {session.whole_service && (
                        <button
                          className="quiet"
                          aria-label={`Change ${namespace.name}`}
                          onClick={() => setChanging(namespace)}
                        >
                          Change
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
      {changing && <ChangeNamespace namespace={changing} onClose={() => setChanging(undefined)} />}
      {deleting !== undefined && <Delete name={deleting} onClose={() => setDeleting(undefined)} />}
    </>
  );
}

function Places({ of }: { of?: string[] | null | undefined }) {
  if (of == null) return <span className="muted">all</span>;
  if (of.length === 0) return <>none</>;
  return of.map((place) => (
    <div className="mono" key={place}>
      {place}
    </div>
  ));
}

/** What people call it, and where the files may lie that its jobs use. */
interface Draft {
  display: string;
  isConfined: boolean;
  /** A place in S3 in each line. */
  places: string;
}

const PLACE = /^s3:\/\/[A-Za-z0-9._-]+(\/.*)?$/;

const placesOf = (draft: Draft) =>
  draft.places
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");

const wrongPlace = (draft: Draft) =>
  draft.isConfined ? placesOf(draft).find((place) => !PLACE.test(place)) : undefined;

const settingsOf = (draft: Draft): NamespaceSettings => ({
  ...(draft.display.trim() === "" ? {} : { display_name: draft.display.trim() }),
  ...(draft.isConfined ? { allowed_locations: placesOf(draft) } : {}),
});

function SettingsFields({ draft, set }: { draft: Draft; set: (changed: Partial<Draft>) => void }) {
  const wrong = wrongPlace(draft);
  return (
    <>
      <Field label="Name for people">
        {(control) => (
          <input
            {...control}
            maxLength={100}
            placeholder="Revenue"
            value={draft.display}
            onChange={(event) => set({ display: event.target.value })}
          />
        )}
      </Field>
      <label className="row">
        <input
          type="checkbox"
          checked={draft.isConfined}
          onChange={(event) => set({ isConfined: event.target.checked })}
        />
        Its jobs may use some places in S3 only
      </label>
      {draft.isConfined && (
        <Field
          label="Places in S3"
          help="One in each line: a bucket, or a folder and all below it. Runs that are under way keep theirs."
          error={wrong === undefined ? undefined : `${wrong} is no place in S3; write s3://BUCKET/PREFIX`}
        >
          {(control) => (
            <textarea
              {...control}
              className="mono"
              rows={4}
              spellCheck={false}
              placeholder={"s3://revenue/\ns3://shared/reference/"}
              value={draft.places}
              onChange={(event) => set({ places: event.target.value })}
            />
          )}
        </Field>
      )}
    </>
  );
}

function NewNamespace({ onClose }: { onClose: () => void }) {
  const create = useCreateNamespace();
  const [name, setName] = useState("");
  const [draft, setDraft] = useState<Draft>({ display: "", isConfined: false, places: "" });
  const isNamed = NAME.test(name);
  const isReady = isNamed && wrongPlace(draft) === undefined && !create.isPending;
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (isReady) create.mutate({ name, ...settingsOf(draft) }, { onSuccess: onClose });
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
        <SettingsFields draft={draft} set={(changed) => setDraft({ ...draft, ...changed })} />
        {create.error && <Failure error={create.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={!isReady}>
            {create.isPending ? "Making…" : "Make the namespace"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function ChangeNamespace({ namespace, onClose }: { namespace: Namespace; onClose: () => void }) {
  const save = useSaveNamespace(namespace.name);
  const [draft, setDraft] = useState<Draft>({
    display: namespace.display_name ?? "",
    isConfined: namespace.allowed_locations != null,
    places: (namespace.allowed_locations ?? []).join("\n"),
  });
  const isReady = wrongPlace(draft) === undefined && !save.isPending;
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (isReady) save.mutate(settingsOf(draft), { onSuccess: onClose });
  };
  return (
    <Dialog title={`Change ${namespace.name}`} onClose={onClose}>
      <form className="stack" onSubmit={send}>
        <SettingsFields draft={draft} set={(changed) => setDraft({ ...draft, ...changed })} />
        {save.error && <Failure error={save.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={!isReady}>
            {save.isPending ? "Saving…" : "Save"}
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
