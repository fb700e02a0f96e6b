import { Route, Switch, useSearchParams } from "wouter";

import { useSchedule } from "../api/schedules";
import { Failure, LoadingPage } from "../components/feedback";
import { ScheduleDetail } from "../schedules/detail";
import { ScheduleForm } from "../schedules/form";
import { ScheduleList } from "../schedules/list";
import "../forms/forms.css";

function New() {
  const [search] = useSearchParams();
  return <ScheduleForm pipeline={search.get("pipeline") ?? ""} />;
}

function Edit({ name }: { name: string }) {
  const schedule = useSchedule(name);
  if (schedule.data) return <ScheduleForm schedule={schedule.data} />;
  return schedule.error ? <Failure error={schedule.error} retry={() => void schedule.refetch()} /> : <LoadingPage />;
}

/** Schedules: all of them, one, and the form for both. No name begins with a hyphen. */
export default function SchedulesPage() {
  return (
    <Switch>
      <Route path="/schedules" component={ScheduleList} />
      <Route path="/schedules/-/new" component={New} />
      <Route path="/schedules/:name/edit">{({ name }) => <Edit key={name} name={name} />}</Route>
      <Route path="/schedules/:name">{({ name }) => <ScheduleDetail key={name} name={name} />}</Route>
    </Switch>
  );
}
