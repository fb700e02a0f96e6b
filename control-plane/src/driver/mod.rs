//! The actor that drives one run.

mod effects;
mod kept;
mod outbox;
mod report_size;
mod retry;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use weir_model::machine::{Effect, Input, RunState, apply, decide};
use weir_model::{
    Event, EventRecord, ExecutionId, ReportBody, RunId, RunPhase, RunSnapshot, StorageRequests, TaskReport, Timestamp,
    TraceParent,
};
use weir_platform::s3::RequestCounts;
use weir_platform::telemetry::metrics::metrics;
use weir_platform::{Storage, clock};

use crate::gate::Place;
use crate::receipts::{self, Origin};
use crate::reports;
use crate::shared::{Driven, Mail, Shared};
use crate::store::{Lease, RunSummary};
use crate::traces;
use crate::vitals::Counts;
use effects::Outcome;
use kept::KeptBack;
use outbox::Outbox;

/// Reports that wait for a driver; more are given back to the queue.
const MAILBOX: usize = 8_192;
/// Inputs that share a transaction.
const BATCH: usize = 1_024;
/// Bytes of reports that share a transaction, about: a larger one would hold up the lease of every run that is written
/// with it.
const BATCH_BYTES: usize = 2 << 20;
/// Executions that are remembered as running, for the grace of a stop.
const MAX_EXECUTIONS: usize = 100_000;
/// The shortest time between two ticks.
const MIN_TICK: Duration = Duration::from_millis(10);
/// The longest sleep: timers are looked at again after a change of the wall clock.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// How often the requests to the storage are counted while effects are under way, and how many make an entry of their own in
/// the log: what the death of a process loses of them is no more than those of so long a time and so many.
const REQUESTS_LOOK: Duration = Duration::from_secs(5);
const REQUESTS_NOTED: u64 = 1_000;
/// The shortest time between two updates of the run's row that show progress only.
const SUMMARY_INTERVAL: Duration = Duration::from_millis(500);

/// Where a driver begins.
pub(crate) struct Start {
    pub(crate) state: RunState,
    pub(crate) lease: Lease,
    /// A moment before the lease was granted.
    pub(crate) owned_since: Instant,
    /// To be decided on first.
    pub(crate) inputs: Vec<Input>,
    /// To be carried out first: they follow from what is in the log already.
    pub(crate) effects: Vec<Effect>,
    /// The place in the log up to which task messages are known to have been sent.
    pub(crate) sent_through: u64,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Gives events their places in the log and folds them into the state.
pub(crate) fn fold(state: &mut RunState, events: Vec<Event>, at: Timestamp) -> Vec<EventRecord> {
    let mut records = Vec::with_capacity(events.len());
    fold_into(&mut records, state, events, at);
    records
}

fn fold_into(records: &mut Vec<EventRecord>, state: &mut RunState, events: Vec<Event>, at: Timestamp) {
    for event in events {
        let record = EventRecord {
            run: state.run(),
            seq: state.next_seq(),
            at,
            event,
        };
        apply(state, &record);
        records.push(record);
    }
}

/// Begins to drive a run.
pub(crate) fn spawn(shared: &Arc<Shared>, start: Start) {
    let (mailbox, mail) = mpsc::channel(MAILBOX);
    let snapshot = Arc::new(start.state.snapshot());
    let phase = snapshot.phase;
    let (publish, published) = watch::channel(snapshot);
    let lost = CancellationToken::new();
    let run = start.state.run();
    let trace = TraceParent::of_run(run, start.state.submission());
    let namespace = start.state.submission().map(|submission| submission.namespace.clone());
    let namespace = namespace.unwrap_or_default();
    shared.runs().insert(
        run,
        Driven {
            namespace: namespace.clone(),
            lease: start.lease.clone(),
            renewed: start.owned_since,
            lost: lost.clone(),
            mailbox,
            pause_differs: false,
            snapshot: published,
        },
    );
    let requests = Arc::new(RequestCounts::default());
    let driver = Driver {
        storage: shared.storage.counted(&requests),
        requests,
        requests_noted: StorageRequests::default(),
        shared: shared.clone(),
        run,
        trace,
        state: start.state,
        lease: start.lease,
        lost,
        mail,
        handled: Vec::new(),
        outbox: Outbox::new(start.sent_through),
        kept: KeptBack::default(),
        sent: 0,
        place: Place::new(shared.clone(), run, namespace.clone()),
        counts: Counts::default(),
        effects: JoinSet::new(),
        planning: None,
        executions: HashSet::new(),
        executions_left: watch::Sender::new(0),
        last_tick: None,
        cleaned: false,
        view: View {
            publish,
            published_at: Instant::now(),
            phase,
            stale: false,
            row_written_at: Instant::now(),
            row_stale: false,
        },
    };
    let registration = Registration {
        shared: shared.clone(),
        run,
        epoch: driver.lease.epoch,
        room: Some(start.room),
    };
    shared.spawn(async move {
        driver.run(start.inputs, start.effects, registration).await;
    });
}

/// Takes a run off the list when its driver is dropped, however that ends.
struct Registration {
    shared: Arc<Shared>,
    run: RunId,
    epoch: u64,
    room: Option<OwnedSemaphorePermit>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        {
            let mut runs = self.shared.runs();
            // This process may have taken the run over from itself.
            if runs
                .get(&self.run)
                .is_some_and(|driven| driven.lease.epoch == self.epoch)
            {
                runs.remove(&self.run);
            }
        }
        drop(self.room.take());
        self.shared.sweep.notify_one();
    }
}

struct Driver {
    shared: Arc<Shared>,
    run: RunId,
    /// The span of the run.
    trace: TraceParent,
    state: RunState,
    lease: Lease,
    lost: CancellationToken,
    mail: mpsc::Receiver<Mail>,
    /// The reports whose consequences are not in the log yet.
    handled: Vec<Origin>,
    outbox: Outbox,
    /// Task messages that are not sent yet.
    kept: KeptBack,
    /// Tasks whose messages were sent and that were not over when that was last looked at.
    sent: usize,
    /// Among those who share the workers.
    place: Place,
    counts: Counts,
    /// The storage, for what is done on behalf of the run: its requests are counted.
    storage: Storage,
    requests: Arc<RequestCounts>,
    /// The requests that the log tells of.
    requests_noted: StorageRequests,
    /// Effects that are under way; dropped with the driver, which aborts them.
    effects: JoinSet<Outcome>,
    /// Ends the planning of the run.
    planning: Option<AbortHandle>,
    /// Executions that were heard of and have not ended.
    executions: HashSet<ExecutionId>,
    executions_left: watch::Sender<usize>,
    last_tick: Option<Instant>,
    /// Whether the run is over and its objects are deleted.
    cleaned: bool,
    view: View,
}

/// What others see of the run.
struct View {
    publish: watch::Sender<Arc<RunSnapshot>>,
    published_at: Instant,
    phase: RunPhase,
    stale: bool,
    row_written_at: Instant,
    row_stale: bool,
}

/// Why a driver stops.
enum Exit {
    /// Nothing is left to do.
    Done,
    /// The run belongs to somebody else, or may.
    Lost,
    /// The control plane shuts down.
    Stopped,
}

/// What a driver has to do next.
enum Wake {
    Mail,
    Effect(Outcome),
    /// Time has passed, or messages may be sent.
    Timer,
    Exit(Exit),
}

impl Driver {
    async fn run(mut self, inputs: Vec<Input>, effects: Vec<Effect>, _registration: Registration) {
        tracing::debug!(run = %self.run, epoch = self.lease.epoch, "driving");
        self.perform(effects);
        let exit = match self.step(inputs).await {
            Ok(()) => self.drive().await,
            Err(exit) => exit,
        };
        let exit = match exit {
            Exit::Stopped if self.state.is_finished() => self.finish_cleaning().await,
            exit => exit,
        };
        self.give_reports_back().await;
        match exit {
            Exit::Done => tracing::debug!(run = %self.run, "done"),
            Exit::Lost => tracing::warn!(run = %self.run, "lost the lease: another control plane goes on"),
            Exit::Stopped => {
                self.note_storage_used().await;
                if let Err(error) = self.shared.store.lease_release(&self.lease).await {
                    tracing::warn!(run = %self.run, error = &error as &dyn std::error::Error, "cannot give a run back");
                }
            }
        }
    }

    async fn drive(&mut self) -> Exit {
        let mut mail = Vec::new();
        while !(self.cleaned && self.effects.is_empty()) {
            let mut inputs = Vec::new();
            match self.next_wake(&mut mail).await {
                Wake::Exit(exit) => return exit,
                Wake::Timer => {}
                Wake::Effect(outcome) => self.take_outcome(outcome, &mut inputs),
                Wake::Mail => {
                    let mut bytes = 0;
                    for mail in mail.drain(..) {
                        match mail {
                            Mail::Input(input) => inputs.push(input),
                            Mail::Report { report, origin } => {
                                bytes += report_size::bytes(&report.body);
                                inputs.push(Input::Report(report));
                                self.handled.push(origin);
                            }
                        }
                        if bytes >= BATCH_BYTES {
                            bytes = 0;
                            if let Err(exit) = self.step(std::mem::take(&mut inputs)).await {
                                return exit;
                            }
                        }
                    }
                }
            }
            while let Some(outcome) = self.effects.try_join_next() {
                self.take_outcome(effects::joined(outcome), &mut inputs);
            }
            if self.tick_in().is_some_and(|left| left.is_zero()) {
                self.last_tick = Some(Instant::now());
                inputs.push(Input::Tick);
            }
            if let Err(exit) = self.step(inputs).await {
                return exit;
            }
        }
        Exit::Done
    }

    async fn next_wake(&mut self, mail: &mut Vec<Mail>) -> Wake {
        let timers = [
            self.tick_in(),
            self.kept_in(),
            self.view.publish_in(&self.shared),
            self.view.row_in(),
            (!self.effects.is_empty()).then_some(REQUESTS_LOOK),
        ];
        let sleep = timers.into_iter().flatten().min().unwrap_or(MAX_SLEEP).min(MAX_SLEEP);
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Wake::Exit(Exit::Lost),
            () = self.shared.stop.cancelled() => Wake::Exit(Exit::Stopped),
            Some(outcome) = self.effects.join_next() => Wake::Effect(effects::joined(outcome)),
            // The other end is in the list of runs for as long as this actor lives.
            _ = self.mail.recv_many(mail, BATCH) => Wake::Mail,
            () = self.place.told() => Wake::Timer,
            () = tokio::time::sleep(sleep) => Wake::Timer,
        }
    }

    /// Decides on inputs, appends what follows in one transaction, and only then starts the effects.
    async fn step(&mut self, inputs: Vec<Input>) -> Result<(), Exit> {
        let now = clock::now();
        let (mut records, mut effects) = (Vec::new(), Vec::new());
        for input in inputs {
            let decision = decide(&self.state, &input, now);
            if !decision.events.is_empty()
                && let Some(used) = self.storage_used()
            {
                fold_into(&mut records, &mut self.state, vec![used], now);
            }
            fold_into(&mut records, &mut self.state, decision.events, now);
            effects.extend(decision.effects);
            if let Input::Report(report) = &input {
                self.state.progress(report, now);
                self.note_execution(report);
                if let ReportBody::Succeeded { output } = &report.body {
                    self.place.learn(output.metrics.allowance);
                }
                self.view.stale = true;
            }
        }
        if records.is_empty()
            && self.storage_not_noted().total() >= REQUESTS_NOTED
            && let Some(used) = self.storage_used()
        {
            fold_into(&mut records, &mut self.state, vec![used], now);
        }
        self.view.stale |= !records.is_empty();
        self.view.row_stale |= !records.is_empty();
        let phase_changed = self.view.phase != self.state.phase();
        let snapshot = (phase_changed || self.view.is_due(&self.shared)).then(|| Arc::new(self.state.snapshot()));
        let summary = snapshot.as_ref().filter(|_| phase_changed || self.view.row_is_due());
        let summary = summary.map(|snapshot| RunSummary {
            tasks_sent: self.tasks_sent(),
            ..RunSummary::of(snapshot)
        });
        if !records.is_empty() || summary.is_some() {
            self.append(&records, summary.as_ref()).await?;
            self.counts.add(&records);
            traces::export(&self.state, self.trace, &records);
            if summary.is_some() {
                self.view.row_stale = false;
                self.view.row_written_at = Instant::now();
            }
        }
        self.perform(effects);
        self.outbox.begun(self.state.next_seq() - 1);
        self.send_on();
        if let Some(snapshot) = snapshot {
            self.view.show(snapshot);
        }
        self.shared.receipts.handled(std::mem::take(&mut self.handled)).await;
        Ok(())
    }

    /// The requests to the storage that the log does not tell of yet. What is appended next tells of them, so that whoever
    /// takes the run over counts on.
    fn storage_used(&mut self) -> Option<Event> {
        let requests = self.storage_not_noted();
        self.requests_noted.add(&requests);
        (!requests.is_empty()).then_some(Event::StorageUsed { requests })
    }

    /// Those of a run that is over are none: nothing follows its end in the log.
    fn storage_not_noted(&self) -> StorageRequests {
        match self.state.is_finished() {
            true => StorageRequests::default(),
            false => self.requests.totals().since(&self.requests_noted),
        }
    }

    /// Has the log tell of all requests so far, before the run is given back. Tried once: whoever takes the run over does
    /// not wait for it.
    async fn note_storage_used(&mut self) {
        let Some(used) = self.storage_used() else { return };
        let mut records = Vec::new();
        fold_into(&mut records, &mut self.state, vec![used], clock::now());
        let sent_through = Some(self.outbox.cursor());
        let appending = self.shared.store.run_append(&self.lease, &records, None, sent_through);
        if let Err(error) = appending.await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(run = %self.run, error, "cannot note what was asked of the storage");
        }
    }

    /// Appends to the log. The state is ahead of the log until it succeeds, so there is no way back: it is tried until
    /// the lease may have run out.
    async fn append(&mut self, records: &[EventRecord], summary: Option<&RunSummary>) -> Result<(), Exit> {
        let mut backoff = retry::Backoff::new();
        let sent_through = Some(self.outbox.cursor());
        loop {
            let call = self
                .shared
                .store
                .run_append(&self.lease, records, summary, sent_through);
            match self.lost.run_until_cancelled(call).await {
                None => return Err(Exit::Lost),
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) if error.is_transient() => {
                    metrics().store_error();
                    tracing::warn!(run = %self.run, error = &error as &dyn std::error::Error, "cannot append events");
                    if self.lost.run_until_cancelled(backoff.wait()).await.is_none() {
                        return Err(Exit::Lost);
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(run = %self.run, error = &error as &dyn std::error::Error, "cannot append events");
                    return Err(Exit::Lost);
                }
            }
        }
    }

    /// Tasks whose messages were sent and that are not over: those that were dispatched just now are not among them.
    fn tasks_sent(&self) -> u32 {
        u32::try_from(self.sent.min(self.state.tasks_under_way())).unwrap_or(u32::MAX)
    }

    fn take_outcome(&mut self, outcome: Outcome, inputs: &mut Vec<Input>) {
        match outcome {
            Outcome::Done => {}
            Outcome::Sent(cursors) => {
                for before in cursors {
                    self.outbox.end(before);
                }
                // Also when nothing else happens for a while, the store is to know.
                self.view.row_stale |= !self.state.is_finished();
            }
            Outcome::Input(input) => inputs.push(*input),
            Outcome::Cleaned => self.cleaned = true,
        }
    }

    /// Lets the clean-up of a finished run end, within bounds.
    async fn finish_cleaning(&mut self) -> Exit {
        let grace = self.shared.options.grace();
        let cleaning = async {
            while let Some(outcome) = self.effects.join_next().await {
                if matches!(outcome, Ok(Outcome::Cleaned)) {
                    return Exit::Done;
                }
            }
            Exit::Stopped
        };
        tokio::time::timeout(grace, cleaning).await.unwrap_or(Exit::Stopped)
    }

    /// Leaves the reports that were not handled to the next owner.
    async fn give_reports_back(&mut self) {
        self.mail.close();
        let mut origins = std::mem::take(&mut self.handled);
        while let Ok(mail) = self.mail.try_recv() {
            if let Mail::Report { origin, .. } = mail {
                origins.push(origin);
            }
        }
        let (mut receipts, mut ids) = (Vec::new(), Vec::new());
        receipts::split(origins, &mut receipts, &mut ids);
        self.shared.inbox.put_back(&ids);
        reports::give_back(&self.shared, receipts, Duration::ZERO).await;
    }

    fn note_execution(&mut self, report: &TaskReport) {
        match report.body {
            ReportBody::Started | ReportBody::Progress { .. } => {
                if self.executions.len() < MAX_EXECUTIONS {
                    self.executions.insert(report.execution);
                }
            }
            ReportBody::Succeeded { .. } | ReportBody::Failed { .. } => {
                self.executions.remove(&report.execution);
            }
        }
        self.executions_left.send_replace(self.executions.len());
    }

    /// How long until the backoff of a message is over that is kept back.
    fn kept_in(&self) -> Option<Duration> {
        let left = self.kept.next_wake()?.ms_since(clock::now());
        Some(Duration::from_millis(left))
    }

    /// How long until time itself leads to something.
    fn tick_in(&self) -> Option<Duration> {
        let now = clock::now();
        let due = Duration::from_millis(self.state.next_wake(now)?.ms_since(now));
        let rest = self
            .last_tick
            .map_or(Duration::ZERO, |at| MIN_TICK.saturating_sub(at.elapsed()));
        Some(due.max(rest))
    }
}

impl View {
    fn show(&mut self, snapshot: Arc<RunSnapshot>) {
        self.phase = snapshot.phase;
        self.stale = false;
        self.published_at = Instant::now();
        self.publish.send_replace(snapshot);
    }

    fn publish_in(&self, shared: &Shared) -> Option<Duration> {
        let interval = Duration::from_millis(shared.options.snapshot_ms);
        self.stale.then(|| interval.saturating_sub(self.published_at.elapsed()))
    }

    fn row_in(&self) -> Option<Duration> {
        self.row_stale
            .then(|| SUMMARY_INTERVAL.saturating_sub(self.row_written_at.elapsed()))
    }

    fn row_is_due(&self) -> bool {
        self.row_in().is_some_and(|left| left.is_zero())
    }

    /// Whether somebody is to see the state as it is now.
    fn is_due(&self, shared: &Shared) -> bool {
        self.publish_in(shared).is_some_and(|left| left.is_zero()) || self.row_is_due()
    }
}
