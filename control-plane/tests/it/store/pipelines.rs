//! Pipelines and schedules.

use std::collections::BTreeMap;

use weir_control_plane::store::{
    Created, NewVersion, PipelineChange, PipelineWrite, RunFilter, RunSummary, ScheduleChange, ScheduleDefinition,
    ScheduleProgress, ScheduleStatus, Store, Subject, Written,
};
use weir_model::{Digest, Namespace, PipelineRef, RunOutcome, RunPhase, ScheduleRef, Submission, Timestamp};
use weir_platform::clock;

use super::{LONG, record, running};
use crate::script::submission;

pub(super) async fn suite(store: &impl Store) {
    versions(store).await;
    deletions(store).await;
    schedules(store).await;
    progress(store).await;
    runs(store).await;
    revisions(store).await;
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn change(namespace: &Namespace, name: &str, text: Option<&str>) -> PipelineChange {
    PipelineChange {
        namespace: namespace.clone(),
        name: name.to_owned(),
        description: Some("\"what\" it is for ✓".to_owned()),
        labels: [("team".to_owned(), "x".to_owned())].into(),
        version: text.map(|text| NewVersion {
            template: text.to_owned(),
            digest: Digest::of(text.as_bytes()),
            note: Some(format!("makes it {text}")),
        }),
        at: Timestamp(5_000),
        by: "somebody".to_owned(),
    }
}

async fn make(store: &impl Store, namespace: &Namespace, name: &str) {
    let create = PipelineWrite::PipelineCreate(change(namespace, name, Some("one")));
    assert_eq!(store.pipelines_write(create).await.unwrap(), Written::Done);
}

async fn versions(store: &impl Store) {
    let (ours, theirs) = (namespace("versions"), namespace("versions-of-others"));
    let write = async |write| store.pipelines_write(write).await.unwrap();
    assert_eq!(store.pipeline_get(&ours, "sums").await.unwrap(), None);
    make(store, &ours, "sums").await;
    let again = PipelineWrite::PipelineCreate(change(&ours, "sums", Some("other")));
    assert_eq!(write(again).await, Written::Exists);
    make(store, &theirs, "sums").await;

    let row = store.pipeline_get(&ours, "sums").await.unwrap().unwrap();
    assert_eq!((row.version, row.generation, row.created_at), (1, 1, Timestamp(5_000)));
    assert_eq!(row.description.as_deref(), Some("\"what\" it is for ✓"));
    assert_eq!(
        (row.labels["team"].as_str(), row.created_by.as_str()),
        ("x", "somebody")
    );

    let update = |text, generation| PipelineWrite::PipelineUpdate(change(&ours, "sums", text), generation);
    assert_eq!(write(update(Some("two"), 1)).await, Written::Done);
    assert_eq!(write(update(Some("lost"), 1)).await, Written::Changed);
    assert_eq!(write(update(None, 2)).await, Written::Done);
    let absent = PipelineWrite::PipelineUpdate(change(&ours, "none", None), 1);
    assert_eq!(write(absent).await, Written::Absent);
    let row = store.pipeline_get(&ours, "sums").await.unwrap().unwrap();
    assert_eq!((row.version, row.generation), (2, 3), "words alone make no version");

    let all = store.pipeline_versions(&ours, "sums", None, 10).await.unwrap();
    let texts: Vec<_> = all.iter().map(|row| (row.version, row.template.as_str())).collect();
    assert_eq!(texts, [(2, "two"), (1, "one")]);
    assert_eq!(all[0].digest, Digest::of(b"two"));
    assert_eq!(all[0].note.as_deref(), Some("makes it two"));
    let older = store.pipeline_versions(&ours, "sums", Some(2), 10).await.unwrap();
    assert_eq!(older, all[1..]);

    make(store, &ours, "averages").await;
    let names = async |after, limit| -> Vec<String> {
        let rows = store.pipeline_list(&ours, after, limit).await.unwrap();
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(None, 10).await, ["averages", "sums"]);
    assert_eq!(names(None, 1).await, ["averages"]);
    assert_eq!(names(Some("averages"), 10).await, ["sums"]);

    let mut seen = Vec::new();
    let mut last = None;
    loop {
        let page = store.pipeline_versions_all(last.as_ref(), 2).await.unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        seen.extend(
            page.into_iter()
                .filter(|row| row.namespace == ours || row.namespace == theirs),
        );
    }
    assert_eq!(seen.len(), 4, "two of ours, one of each of the others: {seen:?}");
}

async fn deletions(store: &impl Store) {
    let ours = namespace("deletions");
    let write = async |write| store.pipelines_write(write).await.unwrap();
    let delete = |generation| PipelineWrite::PipelineDelete {
        namespace: ours.clone(),
        name: "sums".to_owned(),
        generation,
        at: Timestamp(6_000),
        by: "somebody else".to_owned(),
    };
    assert_eq!(write(delete(None)).await, Written::Absent);
    make(store, &ours, "sums").await;
    assert_eq!(write(delete(Some(7))).await, Written::Changed);
    let of_it = schedule(&ours, "daily", "sums");
    assert_eq!(write(PipelineWrite::ScheduleCreate(of_it)).await, Written::Done);
    assert_eq!(
        write(delete(None)).await,
        Written::Refused,
        "a schedule makes runs of it"
    );
    let no_schedule = PipelineWrite::ScheduleDelete {
        namespace: ours.clone(),
        name: "daily".to_owned(),
        generation: None,
    };
    assert_eq!(write(no_schedule).await, Written::Done);
    assert_eq!(write(delete(Some(1))).await, Written::Done);
    assert_eq!(store.pipeline_get(&ours, "sums").await.unwrap(), None);
    assert_eq!(store.pipeline_versions(&ours, "sums", None, 10).await.unwrap(), []);
    assert_eq!(store.pipeline_list(&ours, None, 10).await.unwrap(), []);
    let update = PipelineWrite::PipelineUpdate(change(&ours, "sums", None), 2);
    assert_eq!(write(update).await, Written::Absent);

    make(store, &ours, "sums").await;
    let row = store.pipeline_get(&ours, "sums").await.unwrap().unwrap();
    assert_eq!(row.version, 2, "no number is given twice");
    let versions = store.pipeline_versions(&ours, "sums", None, 10).await.unwrap();
    assert_eq!(versions.iter().map(|row| row.version).collect::<Vec<_>>(), [2]);
}

fn schedule(namespace: &Namespace, name: &str, pipeline: &str) -> ScheduleChange {
    ScheduleChange {
        namespace: namespace.clone(),
        name: name.to_owned(),
        pipeline: pipeline.to_owned(),
        definition: ScheduleDefinition {
            cron: "@daily".to_owned(),
            parameters: BTreeMap::from([("day".to_owned(), "1".to_owned())]),
            ..ScheduleDefinition::default()
        },
        next_at: Some(Timestamp(10_000)),
        at: Timestamp(5_000),
        by: "somebody".to_owned(),
    }
}

async fn schedules(store: &impl Store) {
    let ours = namespace("schedules");
    let write = async |write| store.pipelines_write(write).await.unwrap();
    let create = |change| PipelineWrite::ScheduleCreate(change);
    assert_eq!(
        write(create(schedule(&ours, "daily", "sums"))).await,
        Written::Refused,
        "there is no such pipeline"
    );
    make(store, &ours, "sums").await;
    let mut pinned = schedule(&ours, "daily", "sums");
    pinned.definition.version = Some(2);
    assert_eq!(
        write(create(pinned.clone())).await,
        Written::Refused,
        "there is no such version"
    );
    pinned.definition.version = Some(1);
    assert_eq!(write(create(pinned.clone())).await, Written::Done);
    assert_eq!(write(create(pinned.clone())).await, Written::Exists);
    let row = store.schedule_get(&ours, "daily").await.unwrap().unwrap();
    assert_eq!((row.pipeline.as_str(), row.generation), ("sums", 1));
    assert_eq!(row.definition, pinned.definition);
    assert_eq!(
        (row.status.clone(), row.next_at),
        (ScheduleStatus::default(), Some(Timestamp(10_000)))
    );

    pinned.definition.suspend = true;
    pinned.next_at = None;
    let update = |generation| PipelineWrite::ScheduleUpdate(pinned.clone(), generation);
    assert_eq!(write(update(1)).await, Written::Done);
    assert_eq!(write(update(1)).await, Written::Changed);
    let row = store.schedule_get(&ours, "daily").await.unwrap().unwrap();
    assert_eq!((row.generation, row.next_at, row.definition.suspend), (2, None, true));
    let all = store.schedules_all(None, 100).await.unwrap();
    assert!(all.contains(&row), "one that is suspended");
    assert!(all.is_sorted_by_key(|row| (row.namespace.to_string(), row.name.clone())));
    let rest = store.schedules_all(Some(&row), 100).await.unwrap();
    let place = all.iter().position(|other| *other == row).unwrap();
    assert_eq!(rest, all[place + 1..]);
    assert_eq!(store.schedules_all(None, 1).await.unwrap(), all[..1]);

    make(store, &ours, "averages").await;
    assert_eq!(
        write(create(schedule(&ours, "average", "averages"))).await,
        Written::Done
    );
    let names = async |pipeline, after| -> Vec<String> {
        let rows = store.schedule_list(&ours, pipeline, after, 10).await.unwrap();
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(None, None).await, ["average", "daily"]);
    assert_eq!(names(Some("sums"), None).await, ["daily"]);
    assert_eq!(names(None, Some("average")).await, ["daily"]);
    let delete = |generation| PipelineWrite::ScheduleDelete {
        namespace: ours.clone(),
        name: "average".to_owned(),
        generation,
    };
    assert_eq!(write(delete(Some(2))).await, Written::Changed);
    assert_eq!(write(delete(Some(1))).await, Written::Done);
    assert_eq!(write(delete(None)).await, Written::Absent);
}

async fn progress(store: &impl Store) {
    let ours = namespace("progress");
    make(store, &ours, "sums").await;
    let create = PipelineWrite::ScheduleCreate(schedule(&ours, "daily", "sums"));
    assert_eq!(store.pipelines_write(create).await.unwrap(), Written::Done);
    let due = async |now| -> Vec<String> {
        let rows = store.schedules_due(Timestamp(now), None, 100).await.unwrap();
        let rows = rows.into_iter().filter(|row| row.namespace == ours);
        rows.map(|row| row.name).collect()
    };
    assert_eq!(due(9_999).await, Vec::<String>::new());
    assert_eq!(due(10_000).await, ["daily"]);
    let row = store.schedule_get(&ours, "daily").await.unwrap().unwrap();
    let rest = store.schedules_due(Timestamp(10_000), Some(&row), 100).await.unwrap();
    assert!(!rest.contains(&row), "those after it");
    let status = ScheduleStatus {
        last_at: Some(Timestamp(10_000)),
        last_run: Some(clock::new_run_id()),
        ..ScheduleStatus::default()
    };
    let done = |due_at, generation| {
        PipelineWrite::ScheduleProgress(ScheduleProgress {
            namespace: ours.clone(),
            name: "daily".to_owned(),
            generation,
            due_at: Timestamp(due_at),
            next_at: Some(Timestamp(20_000)),
            status: status.clone(),
        })
    };
    assert_eq!(store.pipelines_write(done(10_000, 2)).await.unwrap(), Written::Changed);
    assert_eq!(store.pipelines_write(done(10_000, 1)).await.unwrap(), Written::Done);
    assert_eq!(
        store.pipelines_write(done(10_000, 1)).await.unwrap(),
        Written::Changed,
        "somebody else has done it"
    );
    let row = store.schedule_get(&ours, "daily").await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.next_at, row.generation),
        (status, Some(Timestamp(20_000)), 1)
    );
    assert_eq!(due(10_000).await, Vec::<String>::new());
    let revision = store
        .revisions()
        .revision(Some(&ours), Subject::Schedules)
        .await
        .unwrap();
    assert_eq!(revision, 2, "what a schedule does is a change of it, once");
}

/// Runs say what they were made of, and are found by it.
async fn runs(store: &impl Store) {
    let ours = namespace("runs-of-pipelines");
    let (mut made, mut leases) = (Vec::new(), Vec::new());
    for (name, schedule) in [("sums", None), ("sums", Some(Timestamp(10_000))), ("averages", None)] {
        let run = clock::new_run_id();
        let mut submission = Submission {
            namespace: ours.clone(),
            ..submission()
        };
        submission.metadata.pipeline = Some(PipelineRef {
            name: name.to_owned(),
            version: 3,
        });
        submission.metadata.schedule = schedule.map(|at| ScheduleRef {
            name: "daily".to_owned(),
            at: Some(at),
        });
        let events = [record(
            run,
            1,
            weir_model::Event::Submitted {
                submission: Box::new(submission.clone()),
            },
        )];
        let created = store.run_create(run, &submission, &events, "a", LONG, None).await;
        if let Created::Lease(lease) = created.unwrap() {
            leases.push(lease);
        }
        made.push((run, submission.metadata));
    }
    let (daily, mut sums) = (made[1].0, [made[0].0, made[1].0]);
    // The youngest first; those of one millisecond are in no order of their making.
    sums.sort_by(|one, other| other.cmp(one));
    let found = async |pipeline: Option<&str>, schedule: Option<&str>| -> Vec<_> {
        let filter = RunFilter {
            namespace: Some(ours.clone()),
            pipeline: pipeline.map(str::to_owned),
            schedule: schedule.map(str::to_owned),
            ..RunFilter::default()
        };
        let rows = store.run_list(&filter, None, 10).await.unwrap().rows;
        rows.into_iter().map(|row| row.run).collect()
    };
    assert_eq!(found(Some("sums"), None).await, sums);
    assert_eq!(found(None, Some("daily")).await, [daily]);
    assert_eq!(found(Some("averages"), Some("daily")).await, []);
    let open = async || -> Vec<_> {
        let rows = store.schedule_runs_open(&ours, "daily", 10).await.unwrap();
        rows.into_iter().map(|row| row.run).collect()
    };
    assert_eq!(open().await, [daily]);
    let over = RunSummary {
        phase: RunPhase::Finished,
        outcome: Some(RunOutcome::Failed),
        finished_at: Some(Timestamp(4_000)),
        restart_at: Some(Timestamp(5_000)),
        ..running()
    };
    let of_daily = leases.iter().find(|lease| lease.run == daily).unwrap();
    store.run_append(of_daily, &[], Some(&over), None).await.unwrap();
    store.run_cleaned(of_daily, 0).await.unwrap();
    assert_eq!(open().await, [daily], "it is to be tried again");
    assert!(store.run_set_restart(daily, None).await.unwrap());
    assert_eq!(open().await, []);
    for (run, metadata) in made {
        let row = store.run_get(run).await.unwrap().unwrap();
        assert_eq!((row.pipeline, row.schedule), (metadata.pipeline, metadata.schedule));
    }
}

async fn revisions(store: &impl Store) {
    let (ours, theirs) = (namespace("revisions"), namespace("revisions-of-others"));
    let both = async |of: &Namespace| {
        let pipelines = store.revisions().revision(Some(of), Subject::Pipelines).await.unwrap();
        (
            pipelines,
            store.revisions().revision(Some(of), Subject::Schedules).await.unwrap(),
        )
    };
    assert_eq!(both(&ours).await, (0, 0));
    make(store, &ours, "sums").await;
    assert_eq!(both(&ours).await, (1, 0));
    let again = PipelineWrite::PipelineCreate(change(&ours, "sums", Some("other")));
    assert_eq!(store.pipelines_write(again).await.unwrap(), Written::Exists);
    assert_eq!(both(&ours).await, (1, 0), "what is refused changes nothing");
    let delete = PipelineWrite::PipelineDelete {
        namespace: ours.clone(),
        name: "sums".to_owned(),
        generation: None,
        at: Timestamp(6_000),
        by: "somebody".to_owned(),
    };
    assert_eq!(store.pipelines_write(delete).await.unwrap(), Written::Done);
    assert_eq!(both(&ours).await, (2, 0));
    assert_eq!(both(&theirs).await, (0, 0), "others did nothing");
}
