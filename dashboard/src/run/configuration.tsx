import type { Run } from "../api/types";

/** What the run was submitted with. */
export function Configuration({ run }: { run: Run }) {
  const labels = Object.entries(run.labels);
  const modules = Object.entries(run.modules);
  return (
    <>
      <section className="card" aria-label="Settings">
        <header>
          <h2>Settings</h2>
        </header>
        <pre className="json" tabIndex={0}>
          {JSON.stringify(run.settings, null, 2)}
        </pre>
      </section>
      {(labels.length > 0 || modules.length > 0) && (
        <section className="card scroll" aria-label="Labels and modules">
          <table>
            <thead>
              <tr>
                <th>Kind</th>
                <th>Name</th>
                <th>Value</th>
              </tr>
            </thead>
            <tbody>
              {labels.map(([name, value]) => (
                <tr key={`label ${name}`}>
                  <td className="muted">label</td>
                  <td>{name}</td>
                  <td>{value}</td>
                </tr>
              ))}
              {modules.map(([name, digest]) => (
                <tr key={`module ${name}`}>
                  <td className="muted">module</td>
                  <td>{name}</td>
                  <td className="mono">{digest}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}
