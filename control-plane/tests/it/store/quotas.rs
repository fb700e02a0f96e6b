//! What namespaces may use, and what they use.

use std::time::Duration;

use weir_control_plane::quotas::{Quota, Rate};
use weir_control_plane::store::{Created, Idempotency, Lease, NamespaceLoad, RunSummary, Store, Subject};
use weir_model::{Digest, Namespace, RunId, RunOutcome, RunPhase, Submission, Timestamp};
use weir_platform::clock;

use super::{LONG, note, running, submitted};
use crate::script::submission;

pub(super) async fn suite(store: &impl Store) {
    limits(store).await;
    buckets(store).await;
    loads(store).await;
    modules(store).await;
    turns(store).await;
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

async fn create(store: &impl Store, of: &Namespace, ttl: Duration, key: Option<&Idempotency>) -> Lease {
    let submission = Submission {
        namespace: of.clone(),
        ..submission()
    };
    let run = clock::new_run_id();
    let created = store
        .run_create(run, &submission, &[submitted(run)], "a", ttl, key)
        .await;
    match created.unwrap() {
        Created::Lease(lease) => lease,
        existing => panic!("the run is new: {existing:?}"),
    }
}

async fn limits(store: &impl Store) {
    let (one, other) = (namespace("quotas-1"), namespace("quotas-2"));
    let full = Quota {
        weight: 7,
        min_share: 2,
        max_runs: Some(0),
        max_queued_runs: Some(4),
        max_tasks: Some(5),
        max_memory_bytes: Some(i64::MAX as u64),
        max_storage_bytes: Some(6),
        submissions_per_minute: Some(8),
        submission_burst: 9,
    };
    let of = async |name: &Namespace| {
        let quotas = store.quotas().await.unwrap();
        quotas.into_iter().find(|(of, _)| of == name).map(|(_, quota)| quota)
    };
    assert_eq!(of(&one).await, None);
    store.quota_set(&one, Some(&full)).await.unwrap();
    store.quota_set(&other, Some(&Quota::default())).await.unwrap();
    assert_eq!(of(&one).await, Some(full));
    assert_eq!(of(&other).await, Some(Quota::default()));
    store.quota_set(&one, Some(&Quota::default())).await.unwrap();
    assert_eq!(of(&one).await, Some(Quota::default()), "no limit is left over");
    for _ in 0..2 {
        store.quota_set(&one, None).await.unwrap();
        assert_eq!(of(&one).await, None);
    }
    assert_eq!(of(&other).await, Some(Quota::default()));
}

async fn buckets(store: &impl Store) {
    let (one, other) = (namespace("buckets-1"), namespace("buckets-2"));
    let hourly = Rate {
        interval: Duration::from_secs(3_600),
        burst: 3,
    };
    for _ in 0..3 {
        assert_eq!(store.submission_take(&one, hourly).await.unwrap(), None);
    }
    for _ in 0..2 {
        let wait = store.submission_take(&one, hourly).await.unwrap().unwrap();
        // What is refused costs nothing.
        assert!(wait <= Duration::from_secs(3_600), "{wait:?}");
        assert!(wait > Duration::from_secs(3_500), "{wait:?}");
    }
    assert_eq!(store.submission_take(&other, hourly).await.unwrap(), None);
    let fast = Rate {
        interval: Duration::from_micros(1),
        burst: 1,
    };
    let third = namespace("buckets-3");
    assert_eq!(store.submission_take(&third, fast).await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(store.submission_take(&third, fast).await.unwrap(), None, "it filled up");
    let racing = namespace("buckets-4");
    let taken = futures::future::join_all((0..8).map(|_| store.submission_take(&racing, hourly))).await;
    let taken = taken.into_iter().filter(|taken| matches!(taken, Ok(None))).count();
    assert_eq!(taken, 3);
}

async fn loads(store: &impl Store) {
    let (one, other) = (namespace("loads-1"), namespace("loads-2"));
    assert_eq!(store.namespace_loads(Some(&one)).await.unwrap(), []);
    let request = Idempotency {
        key: "loads".into(),
        digest: Digest::of(b"loads"),
    };
    let driven = create(store, &one, LONG, Some(&request)).await;
    let _queued = create(store, &one, Duration::ZERO, None).await;
    let begun = create(store, &one, LONG, None).await;
    let _elsewhere = create(store, &other, LONG, None).await;
    store
        .run_append(&begun, &[note(begun.run, 2)], None, None)
        .await
        .unwrap();
    store.lease_release(&begun).await.unwrap();
    let mut summary = RunSummary {
        tasks_waiting: 100,
        tasks_running: 4,
        tasks_sent: 9,
        ..running()
    };
    store.run_append(&driven, &[], Some(&summary), None).await.unwrap();
    let sum = async || {
        let mut sum = NamespaceLoad {
            namespace: one.clone(),
            owner: None,
            queued: 0,
            active: 0,
            working: 0,
            waiting: 0,
            running: 0,
            sent: 0,
        };
        for load in store.namespace_loads(Some(&one)).await.unwrap() {
            sum.queued += load.queued;
            sum.active += load.active;
            sum.working += load.working;
            sum.waiting += load.waiting;
            sum.running += load.running;
            sum.sent += load.sent;
        }
        sum
    };
    let mut expected = NamespaceLoad {
        queued: 1,
        active: 2,
        working: 1,
        waiting: 100,
        running: 4,
        sent: 9,
        ..sum().await
    };
    assert_eq!(sum().await, expected);
    let all = store.namespace_loads(None).await.unwrap();
    assert!(all.iter().any(|load| load.namespace == other && load.active == 1));
    let of_owner = all
        .iter()
        .find(|load| load.namespace == one && load.owner.as_deref() == Some("a"));
    assert_eq!(of_owner.unwrap().waiting, 100);

    assert_eq!(
        store.request_get(&one, "loads").await.unwrap(),
        Some((request.digest, driven.run))
    );
    assert_eq!(store.request_get(&other, "loads").await.unwrap(), None);

    assert_eq!(store.kept_bytes(&one).await.unwrap(), 0);
    (summary.phase, summary.outcome) = (RunPhase::Finished, Some(RunOutcome::Succeeded));
    (summary.finished_at, summary.tasks_sent) = (Some(clock::now()), 0);
    store.run_append(&driven, &[], Some(&summary), None).await.unwrap();
    store.run_cleaned(&driven, 123).await.unwrap();
    expected = NamespaceLoad {
        active: 1,
        working: 0,
        waiting: 0,
        running: 0,
        sent: 0,
        ..expected
    };
    assert_eq!(sum().await, expected);
    assert_eq!(store.kept_bytes(&one).await.unwrap(), 123);
    assert_eq!(store.kept_bytes(&other).await.unwrap(), 0);
    assert!(store.run_delete(driven.run).await.unwrap());
    assert_eq!(store.kept_bytes(&one).await.unwrap(), 0, "its results are gone with it");
}

/// What modules take is noted by namespace.
async fn modules(store: &impl Store) {
    let (one, other) = (namespace("modules-1"), namespace("modules-2"));
    let digest = |n: u32| Digest::of(&n.to_le_bytes());
    let bytes = async |of: &Namespace| store.modules().module_bytes(of).await.unwrap();
    let many: Vec<(Digest, u64)> = (0..450).map(|n| (digest(n), 10)).collect();
    let changes = async |of: &Namespace| store.revisions().revision(Some(of), Subject::Modules).await.unwrap();
    store.modules().modules_note(&one, &many, Timestamp(100)).await.unwrap();
    store.modules().modules_note(&one, &[], Timestamp(100)).await.unwrap();
    store
        .modules()
        .modules_note(&other, &many[..1], Timestamp(200))
        .await
        .unwrap();
    assert_eq!((bytes(&one).await, bytes(&other).await), (4_500, 10));
    let before = (changes(&one).await, changes(&other).await);
    assert!(before.0 > 0 && before.1 > 0);
    let (older, newer) = ([(digest(0), 99)], [(digest(1), 20)]);
    store.modules().modules_note(&one, &older, Timestamp(99)).await.unwrap();
    store
        .modules()
        .modules_note(&one, &newer, Timestamp(101))
        .await
        .unwrap();
    assert_eq!(bytes(&one).await, 4_510, "what was seen last counts");
    assert_eq!(changes(&one).await, before.0, "to be seen again is no change");
    store.modules().module_forget(&one, digest(0)).await.unwrap();
    store.modules().module_forget(&one, digest(0)).await.unwrap();
    assert_eq!((bytes(&one).await, bytes(&other).await), (4_500, 10));
    assert!(changes(&one).await > before.0);
    let before = (changes(&one).await, changes(&other).await);
    assert_eq!(store.modules().modules_forget(Timestamp(101)).await.unwrap(), 448);
    assert_eq!((bytes(&one).await, bytes(&other).await), (20, 10));
    assert_eq!((changes(&one).await, changes(&other).await), (before.0 + 1, before.1));
}

/// Namespaces take turns, however many runs each has.
async fn turns(store: &impl Store) {
    let (many, few) = (namespace("turns-1"), namespace("turns-2"));
    let mut of_many = Vec::new();
    for _ in 0..5 {
        of_many.push(create(store, &many, Duration::ZERO, None).await.run);
    }
    // Those of one millisecond are in no order.
    of_many.sort();
    let begun = create(store, &many, LONG, None).await;
    store
        .run_append(&begun, &[note(begun.run, 2)], None, None)
        .await
        .unwrap();
    store.lease_release(&begun).await.unwrap();
    let of_few = create(store, &few, Duration::ZERO, None).await.run;
    let expired = async |full: &[Namespace]| {
        let rows = store.runs_expired(full, 1_000).await.unwrap();
        let of_these = rows.into_iter().map(|row| row.run);
        of_these
            .filter(|run| of_many.contains(run) || *run == of_few || *run == begun.run)
            .collect::<Vec<RunId>>()
    };
    let sorted = |mut runs: Vec<RunId>| {
        runs.sort();
        runs
    };
    let all = expired(&[]).await;
    assert_eq!(sorted(all[..2].to_vec()), sorted(vec![of_many[0], of_few]));
    assert_eq!(all.len(), 7);
    let left = expired(std::slice::from_ref(&many)).await;
    assert_eq!(
        sorted(left),
        sorted(vec![begun.run, of_few]),
        "what was begun is not kept waiting"
    );
    store.run_request_cancel(of_many[3], "somebody").await.unwrap();
    let left = expired(std::slice::from_ref(&many)).await;
    let expected = sorted(vec![of_many[3], begun.run, of_few]);
    assert_eq!(sorted(left), expected, "what is to be cancelled waits for no room");
}
