import { count } from "../lib/format";

/** Tasks that are done and those under way, as a share of all. */
export function TaskBar(props: { done: number; running: number; total: number; tone?: "bad" | undefined }) {
  const { done, running, total, tone } = props;
  const share = (value: number) => (total === 0 ? 0 : Math.min(100, (100 * value) / total));
  return (
    <div
      className="bar"
      role="progressbar"
      aria-label="Tasks done"
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={done}
      aria-valuetext={`${count(done)} of ${count(total)} tasks done, ${count(running)} running`}
    >
      <i className="running" style={{ width: `${share(done + running)}%` }} />
      <i className={tone} style={{ width: `${share(done)}%` }} />
    </div>
  );
}
