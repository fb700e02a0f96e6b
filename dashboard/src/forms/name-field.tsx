import { Field } from "../components/field";

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Whether a pipeline or schedule can have this name. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** The name of a new pipeline or schedule. */
export function NameField(props: { value: string; isValid: boolean; onChange: (name: string) => void }) {
  const { value, isValid, onChange } = props;
  return (
    <Field
      label="Name"
      help="Lower-case letters, digits, -, _ and ."
      error={value !== "" && !isValid ? "A name like nightly-revenue, at most 63 characters" : undefined}
    >
      {(control) => (
        <input
          {...control}
          className="mono"
          required
          autoFocus
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}
