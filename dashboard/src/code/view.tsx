// Text with line numbers and colours, to read.

import { useMemo } from "react";

import { splitAt, tokenLines, type Language, type Token } from "./tokens";
import "./code.css";

/** A place in a text, as the server names it: lines and columns from one. */
export interface Mark {
  line: number;
  column?: number | undefined;
  message: string;
}

function Spans({ tokens }: { tokens: Token[] }) {
  return tokens.map(({ kind, text }, index) =>
    kind === "text" ? (
      text
    ) : (
      <span key={index} className={`tok-${kind}`}>
        {text}
      </span>
    ),
  );
}

/** One line; what a mark is about is underlined, from its column to the end of the word. */
export function Line({ tokens, mark }: { tokens: Token[]; mark?: Mark | undefined }) {
  if (!mark) return <Spans tokens={tokens} />;
  const [before, after] = splitAt(tokens, (mark.column ?? 1) - 1);
  const rest = after.map((token) => token.text).join("");
  const length = mark.column === undefined ? rest.length : (/^(\w+|\S|\s+)/.exec(rest)?.[0].length ?? 0);
  const [marked, tail] = splitAt(after, length);
  return (
    <>
      <Spans tokens={before} />
      <span className="tok-marked">{marked.length > 0 ? <Spans tokens={marked} /> : " "}</span>
      <Spans tokens={tail} />
    </>
  );
}

/** A text to read and to copy. */
export function CodeView(props: { text: string; language: Language; label: string; mark?: Mark | undefined }) {
  const lines = useMemo(() => tokenLines(props.language, props.text.replace(/\n$/, "")), [props.language, props.text]);
  return (
    <div className="code" role="region" aria-label={props.label} tabIndex={0}>
      <pre className="code-lines">
        {lines.map((tokens, index) => (
          <span key={index} className="code-line" data-line={index + 1}>
            <Line tokens={tokens} mark={props.mark?.line === index + 1 ? props.mark : undefined} />
            {"\n"}
          </span>
        ))}
      </pre>
    </div>
  );
}
