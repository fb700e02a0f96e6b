//! What every store does, whatever it is made of.

use std::time::Duration;

use weir_control_plane::store::{
    Acquired, Durability, Error, Lease, Renewal, RunFilter, RunSummary, SqliteStore, Store,
};
use weir_model::{Event, EventRecord, Reason, RunId, RunOutcome, RunPhase, Timestamp};
use weir_platform::clock;

use crate::script::submission;

const LONG: Duration = Duration::from_secs(3_600);

fn record(run: RunId, seq: u64, event: Event) -> EventRecord {
    EventRecord {
        run,
        seq,
        at: Timestamp(1_000 + seq),
        event,
    }
}

fn submitted(run: RunId) -> EventRecord {
    let submission = Box::new(submission());
    record(run, 1, Event::Submitted { submission })
}

fn note(run: RunId, seq: u64) -> EventRecord {
    record(
        run,
        seq,
        Event::CancelRequested {
            by: format!("event {seq}, \"quoted\" 'twice' ✓"),
        },
    )
}

async fn create(store: &impl Store, owner: &str, ttl: Duration) -> Lease {
    let run = clock::new_run_id();
    store
        .run_create(run, &submission(), &[submitted(run)], owner, ttl)
        .await
        .unwrap()
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Fenced { .. }))
}

/// The behaviour that the control plane relies on.
pub(crate) async fn suite(store: impl Store) {
    logs(&store).await;
    rows(&store).await;
    leases(&store).await;
    fences(&store).await;
    lists(&store).await;
}

async fn logs(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let run = lease.run;
    let again = store.run_create(run, &submission(), &[submitted(run)], "b", LONG).await;
    assert!(matches!(again, Err(Error::Exists { .. })));

    let many: Vec<_> = (2..=200).map(|seq| note(run, seq)).collect();
    store.run_append(&lease, &many, None).await.unwrap();
    store
        .run_append(&lease, &many, None)
        .await
        .expect("an append whose answer was lost may be repeated");
    store.run_append(&lease, &[note(run, 201)], None).await.unwrap();
    let read = store.run_events(run, 0, 1_000).await.unwrap();
    assert_eq!(read[0], submitted(run));
    assert_eq!(read[1..200], many);
    assert_eq!(
        store.run_events(run, 198, 2).await.unwrap(),
        [note(run, 199), note(run, 200)]
    );
    assert_eq!(store.run_events(run, 201, 2).await.unwrap(), []);
    assert_eq!(store.run_get(run).await.unwrap().unwrap().last_seq, 201);
}

async fn rows(store: &impl Store) {
    assert_eq!(store.run_get(clock::new_run_id()).await.unwrap(), None);
    let lease = create(store, "the owner", LONG).await;
    let row = store.run_get(lease.run).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.namespace.as_str()), ("sums", "default"));
    assert_eq!((row.summary.phase, row.summary.outcome), (RunPhase::Planning, None));
    assert_eq!((row.created_at, row.last_seq), (Timestamp(1_001), 1));
    assert_eq!(row.owner.as_deref(), Some("the owner"));

    let summary = RunSummary {
        phase: RunPhase::Finished,
        outcome: Some(RunOutcome::Failed),
        reason: Some(Reason {
            code: "c".into(),
            message: "m".into(),
            retryable: true,
        }),
        finished_at: Some(Timestamp(9)),
        stages: 5,
        stages_done: 4,
        tasks: 3,
        tasks_done: 2,
    };
    assert!(store.run_request_cancel(lease.run, "ann").await.unwrap());
    store.run_append(&lease, &[], Some(&summary)).await.unwrap();
    let row = store.run_get(lease.run).await.unwrap().unwrap();
    assert_eq!(row.summary, summary);
    assert_eq!(row.cancel_requested_by.as_deref(), Some("ann"));
    assert!(!store.run_request_cancel(lease.run, "bob").await.unwrap(), "it is over");
    assert!(!store.run_request_cancel(clock::new_run_id(), "bob").await.unwrap());
}

async fn leases(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let run = lease.run;
    assert!(matches!(
        store.lease_acquire(run, "b", LONG).await.unwrap(),
        Acquired::Held { owner, .. } if owner == "a"
    ));
    assert!(
        store
            .lease_renew(std::slice::from_ref(&lease), Duration::ZERO)
            .await
            .unwrap()[0]
            .is_some()
    );
    let nobody_asked = Some(Renewal {
        cancel_requested_by: None,
    });
    let renewed = store.lease_renew(std::slice::from_ref(&lease), LONG).await.unwrap();
    assert_eq!(
        renewed,
        [nobody_asked],
        "a lease that has run out is renewed when nobody has taken it"
    );
    assert!(matches!(
        store.lease_acquire(run, "b", LONG).await.unwrap(),
        Acquired::Held { .. }
    ));

    store.lease_release(&lease).await.unwrap();
    let Acquired::Lease(second) = store.lease_acquire(run, "b", LONG).await.unwrap() else {
        panic!("a released run can be taken");
    };
    assert!(second.epoch > lease.epoch);
    store
        .lease_release(&lease)
        .await
        .expect("a lease that is lost is released without effect");
    store.run_request_cancel(run, "ann").await.unwrap();
    let asked = Some(Renewal {
        cancel_requested_by: Some("ann".into()),
    });
    assert_eq!(
        store.lease_renew(&[lease, second.clone()], LONG).await.unwrap(),
        [None, asked]
    );

    store.run_cleaned(&second).await.unwrap();
    assert_eq!(store.lease_acquire(run, "c", LONG).await.unwrap(), Acquired::Nothing);
    assert_eq!(
        store.lease_acquire(clock::new_run_id(), "c", LONG).await.unwrap(),
        Acquired::Nothing
    );
}

async fn fences(store: &impl Store) {
    let first = create(store, "a", Duration::ZERO).await;
    let run = first.run;
    store
        .run_append(&first, &[note(run, 2)], None)
        .await
        .expect("nobody has taken the run yet");
    let Acquired::Lease(second) = store.lease_acquire(run, "b", LONG).await.unwrap() else {
        panic!("a lease that has run out can be taken");
    };
    assert!(is_fenced(store.run_append(&first, &[note(run, 3)], None).await));
    assert!(
        is_fenced(store.run_append(&first, &[note(run, 2)], None).await),
        "not even what is there already"
    );
    assert!(is_fenced(store.run_cleaned(&first).await));
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 4)], None).await),
        "a gap"
    );
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 1)], None).await),
        "the past"
    );
    store.run_append(&second, &[note(run, 3)], None).await.unwrap();
    let summary = RunSummary {
        phase: RunPhase::Running,
        outcome: None,
        reason: None,
        finished_at: None,
        stages: 0,
        stages_done: 0,
        tasks: 0,
        tasks_done: 0,
    };
    assert!(is_fenced(store.run_append(&first, &[], Some(&summary)).await));
    let row = store.run_get(run).await.unwrap().unwrap();
    assert_eq!((row.summary.phase, row.last_seq), (RunPhase::Planning, 3));

    store.lease_release(&second).await.unwrap();
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 4)], None).await),
        "a released lease is no lease"
    );
}

async fn lists(store: &impl Store) {
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(create(store, "a", LONG).await);
    }
    runs.sort_by_key(|lease| lease.run);
    store.run_cleaned(&runs[1]).await.unwrap();
    let unfinished = store.runs_unfinished(None, 1_000).await.unwrap();
    assert!(unfinished.is_sorted_by_key(|row| row.run));
    let found = |lease: &Lease| unfinished.iter().any(|row| row.run == lease.run);
    assert_eq!(runs.iter().map(found).collect::<Vec<_>>(), [true, false, true]);
    let after = store.runs_unfinished(Some(runs[0].run), 1).await.unwrap();
    assert!(after.len() == 1 && after[0].run > runs[0].run);

    let all = store.run_list(&RunFilter::default(), None, 1_000).await.unwrap();
    assert!(all.is_sorted_by_key(|row| std::cmp::Reverse(row.run)));
    let failed = RunFilter {
        outcome: Some(RunOutcome::Failed),
        phase: Some(RunPhase::Finished),
        namespace: Some(Default::default()),
        ..RunFilter::default()
    };
    assert_eq!(store.run_list(&failed, None, 1_000).await.unwrap().len(), 1);
    let elsewhere = RunFilter {
        namespace: Some("elsewhere".parse().unwrap()),
        ..RunFilter::default()
    };
    assert_eq!(store.run_list(&elsewhere, None, 1_000).await.unwrap(), []);
}

#[tokio::test]
async fn sqlite() {
    for durability in [Durability::Process, Durability::Power] {
        let dir = tempfile::tempdir().unwrap();
        suite(
            SqliteStore::open(&dir.path().join("runs.db"), durability)
                .await
                .unwrap(),
        )
        .await;
    }
}

#[tokio::test]
async fn many_processes_open_one_new_sqlite_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let opening = (0..8).map(|_| {
        let path = path.clone();
        tokio::spawn(async move { SqliteStore::open(&path, Durability::Process).await })
    });
    let mut stores = Vec::new();
    for store in opening.collect::<Vec<_>>() {
        stores.push(store.await.unwrap().unwrap());
    }
    let lease = create(&stores[0], "a", LONG).await;
    for store in &stores {
        assert!(store.run_get(lease.run).await.unwrap().is_some());
    }
    let writing = stores.iter().map(|store| create(store, "a", LONG));
    assert_eq!(futures::future::join_all(writing).await.len(), 8);
}

#[tokio::test]
async fn the_runs_of_a_dead_process_can_be_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let (dying, living) = (
        SqliteStore::open(&path, Durability::Process).await.unwrap(),
        SqliteStore::open(&path, Durability::Process).await.unwrap(),
    );
    let run = create(&dying, "dying", LONG).await.run;
    assert!(matches!(
        living.lease_acquire(run, "living", LONG).await.unwrap(),
        Acquired::Held { .. }
    ));
    // As when the system closes the files of a killed process: the lock is free, and the file is still there.
    let owners = dir.path().join("runs.db-owners");
    let tokens = || {
        std::fs::read_dir(&owners)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let before = tokens();
    drop(dying);
    let left = crate::kit::eventually("its writer ends", async || {
        let now = tokens();
        before.iter().find(|path| !now.contains(path)).cloned()
    })
    .await;
    assert!(matches!(
        living.lease_acquire(run, "living", LONG).await.unwrap(),
        Acquired::Held { .. }
    ));
    std::fs::File::create(left).unwrap();
    assert!(matches!(
        living.lease_acquire(run, "living", LONG).await.unwrap(),
        Acquired::Lease(_)
    ));
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let store = SqliteStore::open(&path, Durability::Process).await.unwrap();
    let run = create(&store, "a", LONG).await.run;
    let pool = sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("UPDATE run_events SET payload = '{\"type\":\"from_the_future\"}'")
        .execute(&pool)
        .await
        .unwrap();
    let error = store.run_events(run, 0, 10).await.unwrap_err();
    assert!(error.to_string().contains(&run.to_string()), "{error}");
}
