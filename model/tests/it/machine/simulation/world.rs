//! The world around a run: an agenda of what happens when, and what keeps the world together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use weir_model::{TaskMessage, TaskReport, Timestamp};

use super::Rng;
use super::effects::Effort;
use super::ledger::Ledger;
use super::planes::Plane;
use super::queue::Queue;
use super::scenario::{Faults, Scenario, Sudden};
use super::storage::Storage;
use super::store::Store;
use super::workers::{Execution, Worker};

/// What is wrong.
pub(super) type Checked<T = ()> = Result<T, String>;

/// The first moment, so that clocks can be behind.
const BEGINNING_MS: u64 = 1_000_000_000;
/// Far more than any run needs.
const MAX_STEPS: u32 = 200_000;
/// Far longer than any run takes after the last fault: messages that nobody takes are missed ever later.
const MAX_PEACE_MS: u64 = 200_000;

/// Something that happens at its time. Numbers are those of planes, workers, executions, effects, messages, reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// A message comes to a worker.
    Message(u64),
    /// A report comes to a control plane.
    Report(u64),
    /// An execution gives a sign of life.
    Beat(u64),
    /// An execution comes to its end.
    Finish(u64),
    /// A control plane renews its lease, or looks for a run that nobody owns.
    Lease(usize),
    /// A control plane handles what it has heard.
    Step(usize),
    /// A control plane looks at its clock.
    Tick(usize),
    /// An effect does its next step.
    Effect(u64),
    /// A worker comes.
    WorkerBegins(usize),
    /// A control plane is started.
    PlaneBegins(usize),
    /// Something goes wrong.
    Sudden,
    /// Somebody cancels the run.
    Cancel,
    /// Somebody pauses the run.
    Pause,
    /// Somebody lets the run go on.
    Resume,
}

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) rng: Rng,
    /// Milliseconds since the beginning.
    pub(super) now: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Action)>>,
    ids: u64,

    pub(super) store: Store,
    pub(super) storage: Storage,
    pub(super) tasks: Queue<TaskMessage>,
    pub(super) reports: Queue<TaskReport>,
    pub(super) planes: Vec<Plane>,
    pub(super) workers: Vec<Worker>,
    pub(super) executions: BTreeMap<u64, Execution>,
    pub(super) effects: BTreeMap<u64, Effort>,
    /// Executions ever.
    pub(super) executed: u32,
    pub(super) ledger: Ledger,

    /// What has happened that people should know to happen, by how often.
    pub(super) seen: BTreeMap<&'static str, u32>,
    /// What happened, if somebody wants to know.
    pub(super) trace: Option<Vec<String>>,
}

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
pub(super) use ensure;

/// Writes a line of the trace.
macro_rules! note {
    ($world:expr, $($message:tt)+) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!("{:>7} {}", $world.now, format_args!($($message)+)));
        }
    };
}
pub(super) use note;

impl World {
    pub(super) fn new(scenario: Scenario, rng: Rng, traced: bool) -> Self {
        let mut world = Self {
            store: Store::new(&scenario.submission, scenario.times.lease, Timestamp(BEGINNING_MS)),
            storage: Storage::default(),
            tasks: Queue::default(),
            reports: Queue::default(),
            planes: (0..scenario.planes).map(|_| Plane::default()).collect(),
            workers: (0..scenario.workers).map(|_| Worker::default()).collect(),
            executions: BTreeMap::new(),
            effects: BTreeMap::new(),
            executed: 0,
            ledger: Ledger::default(),
            seen: BTreeMap::new(),
            trace: traced.then(Vec::new),
            agenda: BinaryHeap::new(),
            ids: 0,
            now: 0,
            scenario,
            rng,
        };
        if let Some(trace) = &mut world.trace {
            trace.push(format!("{:#?}", world.scenario));
        }
        for plane in 0..world.planes.len() {
            let most = world.scenario.skew_ms;
            world.planes[plane].skew_ms = world.rng.between(0, 2 * most) as i64 - most as i64;
            world.soon(20, Action::PlaneBegins(plane));
        }
        for worker in 0..world.workers.len() {
            world.soon(50, Action::WorkerBegins(worker));
        }
        if !world.scenario.faults.sudden.is_empty() {
            world.soon(world.scenario.sudden_within_ms, Action::Sudden);
        }
        if world.scenario.faults.cancel {
            let at = world.rng.below(world.scenario.turmoil_ms);
            world.schedule(at, Action::Cancel);
        }
        for _ in 0..world.scenario.faults.pauses {
            let at = world.rng.below(world.scenario.turmoil_ms);
            world.schedule(at, Action::Pause);
        }
        world
    }

    /// Lives until the run is over and nobody has anything left to do about it.
    pub(super) fn live(&mut self) -> Checked {
        let mut steps = 0;
        while !self.is_quiet() {
            let Some(Reverse((at, _, action))) = self.agenda.pop() else {
                return Err("the run is stuck: nobody will do anything any more".to_owned());
            };
            self.now = at;
            self.perform(action)?;
            steps += 1;
            let peace = self.now.saturating_sub(self.scenario.turmoil_ms);
            ensure!(
                steps < MAX_STEPS && peace < MAX_PEACE_MS,
                "the run does not come to its end"
            );
        }
        self.check_end()
    }

    fn is_quiet(&self) -> bool {
        self.store.is_cleaned() && self.executions.is_empty() && self.effects.is_empty() && self.tasks.is_empty()
    }

    fn perform(&mut self, action: Action) -> Checked {
        if let Some(plane) = self.plane_of(action)
            && self.now < self.planes[plane].asleep_until
        {
            // It goes on with all of it as if no time had passed, in any order.
            let at = self.planes[plane].asleep_until + self.rng.below(10);
            self.schedule(at, action);
            return Ok(());
        }
        match action {
            Action::Message(id) => self.deliver_message(id)?,
            Action::Report(id) => self.deliver_report(id),
            Action::Beat(id) => self.beat(id),
            Action::Finish(id) => self.finish(id)?,
            Action::Lease(plane) => self.look_after_lease(plane)?,
            Action::Step(plane) => self.step(plane)?,
            Action::Tick(plane) => self.tick(plane),
            Action::Effect(id) => self.carry_on(id)?,
            Action::WorkerBegins(worker) => self.workers[worker].begin(),
            Action::PlaneBegins(plane) => self.plane_begins(plane),
            Action::Sudden => self.sudden(),
            Action::Cancel => {
                note!(self, "somebody cancels the run");
                self.store.request_cancel();
            }
            Action::Pause => {
                note!(self, "somebody pauses the run");
                self.store.request_pause(true);
                // However it overlaps with other pauses, the last word is that it goes on.
                self.soon(800, Action::Resume);
            }
            Action::Resume => {
                note!(self, "somebody lets the run go on");
                self.store.request_pause(false);
            }
        }
        Ok(())
    }

    fn plane_of(&self, action: Action) -> Option<usize> {
        match action {
            Action::Lease(plane) | Action::Step(plane) | Action::Tick(plane) => Some(plane),
            Action::Effect(id) => self.effects.get(&id).map(|effort| effort.plane),
            _ => None,
        }
    }

    pub(super) fn schedule(&mut self, at: u64, action: Action) {
        // What happens at the same time happens in any order.
        let order = (self.rng.next() & 0xffff_ffff_0000_0000) | (self.id() & 0xffff_ffff);
        self.agenda.push(Reverse((at, order, action)));
    }

    /// Within so many milliseconds.
    pub(super) fn soon(&mut self, within: u64, action: Action) {
        let at = self.now + 1 + self.rng.below(within);
        self.schedule(at, action);
    }

    pub(super) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Whether a fault happens now.
    pub(super) fn strikes(&mut self, fault: impl Fn(&Faults) -> u64) -> bool {
        self.now < self.scenario.turmoil_ms && self.rng.permille(fault(&self.scenario.faults)) && self.may_fault()
    }

    /// Whether one more fault may happen; then it does.
    fn may_fault(&mut self) -> bool {
        match &mut self.scenario.most_faults {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The time by the clock of the store.
    pub(super) fn true_time(&self) -> Timestamp {
        Timestamp(BEGINNING_MS + self.now)
    }

    /// The time by the clock of a control plane.
    pub(super) fn time_of(&self, plane: usize) -> Timestamp {
        Timestamp(
            BEGINNING_MS
                .saturating_add(self.now)
                .saturating_add_signed(self.planes[plane].skew_ms),
        )
    }

    fn sudden(&mut self) {
        if self.now >= self.scenario.turmoil_ms {
            return;
        }
        self.soon(200, Action::Sudden);
        if !self.may_fault() {
            return;
        }
        let sudden = self.rng.pick(&self.scenario.faults.sudden);
        let plane = self.rng.below(self.planes.len() as u64) as usize;
        let worker = self.rng.below(self.workers.len() as u64) as usize;
        match sudden {
            Sudden::WorkerDies => self.worker_dies(worker),
            Sudden::WorkerCutOff => self.worker_cut_off(worker),
            Sudden::PlaneDies => self.plane_dies(plane),
            Sudden::PlaneSleeps => self.plane_sleeps(plane),
            Sudden::PlaneStops => self.plane_stops(plane),
            Sudden::ClockJumps => self.clock_jumps(plane),
            Sudden::ObjectsLost => {
                for _ in 0..self.rng.between(1, 3) {
                    if let Some(lost) = self.storage.lose_one(&mut self.rng, &self.scenario.graph) {
                        note!(self, "{lost} is gone");
                        self.saw("an object is lost");
                    }
                }
            }
        }
    }
}
