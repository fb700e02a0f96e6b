import type { Metric, Run } from "../api/types";
import { count } from "../lib/format";

/** A metric's value, for people. */
export function written(metric: Metric): string {
  if (metric.kind !== "distribution") return count(metric.value);
  const mean = metric.count === 0 ? 0 : metric.sum / metric.count;
  return `${count(metric.count)} samples, mean ${mean.toFixed(1)}, ${count(metric.min)} to ${count(metric.max)}`;
}

/** What user functions counted. */
export function Metrics({ metrics }: { metrics: Run["metrics"] }) {
  const entries = Object.entries(metrics);
  if (entries.length === 0) return null;
  return (
    <section className="card" aria-label="Metrics of functions">
      <header>
        <h2>Metrics of functions</h2>
      </header>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th>Metric</th>
              <th>Kind</th>
              <th className="n">Value</th>
            </tr>
          </thead>
          <tbody>
            {entries.map(([name, metric]) => (
              <tr key={name}>
                <td className="mono">{name}</td>
                <td className="muted">{metric.kind}</td>
                <td className="n">{written(metric)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
