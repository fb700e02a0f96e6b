//! Namespaces, keys, sessions and the audit log.

use std::time::Duration;

use weir_control_plane::identity::{Grant, Role, Secret};
use weir_control_plane::store::{
    AuditFilter, AuditOutcome, AuditRow, IdentityStore, KeyFilter, KeyRow, NamespaceCreation, NamespaceDeletion,
    NamespaceRow, SessionFilter, SessionRow, Store, Subject,
};
use weir_model::{Digest, Namespace, Timestamp};
use weir_platform::clock;

use super::{LONG, create};

pub(super) async fn suite(store: &impl Store) {
    namespaces(store).await;
    keys(store.identities()).await;
    changes(store).await;
    sessions(store.identities()).await;
    listed_sessions(store.identities()).await;
    audit(store.identities()).await;
}

fn named(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn namespace(name: &str) -> NamespaceRow {
    NamespaceRow {
        name: named(name),
        display_name: "It's ✓".to_owned(),
        allowed_locations: None,
        created_at: Timestamp(7),
        created_by: "ann".to_owned(),
    }
}

fn key(namespace: Option<&str>, role: Role) -> KeyRow {
    KeyRow {
        id: clock::new_key_id(),
        namespace: namespace.map(named),
        role,
        name: "ci".to_owned(),
        prefix: "weir_abcd".to_owned(),
        created_by: "ann".to_owned(),
        created_at: Timestamp(8),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

async fn namespaces(store: &impl Store) {
    let identities = store.identities();
    let default = Namespace::default();
    assert!(
        identities.namespace_get(&default).await.unwrap().is_some(),
        "it is always there"
    );
    for name in ["b", "a"] {
        let make = async || identities.namespace_create(&namespace(name)).await.unwrap();
        assert_eq!(make().await, NamespaceCreation::Created);
        assert_eq!(make().await, NamespaceCreation::Exists);
        let changed = NamespaceRow {
            display_name: String::new(),
            allowed_locations: Some(vec!["s3://bucket/ü".to_owned()]),
            ..namespace(name)
        };
        assert!(identities.namespace_update(&changed).await.unwrap());
        assert_eq!(identities.namespace_get(&named(name)).await.unwrap(), Some(changed));
        assert!(identities.namespace_update(&namespace(name)).await.unwrap());
    }
    assert_eq!(
        identities.namespace_get(&named("a")).await.unwrap(),
        Some(namespace("a"))
    );
    assert_eq!(identities.namespace_get(&named("c")).await.unwrap(), None);
    let listed = identities.namespace_list(None, 10).await.unwrap();
    let names: Vec<_> = listed.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "default"]);
    let page = identities.namespace_list(Some(&named("a")), 1).await.unwrap();
    assert_eq!(page, [namespace("b")]);

    let of_b = key(Some("b"), Role::Viewer);
    assert!(identities.key_create(&of_b, Digest::of(b"b")).await.unwrap());
    let delete = async |name: &str| identities.namespace_delete(&named(name), Timestamp(50)).await.unwrap();
    assert_eq!(delete("b").await, NamespaceDeletion::Deleted);
    assert_eq!(delete("b").await, NamespaceDeletion::Absent);
    assert_eq!(
        identities.key_find(Digest::of(b"b")).await.unwrap(),
        None,
        "its keys are gone"
    );
    assert!(
        !identities.key_create(&of_b, Digest::of(b"b")).await.unwrap(),
        "there is no such namespace"
    );
    deleted_names(identities).await;
    // The default one has runs, and is always there.
    create(store, "a", LONG).await;
    assert_eq!(delete("default").await, NamespaceDeletion::InUse);
}

/// Of `b`, which was deleted at 50.
async fn deleted_names(identities: &dyn IdentityStore) {
    let make = async || identities.namespace_create(&namespace("b")).await.unwrap();
    let deleted = async |before| identities.namespaces_deleted(Timestamp(before)).await.unwrap();
    let forget = async |name: &str| identities.namespace_forget(&named(name)).await.unwrap();
    assert_eq!(make().await, NamespaceCreation::JustDeleted);
    assert_eq!((deleted(50).await, deleted(51).await), (vec![], vec![named("b")]));
    assert!(!forget("a").await, "it is there");
    assert!(identities.namespace_get(&named("a")).await.unwrap().is_some());
    assert!(forget("b").await);
    assert_eq!(deleted(51).await, []);
    assert_eq!(make().await, NamespaceCreation::Created);
    let again = identities.namespace_delete(&named("b"), Timestamp(60)).await.unwrap();
    assert_eq!(again, NamespaceDeletion::Deleted);
    assert!(forget("b").await);
}

async fn keys(identities: &dyn IdentityStore) {
    let secret = Secret::new().unwrap();
    let mut row = key(Some("a"), Role::Submitter);
    row.expires_at = Some(Timestamp(100));
    identities.key_create(&row, secret.digest()).await.unwrap();
    identities
        .key_create(&row, secret.digest())
        .await
        .expect("one whose answer was lost may be repeated");
    assert_eq!(identities.key_find(secret.digest()).await.unwrap(), Some(row.clone()));
    assert_eq!(identities.key_find(Digest::of(b"other")).await.unwrap(), None);
    assert!(row.is_live(Timestamp(99)) && !row.is_live(Timestamp(100)));

    let service = key(None, Role::Admin);
    identities.key_create(&service, Digest::of(b"service")).await.unwrap();
    let of_a = KeyFilter {
        namespace: Some(named("a")),
    };
    assert_eq!(identities.key_list(&of_a, None, 10).await.unwrap(), [row.clone()]);
    let all = identities.key_list(&KeyFilter::default(), None, 10).await.unwrap();
    assert_eq!(all, [service.clone(), row.clone()]);
    let older = identities
        .key_list(&KeyFilter::default(), Some(service.id), 10)
        .await
        .unwrap();
    assert_eq!(older, [row.clone()]);

    for (at, noted) in [(50, 50), (40, 50), (60, 60)] {
        identities.key_used(row.id, Timestamp(at)).await.unwrap();
        let found = identities.key_get(row.id).await.unwrap().unwrap();
        assert_eq!(found.last_used_at, Some(Timestamp(noted)));
    }
    for at in [70, 80] {
        identities.key_revoke(row.id, Timestamp(at)).await.unwrap();
        let found = identities.key_get(row.id).await.unwrap().unwrap();
        assert_eq!(
            (found.revoked_at, found.is_live(Timestamp(0))),
            (Some(Timestamp(70)), false)
        );
    }
    assert!(
        identities
            .key_get(service.id)
            .await
            .unwrap()
            .unwrap()
            .is_live(Timestamp(90))
    );
}

/// What changes of keys and namespaces is counted, for those who may see it.
async fn changes(store: &impl Store) {
    let identities = store.identities();
    let (ours, theirs) = (named("counted"), named("counted-too"));
    let counts = async || {
        let count = async |of: Option<&Namespace>, subject| store.revisions().revision(of, subject).await.unwrap();
        [
            count(Some(&ours), Subject::Keys).await,
            count(Some(&theirs), Subject::Keys).await,
            count(None, Subject::Keys).await,
            count(None, Subject::Namespaces).await,
        ]
    };
    let mut before = counts().await;
    // Which of the counts have grown since the last time.
    let mut grown = async || {
        let now = counts().await;
        let grown: Vec<bool> = now.iter().zip(before).map(|(now, before)| *now > before).collect();
        before = now;
        grown
    };
    for name in ["counted", "counted-too"] {
        identities.namespace_create(&namespace(name)).await.unwrap();
        assert_eq!(grown().await, [false, false, false, true]);
    }
    identities.namespace_update(&namespace("counted")).await.unwrap();
    assert_eq!(grown().await, [false, false, false, true]);
    let (own, service) = (key(Some("counted"), Role::Viewer), key(None, Role::Viewer));
    identities.key_create(&own, Digest::of(b"counted")).await.unwrap();
    assert_eq!(grown().await, [true, false, true, false]);
    identities
        .key_create(&service, Digest::of(b"counted of the service"))
        .await
        .unwrap();
    assert_eq!(grown().await, [false, false, true, false]);
    identities.key_used(own.id, Timestamp(50)).await.unwrap();
    assert_eq!(grown().await, [false; 4], "it is told of no use");
    identities.key_revoke(own.id, Timestamp(60)).await.unwrap();
    assert_eq!(grown().await, [true, false, true, false]);
    identities.key_revoke(service.id, Timestamp(60)).await.unwrap();
    assert_eq!(grown().await, [false, false, true, false]);
    for name in ["counted", "counted-too"] {
        let deleted = identities.namespace_delete(&named(name), Timestamp(70)).await.unwrap();
        assert_eq!(deleted, NamespaceDeletion::Deleted);
    }
    assert_eq!(grown().await[2..], [true, true], "its keys are gone as well");
}

fn session(principal: &str, n: u64, key: Option<&KeyRow>) -> SessionRow {
    SessionRow {
        hash: Digest::of(format!("{principal} {n}").as_bytes()),
        principal: principal.to_owned(),
        grants: vec![
            Grant {
                namespace: None,
                role: Role::Viewer,
            },
            Grant {
                namespace: Some(named("a")),
                role: Role::Admin,
            },
        ],
        key: key.map(|key| key.id),
        bootstrap: key.is_none().then(|| Digest::of(b"bootstrap")),
        created_at: Timestamp(1_000 + n),
        expires_at: Timestamp(5_000),
        seen_at: Timestamp(1_000 + n),
    }
}

async fn sessions(identities: &dyn IdentityStore) {
    let find =
        async |session: &SessionRow, at: u64| identities.session_find(session.hash, Timestamp(at)).await.unwrap();
    let token = session("ann", 1, None);
    identities.session_create(&token).await.unwrap();
    identities
        .session_create(&token)
        .await
        .expect("one whose answer was lost may be repeated");
    assert_eq!(find(&token, 2_000).await, Some(token.clone()));
    identities.session_seen(token.hash, Timestamp(1_500)).await.unwrap();
    identities.session_seen(token.hash, Timestamp(1_400)).await.unwrap();
    assert_eq!(find(&token, 2_000).await.unwrap().seen_at, Timestamp(1_500));
    identities.session_delete(token.hash).await.unwrap();
    assert_eq!(find(&token, 2_000).await, None);

    let mut row = key(Some("a"), Role::Viewer);
    row.expires_at = Some(Timestamp(3_000));
    identities.key_create(&row, Digest::of(b"of a session")).await.unwrap();
    let keyed = session("bob", 1, Some(&row));
    identities.session_create(&keyed).await.unwrap();
    assert!(find(&keyed, 2_999).await.is_some());
    assert_eq!(find(&keyed, 3_000).await, None, "it ends with its key");
    identities.key_revoke(row.id, Timestamp(2_000)).await.unwrap();
    assert_eq!(find(&keyed, 2_001).await, None);

    for n in 0..102 {
        identities.session_create(&session("eve", n, None)).await.unwrap();
    }
    assert_eq!(find(&session("eve", 1, None), 2_000).await, None, "the oldest end");
    assert!(find(&session("eve", 2, None), 2_000).await.is_some());
    let forget = async |at, idle| {
        identities
            .sessions_forget(Timestamp(at), Duration::from_millis(idle))
            .await
            .unwrap()
    };
    assert_eq!(forget(1_110, 50).await, 60, "those of eve up to 60, and that of bob");
    assert_eq!(forget(5_000, 1_000_000).await, 41);
    assert_eq!(forget(5_000, 1_000_000).await, 0);
}

/// Those that are good are listed, the youngest first and in pages.
async fn listed_sessions(identities: &dyn IdentityStore) {
    let mut row = key(Some("a"), Role::Viewer);
    row.expires_at = Some(Timestamp(1_500));
    identities.key_create(&row, Digest::of(b"of listed")).await.unwrap();
    let mut made = Vec::new();
    for (principal, n, key) in [
        ("ann", 1, None),
        ("bob", 1, None),
        ("ann", 2, None),
        ("bob", 3, Some(&row)),
    ] {
        let session = session(principal, n, key);
        identities.session_create(&session).await.unwrap();
        made.push(session);
    }
    // Those of one moment are in the order of their hashes.
    made.sort_by_key(|session| std::cmp::Reverse((session.created_at, session.hash)));
    let filter = |principal: Option<&str>, at: u64, idle: u64| SessionFilter {
        principal: principal.map(str::to_owned),
        at: Timestamp(at),
        idle: Duration::from_millis(idle),
    };
    let list = async |filter: &SessionFilter| identities.session_list(filter, None, 10).await.unwrap();
    let all = filter(None, 1_400, 100_000);
    assert_eq!(list(&all).await, made);
    let (mut paged, mut after) = (Vec::new(), None);
    while let [row] = &*identities.session_list(&all, after, 1).await.unwrap() {
        paged.push(row.clone());
        after = Some((row.created_at, row.hash));
    }
    assert_eq!(paged, made);
    let of = |sessions: Vec<SessionRow>| -> Vec<(String, u64)> {
        let of = sessions.into_iter().map(|row| (row.principal, row.created_at.0));
        of.collect()
    };
    let of_ann = list(&filter(Some("ann"), 1_400, 100_000)).await;
    assert_eq!(of(of_ann), [("ann".to_owned(), 1_002), ("ann".to_owned(), 1_001)]);
    let keyless = list(&filter(None, 1_500, 100_000)).await;
    assert_eq!(keyless.len(), 3, "one whose key has ended is over");
    let lively = list(&filter(None, 1_400, 398)).await;
    assert_eq!(of(lively), [("bob".to_owned(), 1_003)], "one that nobody uses is over");
    assert_eq!(list(&filter(None, 5_000, 100_000)).await, []);
    identities
        .sessions_forget(Timestamp(9_000), Duration::ZERO)
        .await
        .unwrap();
}

fn entry(principal: &str, namespace: Option<&str>, outcome: AuditOutcome) -> AuditRow {
    // Never later than the time of its id.
    let at = clock::now();
    AuditRow {
        id: clock::new_audit_id(),
        at,
        principal: principal.to_owned(),
        namespace: namespace.map(named),
        action: "runs_submit".to_owned(),
        target: "runs/1".to_owned(),
        outcome,
        status: 201,
        request_id: "r".to_owned(),
        source: "127.0.0.1".to_owned(),
        detail: None,
    }
}

async fn audit(identities: &dyn IdentityStore) {
    let mut entries: Vec<_> = (0..250)
        .map(|_| entry("ann", Some("a"), AuditOutcome::Allowed))
        .collect();
    entries.push(entry("nobody", None, AuditOutcome::Denied));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    identities.audit_append(&entries).await.unwrap();
    identities
        .audit_append(&entries[..2])
        .await
        .expect("one whose answer was lost may be repeated");
    identities.audit_append(&[]).await.unwrap();
    let list = async |filter: &AuditFilter, before, limit| identities.audit_list(filter, before, limit).await.unwrap();
    let all = AuditFilter::default();
    assert_eq!(list(&all, None, 1_000).await, entries);
    assert_eq!(list(&all, Some(entries[9].id), 2).await, entries[10..12]);
    let of_a = AuditFilter {
        namespace: Some(named("a")),
        ..all.clone()
    };
    assert_eq!(list(&of_a, None, 1_000).await.len(), 250);
    for (since, count) in [(Timestamp(0), 250), (clock::now().plus_ms(1_000), 0)] {
        let since = AuditFilter {
            since: Some(since),
            ..of_a.clone()
        };
        assert_eq!(list(&since, None, 1_000).await.len(), count);
    }
    for (filter, count) in [
        (
            AuditFilter {
                principal: Some("nobody".to_owned()),
                ..all.clone()
            },
            1,
        ),
        (
            AuditFilter {
                outcome: Some(AuditOutcome::Denied),
                ..all.clone()
            },
            1,
        ),
        (
            AuditFilter {
                outcome: Some(AuditOutcome::Denied),
                ..of_a.clone()
            },
            0,
        ),
        (
            AuditFilter {
                action: Some("runs_submit".to_owned()),
                ..all.clone()
            },
            251,
        ),
        (
            AuditFilter {
                action: Some("runs_cancel".to_owned()),
                ..all.clone()
            },
            0,
        ),
    ] {
        assert_eq!(list(&filter, None, 1_000).await.len(), count, "{filter:?}");
    }
    let oldest = entries.iter().map(|entry| entry.at).min().unwrap();
    assert_eq!(identities.audit_forget(oldest).await.unwrap(), 0);
    assert_eq!(identities.audit_forget(clock::now().plus_ms(1)).await.unwrap(), 251);
    assert_eq!(list(&all, None, 1).await, []);

    // More than are forgotten at once.
    let many: Vec<_> = (0..2_100)
        .map(|_| entry("ann", Some("a"), AuditOutcome::Allowed))
        .collect();
    identities.audit_append(&many).await.unwrap();
    assert_eq!(identities.audit_forget(clock::now().plus_ms(1)).await.unwrap(), 2_100);
    assert_eq!(list(&all, None, 1).await, []);
}
