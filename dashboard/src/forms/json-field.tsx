import { CodeEditor } from "../code/editor";
import { Field } from "../components/field";

/** What is in a field that takes a JSON object, or what is wrong with it. Nothing is an empty object. */
export function parseObject(text: string): { value: Record<string, never> } | { error: string } {
  if (text.trim() === "") return { value: {} };
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return { value: value as Record<string, never> };
    }
    return { error: "This is no object: it begins with { and ends with }" };
  } catch (error) {
    return { error: error instanceof Error ? error.message : "This is no JSON" };
  }
}

/** A field that takes a JSON object. */
export function JsonField(props: {
  label: string;
  help?: React.ReactNode;
  text: string;
  onChange: (text: string) => void;
  placeholder?: string;
}) {
  const parsed = parseObject(props.text);
  const error = "error" in parsed ? parsed.error : undefined;
  return (
    <Field label={props.label} help={props.help} error={error}>
      {(control) => (
        <CodeEditor
          id={control.id}
          describedBy={control["aria-describedby"]}
          invalid={error !== undefined}
          value={props.text}
          onChange={props.onChange}
          language="json"
          label={props.label}
          rows={3}
          placeholder={props.placeholder}
        />
      )}
    </Field>
  );
}
