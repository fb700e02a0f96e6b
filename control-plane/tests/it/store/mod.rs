//! What every store does, whatever it is made of.

mod identity;
mod interleavings;
mod pipelines;
mod postgres;
mod processes;
mod quotas;
mod searches;
mod sqlite;

use std::time::Duration;

use weir_control_plane::store::{Acquired, Created, Error, Lease, Renewal, RunFilter, RunSummary, Store};
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
    let created = store
        .run_create(run, &submission(), &[submitted(run)], owner, ttl, None)
        .await;
    match created.unwrap() {
        Created::Lease(lease) => lease,
        existing => panic!("the run is new: {existing:?}"),
    }
}

fn running() -> RunSummary {
    RunSummary {
        phase: RunPhase::Running,
        outcome: None,
        reason: None,
        finished_at: None,
        restart_at: None,
        expires_at: None,
        stages: 0,
        stages_done: 0,
        tasks: 0,
        tasks_done: 0,
        tasks_waiting: 0,
        tasks_running: 0,
        tasks_sent: 0,
    }
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Fenced { .. }))
}

/// The behaviour that the control plane relies on.
pub(crate) async fn suite(store: impl Store) {
    logs(&store).await;
    pages(&store).await;
    rows(&store).await;
    leases(&store).await;
    fences(&store).await;
    lists(&store).await;
    searches::suite(&store).await;
    processes::suite(&store).await;
    quotas::suite(&store).await;
    requests(&store).await;
    endings(&store).await;
    cancellations(&store).await;
    identity::suite(&store).await;
    pipelines::suite(&store).await;
}

/// Whole logs are read in pages of so many bytes.
async fn pages(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let run = lease.run;
    let event = |seq: u64, bytes: usize| {
        let by = "✓".repeat(bytes / 3);
        record(run, seq, Event::CancelRequested { by })
    };
    let sizes = [10, 10, 300_000, 10, 2_000_000, 2_000_000, 10];
    let events: Vec<_> = (2..).zip(sizes).map(|(seq, bytes)| event(seq, bytes)).collect();
    store.run_append(&lease, &events, None, None).await.unwrap();
    let mut all = vec![submitted(run)];
    all.extend(events);
    let page = async |after, bytes| {
        let page = store.run_events_page(run, after, bytes).await.unwrap();
        let seqs: Vec<u64> = page.records.iter().map(|record| record.seq).collect();
        let expected = &all[after as usize..after as usize + seqs.len()];
        assert_eq!(page.records, expected);
        (seqs.last().copied(), page.complete)
    };
    assert_eq!(page(0, u64::MAX).await, (Some(8), true));
    assert_eq!(
        page(1, 100_000).await,
        (Some(4), false),
        "up to the one that is too much"
    );
    assert_eq!(page(4, 100_000).await, (Some(6), false));
    assert_eq!(page(6, 100_000).await, (Some(7), false), "one at least");
    assert_eq!(page(7, 100_000).await, (Some(8), true));
    assert_eq!(page(8, 100_000).await, (None, true));
    assert_eq!(page(4, 2_100_000).await, (Some(7), false));
    assert_eq!(page(0, 1).await, (Some(1), false));
    let nobody = store.run_events_page(clock::new_run_id(), 0, 100).await.unwrap();
    assert_eq!((nobody.records, nobody.complete), (Vec::new(), true));

    // Many that are small.
    let many = create(store, "a", LONG).await;
    for seqs in [2..3_001, 3_001..6_001] {
        let events: Vec<_> = seqs.map(|seq| note(many.run, seq)).collect();
        store.run_append(&many, &events, None, None).await.unwrap();
    }
    let first = store.run_events_page(many.run, 0, u64::MAX).await.unwrap();
    assert!(!first.complete && first.records.len() < 6_000);
    let after = first.records.last().unwrap().seq;
    let rest = store.run_events_page(many.run, after, u64::MAX).await.unwrap();
    assert!(rest.complete);
    assert_eq!(first.records.len() + rest.records.len(), 6_000);
}

async fn logs(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let run = lease.run;
    let again = async |owner| {
        store
            .run_create(run, &submission(), &[submitted(run)], owner, LONG, None)
            .await
    };
    assert!(matches!(again("b").await, Err(Error::Exists { .. })));
    assert_eq!(
        again("a").await.unwrap(),
        Created::Lease(lease.clone()),
        "a create whose answer was lost may be repeated"
    );

    let many: Vec<_> = (2..=200).map(|seq| note(run, seq)).collect();
    store.run_append(&lease, &many, None, None).await.unwrap();
    store
        .run_append(&lease, &many, None, None)
        .await
        .expect("an append whose answer was lost may be repeated");
    store.run_append(&lease, &[note(run, 201)], None, None).await.unwrap();
    let read = store.run_events(run, 0, 1_000).await.unwrap();
    assert_eq!(read[0], submitted(run));
    assert_eq!(read[1..200], many);
    assert_eq!(
        store.run_events(run, 198, 2).await.unwrap(),
        [note(run, 199), note(run, 200)]
    );
    assert_eq!(store.run_events(run, 201, 2).await.unwrap(), []);
    assert_eq!(store.run_get(run).await.unwrap().unwrap().last_seq, 201);
    assert!(matches!(again("a").await, Err(Error::Exists { .. })), "it went on");

    store
        .run_append(&lease, &[note(run, 202)], None, Some(7))
        .await
        .unwrap();
    store.run_append(&lease, &[], None, Some(5)).await.unwrap();
    let row = store.run_get(run).await.unwrap().unwrap();
    assert_eq!((row.last_seq, row.dispatched_seq), (202, 7), "it only grows");
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
            task: None,
        }),
        finished_at: Some(Timestamp(9)),
        restart_at: None,
        expires_at: None,
        stages: 5,
        stages_done: 4,
        tasks: 3,
        tasks_done: 2,
        tasks_waiting: 1,
        tasks_running: 6,
        tasks_sent: 9,
    };
    assert!(store.run_request_cancel(lease.run, "ann").await.unwrap());
    store.run_append(&lease, &[], Some(&summary), None).await.unwrap();
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
        pause_requested_by: None,
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
        pause_requested_by: None,
    });
    assert_eq!(
        store.lease_renew(&[lease, second.clone()], LONG).await.unwrap(),
        [None, asked]
    );

    store.run_cleaned(&second, 0).await.unwrap();
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
        .run_append(&first, &[note(run, 2)], None, None)
        .await
        .expect("nobody has taken the run yet");
    let Acquired::Lease(second) = store.lease_acquire(run, "b", LONG).await.unwrap() else {
        panic!("a lease that has run out can be taken");
    };
    assert!(is_fenced(store.run_append(&first, &[note(run, 3)], None, None).await));
    assert!(
        is_fenced(store.run_append(&first, &[note(run, 2)], None, None).await),
        "not even what is there already"
    );
    assert!(is_fenced(store.run_cleaned(&first, 0).await));
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 4)], None, None).await),
        "a gap"
    );
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 1)], None, None).await),
        "the past"
    );
    store.run_append(&second, &[note(run, 3)], None, None).await.unwrap();
    assert!(is_fenced(store.run_append(&first, &[], Some(&running()), None).await));
    let row = store.run_get(run).await.unwrap().unwrap();
    assert_eq!((row.summary.phase, row.last_seq), (RunPhase::Planning, 3));

    store.lease_release(&second).await.unwrap();
    assert!(
        is_fenced(store.run_append(&second, &[note(run, 4)], None, None).await),
        "a released lease is no lease"
    );
}

async fn lists(store: &impl Store) {
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(create(store, "a", LONG).await);
    }
    runs.sort_by_key(|lease| lease.run);
    store.run_cleaned(&runs[1], 0).await.unwrap();
    let unfinished = store.runs_unfinished(None, 1_000).await.unwrap();
    assert!(unfinished.is_sorted_by_key(|row| row.run));
    let found = |lease: &Lease| unfinished.iter().any(|row| row.run == lease.run);
    assert_eq!(runs.iter().map(found).collect::<Vec<_>>(), [true, false, true]);
    let after = store.runs_unfinished(Some(runs[0].run), 1).await.unwrap();
    assert!(after.len() == 1 && after[0].run > runs[0].run);

    let all = store.run_list(&RunFilter::default(), None, 1_000).await.unwrap().rows;
    assert!(all.is_sorted_by_key(|row| std::cmp::Reverse(row.run)));
    let failed = RunFilter {
        outcome: Some(RunOutcome::Failed),
        phase: Some(RunPhase::Finished),
        namespace: Some(Default::default()),
        ..RunFilter::default()
    };
    assert_eq!(store.run_list(&failed, None, 1_000).await.unwrap().rows.len(), 1);
    let elsewhere = RunFilter {
        namespace: Some("elsewhere".parse().unwrap()),
        ..RunFilter::default()
    };
    assert_eq!(store.run_list(&elsewhere, None, 1_000).await.unwrap().rows, []);
}

async fn requests(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let renewed = async || {
        let renewals = store.lease_renew(std::slice::from_ref(&lease), LONG).await.unwrap();
        renewals[0].clone().expect("it is ours").pause_requested_by
    };
    assert_eq!(renewed().await, None);
    assert!(store.run_request_pause(lease.run, Some("ada")).await.unwrap());
    assert_eq!(renewed().await.as_deref(), Some("ada"));
    let row = store.run_get(lease.run).await.unwrap().unwrap();
    assert_eq!(row.pause_requested_by.as_deref(), Some("ada"));
    assert!(store.run_request_pause(lease.run, None).await.unwrap());
    assert_eq!(renewed().await, None);
    let nobody = clock::new_run_id();
    assert!(!store.run_request_pause(nobody, Some("ada")).await.unwrap());
}

/// Runs that are over are tried again and forgotten at their times.
async fn endings(store: &impl Store) {
    let lease = create(store, "a", LONG).await;
    let run = lease.run;
    let over = RunSummary {
        phase: RunPhase::Finished,
        outcome: Some(RunOutcome::Failed),
        finished_at: Some(Timestamp(4_000)),
        restart_at: Some(Timestamp(5_000)),
        expires_at: Some(Timestamp(6_000)),
        ..running()
    };
    store
        .run_append(&lease, &[note(run, 2)], Some(&over), None)
        .await
        .unwrap();
    let due = async |now| -> Vec<RunId> {
        let rows = store.runs_to_restart(Timestamp(now), 100).await.unwrap();
        rows.into_iter().map(|row| row.run).filter(|due| *due == run).collect()
    };
    let expired = async |now| -> Vec<RunId> {
        let runs = store.runs_to_forget(Timestamp(now), None, 100).await.unwrap();
        runs.into_iter().filter(|expired| *expired == run).collect()
    };
    assert!(!store.run_request_pause(run, Some("ada")).await.unwrap(), "it is over");
    assert_eq!(due(4_999).await, []);
    assert_eq!(due(5_000).await, [run]);
    assert!(store.run_set_restart(run, Some(Timestamp(7_000))).await.unwrap());
    assert_eq!(due(6_999).await, []);
    assert_eq!(expired(9_000).await, [], "its objects are not deleted");
    store.run_cleaned(&lease, 0).await.unwrap();
    assert_eq!(expired(9_000).await, [], "it is to be tried again first");
    assert!(store.run_set_restart(run, None).await.unwrap());
    assert!(!store.run_set_restart(run, Some(Timestamp(7_000))).await.unwrap());
    assert_eq!(
        due(9_000).await,
        [],
        "once it was tried again it is not tried once more"
    );
    assert_eq!(store.run_get(run).await.unwrap().unwrap().summary.restart_at, None);
    assert_eq!(expired(5_999).await, []);
    assert_eq!(expired(6_000).await, [run]);
    let later = store.runs_to_forget(Timestamp(6_000), Some(run), 100).await.unwrap();
    assert!(!later.contains(&run), "those after it");
}

/// Who cancels a run does not want it to be tried again.
async fn cancellations(store: &impl Store) {
    let over = RunSummary {
        phase: RunPhase::Finished,
        outcome: Some(RunOutcome::Failed),
        finished_at: Some(Timestamp(4_000)),
        restart_at: Some(Timestamp(5_000)),
        ..running()
    };
    let restart_at = async |run| store.run_get(run).await.unwrap().unwrap().summary.restart_at;
    let (before, after) = (create(store, "a", LONG).await, create(store, "a", LONG).await);

    // Cancelled when it was about to end for another reason.
    assert!(store.run_request_cancel(before.run, "ada").await.unwrap());
    store.run_append(&before, &[], Some(&over), None).await.unwrap();
    assert_eq!(restart_at(before.run).await, None);
    assert!(
        !store.run_request_cancel(before.run, "ada").await.unwrap(),
        "it is over"
    );

    // Cancelled while it waits to be tried again.
    store.run_append(&after, &[], Some(&over), None).await.unwrap();
    assert_eq!(restart_at(after.run).await, Some(Timestamp(5_000)));
    assert!(store.run_request_cancel(after.run, "ada").await.unwrap());
    assert_eq!(restart_at(after.run).await, None);
    assert!(!store.run_set_restart(after.run, Some(Timestamp(7_000))).await.unwrap());
    assert!(!store.run_request_cancel(after.run, "ada").await.unwrap(), "it is over");
    let row = store.run_get(after.run).await.unwrap().unwrap();
    assert_eq!(row.cancel_requested_by.as_deref(), Some("ada"));
    let due = store.runs_to_restart(Timestamp(9_000), 100).await.unwrap();
    assert!(due.iter().all(|row| row.run != before.run && row.run != after.run));
}
