// The event log, in order.

import { useCallback, useState } from "react";

import { useEvent, useEvents, useFoundEvents } from "../api/queries";
import type { Run, RunEvent } from "../api/types";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { LinePlace, Lines, Marked, SegmentBar } from "../components/lines";
import { numeric, useAddress } from "../lib/address";
import { count, instant } from "../lib/format";
import { segmentOf } from "../lib/segments";
import { useSettled } from "../lib/settle";
import { Found, LONGEST, STEP } from "./found";

/** Letters of an event's details that are shown before it is opened. */
const PREVIEW = 160;

export function Events({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const text = search.get("find") ?? "";
  const wanted = useSettled(text.trim().toLowerCase());
  const [status, setStatus] = useState("");
  return (
    <section className="card" aria-label="Events">
      <header>
        <div className="row">
          <h2>Events</h2>
          <span className="muted" role="status">
            {wanted === "" ? `${count(run.events)} events` : status}
          </span>
        </div>
        <input
          type="search"
          placeholder="Find in the events"
          aria-label="Find in the events"
          maxLength={LONGEST}
          value={text}
          onChange={(event) => change({ find: event.target.value })}
        />
      </header>
      {wanted === "" ? (
        <AllEvents run={run} />
      ) : (
        <FoundEvents key={wanted} run={run} wanted={wanted.slice(0, LONGEST)} onStatus={setStatus} />
      )}
    </section>
  );
}

/** Every event, in order: its place in the log is its number. */
function AllEvents({ run }: { run: Run }) {
  const [search, change] = useAddress();
  const opened = numeric(search, "event");
  const total = run.events;
  const { entry, onRange, error, retry } = useEvents(run.id, total);
  const segment = segmentOf((numeric(search, "from") ?? opened ?? 1) - 1, total);
  const { from } = segment;
  const inSight = useCallback((first: number, last: number) => onRange(from + first, from + last), [from, onRange]);
  const start = opened !== undefined && opened > from && opened <= from + segment.count ? opened - 1 - from : undefined;
  if (total === 0) return <Empty icon="lines" title="Nothing has happened yet" />;
  return (
    <>
      <SegmentBar what="Events" segment={segment} total={total} onEntry={(event) => change({ from: event + 1 })} />
      {error && <Failure error={error} retry={retry} />}
      <Lines
        key={from}
        label="Events, in order"
        role="list"
        count={segment.count}
        keyOf={(index) => from + index}
        onRange={inSight}
        {...(start === undefined ? {} : { start })}
        line={(index) => {
          const event = entry(from + index);
          return event ? (
            <Entry
              run={run.id}
              event={event}
              wanted=""
              initially={event.seq === opened}
              onOpen={(open) => change({ event: open ? event.seq : null })}
            />
          ) : (
            <LinePlace />
          );
        }}
      />
    </>
  );
}

/** The events that have a text, as far as the reader goes. */
function FoundEvents(props: { run: Run; wanted: string; onStatus: (status: string) => void }) {
  const { run, wanted, onStatus } = props;
  const [search, change] = useAddress();
  const opened = numeric(search, "event");
  const [limit, setLimit] = useState(STEP);
  return (
    <Found
      what="event"
      label="Events, in order"
      role="list"
      list={useFoundEvents(run.id, wanted, limit)}
      total={run.events}
      onLimit={setLimit}
      onStatus={onStatus}
      keyOf={(event, index) => event?.seq ?? index}
      line={(event) => (
        <Entry
          run={run.id}
          event={event}
          wanted={wanted}
          initially={event.seq === opened}
          onOpen={(open) => change({ event: open ? event.seq : null })}
        />
      )}
    />
  );
}

function words(event: RunEvent): string {
  return event.type.replaceAll("_", " ");
}

function Details({ data }: { data: unknown }) {
  return <pre tabIndex={0}>{JSON.stringify(data, null, 2)}</pre>;
}

/** All of an event of which the list has only a part. */
function Whole({ run, seq }: { run: string; seq: number }) {
  const event = useEvent(run, seq);
  if (event.isPending) return <LoadingBlock height={120} label="Loading the whole event" />;
  if (!event.data) return <Failure error={event.error} retry={() => void event.refetch()} />;
  return <Details data={event.data.data} />;
}

interface EntryProps {
  run: string;
  event: RunEvent;
  wanted: string;
  initially: boolean;
  onOpen: (open: boolean) => void;
}

function Entry(props: EntryProps) {
  const { run, event, wanted, initially, onOpen } = props;
  const [open, setOpen] = useState(initially);
  const text = JSON.stringify(event.data);
  const toggle = () => {
    setOpen(!open);
    onOpen(!open);
  };
  return (
    <div className="line event">
      <span className="muted n">{event.seq}</span>
      <span className="muted">{instant(event.at)}</span>
      <span>
        <Marked text={words(event)} wanted={wanted} />
      </span>
      {text === "{}" ? (
        <span />
      ) : (
        <div>
          <button className="link details" aria-expanded={open} onClick={toggle}>
            <span aria-hidden="true">{open ? "▾ " : "▸ "}</span>
            <Marked text={text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text} wanted={wanted} />
          </button>
          {open && (event.whole ? <Whole run={run} seq={event.seq} /> : <Details data={event.data} />)}
        </div>
      )}
    </div>
  );
}
