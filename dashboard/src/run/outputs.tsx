import { Link } from "wouter";

import type { Run } from "../api/types";
import { bytes, count } from "../lib/format";

/** What the run made visible. */
export function Outputs({ run }: { run: Run }) {
  const { outputs } = run;
  if (outputs.length === 0) return null;
  return (
    <section className="card" aria-label="Outputs">
      <header>
        <h2>Outputs</h2>
        <Link href={`/runs/${run.id}/outputs`}>Rows and files</Link>
      </header>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th>Transform</th>
              <th>Files</th>
              <th className="n">Rows</th>
              <th className="n">Size</th>
            </tr>
          </thead>
          <tbody>
            {outputs.map((output) => (
              <tr key={output.transform}>
                <td>{output.transform}</td>
                <td className="wide mono">
                  {output.files.slice(0, 3).join(", ")}
                  {output.files.length > 3 && ` and ${count(output.files.length - 3)} more`}
                </td>
                <td className="n">{count(output.rows)}</td>
                <td className="n">{bytes(output.bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
