// What is shown while there is nothing to show.

import { Problem, type ProblemDetail } from "../api/client";

const icons = {
  runs: "M4 7c4-3 8-3 12 0s8 3 12 0M4 16c4-3 8-3 12 0s8 3 12 0M4 25c4-3 8-3 12 0s8 3 12 0",
  search: "M14 6a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM20 20l6 6",
  lines: "M6 9h20M6 16h14M6 23h17",
  done: "M6 17l7 7L26 9",
  clock: "M16 5a11 11 0 1 0 0 22 11 11 0 0 0 0-22ZM16 10v6l4 3",
  box: "M5 10 16 5l11 5v12l-11 5L5 22ZM5 10l11 5 11-5M16 15v12",
  key: "M12 12a5 5 0 1 0-4 8 5 5 0 0 0 4-8ZM13 15h14v5M22 15v4",
  machine: "M5 7h22v7H5ZM5 18h22v7H5ZM9 10.500h.01M9 21.500h.01",
  table: "M5 7h22v18H5ZM5 13h22M13 7v18",
};

export type IconName = keyof typeof icons;

/** An empty place that says what would be here, and how it gets there. */
export function Empty(props: {
  icon: IconName;
  title: string;
  /** Whether it is all that the page has. */
  page?: boolean;
  /** Whether it is a small part of a page. */
  small?: boolean;
  children?: React.ReactNode;
}) {
  const Title = props.page ? "h1" : "h2";
  const size = props.small ? 28 : 40;
  return (
    <div className={props.small ? "empty small" : "empty"}>
      <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
        <path
          d={icons[props.icon]}
          fill="none"
          stroke="currentColor"
          strokeWidth="2"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      <Title>{props.title}</Title>
      {props.children && <div className="muted">{props.children}</div>}
    </div>
  );
}

/** Things that are wrong which are listed of one problem. */
const PROBLEMS = 20;

/** Where in what was sent something is wrong. */
function place({ line, column, field }: ProblemDetail): string {
  if (line) return `Line ${line}${column ? `, column ${column}` : ""}: `;
  return field ? `${field}: ` : "";
}

/** An error, in the server's words, with a way to try again. */
export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  const problem = error instanceof Problem ? error : undefined;
  return (
    <div className="notice bad" role="alert">
      <span aria-hidden="true">✕</span>
      <div>
        <strong>{problem?.title ?? "The server does not answer"}</strong>
        <p>{problem ? problem.detail : "Check that it runs and that this page is open on its address."}</p>
        {problem && problem.errors.length > 0 && (
          <ul className="problems">
            {problem.errors.slice(0, PROBLEMS).map((error, index) => (
              <li key={index}>
                <strong>{place(error)}</strong>
                {error.message}
                {error.help && <span className="muted"> {error.help}</span>}
              </li>
            ))}
            {problem.errors.length > PROBLEMS && <li>and {problem.errors.length - PROBLEMS} more</li>}
          </ul>
        )}
      </div>
      {retry && <button onClick={retry}>Try again</button>}
    </div>
  );
}

/** A table's place while its rows are on the way, of the same height. */
export function LoadingRows({ rows, columns }: { rows: number; columns: number }) {
  return (
    <tbody aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => (
        <tr key={row}>
          {Array.from({ length: columns }, (_, column) => (
            <td key={column}>
              <span className="skeleton">{"·".repeat(6 + ((row * 7 + column * 3) % 9))}</span>
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  );
}

/** The place of a part that is on the way; `height` is in pixels, that of what comes. */
export function LoadingBlock({ height, label = "Loading" }: { height: number; label?: string }) {
  return (
    <div className="card loading" role="status" aria-label={label} style={{ height }}>
      <i className="skeleton" style={{ width: "32%" }} />
      {height > 120 && <i className="skeleton" style={{ width: "78%" }} />}
      {height > 160 && <i className="skeleton" style={{ width: "64%" }} />}
    </div>
  );
}

/** The place of a page that is on the way. */
export function LoadingPage() {
  return (
    <div className="stack" aria-busy="true">
      <LoadingBlock height={74} label="Loading the page" />
      <LoadingBlock height={320} />
    </div>
  );
}
