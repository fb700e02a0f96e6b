// What a run was submitted with: its job, what that was given, and how it is run.

import { Link } from "wouter";

import { useEvent } from "../api/queries";
import type { Run } from "../api/types";
import { CodeView } from "../code/view";
import { Card } from "../components/card";
import { Copy } from "../components/copy";
import { Failure, LoadingBlock } from "../components/feedback";
import { flat, submitted } from "../lib/submitted";

/** The event of a run that says what was submitted. */
const SUBMITTED = 1;

export function Configuration({ run }: { run: Run }) {
  const first = useEvent(run.id, SUBMITTED);
  if (first.isPending) return <LoadingBlock height={640} label="Loading the configuration" />;
  const job = submitted(first.data?.data);
  const given: [string, React.ReactNode, React.ReactNode][] = [
    ...(job?.inputs ?? []),
    ...Object.entries(run.labels).map(([name, value]): [string, string, string] => ["label", name, value]),
    ...Object.entries(run.modules).map(([name, digest]): [string, string, React.ReactNode] => [
      "module",
      name,
      <Link key={name} href={`/modules/${digest}`} className="mono">
        {digest}
      </Link>,
    ]),
  ];
  return (
    <>
      {first.error && !first.data && <Failure error={first.error} retry={() => void first.refetch()} />}
      {job && (
        <Card
          title={job.language === "sql" ? "Statements" : "Pipeline"}
          note={job.file}
          actions={<Copy text={job.text} label="Copy the job" />}
        >
          <CodeView text={job.text} language={job.language} label="Job" />
        </Card>
      )}
      {given.length > 0 && (
        <Card title="Given to it">
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>Kind</th>
                  <th>Name</th>
                  <th>Value</th>
                </tr>
              </thead>
              <tbody>
                {given.map(([kind, name, value], index) => (
                  <tr key={index}>
                    <td className="muted">{kind}</td>
                    <td>{name}</td>
                    <td className="wide">{value}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Card>
      )}
      <Card title="Settings" actions={<Copy text={JSON.stringify(run.settings, null, 2)} label="Copy the settings" />}>
        <dl className="settings-list">
          {flat(run.settings).map(([path, value, units]) => (
            <div key={path}>
              <dt className="mono">{path}</dt>
              <dd title={units && value}>{units ?? value}</dd>
            </div>
          ))}
        </dl>
      </Card>
    </>
  );
}
