// What is shown while there is nothing to show.

import { Problem } from "../api/client";

const icons = {
  runs: "M4 7c4-3 8-3 12 0s8 3 12 0M4 16c4-3 8-3 12 0s8 3 12 0M4 25c4-3 8-3 12 0s8 3 12 0",
  search: "M14 6a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM20 20l6 6",
  lines: "M6 9h20M6 16h14M6 23h17",
};

/** An empty place that says what would be here, and how it gets there. */
export function Empty(props: {
  icon: keyof typeof icons;
  title: string;
  /** Whether it is all that the page has. */
  page?: boolean;
  children?: React.ReactNode;
}) {
  const Title = props.page ? "h1" : "h2";
  return (
    <div className="empty">
      <svg width="40" height="40" viewBox="0 0 32 32" aria-hidden="true">
        <path d={icons[props.icon]} fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />
      </svg>
      <Title>{props.title}</Title>
      <div className="muted">{props.children}</div>
    </div>
  );
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
