// The reader's corner of the top bar: the namespace, who they are, and the way out.

import { useId, useRef, useState } from "react";

import { Failure } from "../components/feedback";
import { switchNamespace, useLogout, useSession } from "./session";
import "./session.css";

/** Namespaces beyond this many get a search. */
const FEW = 8;

export function SessionMenu() {
  const session = useSession();
  const logout = useLogout();
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState(false);
  const menu = useRef<HTMLDivElement>(null);
  const id = useId();
  // Whoever needs no key and has one namespace has nothing to choose.
  if (session.authentication === "anonymous" && session.namespaces.length <= 1) return null;
  const wanted = search.trim().toLowerCase();
  const shown = session.namespaces.filter(({ name, display_name }) =>
    `${name} ${display_name ?? ""}`.toLowerCase().includes(wanted),
  );
  const choose = (name: string) => {
    menu.current?.hidePopover();
    if (name !== session.namespace) switchNamespace(name);
  };
  return (
    <>
      <button className="quiet who" popoverTarget={id} aria-expanded={open} aria-haspopup="dialog">
        <span className="visually-hidden">Namespace </span>
        <strong>{session.namespace}</strong>
        <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
          <path d="M2 3.500 5 6.500 8 3.500" fill="none" stroke="currentColor" strokeWidth="1.6" />
        </svg>
      </button>
      <div
        ref={menu}
        id={id}
        popover="auto"
        role="dialog"
        aria-label="Account and namespace"
        className="who-menu"
        onToggle={(event) => setOpen(event.newState === "open")}
      >
        <div className="who-name">
          <strong>{session.principal}</strong>
          <span className="muted">
            {session.role} in {session.namespace}
            {session.whole_service && ", admin of the service"}
          </span>
        </div>
        <h2>Namespaces</h2>
        {session.namespaces.length > FEW && (
          <input
            type="search"
            placeholder="Find a namespace"
            aria-label="Find a namespace"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        )}
        <ul>
          {shown.map(({ name, display_name, role }) => (
            <li key={name}>
              <button
                className="quiet"
                aria-current={name === session.namespace ? "true" : undefined}
                onClick={() => choose(name)}
              >
                <span aria-hidden="true">{name === session.namespace ? "✓" : ""}</span>
                <span>
                  {name}
                  {display_name && <span className="muted"> {display_name}</span>}
                </span>
                <span className="muted">{role}</span>
              </button>
            </li>
          ))}
          {shown.length === 0 && <li className="muted">None has that name</li>}
        </ul>
        {logout.error && <Failure error={logout.error} />}
        {session.authentication === "session" && (
          <button className="who-out" disabled={logout.isPending} onClick={() => logout.mutate()}>
            Log out
          </button>
        )}
      </div>
    </>
  );
}
