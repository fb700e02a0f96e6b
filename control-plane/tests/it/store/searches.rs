//! Runs are found by what they were submitted with.

use weir_control_plane::store::{Created, RunFilter, Search, Store};
use weir_model::{Event, Namespace, PipelineRef, RunId, Submission, Timestamp};

use super::{LONG, record};
use crate::script::submission;

/// A moment that no run of another test is of.
const DAY: u64 = 4_000_000_000_000;

pub(super) async fn suite(store: &impl Store) {
    let namespace: Namespace = "found".parse().unwrap();
    let runs = vec![
        create(
            store,
            &namespace,
            0,
            "Nightly Sums",
            "ada",
            &[("team", "core"), ("env", "prod")],
        )
        .await,
        create(
            store,
            &namespace,
            1,
            "daily",
            "Bob",
            &[("team", "core"), ("note", "50% ÖL_x, \\ 'q'")],
        )
        .await,
        create(store, &namespace, 2, "daily", "ada", &[("team", "corner")]).await,
        create(store, &"other".parse().unwrap(), 3, "daily", "ada", &[("team", "core")]).await,
    ];
    let all = RunFilter {
        namespace: Some(namespace.clone()),
        ..RunFilter::default()
    };
    let found = async |filter: RunFilter| -> Vec<usize> {
        let listed = store.run_list(&filter, None, 10).await.unwrap();
        assert_eq!(listed.next, None);
        assert!(
            listed.rows.iter().all(|row| filter.matches(row)),
            "storage finds the same"
        );
        let place = |run: RunId| runs.iter().position(|known| *known == run).unwrap();
        listed.rows.iter().map(|row| place(row.run)).collect()
    };

    let search = |text: &str| RunFilter {
        search: Search::parse(text).unwrap(),
        ..all.clone()
    };
    let id = runs[1].to_string();
    for (text, places) in [
        ("sums", vec![0]),
        ("DAILY", vec![2, 1]),
        ("daily ada", vec![2]),
        ("ada daily nightly", vec![]),
        ("team=cor", vec![2, 1, 0]),
        ("team=core env=prod", vec![0]),
        ("öl_x", vec![1]),
        ("50%", vec![1]),
        ("%", vec![1]),
        ("_", vec![1]),
        ("'q'", vec![1]),
        ("words-pipeline", vec![2]),
        (&*id, vec![1]),
        (&id.to_uppercase()[..25], vec![1]),
        // Not at its beginning.
        (&id[1..], vec![]),
        ("", vec![2, 1, 0]),
    ] {
        assert_eq!(found(search(text)).await, places, "{text}");
    }

    let labels = |pairs: &[(&str, &str)]| RunFilter {
        labels: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..all.clone()
    };
    assert_eq!(found(labels(&[("team", "core")])).await, [1, 0]);
    assert_eq!(found(labels(&[("team", "core"), ("env", "prod")])).await, [0]);
    assert_eq!(found(labels(&[("team", "Core")])).await, [0; 0], "a label is itself");
    assert_eq!(found(labels(&[("note", "50% ÖL_x, \\ 'q'")])).await, [1]);
    let both = RunFilter {
        search: Search::parse("daily").unwrap(),
        ..labels(&[("team", "core")])
    };
    assert_eq!(found(both).await, [1]);

    let within = |since: Option<u64>, until: Option<u64>| RunFilter {
        since: since.map(|second| Timestamp(DAY + 1_000 * second)),
        until: until.map(|second| Timestamp(DAY + 1_000 * second)),
        ..all.clone()
    };
    assert_eq!(found(within(Some(1), None)).await, [2, 1]);
    assert_eq!(
        found(within(None, Some(1))).await,
        [0],
        "what was at the end is not before it"
    );
    assert_eq!(found(within(Some(1), Some(2))).await, [1]);
    let labelled = RunFilter {
        labels: vec![("team".into(), "core".into())],
        ..within(Some(1), None)
    };
    assert_eq!(found(labelled).await, [1]);
    let beyond = RunFilter {
        since: Some(Timestamp(u64::MAX)),
        ..all.clone()
    };
    assert_eq!(found(beyond).await, [0; 0]);

    let row = store.run_get(runs[0]).await.unwrap().unwrap();
    assert_eq!(row.created_by.as_deref(), Some("ada"));
    assert_eq!(
        row.labels,
        [
            ("env".to_owned(), "prod".to_owned()),
            ("team".to_owned(), "core".to_owned())
        ]
        .into()
    );
    pages(store, &all, &runs).await;
}

/// What a build before searches left, in words that every database understands: a run, and one whose log has what no
/// database would look into.
pub(super) const OLD_RUNS: [&str; 4] = [
    "INSERT INTO runs (id, namespace, name, phase, created_at, last_seq, pipeline, pipeline_version) \
     VALUES ('01jz0000000000000000000000', 'default', 'Nightly', 'finished', 1, 1, 'words', 1)",
    r#"INSERT INTO run_events (run_id, seq, at, payload) VALUES ('01jz0000000000000000000000', 1, 1,
       '{"type":"submitted","submission":{"metadata":{"labels":{"Team":"Core"},"submitted_by":"ada"}}}')"#,
    "INSERT INTO runs (id, namespace, name, phase, created_at, last_seq) \
     VALUES ('01jz0000000000000000000001', 'default', 'plain', 'finished', 1, 1)",
    r#"INSERT INTO run_events (run_id, seq, at, payload) VALUES ('01jz0000000000000000000001', 1, 1,
       '{"type":"submitted","submission":{"job":{"statement":"a\u0000b"}}}')"#,
];
/// The version of the tables before searches.
pub(super) const BEFORE: i64 = 49;

/// Runs that were there before are found as well.
pub(super) async fn old_runs_are_found(store: &impl Store) {
    for (text, found) in [
        ("NIGHTLY words ada", 1),
        ("team=core", 1),
        ("plain", 1),
        ("01jz", 2),
        ("b", 0),
    ] {
        let filter = RunFilter {
            search: Search::parse(text).unwrap(),
            ..RunFilter::default()
        };
        let listed = store.run_list(&filter, None, 10).await.unwrap();
        assert_eq!(listed.rows.len(), found, "{text}");
    }
    let filter = RunFilter {
        namespace: Some(Namespace::default()),
        labels: vec![("Team".into(), "Core".into())],
        ..RunFilter::default()
    };
    let rows = store.run_list(&filter, None, 10).await.unwrap().rows;
    assert_eq!((rows.len(), rows[0].created_by.as_deref()), (1, Some("ada")));
    assert_eq!(rows[0].labels, [("Team".to_owned(), "Core".to_owned())].into());
}

/// A search of which a call looks at two runs comes to its end all the same, and gives each run once.
async fn pages(store: &impl Store, all: &RunFilter, runs: &[RunId]) {
    for (text, expected, calls) in [("nightly", vec![runs[0]], 2), ("core", vec![runs[1], runs[0]], 2)] {
        let filter = RunFilter {
            search: Search::parse(text).unwrap(),
            reach: Some(2),
            ..all.clone()
        };
        let (mut found, mut before, mut asked) = (Vec::new(), None, 0);
        loop {
            let listed = store.run_list(&filter, before, 10).await.unwrap();
            asked += 1;
            found.extend(listed.rows.iter().map(|row| row.run).filter(|run| runs.contains(run)));
            before = listed.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!((found, asked), (expected, calls), "{text}");
    }
    let first = RunFilter {
        search: Search::parse("team").unwrap(),
        ..all.clone()
    };
    let listed = store.run_list(&first, None, 1).await.unwrap();
    assert_eq!((listed.rows.len(), listed.next), (1, Some(runs[2])));
}

async fn create(
    store: &impl Store,
    namespace: &Namespace,
    second: u64,
    name: &str,
    by: &str,
    labels: &[(&str, &str)],
) -> RunId {
    let at = Timestamp(DAY + 1_000 * second);
    let run = RunId::from_parts(at, u128::from(second));
    let mut submission = Submission {
        namespace: namespace.clone(),
        name: name.to_owned(),
        ..submission()
    };
    let metadata = &mut submission.metadata;
    metadata.created_by = Some(by.to_owned());
    metadata.labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    if second == 2 {
        metadata.pipeline = Some(PipelineRef {
            name: "Words-pipeline".into(),
            version: 1,
        });
    }
    let event = Event::Submitted {
        submission: Box::new(submission.clone()),
    };
    let created = store
        .run_create(run, &submission, &[record(run, 1, event)], "a", LONG, None)
        .await;
    match created.unwrap() {
        Created::Lease(lease) => lease.run,
        existing => panic!("the run is new: {existing:?}"),
    }
}
