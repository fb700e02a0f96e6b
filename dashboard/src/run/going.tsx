// How far a run of a list is, or what came of it.

import type { ListedRun } from "../api/types";
import { TaskBar } from "../components/progress";
import { count, counted } from "../lib/format";

/** A bar while it goes on; its reason if it ended badly; and how many tasks and stages it had. */
export function Going({ run }: { run: ListedRun }) {
  const over = run.state === "finished";
  const { reason, tasks, tasks_done, stages, stages_completed } = run;
  const all = over && run.result === "succeeded";
  const [message = ""] = reason?.message.split("\n") ?? [];
  return (
    <div className="going">
      {reason ? (
        <div className="why" title={reason.message}>
          {message}
        </div>
      ) : (
        !over && <TaskBar done={tasks_done} running={0} total={tasks} />
      )}
      <div className="muted">
        {tasks === 0
          ? over
            ? "It had no tasks"
            : "No tasks yet"
          : all
            ? `${counted(tasks, "task")} in ${counted(stages, "stage")}`
            : `${count(tasks_done)} of ${counted(tasks, "task")}, ${count(stages_completed)} of ${counted(stages, "stage")}`}
      </div>
    </div>
  );
}
