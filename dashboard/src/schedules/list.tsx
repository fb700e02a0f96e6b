import { Link } from "wouter";

import { rowsOf } from "../api/paged";
import { useSchedules } from "../api/schedules";
import type { Schedule } from "../api/types";
import { Empty, Failure } from "../components/feedback";
import { useAddress } from "../lib/address";
import { useMay } from "../session/session";
import { ScheduleTable } from "./table";

const shows: ["all" | Schedule["state"], string][] = [
  ["all", "All"],
  ["scheduled", "Scheduled"],
  ["failing", "Failing"],
  ["suspended", "Suspended"],
];

/** All schedules of the namespace. */
export function ScheduleList() {
  const schedules = useSchedules();
  const [address, setAddress] = useAddress();
  const mayChange = useMay("operator");
  const show = address.get("state") ?? "all";
  const search = address.get("search") ?? "";
  const wanted = search.trim().toLowerCase();
  const rows = rowsOf(schedules).filter(
    (schedule) =>
      (show === "all" || schedule.state === show) &&
      `${schedule.name} ${schedule.pipeline} ${schedule.description ?? ""}`.toLowerCase().includes(wanted),
  );
  const filtered = show !== "all" || wanted !== "";
  return (
    <>
      <title>Schedules · Weir</title>
      <div className="row spread">
        <h1>Schedules</h1>
        <div className="row">
          <div className="chips" role="group" aria-label="State">
            {shows.map(([key, title]) => (
              <button
                key={key}
                aria-pressed={key === show}
                onClick={() => setAddress({ state: key === "all" ? null : key })}
              >
                {title}
              </button>
            ))}
          </div>
          <input
            type="search"
            placeholder="Name or pipeline"
            aria-label="Name or pipeline"
            value={search}
            onChange={(event) => setAddress({ search: event.target.value })}
          />
          {mayChange && (
            <Link className="button primary" href="/schedules/-/new">
              New schedule
            </Link>
          )}
        </div>
      </div>
      {schedules.error && <Failure error={schedules.error} retry={() => void schedules.refetch()} />}
      <ScheduleTable schedules={schedules} rows={rows}>
        <Empty
          icon={filtered ? "search" : "clock"}
          title={filtered ? "No schedule here is like that" : "There are no schedules yet"}
        >
          {filtered ? (
            <button onClick={() => setAddress({ state: null, search: null })}>Show all</button>
          ) : (
            <>A schedule makes runs of a pipeline at the times of a cron expression, in a time zone.</>
          )}
        </Empty>
      </ScheduleTable>
    </>
  );
}
