import { useState } from "react";

import { useQuota, useSaveQuota } from "../api/settings";
import type { Quota, QuotaLimits } from "../api/types";
import { Card } from "../components/card";
import { Dialog } from "../components/dialog";
import { Failure, LoadingBlock } from "../components/feedback";
import { Field } from "../components/field";
import { useAddress } from "../lib/address";
import { bytes, count, percent } from "../lib/format";
import { useSession } from "../session/session";

/** What the namespace may use and what it uses: that of the address, else the present one. */
export function QuotaView() {
  const session = useSession();
  const [address] = useAddress();
  const of = address.get("of") ?? session.namespace;
  const quota = useQuota(of);
  if (quota.data) return <Loaded quota={quota.data} mayChange={session.whole_service} stale={quota.error} />;
  if (quota.error) return <Failure error={quota.error} retry={() => void quota.refetch()} />;
  return <LoadingBlock height={360} label="Loading the quota" />;
}

/** How much of a limit is used, as a bar, a word and a number. */
function Usage(props: {
  name: string;
  help: string;
  used: number | undefined;
  limit: number | null | undefined;
  write: (value: number) => string;
}) {
  const { name, help, used, limit, write } = props;
  const share = used === undefined || limit == null ? undefined : limit === 0 ? 1 : Math.min(1, used / limit);
  const tone = share === undefined ? "" : share >= 1 ? "full" : share >= 0.8 ? "near" : "";
  return (
    <div className="usage">
      <div>
        <strong>{name}</strong>
        <span className="muted">{help}</span>
      </div>
      {share === undefined ? (
        <span className={limit == null ? "usage-none" : undefined} aria-hidden="true" />
      ) : (
        <div
          className={`bar ${tone}`}
          role="meter"
          aria-label={name}
          aria-valuemin={0}
          aria-valuemax={limit ?? 0}
          aria-valuenow={Math.min(used ?? 0, limit ?? 0)}
          aria-valuetext={`${write(used ?? 0)} of ${write(limit ?? 0)}`}
        >
          <i style={{ width: `${100 * share}%` }} />
        </div>
      )}
      <div className="n">
        {used !== undefined && write(used)}
        <span className="muted">
          {limit == null
            ? used === undefined
              ? "no limit"
              : " · no limit"
            : `${used === undefined ? "" : " of "}${write(limit)}`}
        </span>
        {share !== undefined && share >= 0.8 && (
          <strong className={tone}>{share >= 1 ? " · full" : ` · ${percent(share)}`}</strong>
        )}
      </div>
    </div>
  );
}

function Loaded({ quota, mayChange, stale }: { quota: Quota; mayChange: boolean; stale: Error | null }) {
  const { limits, usage } = quota;
  const [changing, setChanging] = useState(false);
  return (
    <>
      {stale && <Failure error={stale} />}
      <Card
        title={`Quota of ${quota.namespace}`}
        note={quota.is_default ? "as every namespace has it" : "of its own"}
        actions={mayChange && <button onClick={() => setChanging(true)}>Change</button>}
      >
        <div className="usages">
          <Usage name="Runs under way" help="More wait" used={usage.runs} limit={limits.max_runs} write={count} />
          <Usage
            name="Runs that wait"
            help="More are refused"
            used={usage.queued_runs}
            limit={limits.max_queued_runs}
            write={count}
          />
          <Usage
            name="Tasks with workers"
            help={`More wait; ${count(usage.tasks_waiting)} do`}
            used={usage.tasks_running}
            limit={limits.max_tasks}
            write={count}
          />
          <Usage
            name="Memory of tasks"
            help="With workers at once; more wait"
            used={undefined}
            limit={limits.max_memory_bytes}
            write={bytes}
          />
          <Usage
            name="Storage"
            help={`Of kept results and modules (${bytes(usage.module_bytes)}); beyond it runs and uploads are refused`}
            used={usage.storage_bytes}
            limit={limits.max_storage_bytes}
            write={bytes}
          />
          <Usage
            name="Submissions per minute"
            help={`On average, ${count(limits.submission_burst ?? 1)} at once`}
            used={undefined}
            limit={limits.submissions_per_minute}
            write={count}
          />
        </div>
      </Card>
      <Card title="Share of the fleet">
        <div className="usages">
          <div className="usage">
            <div>
              <strong>Weight</strong>
              <span className="muted">While several namespaces wait, slots are shared in proportion</span>
            </div>
            <span />
            <div className="n">{count(limits.weight ?? 1)}</div>
          </div>
          <div className="usage">
            <div>
              <strong>Reserved slots</strong>
              <span className="muted">Kept free for it, even while it does not use them</span>
            </div>
            <span />
            <div className="n">{count(limits.min_share ?? 0)}</div>
          </div>
        </div>
      </Card>
      {changing && <Change quota={quota} onClose={() => setChanging(false)} />}
    </>
  );
}

type Name = keyof QuotaLimits;

interface Limit {
  name: Name;
  label: string;
  least: number;
  most: number;
  /** The unit of what is typed, as a number of what is sent. */
  unit?: number;
  isOptional: boolean;
}

const MANY = 1_000_000;
const GIB = 2 ** 30;

const limitFields: Limit[] = [
  { name: "max_runs", label: "Runs under way", least: 0, most: MANY, isOptional: true },
  { name: "max_queued_runs", label: "Runs that wait", least: 0, most: MANY, isOptional: true },
  { name: "max_tasks", label: "Tasks with workers", least: 1, most: MANY, isOptional: true },
  { name: "max_memory_bytes", label: "Memory of tasks, GiB", least: 0, most: 8_000_000, unit: GIB, isOptional: true },
  { name: "max_storage_bytes", label: "Storage, GiB", least: 0, most: 8_000_000, unit: GIB, isOptional: true },
  { name: "submissions_per_minute", label: "Submissions per minute", least: 1, most: MANY, isOptional: true },
  { name: "submission_burst", label: "Submissions at once", least: 1, most: MANY, isOptional: false },
  { name: "weight", label: "Weight", least: 1, most: 1000, isOptional: false },
  { name: "min_share", label: "Reserved slots", least: 0, most: MANY, isOptional: false },
];

type Texts = Record<Name, string>;

/** The number of a field; `undefined` when it is wrong, `null` when it is left out. */
function parsed(limit: Limit, text: string): number | null | undefined {
  if (text.trim() === "") return limit.isOptional ? null : undefined;
  const value = Number(text);
  const fits = Number.isFinite(value) && value >= limit.least && value <= limit.most;
  if (!fits || (limit.unit === undefined && !Number.isInteger(value))) return undefined;
  return Math.round(value * (limit.unit ?? 1));
}

function Change({ quota, onClose }: { quota: Quota; onClose: () => void }) {
  const save = useSaveQuota(quota.namespace);
  const [texts, setTexts] = useState<Texts>(() => {
    const text = ({ name, unit = 1 }: Limit) => {
      const value = quota.limits[name];
      return value == null ? "" : String(Math.round((value / unit) * 1000) / 1000);
    };
    return Object.fromEntries(limitFields.map((limit) => [limit.name, text(limit)])) as Texts;
  });
  const values = limitFields.map((limit) => [limit.name, parsed(limit, texts[limit.name])] as const);
  const isRight = values.every(([, value]) => value !== undefined);
  const send = (event: React.SyntheticEvent) => {
    event.preventDefault();
    if (!isRight) return;
    const given = values.filter(([, value]) => value != null);
    save.mutate(Object.fromEntries(given), { onSuccess: onClose });
  };
  return (
    <Dialog title={`Quota of ${quota.namespace}`} wide onClose={onClose}>
      <form className="stack" onSubmit={send}>
        <p className="muted">A field that is left empty is no limit.</p>
        <div className="form-columns">
          {limitFields.map((limit) => (
            <Field
              key={limit.name}
              label={limit.label}
              error={
                parsed(limit, texts[limit.name]) === undefined
                  ? `A number from ${count(limit.least)} to ${count(limit.most)}`
                  : undefined
              }
            >
              {(control) => (
                <input
                  {...control}
                  inputMode="decimal"
                  placeholder={limit.isOptional ? "no limit" : ""}
                  value={texts[limit.name]}
                  onChange={(event) => setTexts({ ...texts, [limit.name]: event.target.value })}
                />
              )}
            </Field>
          ))}
        </div>
        {save.error && <Failure error={save.error} />}
        <footer className="dialog-actions">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button className="primary" type="submit" disabled={!isRight || save.isPending}>
            {save.isPending ? "Saving…" : "Save"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
