//! What goes into stores and comes out of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{
    Digest, EventRecord, Namespace, PipelineRef, Reason, RunId, RunOutcome, RunPhase, RunSnapshot, RunningTask,
    ScheduleRef, StagePhase, StageSnapshot, Timestamp, WorkerId,
};

use super::search::Search;

/// A request that may be sent again without being done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// What names the request within its tenant.
    pub key: String,
    /// Of the request, to tell it from another one with the same key.
    pub digest: Digest,
}

/// What came of the wish to create a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The run is new, and ours.
    Lease(Lease),
    /// There was a request with this idempotency key before.
    Existing {
        /// The run that it made.
        run: RunId,
        /// Whether it was the same request.
        same_request: bool,
    },
}

/// The right to write the log of a run. A takeover raises the epoch, which fences the owner before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Grows with every owner.
    pub epoch: u64,
}

/// What came of an attempt to take a run over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The run is ours.
    Lease(Lease),
    /// Somebody owns it.
    Held {
        /// Who, for people.
        owner: String,
        /// When the lease runs out if it is not renewed.
        until: Timestamp,
    },
    /// There is no such run, or nothing is left to do for it.
    Nothing,
}

/// What the owner of a lease learns when it renews it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Who asked for the run to stop, if anybody did.
    pub cancel_requested_by: Option<String>,
    /// Who asked for the run to be held up, if it is to be.
    pub pause_requested_by: Option<String>,
}

/// A part of the log of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// The events, in order.
    pub records: Vec<EventRecord>,
    /// Whether the log ended with them.
    pub complete: bool,
}

/// The part of a run's row that follows from its state. It is part of [`RunRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Where the run is.
    pub phase: RunPhase,
    /// How it ended, once it has.
    pub outcome: Option<RunOutcome>,
    /// Why it ended so, unless it succeeded.
    pub reason: Option<Reason>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it is to be tried again as a new run; nothing once it was.
    pub restart_at: Option<Timestamp>,
    /// When it is to be forgotten.
    pub expires_at: Option<Timestamp>,
    /// Its stages, once they are planned.
    pub stages: u32,
    /// Stages that are complete.
    pub stages_done: u32,
    /// Tasks of the stages that have started.
    pub tasks: u32,
    /// Tasks that are done.
    pub tasks_done: u32,
    /// Tasks that no worker has begun with, or that must run again.
    pub tasks_waiting: u32,
    /// Tasks with an attempt under way, and once more for each that has a speculative copy under way: both take a slot.
    pub tasks_running: u32,
    /// Tasks whose messages were sent and that are not over, whether a worker has begun with them or not; what only the
    /// owner of the run knows.
    #[serde(default)]
    pub tasks_sent: u32,
}

impl RunSummary {
    /// What a snapshot says, as if no message was sent.
    pub fn of(snapshot: &RunSnapshot) -> Self {
        let stages = &snapshot.stages;
        let sum = |count: fn(&StageSnapshot) -> u32| stages.iter().map(count).fold(0, u32::saturating_add);
        let waiting = sum(|stage| stage.tasks.saturating_sub(stage.done).saturating_sub(stage.running));
        Self {
            phase: snapshot.phase,
            outcome: snapshot.outcome,
            reason: snapshot.reason.clone(),
            finished_at: snapshot.finished_at,
            restart_at: snapshot.restart_at,
            expires_at: snapshot.expires_at,
            stages: stages.len() as u32,
            stages_done: sum(|stage| u32::from(stage.phase == StagePhase::Completed)),
            tasks: sum(|stage| stage.tasks),
            tasks_done: sum(|stage| stage.done),
            // A run that is being stopped or held up starts nothing more.
            tasks_waiting: if snapshot.phase == RunPhase::Running && snapshot.paused_at.is_none() {
                waiting
            } else {
                0
            },
            tasks_running: sum(|stage| stage.running.saturating_add(stage.speculative_running)),
            tasks_sent: 0,
        }
    }
}

/// The row of a run. It is kept in the [history](crate::history) of runs too, which later builds must be able to read: a
/// new field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The tenant.
    pub namespace: Namespace,
    /// The job's name.
    pub name: String,
    /// The definition that it was made of.
    pub pipeline: Option<PipelineRef>,
    /// The schedule that made it.
    pub schedule: Option<ScheduleRef>,
    /// Who submitted it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// The submitter's own words for it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// Where it is; the counts may be some hundred milliseconds old.
    pub summary: RunSummary,
    /// The place of its latest event.
    pub last_seq: u64,
    /// The messages of all tasks that were dispatched up to this event have been sent.
    pub dispatched_seq: u64,
    /// Who asked for it to stop, if anybody did.
    pub cancel_requested_by: Option<String>,
    /// Who asked for it to be held up, if it is to be.
    pub pause_requested_by: Option<String>,
    /// Whether it is over and its objects have been deleted.
    pub cleaned: bool,
    /// Who owns it, unless its lease was released. The lease may have run out.
    pub owner: Option<String>,
    /// When the owner's lease runs out.
    pub owned_until: Timestamp,
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of this tenant.
    pub namespace: Option<Namespace>,
    /// Only those of this job.
    pub name: Option<String>,
    /// Only those that were made of the definition of this name.
    pub pipeline: Option<String>,
    /// Only those that the schedule of this name made.
    pub schedule: Option<String>,
    /// Only those in this phase.
    pub phase: Option<RunPhase>,
    /// Only those that ended so.
    pub outcome: Option<RunOutcome>,
    /// Only those that are not over.
    pub open: bool,
    /// Only those that were submitted then or later, by the time in their ids.
    pub since: Option<Timestamp>,
    /// Only those that were submitted before then, by the time in their ids.
    pub until: Option<Timestamp>,
    /// Only those with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only those that are found so.
    pub search: Option<Search>,
    /// How many runs one call looks at, of those that are listed along an index: what bounds its work, however few match.
    /// The rest is for the next page. Without it, as many as it takes.
    pub reach: Option<u32>,
}

/// What the runs of a list are read along: what an index is of, and of what they are filtered by the most selective. The
/// rest is looked for in the runs that are read so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Along<'a> {
    /// Those that are not cleaned up after: few.
    Open,
    /// Those with a label.
    Label(&'a (String, String)),
    /// Those of a schedule.
    Schedule(&'a str),
    /// Those of a pipeline.
    Pipeline(&'a str),
    /// Those of a job.
    Name(&'a str),
    /// Those that ended so.
    Outcome(RunOutcome),
    /// All of the namespace.
    All,
}

impl RunFilter {
    /// What the runs are read along.
    pub(super) fn along(&self) -> Along<'_> {
        if self.open || self.phase.is_some_and(|phase| phase != RunPhase::Finished) {
            return Along::Open;
        }
        let label = self.labels.first().map(Along::Label);
        let schedule = || self.schedule.as_deref().map(Along::Schedule);
        let pipeline = || self.pipeline.as_deref().map(Along::Pipeline);
        let name = || self.name.as_deref().map(Along::Name);
        let outcome = || self.outcome.map(Along::Outcome);
        let along = label.or_else(schedule).or_else(pipeline).or_else(name);
        along.or_else(outcome).unwrap_or(Along::All)
    }

    /// How many runs one call looks at, unless each of them is one that is wanted.
    pub(super) fn bound(&self) -> Option<u32> {
        let conditions = [
            self.schedule.is_some(),
            self.pipeline.is_some(),
            self.name.is_some(),
            self.outcome.is_some(),
        ];
        let served = self.labels.len() + conditions.into_iter().filter(|is_there| *is_there).count();
        let is_exact = served <= 1 && !self.open && self.phase.is_none() && self.search.is_none();
        self.reach.filter(|_| !is_exact).map(|reach| reach.max(1))
    }

    /// Whether a run is one of them.
    pub fn matches(&self, row: &RunRow) -> bool {
        let Self {
            namespace,
            name,
            pipeline,
            schedule,
            phase,
            outcome,
            open,
            since: _,
            until: _,
            labels,
            search,
            reach: _,
        } = self;
        let pipeline_of = row.pipeline.as_ref().map(|pipeline| &pipeline.name);
        let schedule_of = row.schedule.as_ref().map(|schedule| &schedule.name);
        namespace.as_ref().is_none_or(|wanted| *wanted == row.namespace)
            && name.as_ref().is_none_or(|wanted| *wanted == row.name)
            && pipeline.as_ref().is_none_or(|wanted| Some(wanted) == pipeline_of)
            && schedule.as_ref().is_none_or(|wanted| Some(wanted) == schedule_of)
            && phase.is_none_or(|wanted| wanted == row.summary.phase)
            && outcome.is_none_or(|wanted| Some(wanted) == row.summary.outcome)
            && !(*open && row.summary.outcome.is_some())
            && self.oldest().is_none_or(|oldest| row.run >= oldest)
            && self.end(None).is_none_or(|end| row.run < end)
            && labels.iter().all(|(key, value)| row.labels.get(key) == Some(value))
            && search.as_ref().is_none_or(|search| search.finds(row))
    }

    /// What no run is older than.
    pub(crate) fn oldest(&self) -> Option<RunId> {
        self.since.map(first_of)
    }

    /// What all runs are older than that come after `before` in a list.
    pub(crate) fn end(&self, before: Option<RunId>) -> Option<RunId> {
        let until = self.until.map(first_of);
        before.into_iter().chain(until).min()
    }
}

/// The first id of a moment, or of the last one that ids have.
fn first_of(at: Timestamp) -> RunId {
    const LAST: u64 = (1 << 48) - 1;
    RunId::from_parts(Timestamp(at.0.min(LAST)), 0)
}

/// The tasks of all runs that are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Runs.
    pub runs: u64,
    /// Tasks that no worker has begun with.
    pub waiting: u64,
    /// Tasks with an attempt under way.
    pub running: u64,
}

/// What the runs of a namespace that are not over take, as their owners last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceLoad {
    /// The namespace.
    pub namespace: Namespace,
    /// Who owns the runs, if anybody does; the leases may have run out.
    pub owner: Option<String>,
    /// Runs that nobody has begun with, and nobody owns.
    pub queued: u64,
    /// All others.
    pub active: u64,
    /// Runs with tasks that wait or are under way.
    pub working: u64,
    /// Tasks that no worker has begun with.
    pub waiting: u64,
    /// Tasks with an attempt under way.
    pub running: u64,
    /// Tasks with an attempt under way, or whose messages were sent so that there will be one.
    pub sent: u64,
}

/// A report that came to a control plane that does not own the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedReport {
    /// The run.
    pub run: RunId,
    /// The report as it came.
    pub body: String,
}

/// A report that another control plane left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxReport {
    /// What names it in the store.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// The report as it came.
    pub body: String,
}

/// A worker as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// The worker.
    pub worker: WorkerId,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Tasks that it runs now.
    pub running: u32,
    /// Whether it takes no more tasks, because it is about to end.
    pub draining: bool,
    /// Its version of weir.
    pub version: String,
    /// Where it runs, for people: a host, or the ARN of an ECS task.
    pub host: String,
    /// What it runs now, the longest first, as far as it says so.
    pub tasks: Vec<RunningTask>,
}

/// How many workers there are to be, as whoever decides on it last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingRow {
    /// Workers that are wanted.
    pub wanted: u32,
    /// Workers that whoever starts them says are there.
    pub provisioned: u32,
    /// When this was said.
    pub said_at: Timestamp,
}
