// Dialogs over the page: the browser's own, which keeps the focus inside, closes with Escape and gives the focus back.

import { useEffect, useId, useRef } from "react";

import { Failure } from "./feedback";

/** A dialog that is open while it is rendered. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  /** Whether it is wide enough for code and tables. */
  wide?: boolean;
  children: React.ReactNode;
}) {
  const { title, onClose, wide, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div className="dialog-body">
        <header>
          <h2 id={heading}>{title}</h2>
          <button className="icon quiet" aria-label="Close" onClick={onClose}>
            <span aria-hidden="true">✕</span>
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** Asks before something that can not be taken back. */
export function Confirm(props: {
  title: string;
  /** What the button that does it says. */
  action: string;
  danger?: boolean;
  pending?: boolean;
  error?: Error | null;
  onConfirm: () => void;
  onClose: () => void;
  children: React.ReactNode;
}) {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div className="dialog-text">{props.children}</div>
      {props.error && <Failure error={props.error} />}
      <footer>
        <button onClick={props.onClose}>Leave it</button>
        <button
          className={props.danger ? "primary danger" : "primary"}
          disabled={props.pending}
          onClick={props.onConfirm}
        >
          {props.action}
        </button>
      </footer>
    </Dialog>
  );
}
