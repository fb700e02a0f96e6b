import { CodeView } from "../code/view";
import { Card } from "../components/card";
import { Empty, LoadingBlock } from "../components/feedback";
import { bytes, count } from "../lib/format";
import type { SqlCheck } from "../api/types";

/** What a statement would do: its columns, its stages and its plans. */
export function Plan({ check, pending }: { check: SqlCheck | undefined; pending: boolean }) {
  if (!check) {
    return pending ? (
      <LoadingBlock height={260} label="Loading the plan" />
    ) : (
      <section className="card" aria-label="Plan">
        <Empty icon="lines" title="There is nothing to plan">
          Write a statement, and this shows what it would do.
        </Empty>
      </section>
    );
  }
  if (!check.valid) {
    return (
      <section className="card" aria-label="Plan">
        <Empty icon="lines" title="The statement has no plan" small>
          It is not valid yet.
        </Empty>
      </section>
    );
  }
  const inputs = (stage: SqlCheck["stages"][number]) =>
    stage.inputs.length === 0
      ? stage.scan_bytes > 0
        ? bytes(stage.scan_bytes)
        : "–"
      : `stage ${stage.inputs.join(", ")}`;
  return (
    <>
      {check.stages.length > 0 && (
        <Card title="Stages" note={count(check.stages.length)}>
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>Stage</th>
                  <th className="n">Partitions</th>
                  <th>Reads</th>
                </tr>
              </thead>
              <tbody>
                {check.stages.map((stage) => (
                  <tr key={stage.id}>
                    <td>
                      {stage.id} <strong>{stage.name}</strong>
                    </td>
                    <td className="n">{count(stage.partitions)}</td>
                    <td>{inputs(stage)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Card>
      )}
      {check.columns.length > 0 && (
        <Card title="Columns" note={count(check.columns.length)}>
          <ul className="columns">
            {check.columns.map((column, index) => (
              <li key={index}>
                <code>{column.name}</code>
                <span className="muted">
                  {column.type}
                  {column.nullable && ", may be null"}
                </span>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {check.physical_plan && (
        <Card title="Operators">
          <CodeView text={check.physical_plan} language="text" label="Operators by stage" />
        </Card>
      )}
      {check.logical_plan && (
        <Card title="Logical plan">
          <CodeView text={check.logical_plan} language="text" label="The plan as text" />
        </Card>
      )}
    </>
  );
}
