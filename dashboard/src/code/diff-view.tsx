import { useMemo } from "react";

import { diff, folded } from "./diff";
import { tokens, type Language } from "./tokens";
import { Line } from "./view";
import "./code.css";

const signs = { same: " ", removed: "−", added: "+" };
const words = { same: "", removed: "removed: ", added: "added: " };

/** Two texts as one, with what was taken away and what came. */
export function DiffView(props: { before: string; after: string; language: Language; label: string }) {
  const lines = useMemo(() => folded(diff(props.before, props.after)), [props.before, props.after]);
  return (
    <div className="code diff" role="region" aria-label={props.label} tabIndex={0}>
      <pre className="code-lines">
        {lines.map((line, index) =>
          line.kind === "gap" ? (
            <span key={index} className="diff-gap">
              {`⋯ ${line.lines} ${line.lines === 1 ? "line" : "lines"} the same\n`}
            </span>
          ) : (
            <span key={index} className={`diff-line ${line.kind}`}>
              <span className="diff-number" data-line={line.before ?? ""} />
              <span className="diff-number" data-line={line.after ?? ""} />
              <span className="diff-sign" aria-hidden="true" data-sign={signs[line.kind]} />
              <span className="visually-hidden">{words[line.kind]}</span>
              <Line tokens={tokens(props.language, line.text)} />
              {"\n"}
            </span>
          ),
        )}
      </pre>
    </div>
  );
}
