//! The control planes: any of them may drive the run, and more than one may believe that it does.

use std::collections::{BTreeSet, HashMap, HashSet};

use weir_model::machine::{Decision, Effect, Input, RunState, apply, decide};
use weir_model::{Event, EventRecord, ExecutionId, ReportBody, TaskId, TaskReport};

use super::queue::Queue;
use super::world::{Action, Checked, World, ensure, note};

/// Deliveries after which a report of a run that nobody owns is given up.
const MAX_RECEIVES: u32 = 10;

#[derive(Default)]
pub(super) struct Plane {
    /// Grows with each start.
    pub(super) incarnation: u32,
    alive: bool,
    pub(super) skew_ms: i64,
    /// It stands still until then.
    pub(super) asleep_until: u64,
    pub(super) driver: Option<Driver>,
}

/// What a control plane knows of a run that it drives.
pub(super) struct Driver {
    pub(super) state: RunState,
    pub(super) epoch: u64,
    mailbox: Vec<(Input, Option<u64>)>,
    /// Decided, and not in the log for certain.
    pending: Option<Pending>,
    /// Where in the log the dispatch of each attempt is.
    dispatched: HashMap<(TaskId, u32), u64>,
    /// Dispatches whose messages are not sent, by place in the log.
    pub(super) unsent: BTreeSet<u64>,
    /// Executions that were heard of and have not ended.
    pub(super) executions: HashSet<ExecutionId>,
    tick_at: Option<u64>,
    cancel_told: bool,
}

struct Pending {
    records: Vec<EventRecord>,
    effects: Vec<Effect>,
    receipts: Vec<u64>,
}

impl Driver {
    fn new(state: RunState, epoch: u64, log: &[EventRecord]) -> Self {
        let mut driver = Self {
            state,
            epoch,
            mailbox: Vec::new(),
            pending: None,
            dispatched: HashMap::new(),
            unsent: BTreeSet::new(),
            executions: HashSet::new(),
            tick_at: None,
            cancel_told: false,
        };
        log.iter().for_each(|record| driver.note_dispatch(record));
        driver
    }

    fn note_dispatch(&mut self, record: &EventRecord) {
        if let Event::TaskDispatched { task, attempt, .. } = record.event {
            self.dispatched.insert((task, attempt), record.seq);
        }
    }

    pub(super) fn dispatch_of(&self, task: TaskId, attempt: u32) -> Option<u64> {
        self.dispatched.get(&(task, attempt)).copied()
    }

    /// Up to where in the log all messages were sent.
    fn sent_through(&self) -> u64 {
        let first = self.unsent.first().copied();
        first.unwrap_or_else(|| self.state.next_seq()) - 1
    }

    fn note_execution(&mut self, report: &TaskReport) {
        match report.body {
            ReportBody::Started | ReportBody::Progress { .. } => self.executions.insert(report.execution),
            _ => self.executions.remove(&report.execution),
        };
    }
}

impl World {
    pub(super) fn plane_begins(&mut self, plane: usize) {
        self.planes[plane].alive = true;
        self.planes[plane].incarnation += 1;
        self.soon(10, Action::Lease(plane));
    }

    pub(super) fn plane_dies(&mut self, plane: usize) {
        if !self.planes[plane].alive {
            return;
        }
        self.saw("a control plane dies");
        note!(self, "control plane {plane} dies");
        self.plane_ends(plane);
    }

    fn plane_ends(&mut self, plane: usize) {
        self.planes[plane].alive = false;
        self.planes[plane].driver = None;
        self.effects.retain(|_, effort| effort.plane != plane);
        self.soon(200, Action::PlaneBegins(plane));
        if self.scenario.embedded {
            self.saw("the queues are lost");
            self.tasks = Queue::default();
            self.reports = Queue::default();
            (0..self.workers.len()).for_each(|worker| self.worker_dies(worker));
        }
    }

    pub(super) fn plane_stops(&mut self, plane: usize) {
        let Some(epoch) = self.planes[plane].driver.as_ref().map(|driver| driver.epoch) else {
            return;
        };
        self.saw("a control plane shuts down");
        note!(self, "control plane {plane} shuts down");
        self.store.release(epoch);
        self.plane_ends(plane);
    }

    pub(super) fn plane_sleeps(&mut self, plane: usize) {
        let until = self.now
            + self
                .rng
                .between(self.scenario.times.lease / 2, self.scenario.times.lease * 5);
        note!(self, "control plane {plane} stands still until {until}");
        self.planes[plane].asleep_until = until;
    }

    pub(super) fn clock_jumps(&mut self, plane: usize) {
        self.saw("a clock jumps");
        let far = self.rng.pick(&[100, 1_000, 10_000]);
        let by = self.rng.between(0, 2 * far) as i64 - far as i64;
        self.planes[plane].skew_ms += by;
        note!(self, "the clock of control plane {plane} jumps by {by} ms");
        self.look_at_clock(plane);
    }

    pub(super) fn look_after_lease(&mut self, plane: usize) -> Checked {
        if !self.planes[plane].alive {
            return Ok(());
        }
        let at = self.now + self.scenario.times.lease / 3;
        self.schedule(at, Action::Lease(plane));
        let Some(driver) = &mut self.planes[plane].driver else {
            return self.take_over(plane);
        };
        if !self.store.renew(driver.epoch, self.now) {
            self.loses_lease(plane);
            return Ok(());
        }
        let pause = self.store.pause_news(driver.state.is_paused());
        if self.store.is_cancel_requested() && !driver.cancel_told {
            driver.cancel_told = true;
            self.tell(plane, cancel(), None);
        }
        if let Some(pause) = pause {
            self.tell(plane, pause, None);
        }
        Ok(())
    }

    fn take_over(&mut self, plane: usize) -> Checked {
        let Some(epoch) = self.store.acquire(self.now) else {
            return Ok(());
        };
        note!(self, "control plane {plane} drives the run, with lease {epoch}");
        if epoch > 1 {
            self.saw("a run is taken over");
        }
        let state = self.store.replayed();
        ensure!(state == self.store.truth, "the log does not say the same twice");
        let finished = state.is_finished();
        let driver = Driver::new(state, epoch, &self.store.log);
        self.planes[plane].driver = Some(driver);
        if finished {
            self.begin_effects(plane, vec![Effect::Cleanup]);
            return Ok(());
        }
        let takeover = Input::Takeover {
            queue_lost: self.scenario.embedded,
            sent_through: self.store.sent_through,
        };
        self.tell(plane, takeover, None);
        if self.store.is_cancel_requested() {
            self.tell(plane, cancel(), None);
        }
        Ok(())
    }

    /// A control plane has learned that the run belongs to somebody else. What it was doing may still be done.
    fn loses_lease(&mut self, plane: usize) {
        let Some(driver) = self.planes[plane].driver.take() else {
            return;
        };
        self.saw("a former owner learns that it is one");
        note!(self, "control plane {plane} has lost its lease {}", driver.epoch);
        let survives = self.rng.permille(500);
        self.effects
            .retain(|_, effort| effort.plane != plane || effort.epoch != driver.epoch || survives);
    }

    /// Brings a report to some control plane, whether or not the run is its own.
    pub(super) fn deliver_report(&mut self, id: u64) {
        let now = self.now;
        let plane = self.rng.below(self.planes.len() as u64) as usize;
        let Some(report) = self.reports.get_mut(id) else { return };
        if report.visible_at > now {
            let at = report.visible_at;
            return self.schedule(at, Action::Report(id));
        }
        let Plane {
            alive,
            asleep_until,
            driver,
            ..
        } = &self.planes[plane];
        if !alive || *asleep_until > now {
            return self.soon(10, Action::Report(id));
        }
        report.receives += 1;
        if driver.is_none() {
            if self.store.is_cleaned() && report.receives > MAX_RECEIVES {
                return self.reports.delete(id);
            }
            return self.soon(20, Action::Report(id));
        }
        let body = report.body.clone();
        let hidden_ms = self.hidden_for();
        if let Some(report) = self.reports.get_mut(id) {
            report.visible_at = now + hidden_ms;
        }
        self.schedule(now + hidden_ms, Action::Report(id));
        self.tell(plane, Input::Report(Box::new(body)), Some(id));
    }

    /// Leaves something for the driver of a control plane.
    pub(super) fn tell(&mut self, plane: usize, input: Input, receipt: Option<u64>) {
        if let Some(driver) = &mut self.planes[plane].driver {
            let first = driver.mailbox.is_empty() && driver.pending.is_none();
            driver.mailbox.push((input, receipt));
            if first {
                self.soon(3, Action::Step(plane));
            }
        }
    }

    pub(super) fn tick(&mut self, plane: usize) {
        let time = self.time_of(plane);
        let Some(driver) = &mut self.planes[plane].driver else {
            return;
        };
        if driver.tick_at.is_none_or(|at| at > self.now) {
            return;
        }
        driver.tick_at = None;
        if driver.state.next_wake(time).is_some_and(|wake| wake <= time) {
            self.tell(plane, Input::Tick, None);
        } else {
            self.look_at_clock(plane);
        }
    }

    /// Has a control plane wake when time alone leads to something.
    fn look_at_clock(&mut self, plane: usize) {
        let time = self.time_of(plane);
        let Some(driver) = &mut self.planes[plane].driver else {
            return;
        };
        let Some(wake) = driver.state.next_wake(time) else {
            return;
        };
        let at = self.now + wake.ms_since(time).max(1);
        if driver.tick_at.is_none_or(|known| at < known || known < self.now) {
            driver.tick_at = Some(at);
            self.schedule(at, Action::Tick(plane));
        }
    }

    /// Decides on what was heard, appends what follows, and only then begins the effects.
    pub(super) fn step(&mut self, plane: usize) -> Checked {
        let Some(mut driver) = self.planes[plane].driver.take() else {
            return Ok(());
        };
        let pending = match driver.pending.take() {
            Some(pending) => pending,
            None => self.decide(plane, &mut driver)?,
        };
        let lost = !pending.records.is_empty() && self.strikes(|faults| faults.append);
        let unknown = self.rng.permille(500);
        if lost && !unknown {
            self.saw("an append fails");
            driver.pending = Some(pending);
            self.planes[plane].driver = Some(driver);
            self.soon(30, Action::Step(plane));
            return Ok(());
        }
        if !pending.records.is_empty() {
            let before = self.store.log.len();
            let appended = self.store.append(driver.epoch, &pending.records, driver.sent_through());
            let Ok(new) = appended else {
                self.saw("a former owner cannot write");
                self.planes[plane].driver = Some(driver);
                self.loses_lease(plane);
                return Ok(());
            };
            for position in before..before + new {
                self.appended(position)?;
            }
            if lost {
                self.saw("the answer of an append is lost");
                driver.pending = Some(pending);
                self.planes[plane].driver = Some(driver);
                self.soon(30, Action::Step(plane));
                return Ok(());
            }
            if self.rng.permille(100) {
                ensure!(
                    driver.state == self.store.truth,
                    "the owner does not know what its log says"
                );
            }
        }
        pending.records.iter().for_each(|record| driver.note_dispatch(record));
        self.planes[plane].driver = Some(driver);
        self.begin_effects(plane, pending.effects);
        for receipt in pending.receipts {
            self.reports.delete(receipt);
        }
        self.look_at_clock(plane);
        if self.planes[plane]
            .driver
            .as_ref()
            .is_some_and(|driver| !driver.mailbox.is_empty())
        {
            self.soon(3, Action::Step(plane));
        }
        Ok(())
    }

    fn decide(&mut self, plane: usize, driver: &mut Driver) -> Checked<Pending> {
        let time = self.time_of(plane);
        let mut pending = Pending {
            records: Vec::new(),
            effects: Vec::new(),
            receipts: Vec::new(),
        };
        for (input, receipt) in std::mem::take(&mut driver.mailbox) {
            let decision = decide(&driver.state, &input, time);
            if input == Input::Tick {
                check_tick(&driver.state, &decision, time)?;
            }
            for event in decision.events {
                let record = EventRecord {
                    run: driver.state.run(),
                    seq: driver.state.next_seq(),
                    at: time,
                    event,
                };
                apply(&mut driver.state, &record);
                pending.records.push(record);
            }
            pending.effects.extend(decision.effects);
            if let Input::Report(report) = &input {
                self.ledger.heard(report);
                driver.state.progress(report, time);
                driver.note_execution(report);
            }
            pending.receipts.extend(receipt);
        }
        Ok(pending)
    }

    /// An event is in the log.
    fn appended(&mut self, position: usize) -> Checked {
        let record = self.store.log[position].clone();
        note!(self, "#{} {}", record.seq, super::brief(&record.event));
        ensure!(record.seq == position as u64 + 1, "#{} at {position}", record.seq);
        if self.rng.permille(20) {
            let before = self.store.truth.clone();
            apply(&mut self.store.truth, &record);
            ensure!(before == self.store.truth, "an event counts twice: {record:?}");
        }
        self.ledger.appended(&record.event, &self.scenario)
    }
}

fn cancel() -> Input {
    Input::Cancel {
        by: "somebody".to_owned(),
    }
}

/// Time leads to something when it was said to, and at no other time.
fn check_tick(state: &RunState, decision: &Decision, now: weir_model::Timestamp) -> Checked {
    let due = state.next_wake(now).is_some_and(|wake| wake <= now);
    ensure!(due != decision.events.is_empty(), "due: {due}, and then {decision:?}");
    Ok(())
}
