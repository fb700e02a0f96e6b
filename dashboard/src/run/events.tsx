// The event log, in order.

import { useCallback, useMemo, useState } from "react";

import { useEvent, useEvents } from "../api/queries";
import type { RunEvent } from "../api/types";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { Lines, Marked } from "../components/lines";
import { numeric, useAddress } from "../lib/address";
import { count, moment } from "../lib/format";
import { useSettled } from "../lib/settle";
import { useWanted } from "./wanted";

/** Letters of an event's details that are shown before it is opened. */
const PREVIEW = 160;

export function Events({ run }: { run: string }) {
  const [search, change] = useAddress();
  const text = search.get("find") ?? "";
  const wanted = useSettled(text.trim().toLowerCase());
  const opened = numeric(search, "event");
  const [limit, more] = useWanted(wanted !== "" || opened !== undefined);
  const events = useEvents(run, limit);
  const all = useMemo(() => events.data?.items ?? [], [events.data]);
  const found = useMemo(
    () =>
      wanted === ""
        ? all
        : all.filter((event) => `${words(event)} ${JSON.stringify(event.data)}`.toLowerCase().includes(wanted)),
    [all, wanted],
  );
  const onLast = useCallback(
    (last: number) => {
      if (last > found.length - 200) more(all.length);
    },
    [found.length, all.length, more],
  );
  const start = opened === undefined ? -1 : found.findIndex((event) => event.seq === opened);
  return (
    <section className="card" aria-label="Events">
      <header>
        <div className="row">
          <h2>Events</h2>
          <span className="muted" role="status">
            {wanted ? `${count(found.length)} in ${count(all.length)} events` : `${count(all.length)} events`}
            {events.data && !events.data.complete ? " so far" : ""}
          </span>
        </div>
        <input
          type="search"
          placeholder="Find in the events"
          aria-label="Find in the events"
          value={text}
          onChange={(event) => change({ find: event.target.value })}
        />
      </header>
      {events.error && <Failure error={events.error} retry={() => void events.refetch()} />}
      {events.isPending ? (
        <LoadingBlock height={240} label="Loading the events" />
      ) : found.length > 0 ? (
        <Lines
          label="Events, in order"
          role="list"
          count={found.length}
          keyOf={(index) => found[index]?.seq ?? index}
          onLast={onLast}
          {...(start >= 0 ? { start } : {})}
          line={(index) => {
            const event = found[index];
            return (
              event && (
                <Entry
                  run={run}
                  event={event}
                  wanted={wanted}
                  initially={event.seq === opened}
                  onOpen={(open) => change({ event: open ? event.seq : null })}
                />
              )
            );
          }}
        />
      ) : (
        <Empty icon="lines" title={wanted ? "No event has that" : "Nothing has happened yet"} />
      )}
      {events.data?.full && (
        <p className="foot muted">
          These are the first {count(all.length)} events. <code>weir runs events {run}</code> has all of them.
        </p>
      )}
    </section>
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
      <span className="muted">{moment(event.at)}</span>
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
