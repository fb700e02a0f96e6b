import { useCallback, useEffect } from "react";
import { Link } from "wouter";

import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { api, data, Problem } from "../api/client";
import { useFollow } from "../api/stream";
import type { Scaling, Worker } from "../api/types";
import { Card } from "../components/card";
import { Empty, Failure, LoadingBlock } from "../components/feedback";
import { Grid, type Column } from "../components/grid";
import { More } from "../components/more";
import { State, type Tone } from "../components/state";
import { Ago, Elapsed, useNow } from "../components/time";
import { useAddress } from "../lib/address";
import { count, duration, percent } from "../lib/format";
import { useSession } from "../session/session";
import "../workers/workers.css";

const PAGE = 1000;

function useWorkers() {
  useFollow(useSession().whole_service ? "workers" : undefined);
  return useInfiniteQuery({
    queryKey: ["workers"],
    queryFn: async ({ pageParam, signal }) => {
      const query = { limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) };
      return data(await api.GET("/api/v1/workers", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
}

function useScaling() {
  useFollow(useSession().whole_service ? "scaling" : undefined);
  return useQuery({
    queryKey: ["scaling"],
    queryFn: async ({ signal }) => data(await api.GET("/api/v1/scaling", { signal })),
    placeholderData: keepPreviousData,
  });
}

const tones: Record<Worker["state"], [Tone, string, string]> = {
  active: ["good", "Active", "It takes tasks"],
  draining: ["warn", "Draining", "It ends what it runs, and takes no more"],
  lost: ["bad", "Lost", "It was not heard of for a minute"],
};

/** Slots of a worker, those that are taken filled. */
function Slots({ worker }: { worker: Worker }) {
  const { running, slots } = worker;
  return (
    <div className="slots" title={`${running} of ${slots} slots are busy`}>
      <span className="slots-bar" aria-hidden="true">
        {slots <= 16 ? (
          Array.from({ length: slots }, (_, slot) => <i key={slot} className={slot < running ? "busy" : undefined} />)
        ) : (
          <i className="part" style={{ width: `${(100 * running) / slots}%` }} />
        )}
      </span>
      <span>
        {count(running)} of {count(slots)}
      </span>
    </div>
  );
}

/** What a worker runs: the task that runs longest, and how many others. */
function Now({ worker, now }: { worker: Worker; now: number }) {
  const { tasks, running_elsewhere: elsewhere } = worker;
  const [longest] = tasks;
  const others = [
    tasks.length > 1 && `${count(tasks.length - 1)} more`,
    elsewhere > 0 && `${count(elsewhere)} of other namespaces`,
  ].filter(Boolean);
  if (!longest && others.length === 0) return <span className="muted">–</span>;
  return (
    <span className="runs-now">
      {longest && (
        <>
          <Link
            href={taskOf(longest)}
            className="mono"
            title={`Task ${longest.stage}.${longest.task} of run ${longest.run}, attempt ${longest.attempt}`}
            onClick={(event: React.MouseEvent) => event.stopPropagation()}
          >
            {`${longest.stage}.${longest.task}`}
          </Link>{" "}
          <Elapsed from={longest.started_at} to={null} now={now} />{" "}
        </>
      )}
      <span className="muted">{others.join(", ")}</span>
    </span>
  );
}

/** The address of a task that a worker runs. */
const taskOf = (task: Worker["tasks"][number]) =>
  `/runs/${task.run}/tasks?stage=${task.stage}&task=${task.stage}.${task.task}`;

/** The tasks of one worker, beside the page. */
function Tasks({ worker, now, onClose }: { worker: Worker; now: number; onClose: () => void }) {
  useEffect(() => {
    const close = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented) onClose();
    };
    document.addEventListener("keydown", close);
    return () => document.removeEventListener("keydown", close);
  }, [onClose]);
  const { tasks, running_elsewhere: elsewhere } = worker;
  return (
    <aside className="panel" aria-label={`Worker ${worker.host}`}>
      <header>
        <h2>{worker.host}</h2>
        <button className="icon quiet" aria-label="Close the worker" onClick={onClose}>
          <span aria-hidden="true">✕</span>
        </button>
      </header>
      <div className="panel-body" tabIndex={0} role="region" aria-label="Tasks">
        <Slots worker={worker} />
        {tasks.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>Run</th>
                <th>Task</th>
                <th className="n">Attempt</th>
                <th className="n">For</th>
              </tr>
            </thead>
            <tbody>
              {tasks.map((task) => (
                <tr key={`${task.run} ${task.stage}.${task.task} ${task.attempt}`}>
                  <td>
                    <Link href={`/runs/${task.run}`} className="mono">
                      {task.run}
                    </Link>
                  </td>
                  <td>
                    <Link href={taskOf(task)} className="mono">{`${task.stage}.${task.task}`}</Link>
                  </td>
                  <td className="n">{task.attempt}</td>
                  <td className="n">
                    <Elapsed from={task.started_at} to={null} now={now} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {elsewhere > 0 && <p className="muted">{`${count(elsewhere)} of other namespaces`}</p>}
        {tasks.length === 0 && elsewhere === 0 && <p className="muted">It runs nothing now.</p>}
      </div>
    </aside>
  );
}

const columns = (now: number): Column<Worker>[] => [
  { key: "host", title: "Host", width: "minmax(160px, 2fr)", show: (worker) => <strong>{worker.host}</strong> },
  {
    key: "state",
    title: "State",
    width: "116px",
    show: (worker) => {
      const [tone, word, meaning] = tones[worker.state];
      return (
        <span title={meaning}>
          <State tone={tone}>{word}</State>
        </span>
      );
    },
  },
  { key: "slots", title: "Slots", width: "minmax(170px, 1.4fr)", show: (worker) => <Slots worker={worker} /> },
  {
    key: "tasks",
    title: "Runs now",
    width: "minmax(230px, 2fr)",
    hint: "What the worker ran of this namespace when it was last heard of, the longest first",
    show: (worker) => <Now worker={worker} now={now} />,
  },
  { key: "version", title: "Version", width: "96px", show: (worker) => <span className="mono">{worker.version}</span> },
  {
    key: "up",
    title: "Up for",
    width: "96px",
    show: (worker) => duration(Date.parse(worker.seen_at) - Date.parse(worker.started_at)),
  },
  {
    key: "seen",
    title: "Heard of",
    width: "110px",
    hint: "When the worker last said how it is",
    show: (worker) => <Ago at={worker.seen_at} now={now} />,
  },
  {
    key: "id",
    title: "Id",
    width: "minmax(120px, 1fr)",
    show: (worker) => <span className="mono muted">{worker.id}</span>,
  },
];

/** A number with its name, and what it is made of. */
function Figure(props: { name: string; value: React.ReactNode; note?: React.ReactNode }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>
        {props.value} {props.note && <small>{props.note}</small>}
      </dd>
    </div>
  );
}

function Fleet({ scaling }: { scaling: Scaling }) {
  const { backlog, slots, slots_busy: busy, workers_wanted: wanted, workers_provisioned: provisioned } = scaling;
  const share = slots === 0 ? 0 : busy / slots;
  return (
    <section className="card fleet" aria-label="Fleet">
      <dl className="facts">
        <Figure
          name="Active workers"
          value={count(scaling.workers_active)}
          note={scaling.workers_draining > 0 ? `and ${count(scaling.workers_draining)} draining` : undefined}
        />
        <Figure
          name="Busy slots"
          value={count(busy)}
          note={slots > 0 ? `of ${count(slots)}, ${percent(share)}` : "there are none"}
        />
        <Figure name="Waiting tasks" value={count(backlog.tasks_waiting)} />
        <Figure name="Running tasks" value={count(backlog.tasks_running)} />
        <Figure name="Runs under way" value={count(backlog.runs)} />
        {wanted != null && (
          <Figure
            name="Wanted workers"
            value={count(wanted)}
            note={provisioned != null ? `${count(provisioned)} provisioned` : undefined}
          />
        )}
      </dl>
      <div
        className="bar"
        role="progressbar"
        aria-label="Busy slots"
        aria-valuemin={0}
        aria-valuemax={slots}
        aria-valuenow={busy}
        aria-valuetext={`${busy} of ${slots} slots are busy`}
      >
        <i style={{ width: percent(share).replace(" ", "") }} />
      </div>
      {wanted == null && <p className="muted">No server decides on the number of workers.</p>}
    </section>
  );
}

const shows = ["all", "active", "draining", "lost"] as const;
const title = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

export default function WorkersPage() {
  const workers = useWorkers();
  const scaling = useScaling();
  const [address, setAddress] = useAddress();
  const now = useNow(true);
  const show = address.get("state") ?? "all";
  const search = address.get("search") ?? "";
  const wanted = search.trim().toLowerCase();
  const all = workers.data?.pages.flatMap((page) => page.items) ?? [];
  const rows = all.filter(
    (worker) =>
      (show === "all" || worker.state === show) &&
      `${worker.host} ${worker.id} ${worker.version}`.toLowerCase().includes(wanted),
  );
  const opened = all.find((worker) => worker.id === address.get("worker"));
  const close = useCallback(() => setAddress({ worker: null }), [setAddress]);
  const versions = new Set(all.filter((worker) => worker.state === "active").map((worker) => worker.version));
  const error = workers.error ?? scaling.error;

  return (
    <>
      <title>Workers · Weir</title>
      <div className="row spread">
        <h1>Workers</h1>
        <div className="row">
          <div className="chips" role="group" aria-label="State">
            {shows.map((key) => (
              <button
                key={key}
                aria-pressed={key === show}
                onClick={() => setAddress({ state: key === "all" ? null : key })}
              >
                {title(key)}
              </button>
            ))}
          </div>
          <input
            type="search"
            placeholder="Host, id or version"
            aria-label="Host, id or version"
            value={search}
            onChange={(event) => setAddress({ search: event.target.value })}
          />
        </div>
      </div>
      {error && !(error instanceof Problem && error.status === 403) && (
        <Failure error={error} retry={() => void Promise.all([workers.refetch(), scaling.refetch()])} />
      )}
      {error instanceof Problem && error.status === 403 ? (
        <div className="card">
          <Empty icon="machine" title="Workers belong to the whole service">
            They run tasks of every namespace, so that only admins of the service see them.
          </Empty>
        </div>
      ) : (
        <>
          {scaling.data ? <Fleet scaling={scaling.data} /> : scaling.isPending && <LoadingBlock height={108} />}
          {versions.size > 1 && (
            <div className="notice warn" role="status">
              <span aria-hidden="true">!</span>
              <div>
                <strong>Active workers have {versions.size} versions</strong>
                <p>{[...versions].sort().join(", ")}. That is usual during an update, and at no other time.</p>
              </div>
            </div>
          )}
          {workers.isPending && <LoadingBlock height={300} />}
          {workers.data && (
            <Card title="Workers" label="Table of workers" note={count(rows.length)}>
              {rows.length > 0 ? (
                <Grid
                  label="Workers"
                  columns={columns(now)}
                  total={rows.length}
                  row={(index) => rows[index]}
                  rowKey={(worker) => worker.id}
                  onOpen={(worker) => setAddress({ worker: worker.id })}
                  open={opened?.id}
                  minWidth={1180}
                />
              ) : all.length > 0 ? (
                <Empty icon="search" title="No worker is like that" small>
                  <button onClick={() => setAddress({ state: null, search: null })}>Show all</button>
                </Empty>
              ) : (
                <Empty icon="machine" title="No worker is here">
                  One starts when there is something to do, or by hand:
                  <pre>weir worker --help</pre>
                </Empty>
              )}
            </Card>
          )}
          <More list={workers}>More workers</More>
          {opened && <Tasks worker={opened} now={now} onClose={close} />}
        </>
      )}
    </>
  );
}
