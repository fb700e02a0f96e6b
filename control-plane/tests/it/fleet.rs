//! Several control planes over one store and queues that outlive them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_control_plane::store::{Idempotency, PostgresOptions, PostgresStore, Store};
use weir_control_plane::{ControlPlane, Error, Options, Submitted};
use weir_model::{Digest, Event, EventRecord, ReportBody, RunId, RunOutcome, RunPhase, TaskReport, WorkerHeartbeat};
use weir_platform::{Delivery, MemoryQueue, MemoryQueueOptions, Queue, QueueError, Receipt, SendMessage};
use weir_testkit::Postgres;

use crate::kit::{Kit, eventually};
use crate::mortal::{Death, Mortal, Renewals};
use crate::script::{Act, MAPS, REDUCES, submission, task};

/// Where runs are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Database {
    Sqlite,
    Postgres,
}

/// The store and the queues, and a worker over them; servers are started as the tests need them.
struct Fleet {
    kit: Kit,
    /// Of the database, if it is Postgres: then each server has connections of its own.
    url: Option<String>,
    tasks: Arc<MemoryQueue>,
    reports: Arc<MemoryQueue>,
}

impl Fleet {
    async fn new(options: Options) -> Self {
        Self::over(Database::Sqlite, options).await
    }

    async fn over(database: Database, options: Options) -> Self {
        let mut kit = Kit::new().await;
        let url = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::shared().await.database().await),
        };
        if let Some(url) = &url {
            let store = PostgresStore::connect(&PostgresOptions::new(url)).await.unwrap();
            store.migrate().await.unwrap();
            kit.store = Arc::new(store);
        }
        kit.options = Options {
            grace_ms: 1_000,
            snapshot_ms: 1,
            ..options
        };
        let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
        let fleet = Self {
            kit,
            url,
            tasks: queue(),
            reports: queue(),
        };
        fleet.kit.worker(fleet.tasks.clone(), fleet.reports.clone());
        fleet
    }

    fn server(&self) -> ControlPlane {
        self.server_over(self.kit.store.clone())
    }

    /// The store as another process sees it.
    async fn store(&self) -> Arc<dyn Store> {
        match &self.url {
            None => self.kit.store.clone(),
            Some(url) => Arc::new(PostgresStore::connect(&PostgresOptions::new(url)).await.unwrap()),
        }
    }

    fn server_over(&self, store: Arc<dyn Store>) -> ControlPlane {
        self.kit.control_plane(store, self.tasks.clone(), self.reports.clone())
    }

    /// A server that receives no reports itself.
    fn deaf_server(&self) -> ControlPlane {
        let deaf = Arc::new(Deaf(self.reports.clone()));
        self.kit.control_plane(self.kit.store.clone(), self.tasks.clone(), deaf)
    }

    /// Waits for the end of a run, whoever drives it, and says how it ended.
    async fn outcome(&self, run: RunId) -> RunOutcome {
        eventually("the run ends and is cleaned up", async || {
            let row = self.kit.store.run_get(run).await.unwrap().unwrap();
            row.summary.outcome.filter(|_| row.cleaned)
        })
        .await
    }

    async fn check_accepted_once(&self, run: RunId, when: &str) {
        let mut accepted = self.kit.acceptances(run).await;
        accepted.sort();
        assert_eq!(accepted.len() as u32, MAPS + REDUCES, "{when}: accepted once");
        accepted.dedup();
        assert_eq!(accepted.len() as u32, MAPS + REDUCES, "{when}: every task");
    }
}

/// With leases that are never renewed in the time of a test, unless somebody dies.
fn patient() -> Options {
    Options {
        lease_ms: 3_600_000,
        ..Options::service()
    }
}

fn hasty() -> Options {
    Options {
        lease_ms: 1_000,
        ..Options::service()
    }
}

/// A queue from which nothing is received.
struct Deaf(Arc<MemoryQueue>);

#[async_trait]
impl Queue for Deaf {
    async fn send(&self, messages: Vec<SendMessage>) -> Result<(), QueueError> {
        self.0.send(messages).await
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        std::future::pending().await
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError> {
        self.0.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError> {
        self.0.extend(receipts, visibility).await
    }
}

fn owners(events: &[EventRecord]) -> usize {
    let changed = |record: &&EventRecord| matches!(record.event, Event::OwnerChanged { .. });
    events.iter().filter(changed).count()
}

#[tokio::test]
async fn reports_reach_the_owner_of_their_run_whoever_receives_them() {
    for database in [Database::Sqlite, Database::Postgres] {
        reports_reach_the_owner(database).await;
    }
}

async fn reports_reach_the_owner(database: Database) {
    let fleet = Fleet::over(database, patient()).await;
    let (owner, receiver) = (fleet.deaf_server(), fleet.server_over(fleet.store().await));
    let run = owner.submit(submission()).await.unwrap();
    assert_eq!(fleet.outcome(run).await, RunOutcome::Succeeded);
    fleet.kit.check_output();
    fleet.check_accepted_once(run, "through the store").await;
    assert_eq!(owners(&fleet.kit.events(run).await), 0, "it had one owner");
    let row = fleet.kit.store.run_get(run).await.unwrap().unwrap();
    assert!(row.cleaned);
    eventually("nothing is left in the queue", async || {
        fleet.reports.is_empty().then_some(())
    })
    .await;
    drop(receiver);
}

#[tokio::test]
async fn reports_of_runs_that_are_over_or_unknown_are_dropped() {
    let fleet = Fleet::new(patient()).await;
    let server = fleet.server();
    let over = server.submit(submission()).await.unwrap();
    assert_eq!(fleet.outcome(over).await, RunOutcome::Succeeded);
    let report = |run| {
        let report = TaskReport {
            run,
            task: task(0, 0),
            stage_attempt: 0,
            attempt: 0,
            execution: weir_platform::clock::new_execution_id(),
            worker: weir_platform::clock::new_worker_id(),
            at: weir_platform::clock::now(),
            body: ReportBody::Started,
        };
        SendMessage::new(serde_json::to_string(&report).unwrap(), "default")
    };
    let unknown = weir_platform::clock::new_run_id();
    fleet.reports.send(vec![report(over), report(unknown)]).await.unwrap();
    eventually("they are deleted", async || fleet.reports.is_empty().then_some(())).await;
    // Nor do they wait for an owner.
    let events = fleet.kit.events(over).await.len();
    let next = server.submit(submission()).await.unwrap();
    assert_eq!(fleet.outcome(next).await, RunOutcome::Succeeded);
    assert_eq!(fleet.kit.events(over).await.len(), events);
}

/// Runs the job on a server that dies at the given append, while another stands by; says whether the first one died.
async fn is_taken_over(database: Database, death: Death, appends: i64) -> bool {
    let when = format!("{database:?}, died {death:?} append {appends}");
    let fleet = Fleet::over(database, hasty()).await;
    let mortal = Mortal::new(fleet.store().await, death, appends);
    let first = fleet.server_over(mortal.clone());
    let mut submission = submission();
    // Whoever waits for this to pass does not live to see it.
    submission.settings.attempt_timeout_ms = 3_600_000;
    submission.settings.speculation.enabled = false;
    let other = fleet.server_over(fleet.store().await);
    let run = first.submit(submission).await.unwrap();
    let outcome = async {
        let mut dead = mortal.dead.subscribe();
        tokio::select! {
            outcome = fleet.outcome(run) => outcome,
            _ = async { dead.wait_for(|dead| *dead).await.map(drop) } => {
                drop(first);
                // As soon as its lease would have run out.
                fleet.kit.expire(run).await;
                fleet.outcome(run).await
            }
        }
    };
    assert_eq!(outcome.await, RunOutcome::Succeeded, "{when}");
    fleet.kit.check_output();
    fleet.check_accepted_once(run, &when).await;
    let events = fleet.kit.events(run).await;
    let mut sent = std::collections::HashSet::new();
    for record in &events {
        if let Event::TaskDispatched { task, attempt, .. } = &record.event {
            assert!(sent.insert(*task), "{when}: {task} needed attempt {attempt}");
        }
        let failed = matches!(record.event, Event::AttemptFailed { .. });
        assert!(!failed, "{when}: {:?}", record.event);
    }
    assert_eq!(fleet.kit.objects(run), Vec::<String>::new(), "{when}");
    let died = *mortal.dead.borrow();
    let finished = |record: &EventRecord| matches!(record.event, Event::Finished { .. });
    let at_end = events.last().is_some_and(finished) && owners(&events) == 0;
    assert!(!died || at_end || owners(&events) > 0, "{when}: taken over");
    drop(other);
    died
}

#[tokio::test]
async fn the_runs_of_a_server_that_dies_go_to_others_when_its_leases_run_out() {
    for database in [Database::Sqlite, Database::Postgres] {
        let fleet = Fleet::over(database, hasty()).await;
        fleet.kit.runner.script(|id, _| match id.stage.0 {
            1 => Act::WorkAfter(Duration::from_millis(100)),
            _ => Act::Work,
        });
        let (first, second) = (fleet.server(), fleet.server_over(fleet.store().await));
        let run = first.submit(submission()).await.unwrap();
        let mut snapshots = first.watch(run).await.unwrap();
        let begun = snapshots.wait_for(|snapshot| snapshot.stages.get(1).is_some_and(|stage| stage.running > 0));
        begun.await.unwrap();
        drop(first);
        assert_eq!(fleet.outcome(run).await, RunOutcome::Succeeded, "{database:?}");
        assert!(owners(&fleet.kit.events(run).await) > 0, "{database:?}");
        fleet.kit.check_output();
        drop(second);
    }
}

/// At every append of the job.
async fn are_taken_over(database: Database, death: Death) {
    let mut appends = 0;
    while is_taken_over(database, death, appends).await {
        appends += 1;
    }
    assert!(appends > 4, "the job has some steps: {appends}");
}

#[tokio::test]
async fn a_server_that_dies_before_any_append_is_followed_by_another() {
    are_taken_over(Database::Sqlite, Death::Before).await;
}

#[tokio::test]
async fn messages_that_a_server_died_before_sending_are_sent_by_the_next_one_at_once() {
    are_taken_over(Database::Sqlite, Death::After).await;
}

#[tokio::test]
async fn on_postgres_too_a_server_that_dies_is_followed_by_another() {
    are_taken_over(Database::Postgres, Death::Before).await;
    are_taken_over(Database::Postgres, Death::After).await;
}

#[tokio::test]
async fn the_runs_of_a_server_that_shuts_down_go_to_others_at_once() {
    let fleet = Fleet::new(patient()).await;
    fleet.kit.runner.script(|id, _| match id == task(1, 1) {
        true => Act::WorkAfter(Duration::from_millis(300)),
        false => Act::Work,
    });
    let (first, second) = (fleet.server(), fleet.server());
    let run = first.submit(submission()).await.unwrap();
    let mut snapshots = first.watch(run).await.unwrap();
    let reached = snapshots.wait_for(|snapshot| snapshot.stages.get(1).is_some_and(|stage| stage.done == 2));
    reached.await.unwrap();
    first.shutdown().await;
    assert_eq!(fleet.outcome(run).await, RunOutcome::Succeeded);
    assert_eq!(owners(&fleet.kit.events(run).await), 1);
    assert_eq!(fleet.kit.runner.all_executions(), MAPS + REDUCES, "nothing ran twice");
    fleet.kit.check_output();
    drop(second);
}

#[tokio::test]
async fn the_runs_of_a_server_that_dies_are_shared_among_the_others() {
    let fleet = Fleet::new(patient()).await;
    fleet.kit.runner.script(|_, _| Act::Hang);
    let first = fleet.server();
    let mut runs = Vec::new();
    for _ in 0..40 {
        runs.push(first.submit(submission()).await.unwrap());
    }
    let others = [fleet.server(), fleet.server()];
    drop(first);
    for run in &runs {
        fleet.kit.expire(*run).await;
    }
    let driven = |server: &ControlPlane| runs.iter().filter(|run| server.watch_driven(**run).is_some()).count();
    let shares = eventually("all of them are driven", async || {
        let shares = others.each_ref().map(driven);
        (shares.iter().sum::<usize>() == runs.len()).then_some(shares)
    });
    let shares = shares.await;
    assert!(shares.iter().all(|share| *share >= 5), "{shares:?}");
    futures::future::join_all(others.iter().map(ControlPlane::shutdown)).await;
}

#[tokio::test]
async fn a_server_that_slept_through_its_lease_does_not_begin_to_commit() {
    let fleet = Fleet::new(patient()).await;
    let sleeper = Mortal::new(fleet.kit.store.clone(), Death::After, i64::MAX);
    sleeper.renewals.send_replace(Renewals::Hang);
    let first = fleet.server_over(sleeper.clone());
    let run = first.submit(submission()).await.unwrap();
    let mut snapshots = first.watch(run).await.unwrap();
    let committing = snapshots.wait_for(|snapshot| snapshot.phase == RunPhase::Committing);
    committing.await.unwrap();
    assert_eq!(
        fleet
            .kit
            .output_files()
            .iter()
            .filter(|name| name.starts_with("part-"))
            .count(),
        0
    );
    // It sleeps now, for longer than its lease.
    fleet.kit.expire(run).await;
    let second = fleet.server();
    assert_eq!(fleet.outcome(run).await, RunOutcome::Succeeded);
    let events = fleet.kit.events(run).await;
    assert_eq!(owners(&events), 1);
    fleet.kit.check_output();
    let output = fleet.kit.output_files();
    // It wakes up.
    sleeper.renewals.send_replace(Renewals::Work);
    while snapshots.changed().await.is_ok() {}
    first.shutdown().await;
    assert_eq!(fleet.kit.output_files(), output);
    fleet.kit.check_output();
    assert_eq!(fleet.kit.events(run).await.len(), events.len());
    drop(second);
}

#[tokio::test]
async fn runs_for_which_there_is_no_room_wait_for_a_server_that_has_some() {
    let fleet = Fleet::new(Options {
        max_runs: 1,
        max_queued_runs: 3,
        ..patient()
    })
    .await;
    fleet.kit.runner.script(|_, _| Act::Hang);
    let first = fleet.server();
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(first.submit(submission()).await.unwrap());
    }
    let refused = first.submit(submission()).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyQueued { limit: 3 }), "{refused}");
    for run in &runs[1..] {
        let row = fleet.kit.store.run_get(*run).await.unwrap().unwrap();
        assert_eq!(
            (row.summary.phase, row.last_seq),
            (RunPhase::Planning, 1),
            "it is queued"
        );
    }
    // The second one takes one of them, and both go on as they finish.
    fleet.kit.runner.script(|_, _| Act::Work);
    let second = fleet.server();
    let taken = eventually("a run is driven by the second", async || {
        runs.iter().find(|run| second.watch_driven(**run).is_some()).copied()
    });
    assert_ne!(taken.await, runs[0]);
    first.cancel(runs[0], "me").await.unwrap();
    assert_eq!(fleet.outcome(runs[0]).await, RunOutcome::Cancelled);
    for run in &runs[1..] {
        assert_eq!(fleet.outcome(*run).await, RunOutcome::Succeeded);
    }
}

#[tokio::test]
async fn workers_are_known_by_what_they_say() {
    let fleet = Fleet::new(patient()).await;
    let server = fleet.server();
    let now = weir_platform::clock::now();
    let heartbeat = WorkerHeartbeat {
        worker: weir_platform::clock::new_worker_id(),
        at: now,
        started_at: now,
        slots: 3,
        running: 1,
        draining: false,
        ended: false,
        version: "1.2.3".into(),
        host: "here".into(),
        tasks: Vec::new(),
    };
    let ahead = WorkerHeartbeat {
        worker: weir_platform::clock::new_worker_id(),
        at: now.plus_ms(3_600_000),
        ended: true,
        ..heartbeat.clone()
    };
    let said = |heartbeat: &WorkerHeartbeat| SendMessage::new(serde_json::to_string(heartbeat).unwrap(), "worker");
    fleet.reports.send(vec![said(&heartbeat), said(&ahead)]).await.unwrap();
    let seen = async |id| {
        eventually("the worker is known", async || {
            let workers = server.workers(10).await.unwrap();
            workers.into_iter().find(|row| row.worker == id)
        })
        .await
    };
    let row = seen(heartbeat.worker).await;
    assert_eq!(
        (row.slots, row.running, row.draining, &*row.host),
        (3, 1, false, "here")
    );
    assert_eq!(row.seen_at, now);
    let row = seen(ahead.worker).await;
    assert!(row.seen_at < now.plus_ms(60_000), "it is not from the future");
    assert!(row.draining, "it has ended");
}

#[tokio::test]
async fn a_run_is_cancelled_through_any_server() {
    for database in [Database::Sqlite, Database::Postgres] {
        is_cancelled_through_another(database).await;
    }
}

async fn is_cancelled_through_another(database: Database) {
    let fleet = Fleet::over(database, patient()).await;
    fleet.kit.runner.script(|_, _| Act::Hang);
    let (owner, other) = (fleet.server(), fleet.server_over(fleet.store().await));
    let run = owner.submit(submission()).await.unwrap();
    other.cancel(run, "ada").await.unwrap();
    assert_eq!(fleet.outcome(run).await, RunOutcome::Cancelled);
    let snapshot = other.watch(run).await.unwrap().borrow().clone();
    assert_eq!(snapshot.reason.as_ref().unwrap().message, "cancelled by ada");
}

#[tokio::test]
async fn a_retry_is_a_new_run_of_the_same_submission() {
    let fleet = Fleet::new(patient()).await;
    let server = fleet.server();
    fleet.kit.runner.script(|_, _| Act::Hang);
    let run = server.submit(submission()).await.unwrap();
    let early = server.retry(run, None, None).await.unwrap_err();
    assert!(matches!(early, Error::Unfinished { .. }), "{early}");
    server.cancel(run, "me").await.unwrap();
    assert_eq!(fleet.outcome(run).await, RunOutcome::Cancelled);

    fleet.kit.runner.script(|_, _| Act::Work);
    let key = Idempotency {
        key: "again".into(),
        digest: Digest::of(b"retry"),
    };
    let first = server.retry(run, Some("ada".into()), Some(&key)).await.unwrap();
    let second = server.retry(run, Some("ada".into()), Some(&key)).await.unwrap();
    assert_eq!(
        second,
        Submitted {
            run: first.run,
            replayed: true
        }
    );
    assert_ne!(first.run, run);
    assert_eq!(fleet.outcome(first.run).await, RunOutcome::Succeeded);
    fleet.kit.check_output();
    let Event::Submitted { submission: again } = &fleet.kit.events(first.run).await[0].event else {
        panic!("the first event is the submission");
    };
    assert_eq!(again.metadata.retry_of, Some(run));
    assert_eq!(again.metadata.created_by.as_deref(), Some("ada"));
    assert_eq!(again.job, submission().job);

    let other = Idempotency {
        digest: Digest::of(b"another"),
        ..key
    };
    let refused = server.retry(run, None, Some(&other)).await.unwrap_err();
    assert!(
        matches!(refused, Error::IdempotencyKeyReused { run } if run == first.run),
        "{refused}"
    );
    let unknown = weir_platform::clock::new_run_id();
    let refused = server.retry(unknown, None, None).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
}
