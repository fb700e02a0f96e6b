import { useId } from "react";

/** A part of a page, with a heading and, beside it, what can be done with the part. */
export function Card(props: {
  title: string;
  /** How screen readers call the part, when that is not its title. */
  label?: string;
  /** A word or two beside the heading, such as how many there are. */
  note?: React.ReactNode;
  actions?: React.ReactNode;
  children: React.ReactNode;
}) {
  const heading = useId();
  return (
    <section className="card" {...(props.label ? { "aria-label": props.label } : { "aria-labelledby": heading })}>
      <header>
        <div className="row">
          <h2 id={heading}>{props.title}</h2>
          {props.note != null && <span className="muted">{props.note}</span>}
        </div>
        {props.actions && <div className="row">{props.actions}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** Names with values; a value that is not there is left out, and words are set smaller than numbers. */
export function Facts({ facts }: { facts: [string, React.ReactNode, (string | undefined)?, "text"?][] }) {
  return (
    <dl className="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value, title, style]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className={style} title={title}>
              {value}
            </dd>
          </div>
        ))}
    </dl>
  );
}
