//! What several control planes over one store rely on.

use std::time::Duration;

use weir_control_plane::store::{
    Acquired, Backlog, Change, Changes, Created, ForwardedReport, Idempotency, RunSummary, ScalingRow, Store, WorkerRow,
};
use weir_model::{Digest, RunId, RunOutcome, RunPhase, RunningTask, StageId, Submission, TaskId, Timestamp};
use weir_platform::clock;

use super::{LONG, create, note, running, submitted};
use crate::kit::PATIENCE;
use crate::script::submission;

pub(super) async fn suite(store: &impl Store) {
    store.check().await.unwrap();
    requests(store).await;
    retention(store).await;
    several_at_once(store).await;
    backlog(store).await;
    expiry(store).await;
    inbox(store).await;
    workers(store).await;
    scaling(store).await;
    leaders(store).await;
    changes(store).await;
}

async fn retention(store: &impl Store) {
    let (over, open) = (create(store, "a", LONG).await, create(store, "a", LONG).await);
    let ended = clock::now().plus_ms(1);
    let summary = RunSummary {
        finished_at: Some(ended),
        restart_at: None,
        expires_at: None,
        outcome: Some(RunOutcome::Succeeded),
        phase: RunPhase::Finished,
        ..running()
    };
    let finish = async |lease| store.run_append(lease, &[], Some(&summary), None).await.unwrap();
    let over_before = async |at| {
        let runs = store.runs_over(at, None, 100).await.unwrap();
        let of_these = runs.into_iter().filter(|run| [over.run, open.run].contains(run));
        of_these.collect::<Vec<_>>()
    };
    finish(&over).await;
    assert_eq!(over_before(ended.plus_ms(9)).await, [], "its objects are there");
    assert!(!store.run_delete(over.run).await.unwrap());
    store.run_cleaned(&over, 0).await.unwrap();
    assert_eq!(over_before(ended).await, []);
    assert_eq!(over_before(ended.plus_ms(1)).await, [over.run]);
    let later = store.runs_over(ended.plus_ms(1), Some(over.run), 100).await.unwrap();
    assert!(!later.contains(&over.run), "those after it");
    assert!(!store.run_delete(open.run).await.unwrap(), "it is not over");
    assert!(store.run_delete(over.run).await.unwrap());
    assert!(!store.run_delete(over.run).await.unwrap(), "it is gone");
    assert_eq!(store.run_get(over.run).await.unwrap(), None);
    assert_eq!(store.run_events(over.run, 0, 10).await.unwrap(), []);
    // One with a log that goes in several pieces.
    for seqs in [2..1_000, 1_000..2_002] {
        let events: Vec<_> = seqs.map(|seq| note(open.run, seq)).collect();
        store.run_append(&open, &events, None, None).await.unwrap();
    }
    finish(&open).await;
    store.run_cleaned(&open, 0).await.unwrap();
    assert_eq!(store.run_events(open.run, 2_000, 10).await.unwrap().len(), 1);
    assert!(store.run_delete(open.run).await.unwrap());
    assert_eq!(store.run_get(open.run).await.unwrap(), None);
    assert_eq!(store.run_events(open.run, 0, 10_000).await.unwrap(), []);
}

async fn several_at_once(store: &impl Store) {
    let runs = [create(store, "a", LONG).await.run, create(store, "a", LONG).await.run];
    let unknown = clock::new_run_id();
    let mut found = store.runs_get(&[runs[0], unknown, runs[1]]).await.unwrap();
    found.sort_by_key(|row| row.run != runs[0]);
    for (row, run) in found.iter().zip(runs) {
        assert_eq!(Some(row), store.run_get(run).await.unwrap().as_ref());
    }
    assert_eq!(found.len(), 2);
    assert_eq!(store.runs_get(&[]).await.unwrap(), []);
}

async fn requests(store: &impl Store) {
    let request = |body: &str| Idempotency {
        key: "order 7 ✓".into(),
        digest: Digest::of(body.as_bytes()),
    };
    let ask = async |submission: Submission, run: RunId, request: Idempotency| {
        let events = [submitted(run)];
        store
            .run_create(run, &submission, &events, "a", LONG, Some(&request))
            .await
    };
    let first = clock::new_run_id();
    let made = ask(submission(), first, request("x")).await.unwrap();
    assert!(matches!(made, Created::Lease(_)));
    assert_eq!(
        ask(submission(), first, request("x")).await.unwrap(),
        made,
        "its answer was lost"
    );

    let second = clock::new_run_id();
    let existing = |same_request| Created::Existing {
        run: first,
        same_request,
    };
    assert_eq!(ask(submission(), second, request("x")).await.unwrap(), existing(true));
    assert_eq!(ask(submission(), second, request("y")).await.unwrap(), existing(false));
    assert_eq!(store.run_get(second).await.unwrap(), None);
    let elsewhere = Submission {
        namespace: "elsewhere".parse().unwrap(),
        ..submission()
    };
    let other = ask(elsewhere, clock::new_run_id(), request("x")).await.unwrap();
    assert!(matches!(other, Created::Lease(_)), "keys are those of a tenant");

    // The events of these tests are from long ago.
    assert_eq!(store.requests_forget(Timestamp(1_001)).await.unwrap(), 0);
    assert_eq!(store.requests_forget(Timestamp(1_002)).await.unwrap(), 2);
    let made = ask(submission(), second, request("y")).await.unwrap();
    assert!(matches!(made, Created::Lease(_)), "the key is free again");

    let racing = (0..8).map(|n| {
        let run = clock::new_run_id();
        let request = Idempotency {
            key: "race".into(),
            ..request(&format!("{n}"))
        };
        ask(submission(), run, request)
    });
    let mut won = 0;
    for raced in futures::future::join_all(racing).await {
        won += u32::from(matches!(raced.unwrap(), Created::Lease(_)));
    }
    assert_eq!(won, 1);
}

async fn backlog(store: &impl Store) {
    let before = store.backlog().await.unwrap();
    let leases = [create(store, "a", LONG).await, create(store, "a", LONG).await];
    let mut summary = running();
    (summary.tasks_waiting, summary.tasks_running) = (1_000, 20);
    for lease in &leases {
        store.run_append(lease, &[], Some(&summary), None).await.unwrap();
    }
    let more = |runs, waiting, running| Backlog {
        runs: before.runs + runs,
        waiting: before.waiting + waiting,
        running: before.running + running,
    };
    assert_eq!(store.backlog().await.unwrap(), more(2, 2_000, 40));
    (summary.phase, summary.outcome) = (RunPhase::Finished, Some(RunOutcome::Cancelled));
    store.run_append(&leases[0], &[], Some(&summary), None).await.unwrap();
    assert_eq!(
        store.backlog().await.unwrap(),
        more(1, 1_000, 20),
        "a run that is over has none"
    );
}

async fn expiry(store: &impl Store) {
    let held = create(store, "a", LONG).await;
    let expired = create(store, "a", Duration::ZERO).await;
    let released = create(store, "a", LONG).await;
    store.lease_release(&released).await.unwrap();
    let cleaned = create(store, "a", Duration::ZERO).await;
    store.run_cleaned(&cleaned, 0).await.unwrap();
    let listed = store.runs_expired(&[], 1_000).await.unwrap();
    assert!(listed.is_sorted_by_key(|row| row.run));
    let found = |run| listed.iter().any(|row| row.run == run);
    assert_eq!(
        [&held, &expired, &released, &cleaned].map(|lease| found(lease.run)),
        [false, true, true, false]
    );
    assert_eq!(store.runs_expired(&[], 1).await.unwrap().len(), 1);
    for row in listed {
        let acquired = store.lease_acquire(row.run, "sweeper", LONG).await.unwrap();
        assert!(matches!(acquired, Acquired::Lease(_)), "{acquired:?}");
    }
    assert_eq!(store.runs_expired(&[], 1_000).await.unwrap(), []);
}

async fn inbox(store: &impl Store) {
    let (ours, theirs) = (create(store, "us", LONG).await, create(store, "them", LONG).await);
    let report = |run: RunId, body: &str| ForwardedReport {
        run,
        body: body.to_owned(),
    };
    let reports = [
        report(ours.run, "{\"n\": 1}"),
        report(theirs.run, "theirs"),
        report(clock::new_run_id(), "of a run that never was"),
        report(ours.run, "two ✓"),
    ];
    store.reports_forward(&reports).await.unwrap();
    store.reports_forward(&[]).await.unwrap();
    let bodies = async |owner: &str, held: &[u64], limit| {
        let taken = store.reports_take(owner, held, limit).await.unwrap();
        taken.iter().map(|report| report.body.clone()).collect::<Vec<_>>()
    };
    assert_eq!(bodies("us", &[], 10).await, ["{\"n\": 1}", "two ✓"]);
    assert_eq!(bodies("them", &[], 10).await, ["theirs"]);
    assert_eq!(bodies("nobody", &[], 10).await, [""; 0]);
    let first = store.reports_take("us", &[], 1).await.unwrap();
    assert_eq!(
        (first.len(), first[0].run, first[0].body.as_str()),
        (1, ours.run, "{\"n\": 1}")
    );
    assert_eq!(bodies("us", &[first[0].id], 10).await, ["two ✓"]);
    assert_eq!(bodies("us", &[], 10).await.len(), 2, "they stay until they are done");
    store.reports_done(&[first[0].id]).await.unwrap();
    store.reports_done(&[first[0].id]).await.unwrap();
    assert_eq!(bodies("us", &[], 10).await, ["two ✓"]);

    store.lease_release(&ours).await.unwrap();
    assert_eq!(bodies("us", &[], 10).await, [""; 0]);
    let Acquired::Lease(taken) = store.lease_acquire(ours.run, "heirs", LONG).await.unwrap() else {
        panic!("it was released");
    };
    assert_eq!(
        bodies("heirs", &[], 10).await,
        ["two ✓"],
        "who takes the run over finds its reports"
    );
    store.run_cleaned(&taken, 0).await.unwrap();
    store.reports_forward(&[report(ours.run, "late")]).await.unwrap();
    assert_eq!(bodies("heirs", &[], 10).await, [""; 0]);
}

async fn workers(store: &impl Store) {
    let worker = |seen_at, running| WorkerRow {
        worker: clock::new_worker_id(),
        seen_at: Timestamp(seen_at),
        started_at: Timestamp(3),
        slots: 4,
        running,
        draining: false,
        version: "0.1.0".into(),
        host: "a host ✓".into(),
        tasks: vec![RunningTask {
            namespace: Default::default(),
            run: RunId::from_parts(Timestamp(seen_at), 1),
            task: TaskId {
                stage: StageId(1),
                index: 2,
            },
            attempt: 3,
            since: Timestamp(4),
        }],
    };
    let (a, b) = (worker(10, 1), worker(30, 2));
    store.workers_seen(&[a.clone(), b.clone()]).await.unwrap();
    assert_eq!(store.worker_list(10).await.unwrap(), [b.clone(), a.clone()]);
    let later = WorkerRow {
        seen_at: Timestamp(40),
        draining: true,
        running: 0,
        tasks: Vec::new(),
        ..a.clone()
    };
    // Twice in one call, and out of order: queues do such things.
    store.workers_seen(&[later.clone(), a.clone()]).await.unwrap();
    store.workers_seen(&[a]).await.unwrap();
    assert_eq!(store.worker_list(10).await.unwrap(), [later.clone(), b]);
    assert_eq!(store.worker_list(1).await.unwrap(), std::slice::from_ref(&later));
    assert_eq!(store.workers_forget(Timestamp(40)).await.unwrap(), 1);
    assert_eq!(store.worker_list(10).await.unwrap(), [later]);
    assert_eq!(store.workers_forget(Timestamp(41)).await.unwrap(), 1);
}

/// What one says of scaling all others read.
async fn scaling(store: &impl Store) {
    assert_eq!(store.scaling_get().await.unwrap(), None);
    for (wanted, said_at) in [(3, 10), (0, 11)] {
        let said = ScalingRow {
            wanted,
            provisioned: 2,
            said_at: Timestamp(said_at),
        };
        store.scaling_set(&said).await.unwrap();
        assert_eq!(store.scaling_get().await.unwrap(), Some(said));
    }
}

async fn leaders(store: &impl Store) {
    assert!(store.leader_acquire("scaling", "a", LONG).await.unwrap());
    assert!(!store.leader_acquire("scaling", "b", LONG).await.unwrap());
    assert!(store.leader_acquire("sweeping", "b", LONG).await.unwrap());
    assert!(
        store.leader_acquire("scaling", "a", Duration::ZERO).await.unwrap(),
        "it is renewed"
    );
    assert!(
        store.leader_acquire("scaling", "b", LONG).await.unwrap(),
        "it has run out"
    );
    assert!(!store.leader_acquire("scaling", "a", LONG).await.unwrap());
    store.leader_release("scaling", "a").await.unwrap();
    assert!(
        !store.leader_acquire("scaling", "a", LONG).await.unwrap(),
        "it was another's"
    );
    store.leader_release("scaling", "b").await.unwrap();
    assert!(store.leader_acquire("scaling", "a", LONG).await.unwrap());
}

/// Waits for a change, whatever else is heard of.
pub(super) async fn heard(changes: &mut Changes, wanted: &Change) {
    let hearing = async { while changes.next().await != *wanted {} };
    let heard = tokio::time::timeout(PATIENCE, hearing).await;
    heard.unwrap_or_else(|_| panic!("never heard of {wanted:?}"));
}

async fn changes(store: &impl Store) {
    let mut changes = store.changes();
    let lease = create(store, "an owner", LONG).await;
    let run = lease.run;
    store.run_append(&lease, &[], Some(&running()), None).await.unwrap();
    heard(&mut changes, &Change::Run(run)).await;
    store.run_request_cancel(run, "ann").await.unwrap();
    heard(&mut changes, &Change::Cancel(run)).await;
    let report = ForwardedReport { run, body: "r".into() };
    store.reports_forward(&[report]).await.unwrap();
    heard(
        &mut changes,
        &Change::Reports {
            owner: "an owner".into(),
        },
    )
    .await;
    store.lease_release(&lease).await.unwrap();
    heard(&mut changes, &Change::Run(run)).await;
    heard(&mut changes, &Change::Anything).await;
}
