//! An SQLite file.

use sqlx::Connection as _;
use weir_control_plane::store::{Acquired, Durability, SqliteStore, Store};

use super::{LONG, create, interleavings, searches, suite};

#[tokio::test]
async fn an_sqlite_file_is_a_store() {
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

#[tokio::test(flavor = "multi_thread")]
async fn however_owners_interleave_a_log_in_a_file_is_a_chain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let open = async || SqliteStore::open(&path, Durability::Process).await.unwrap();
    interleavings::check([open().await, open().await, open().await]).await;
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

#[tokio::test]
async fn runs_of_an_older_version_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let mut migrations = sqlx::migrate!("migrations/sqlite");
    let old = migrations
        .iter()
        .filter(|migration| migration.version <= searches::BEFORE);
    migrations.migrations = old.cloned().collect::<Vec<_>>().into();
    migrations.run_direct(None, &mut connection, false).await.unwrap();
    for statement in searches::OLD_RUNS {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = SqliteStore::open(&path, Durability::Process).await.unwrap();
    searches::old_runs_are_found(&store).await;
}
