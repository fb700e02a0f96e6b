// A text area with line numbers and colours: the colours lie behind it, letter for letter, so that everything that a
// text area can do (undo, input methods, screen readers, spelling of the platform's keys) stays as it is.

import { useMemo, useRef } from "react";

import { tokenLines, type Language } from "./tokens";
import { Line, type Mark } from "./view";
import "./code.css";

interface Props {
  value: string;
  onChange: (value: string) => void;
  language: Language;
  label: string;
  /** The text area's id, for a label outside. */
  id?: string;
  /** Ids of elements that say more, such as the errors. */
  describedBy?: string | undefined;
  invalid?: boolean;
  marks?: Mark[];
  /** The text area, for whoever wants to know or move its caret. */
  area?: React.RefObject<HTMLTextAreaElement | null>;
  /** Called with the offset of the caret whenever it moves. */
  onCaret?: (offset: number) => void;
  /** What Ctrl+Enter (⌘ Enter) does. */
  onSubmit?: () => void;
  placeholder?: string | undefined;
  autoFocus?: boolean;
  /** The least height, in lines. */
  rows?: number;
}

/** The white space that the caret's line begins with. */
function indentation(area: HTMLTextAreaElement): string {
  const before = area.value.slice(0, area.selectionStart);
  return /(?:^|\n)([ \t]*)[^\n]*$/.exec(before)?.[1] ?? "";
}

/** Writes a text at the caret, as if it were typed. */
export function insert(area: HTMLTextAreaElement, text: string): void {
  area.focus();
  // The only insertion that undo knows of.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  document.execCommand("insertText", false, text);
}

/** An editor. Tab leaves it, as it does any other field. */
export function CodeEditor(props: Props) {
  const { value, onChange, language, marks = [], rows = 8 } = props;
  const lines = useMemo(() => tokenLines(language, value), [language, value]);
  const own = useRef<HTMLTextAreaElement>(null);
  const area = props.area ?? own;
  const onKeyDown = (event: React.KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      props.onSubmit?.();
      return;
    }
    const indent = indentation(event.currentTarget);
    if (indent === "" || event.shiftKey || event.altKey) return;
    event.preventDefault();
    insert(event.currentTarget, `\n${indent}`);
  };
  return (
    <div className={props.invalid ? "code editor invalid" : "code editor"} onClick={() => area.current?.focus()}>
      <div className="code-both" style={{ minHeight: `calc(${rows} * var(--code-line) + 20px)` }}>
        <pre className="code-lines" aria-hidden="true">
          {lines.map((tokens, index) => {
            // What is missing at the end is said to be behind it.
            const mark = marks.find((mark) => Math.min(mark.line, lines.length) === index + 1);
            return (
              <span key={index} className={mark ? "code-line marked" : "code-line"} data-line={index + 1}>
                <Line tokens={tokens} mark={mark} />
                {"\n"}
              </span>
            );
          })}
        </pre>
        <textarea
          ref={area}
          id={props.id}
          value={value}
          aria-label={props.label}
          aria-describedby={props.describedBy}
          aria-invalid={props.invalid}
          placeholder={props.placeholder}
          autoFocus={props.autoFocus}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          autoCorrect="off"
          wrap="off"
          onChange={(event) => onChange(event.target.value)}
          onKeyDown={onKeyDown}
          onSelect={(event) => props.onCaret?.(event.currentTarget.selectionStart)}
        />
      </div>
    </div>
  );
}
