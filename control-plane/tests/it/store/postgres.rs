//! A Postgres database, and several processes over it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use weir_control_plane::store::{
    Acquired, Change, Error, ForwardedReport, Lease, PasswordSource, PostgresOptions, PostgresStore, RunSummary,
    SchemaVersion, Store,
};
use weir_model::{Event, RunId, RunPhase};
use weir_testkit::Postgres;

use super::processes::heard;
use super::{LONG, create, interleavings, is_fenced, note, record, running, searches, suite};
use crate::kit::{PATIENCE, eventually};

/// A new database with tables, and processes that use it.
async fn stores<const N: usize>(postgres: &Postgres) -> [PostgresStore; N] {
    let url = postgres.database().await;
    connected(&url).await.migrate().await.unwrap();
    let mut stores = Vec::new();
    for _ in 0..N {
        stores.push(connected(&url).await);
    }
    stores.try_into().unwrap_or_else(|_| unreachable!("there are as many"))
}

async fn connected(url: &str) -> PostgresStore {
    PostgresStore::connect(&PostgresOptions::new(url)).await.unwrap()
}

#[tokio::test]
async fn a_postgres_database_is_a_store() {
    let [store] = stores(Postgres::shared().await).await;
    suite(store).await;
}

#[tokio::test]
async fn many_processes_bring_a_new_database_up_to_date_at_once() {
    let url = Postgres::shared().await.database().await;
    let stores = futures::future::join_all((0..8).map(|_| connected(&url))).await;
    let before = stores[0].schema_version().await.unwrap();
    assert_eq!(before.found, 0);
    let refused = before.check().unwrap_err();
    assert!(refused.to_string().contains("weir migrate"), "{refused}");

    let migrating = stores.iter().map(|store| store.migrate());
    for migrated in futures::future::join_all(migrating).await {
        let SchemaVersion { found, wanted } = migrated.unwrap();
        assert_eq!(found, wanted);
    }
    create(&stores[7], "a", LONG).await;
    let again = stores[0].migrate().await.unwrap();
    assert_eq!(stores[0].schema_version().await.unwrap(), again);
    again.check().unwrap();

    // As after an upgrade of another process.
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT version + 1, 'from the future', true, '', 0 FROM _sqlx_migrations ORDER BY version DESC LIMIT 1",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let newer = stores[1].migrate().await.unwrap();
    assert_eq!((newer.found, newer.wanted), (again.found + 1, again.wanted));
    newer.check().unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_told_from_one_that_refuses() {
    let url = Postgres::shared().await.database().await;
    let nobody = url.replace("127.0.0.1", "127.0.0.2");
    for away in [nobody.as_str(), "postgres://u@127.0.0.1:1/d"] {
        let error = PostgresStore::connect(&PostgresOptions::new(away)).await.err().unwrap();
        assert!(
            matches!(error, Error::Unavailable { .. }) && error.is_transient(),
            "{error:?}"
        );
    }
    let empty = connected(&url).await;
    let error = empty.runs_expired(&[], 1).await.unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "it has no tables: {error:?}");
    let wrong = PostgresStore::connect(&PostgresOptions::new("mysql://h/d")).await;
    assert!(matches!(wrong.err(), Some(Error::Database { .. })));
}

#[tokio::test]
async fn a_zombie_writes_nothing_and_its_batch_mates_are_not_harmed() {
    let [zombie, heir] = stores(Postgres::shared().await).await;
    let mut leases = Vec::new();
    for _ in 0..20 {
        leases.push(create(&zombie, "zombie", LONG).await);
    }
    let lost: HashSet<RunId> = leases.iter().step_by(3).map(|lease| lease.run).collect();
    for run in &lost {
        // As if the zombie had slept for longer than its lease.
        let lease = Lease { run: *run, epoch: 1 };
        zombie.lease_renew(&[lease], Duration::ZERO).await.unwrap();
        let taken = heir.lease_acquire(*run, "heir", LONG).await.unwrap();
        assert_eq!(taken, Acquired::Lease(Lease { run: *run, epoch: 2 }));
    }
    let done = RunSummary {
        phase: RunPhase::Finished,
        ..running()
    };
    // Asked for together, they share transactions.
    let appending = leases.iter().map(async |lease| {
        let events = [note(lease.run, 2)];
        (lease.run, zombie.run_append(lease, &events, Some(&done), Some(2)).await)
    });
    for (run, appended) in futures::future::join_all(appending).await {
        assert_eq!(is_fenced(appended), lost.contains(&run));
        let row = heir.run_get(run).await.unwrap().unwrap();
        let expected = if lost.contains(&run) {
            (1, 0, RunPhase::Planning)
        } else {
            (2, 2, RunPhase::Finished)
        };
        assert_eq!((row.last_seq, row.dispatched_seq, row.summary.phase), expected);
        assert_eq!(heir.run_events(run, 0, 10).await.unwrap().len() as u64, row.last_seq);
    }
    let renewed = zombie.lease_renew(&leases, LONG).await.unwrap();
    for (lease, renewal) in leases.iter().zip(renewed) {
        assert_eq!(renewal.is_none(), lost.contains(&lease.run));
    }
}

#[tokio::test]
async fn one_of_many_takes_a_run_over() {
    let stores: [_; 4] = stores(Postgres::shared().await).await;
    for round in 0..10 {
        let lease = create(&stores[0], "dead", Duration::ZERO).await;
        let names: Vec<String> = (0..12).map(|n| format!("heir {round}.{n}")).collect();
        let taking = names.iter().zip(stores.iter().cycle());
        let taking = taking.map(|(name, store)| store.lease_acquire(lease.run, name, LONG));
        let mut winners = Vec::new();
        for acquired in futures::future::join_all(taking).await {
            match acquired.unwrap() {
                Acquired::Lease(lease) => winners.push(lease),
                Acquired::Held { owner, .. } => assert!(names.contains(&owner)),
                Acquired::Nothing => panic!("there is such a run"),
            }
        }
        let run = lease.run;
        assert_eq!(winners, [Lease { run, epoch: 2 }]);
    }
}

#[tokio::test]
async fn many_writes_of_one_run_keep_their_order() {
    let [store] = stores(Postgres::shared().await).await;
    let lease = create(&store, "a", LONG).await;
    // All at once: they meet in few batches, and each must follow the one before.
    let batches: Vec<_> = (0..100)
        .map(|n| [note(lease.run, 2 + 2 * n), note(lease.run, 3 + 2 * n)])
        .collect();
    let writing = batches
        .iter()
        .map(|events| store.run_append(&lease, events, None, None));
    for written in futures::future::join_all(writing).await {
        written.unwrap();
    }
    let events = store.run_events(lease.run, 1, 1_000).await.unwrap();
    assert_eq!(events, batches.concat());
}

#[tokio::test]
async fn large_appends_are_written_whole() {
    let [store] = stores(Postgres::shared().await).await;
    let leases = futures::future::join_all((0..8).map(|_| create(&store, "a", LONG))).await;
    let appending = leases.iter().map(async |lease| {
        let by = "x".repeat(100_000);
        let large = |seq| record(lease.run, seq, Event::CancelRequested { by: by.clone() });
        let events: Vec<_> = (2..22).map(large).collect();
        store.run_append(lease, &events, None, None).await.unwrap();
        assert_eq!(store.run_events(lease.run, 1, 100).await.unwrap(), events);
    });
    futures::future::join_all(appending).await;
}

#[tokio::test]
async fn processes_hear_of_each_other() {
    let [writer, listener] = stores(Postgres::shared().await).await;
    let mut changes = listener.changes();
    // From when its connection is there, no poll is needed.
    heard(&mut changes, &Change::Anything).await;
    let lease = create(&writer, "an owner (1)", LONG).await;
    let run = lease.run;
    assert!(listener.run_request_cancel(run, "ann").await.unwrap());
    heard(&mut changes, &Change::Cancel(run)).await;
    let report = ForwardedReport { run, body: "r".into() };
    writer.reports_forward(&[report]).await.unwrap();
    let owner = "an owner (1)".into();
    heard(&mut changes, &Change::Reports { owner }).await;
    // Many in one batch, and only what moved.
    let leases = futures::future::join_all((0..50).map(|_| create(&writer, "b", LONG))).await;
    let summary = running();
    let appending = leases
        .iter()
        .map(|lease| writer.run_append(lease, &[], Some(&summary), None));
    futures::future::join_all(appending).await;
    let mut left: HashSet<RunId> = leases.iter().map(|lease| lease.run).collect();
    let hearing = async {
        while !left.is_empty() {
            if let Change::Run(run) = changes.next().await {
                left.remove(&run);
            }
        }
    };
    tokio::time::timeout(PATIENCE, hearing).await.expect("all are heard of");
    writer
        .run_append(&lease, &[note(run, 2)], Some(&summary), None)
        .await
        .unwrap();
    heard(&mut changes, &Change::Run(run)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_owners_interleave_a_log_in_postgres_is_a_chain() {
    interleavings::check(stores(Postgres::shared().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_under_load_loses_nothing_and_the_store_recovers() {
    const RUNS: u32 = 16;
    let postgres = Postgres::start().await;
    let [store] = stores(&postgres).await;
    let mut changes = store.changes();
    let written = Arc::new(AtomicU32::new(0));
    let trouble = Arc::new(AtomicU32::new(0));
    let stop = tokio_util::sync::CancellationToken::new();
    let mut owners = Vec::new();
    for _ in 0..RUNS {
        let lease = create(&store, "a", LONG).await;
        let (store, written, trouble, stop) = (store.clone(), written.clone(), trouble.clone(), stop.clone());
        owners.push(tokio::spawn(async move {
            let mut seq = 1;
            while !stop.is_cancelled() {
                seq += 1;
                // As a driver does: until it is known to be written.
                while let Err(error) = store.run_append(&lease, &[note(lease.run, seq)], None, Some(seq)).await {
                    assert!(error.is_transient(), "{error:?}");
                    trouble.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                written.fetch_add(1, Ordering::Relaxed);
            }
            (lease, seq)
        }));
    }
    for _ in 0..3 {
        let (before, trouble_before) = (written.load(Ordering::Relaxed), trouble.load(Ordering::Relaxed));
        let more = |by| (written.load(Ordering::Relaxed) >= before + by).then_some(());
        eventually("they write", async || more(200)).await;
        postgres.crash();
        eventually("the crash is noticed", async || {
            (trouble.load(Ordering::Relaxed) > trouble_before).then_some(())
        })
        .await;
        let at_crash = written.load(Ordering::Relaxed);
        eventually("they write again", async || {
            (written.load(Ordering::Relaxed) > at_crash + 200).then_some(())
        })
        .await;
    }
    stop.cancel();
    for owner in owners {
        let (lease, seq) = owner.await.unwrap();
        let log = store.run_events(lease.run, 0, 1_000_000).await.unwrap();
        assert_eq!(log[1..], (2..=seq).map(|seq| note(lease.run, seq)).collect::<Vec<_>>());
        assert_eq!(store.run_get(lease.run).await.unwrap().unwrap().dispatched_seq, seq);
    }
    // The listener is back as well.
    let lease = create(&store, "b", LONG).await;
    eventually("it hears of changes again", async || {
        store.run_request_cancel(lease.run, "ann").await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(100), async {
            while changes.next().await != Change::Cancel(lease.run) {}
        });
        next.await.ok()
    })
    .await;
}

#[tokio::test]
async fn appends_and_renewals_touch_no_index() {
    let url = Postgres::shared().await.database().await;
    connected(&url).await.migrate().await.unwrap();
    let store = connected(&url).await;
    let lease = create(&store, "a", LONG).await;
    for seq in 2..=200 {
        let (events, summary) = ([note(lease.run, seq)], running());
        store
            .run_append(&lease, &events, Some(&summary), Some(seq))
            .await
            .unwrap();
        store.lease_renew(std::slice::from_ref(&lease), LONG).await.unwrap();
    }
    // Backends give their counts away when they end, if not before.
    drop(store);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let updates = "SELECT sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint FROM pg_stat_user_tables \
                   WHERE relname IN ('runs', 'run_leases')";
    let (all, hot) = eventually("the counts are in", async || {
        let counts: (i64, i64) = sqlx::query_as(updates).fetch_one(&mut connection).await.unwrap();
        (counts.0 >= 590).then_some(counts)
    })
    .await;
    assert!(hot * 10 > all * 9, "{hot} of {all} updates were within their page");
}

/// Counts for how many connections it was asked.
struct Counting(AtomicU32);

#[async_trait]
impl PasswordSource for Counting {
    async fn password(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0..100 => Ok("any".into()),
            _ => Err("no more".into()),
        }
    }
}

#[tokio::test]
async fn passwords_are_made_for_connections() {
    let url = Postgres::shared().await.database().await;
    connected(&url).await.migrate().await.unwrap();
    let source = Arc::new(Counting(AtomicU32::new(0)));
    let options = PostgresOptions {
        password: Some(source.clone()),
        ..PostgresOptions::new(&url)
    };
    let store = PostgresStore::connect(&options).await.unwrap();
    let before = source.0.load(Ordering::SeqCst);
    assert!(before > 0);
    // The connection of a writer is opened when there is something to write.
    create(&store, "a", LONG).await;
    assert!(source.0.load(Ordering::SeqCst) > before);
    source.0.store(100, Ordering::SeqCst);
    let refused = PostgresStore::connect(&options).await.err().unwrap();
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
}

#[tokio::test]
async fn runs_of_an_older_version_are_found() {
    let url = Postgres::shared().await.database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut migrations = sqlx::migrate!("migrations/postgres");
    let old = migrations
        .iter()
        .filter(|migration| migration.version <= searches::BEFORE);
    migrations.migrations = old.cloned().collect::<Vec<_>>().into();
    migrations.run_direct(None, &mut connection, false).await.unwrap();
    for statement in searches::OLD_RUNS {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = connected(&url).await;
    store.migrate().await.unwrap();
    searches::old_runs_are_found(&store).await;
}
