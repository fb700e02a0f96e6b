// What a run used, and about what that costs.

import type { Run } from "../api/types";
import { Card, Facts } from "../components/card";
import { bytes, count, duration } from "../lib/format";

const items = {
  vcpu: "Processors",
  memory: "Memory",
  storage_writes: "Writes to the storage",
  storage_reads: "Reads of the storage",
  queue: "Requests to the queues",
} as const;

const units = { hours: "vCPU hours", gib_hours: "GiB hours", requests: "requests" } as const;

/** An amount of money, with as many digits as a small one needs. */
function money(amount: number, currency: string): string {
  const digits = amount === 0 || amount >= 1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(amount)));
  const text = amount.toFixed(digits);
  return currency === "USD" ? `$${text}` : `${text} ${currency}`;
}

function seconds(value: number): string {
  return duration(value * 1000);
}

type Usage = Run["usage"];

/** How many requests were sent to the storage, and what for. */
function requests(of: Usage["storage_requests"], whose: string): [string, string] {
  return [
    count(of.put + of.get + of.head + of.list + of.delete),
    `${whose}: ${count(of.put)} writes, ${count(of.get)} reads, ${count(of.head)} heads, ${count(of.list)} lists, ${count(of.delete)} deletions`,
  ];
}

/** Where the modules of attempts came from. */
function modules(of: Usage["modules"]): [string | null, string] {
  const cold = of.compiled + of.cached;
  if (cold + of.warm === 0) return [null, ""];
  return [
    `${count(of.compiled)} compiled, ${count(of.cached)} cached, ${count(of.warm)} warm`,
    `Workers compiled ${count(of.compiled)}, read ${count(of.cached)} from their caches, and had ${count(of.warm)} in memory; attempts waited ${seconds(of.load_seconds)} for them`,
  ];
}

export function UsageCard({ usage, resources }: Pick<Run, "usage" | "resources">) {
  const cost = usage.estimated_cost;
  return (
    <Card title="Usage" note={`about ${money(cost.amount, cost.currency)}`}>
      <div className="run-usage">
        <Facts
          facts={[
            ["Slot time", seconds(usage.task_seconds), "Time that attempts had a slot of a worker"],
            ["vCPU time", seconds(usage.vcpu_seconds), "Time of the processors that belong to these slots"],
            ["CPU time", seconds(usage.cpu_seconds), "CPU time of the attempts' own threads"],
            ["Memory", `${usage.memory_gib_seconds.toFixed(1)} GiB·s`, "Memory of these slots, over time"],
            ["In Wasm", seconds(usage.wasm_seconds)],
            ["Rows read", count(usage.rows_read)],
            ["Read", bytes(usage.bytes_read), "From files"],
            ["Written", bytes(usage.bytes_written), "To files"],
            ["Shuffled", bytes(usage.shuffle_bytes)],
            ["Spilled", bytes(usage.spill_bytes)],
            ["Storage requests", ...requests(usage.storage_requests, "Of its attempts")],
            ["Service's requests", ...requests(usage.control_storage_requests, "Of the service, for the run")],
            ["Queue requests", count(usage.queue_requests)],
            ["Workers", count(usage.workers)],
            ["Wasm modules", ...modules(usage.modules)],
            ["Memory of a slot", resources.slot_memory_bytes == null ? null : bytes(resources.slot_memory_bytes)],
          ]}
        />
        <div className="cost">
          <table>
            <caption className="muted">
              Estimated from the price table <code>{cost.price_table_version}</code>, for what the run itself used
            </caption>
            <thead>
              <tr>
                <th>For</th>
                <th className="n">Quantity</th>
                <th className="n">Cost</th>
              </tr>
            </thead>
            <tbody>
              {cost.lines.map((line) => (
                <tr key={line.item}>
                  <td>{items[line.item]}</td>
                  <td className="n">
                    {line.unit === "requests" ? count(line.quantity) : line.quantity.toPrecision(3)}{" "}
                    <span className="muted">{units[line.unit]}</span>
                  </td>
                  <td className="n">{money(line.amount, cost.currency)}</td>
                </tr>
              ))}
              <tr className="total">
                <td>Together</td>
                <td />
                <td className="n">{money(cost.amount, cost.currency)}</td>
              </tr>
            </tbody>
          </table>
        </div>
      </div>
    </Card>
  );
}
