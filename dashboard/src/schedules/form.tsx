import { useState } from "react";
import { Link, useLocation } from "wouter";

import { Problem } from "../api/client";
import { rowsOf } from "../api/paged";
import { usePipelines } from "../api/pipelines";
import { usePreview, useSaveSchedule } from "../api/schedules";
import type { Schedule, ScheduleRequest } from "../api/types";
import { Failure } from "../components/feedback";
import { Field } from "../components/field";
import { JsonField, parseObject } from "../forms/json-field";
import { KeyValues, toObject, type Entries } from "../forms/key-values";
import { isName, NameField } from "../forms/name-field";
import { useSettled } from "../lib/settle";
import { Firings } from "./firings";
import "../forms/forms.css";

const presets: [string, string][] = [
  ["Every hour", "0 * * * *"],
  ["Every night", "0 2 * * *"],
  ["Working days", "0 7 * * MON-FRI"],
  ["Every week", "0 3 * * MON"],
  ["Every month", "0 4 1 * *"],
];

type Policy = Schedule["concurrency_policy"];
const policies: [Policy, string][] = [
  ["allow", "Allow: make another run beside it"],
  ["forbid", "Forbid: leave this time out"],
  ["replace", "Replace: cancel it, then make the run"],
];

type CatchUp = Schedule["catch_up"];
const catchUps: [CatchUp, string][] = [
  ["none", "Leave them out"],
  ["latest", "Make a run for the latest"],
  ["all", "Make a run for each, the latest hundred"],
];

const zones = Intl.supportedValuesOf("timeZone");

interface Draft {
  name: string;
  description: string;
  pipeline: string;
  version: string;
  cron: string;
  timeZone: string;
  policy: Policy;
  catchUp: CatchUp;
  deadline: string;
  succeeded: string;
  failed: string;
  parameters: Entries;
  labels: Entries;
  settings: string;
}

function draftOf(schedule: Schedule | undefined, pipeline: string): Draft {
  const text = (value: number | null | undefined) => (value == null ? "" : String(value));
  const settings = schedule?.settings ?? {};
  return {
    name: schedule?.name ?? "",
    description: schedule?.description ?? "",
    pipeline: schedule?.pipeline ?? pipeline,
    version: text(schedule?.version),
    cron: schedule?.cron ?? "0 2 * * *",
    timeZone: schedule?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    policy: schedule?.concurrency_policy ?? "forbid",
    catchUp: schedule?.catch_up ?? "none",
    deadline: text(schedule?.start_deadline_s),
    succeeded: text(schedule?.successful_run_history_limit),
    failed: text(schedule?.failed_run_history_limit),
    parameters: Object.entries(schedule?.parameters ?? {}),
    labels: Object.entries(schedule?.labels ?? {}),
    settings: Object.keys(settings).length > 0 ? JSON.stringify(settings, null, 2) : "",
  };
}

/** The number in a field; `null` when it is empty, `undefined` when it is no whole number in the range. */
function whole(text: string, least: number, most: number): number | null | undefined {
  if (text.trim() === "") return null;
  const value = Number(text);
  return Number.isInteger(value) && value >= least && value <= most ? value : undefined;
}

/** What is sent; `undefined` while a field is wrong. */
function requestOf(draft: Draft, suspended: boolean): ScheduleRequest | undefined {
  const settings = parseObject(draft.settings);
  const version = whole(draft.version, 1, 2 ** 32 - 1);
  const deadline = whole(draft.deadline, 1, 31_536_000);
  const succeeded = whole(draft.succeeded, 0, 10_000);
  const failed = whole(draft.failed, 0, 10_000);
  const isWrong = [version, deadline, succeeded, failed].includes(undefined);
  if ("error" in settings || isWrong || draft.pipeline === "" || draft.cron.trim() === "") return undefined;
  return {
    ...(draft.description.trim() === "" ? {} : { description: draft.description.trim() }),
    pipeline: draft.pipeline,
    ...(version == null ? {} : { version }),
    cron: draft.cron.trim(),
    time_zone: draft.timeZone.trim() || "UTC",
    concurrency_policy: draft.policy,
    catch_up: draft.catchUp,
    ...(deadline == null ? {} : { start_deadline_s: deadline }),
    ...(succeeded == null ? {} : { successful_run_history_limit: succeeded }),
    ...(failed == null ? {} : { failed_run_history_limit: failed }),
    suspend: suspended,
    parameters: toObject(draft.parameters),
    labels: toObject(draft.labels),
    ...(Object.keys(settings.value).length > 0 ? { settings: settings.value } : {}),
  };
}

/** A field for a number that can be left out. */
function NumberField(props: {
  label: string;
  help: string;
  text: string;
  least: number;
  most: number;
  placeholder: string;
  onChange: (text: string) => void;
}) {
  const { label, help, text, least, most, placeholder, onChange } = props;
  const error = whole(text, least, most) === undefined ? `A whole number from ${least} to ${most}` : undefined;
  return (
    <Field label={label} help={help} error={error}>
      {(control) => (
        <input
          {...control}
          inputMode="numeric"
          placeholder={placeholder}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}

/** Makes a schedule, or changes one. */
export function ScheduleForm({ schedule, pipeline = "" }: { schedule?: Schedule; pipeline?: string }) {
  const save = useSaveSchedule();
  const pipelines = rowsOf(usePipelines());
  const [, navigate] = useLocation();
  const [draft, setDraft] = useState(() => draftOf(schedule, pipeline));
  const cron = useSettled(draft.cron.trim());
  const zone = useSettled(draft.timeZone.trim());
  const preview = usePreview(cron, zone);
  const set = (changed: Partial<Draft>) => {
    setDraft({ ...draft, ...changed });
    if (save.error) save.reset();
  };
  const isNamed = isName(draft.name) && draft.name !== "preview";
  const request = requestOf(draft, schedule?.state === "suspended");
  const isReady = request !== undefined && isNamed && !save.isPending;
  const wrongCron = preview.error instanceof Problem ? preview.error.detail : undefined;
  const home = schedule ? `/schedules/${schedule.name}` : "/schedules";
  return (
    <>
      <title>{schedule ? `Edit ${schedule.name} · Weir` : "New schedule · Weir"}</title>
      <h1>{schedule ? `Edit ${schedule.name}` : "New schedule"}</h1>
      <form
        className="card form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isReady) return;
          save.mutate(
            { name: draft.name, etag: schedule?.etag, body: request },
            { onSuccess: (saved) => navigate(`/schedules/${saved.name}`) },
          );
        }}
      >
        <div className="form-columns">
          {!schedule && <NameField value={draft.name} isValid={isNamed} onChange={(name) => set({ name })} />}
          <Field label="Pipeline">
            {(control) => (
              <>
                <input
                  {...control}
                  className="mono"
                  required
                  list="pipelines"
                  value={draft.pipeline}
                  onChange={(event) => set({ pipeline: event.target.value.trim() })}
                />
                <datalist id="pipelines">
                  {pipelines.map(({ name }) => (
                    <option key={name} value={name} />
                  ))}
                </datalist>
              </>
            )}
          </Field>
          <NumberField
            label="Version"
            help="The latest at the time of each run, when it is left out."
            placeholder="latest"
            least={1}
            most={2 ** 32 - 1}
            text={draft.version}
            onChange={(version) => set({ version })}
          />
          <Field label="Description">
            {(control) => (
              <input
                {...control}
                maxLength={2000}
                value={draft.description}
                onChange={(event) => set({ description: event.target.value })}
              />
            )}
          </Field>
        </div>
        <div className="form-columns">
          <div className="stack">
            <Field
              label="When"
              help="Minute, hour, day of the month, month, day of the week; or @hourly, @daily, …"
              error={wrongCron}
            >
              {(control) => (
                <input
                  {...control}
                  className="mono"
                  required
                  spellCheck={false}
                  value={draft.cron}
                  onChange={(event) => set({ cron: event.target.value })}
                />
              )}
            </Field>
            <div className="chips wrap" role="group" aria-label="Usual times">
              {presets.map(([title, value]) => (
                <button
                  key={value}
                  type="button"
                  aria-pressed={draft.cron.trim() === value}
                  onClick={() => set({ cron: value })}
                >
                  {title}
                </button>
              ))}
            </div>
            <Field
              label="Time zone"
              help="A time of day that the clock skips comes after the gap; one it shows twice, once."
            >
              {(control) => (
                <>
                  <input
                    {...control}
                    list="zones"
                    spellCheck={false}
                    value={draft.timeZone}
                    onChange={(event) => set({ timeZone: event.target.value })}
                  />
                  <datalist id="zones">
                    {["UTC", ...zones].map((zone) => (
                      <option key={zone} value={zone} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
          </div>
          <Firings preview={preview.data} zone={zone || "UTC"} isStale={preview.isPlaceholderData || !!preview.error} />
        </div>
        <div className="form-columns">
          <Field label="While a run of it is under way">
            {(control) => (
              <select
                {...control}
                value={draft.policy}
                onChange={(event) => set({ policy: event.target.value as Policy })}
              >
                {policies.map(([value, title]) => (
                  <option key={value} value={value}>
                    {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label="Times at which no server was there">
            {(control) => (
              <select
                {...control}
                value={draft.catchUp}
                onChange={(event) => set({ catchUp: event.target.value as CatchUp })}
              >
                {catchUps.map(([value, title]) => (
                  <option key={value} value={value}>
                    {title}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <NumberField
            label="Give a time up after, in seconds"
            help="A minute without catching up and never with it, when it is left out."
            placeholder={draft.catchUp === "none" ? "60" : "never"}
            least={1}
            most={31_536_000}
            text={draft.deadline}
            onChange={(deadline) => set({ deadline })}
          />
          <NumberField
            label="Succeeded runs to keep"
            help="All, when it is left out."
            placeholder="all"
            least={0}
            most={10_000}
            text={draft.succeeded}
            onChange={(succeeded) => set({ succeeded })}
          />
          <NumberField
            label="Failed runs to keep"
            help="All, when it is left out."
            placeholder="all"
            least={0}
            most={10_000}
            text={draft.failed}
            onChange={(failed) => set({ failed })}
          />
        </div>
        <div className="form-columns">
          <KeyValues
            title="Parameters"
            nouns={["name", "value"]}
            help="Over those of the pipeline."
            entries={draft.parameters}
            onChange={(parameters) => set({ parameters })}
          />
          <KeyValues
            title="Labels"
            nouns={["key", "value"]}
            help="Of its runs, over those of the pipeline."
            entries={draft.labels}
            onChange={(labels) => set({ labels })}
          />
          <JsonField
            label="Settings"
            help="Over those of the pipeline."
            placeholder={'{ "target_partitions": 32 }'}
            text={draft.settings}
            onChange={(settings) => set({ settings })}
          />
        </div>
        {save.error && <Failure error={save.error} />}
        <footer>
          <button className="primary" type="submit" disabled={!isReady}>
            {save.isPending ? "Saving…" : schedule ? "Save" : "Make the schedule"}
          </button>
          <Link className="button" href={home}>
            Leave it
          </Link>
        </footer>
      </form>
    </>
  );
}
