import { useId } from "react";

/** A form's field: what it is called, what it is for, and what is wrong with what is in it. */
export function Field(props: {
  label: string;
  help?: React.ReactNode;
  error?: string | undefined;
  /** Gets what ties the control to its label and texts. */
  children: (control: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => React.ReactNode;
}) {
  const id = useId();
  const described = [props.error && `${id}-error`, props.help && `${id}-help`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      {props.children({
        id,
        ...(described ? { "aria-describedby": described } : {}),
        ...(props.error ? { "aria-invalid": true } : {}),
      })}
      {props.error && (
        <p className="error" id={`${id}-error`}>
          <span aria-hidden="true">✕ </span>
          {props.error}
        </p>
      )}
      {props.help && (
        <p className="muted" id={`${id}-help`}>
          {props.help}
        </p>
      )}
    </div>
  );
}
