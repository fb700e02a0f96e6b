//! What is forgotten, what is deleted, and what is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use weir_control_plane::housekeeping::{HousekeepingOptions, Retention};
use weir_control_plane::pipelines::Template;
use weir_control_plane::store::{
    Idempotency, NamespaceCreation, NamespaceDeletion, NamespaceRow, NewVersion, PipelineChange, PipelineWrite,
    WorkerRow, Written,
};
use weir_model::{Digest, Event, EventRecord, Namespace, RunId, StageId, TaskId, Timestamp, layout};
use weir_platform::output::UploadWriter;
use weir_platform::{MemoryQueue, MemoryQueueOptions, Storage, StorageOptions, clock};
use weir_testkit::Aws;

use crate::history::Pages;
use crate::kit::{Kit, PATIENCE, Process, eventually};
use crate::mortal::{Death, Mortal};
use crate::script::{Act, Plan, To, platform, submission};

async fn kit() -> Kit {
    Kit::with(|_| To::Submitter, |_| Plan::Graph).await
}

/// Runs the job to its end; its result stays in storage.
async fn finished(kit: &Kit, process: &Process, modules: &[Digest]) -> RunId {
    let mut submission = submission();
    submission.modules = modules.iter().map(|digest| (digest.to_string(), *digest)).collect();
    let run = process.control_plane.submit(submission).await.unwrap();
    eventually("the run is cleaned up", async || {
        kit.store.run_get(run).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;
    assert!(!kit.objects(run).is_empty());
    run
}

async fn known(kit: &Kit) -> Vec<RunId> {
    let rows = kit.store.run_list(&Default::default(), None, 100).await.unwrap().rows;
    rows.iter().rev().map(|row| row.run).collect()
}

#[tokio::test]
async fn runs_are_forgotten_when_they_are_old_and_not_of_the_last() {
    let kit = kit().await;
    let process = kit.process();
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(finished(&kit, &process, &[]).await);
    }
    let prune = async |keep_ms, keep_last| {
        let retention = Retention { keep_ms, keep_last };
        process.control_plane.prune(&retention).await.unwrap()
    };
    assert_eq!(prune(None, 0).await, 0, "all are kept");
    assert_eq!(prune(Some(3_600_000), 0).await, 0, "they are not old");
    assert_eq!(prune(Some(0), 4).await, 0);
    assert_eq!(prune(Some(0), 3).await, 1);
    assert_eq!(known(&kit).await, runs[1..]);
    assert_eq!(kit.objects(runs[0]), Vec::<String>::new());
    assert!(!kit.objects(runs[1]).is_empty());
    assert_eq!(kit.events(runs[0]).await.len(), 0);
    assert_eq!(prune(Some(0), 0).await, 3);
    assert_eq!(known(&kit).await, Vec::<RunId>::new());
}

#[tokio::test]
async fn a_run_that_cannot_be_forgotten_keeps_nothing_else_from_being_done() {
    let kit = kit().await;
    let store = Mortal::new(kit.store.clone(), Death::After, i64::MAX);
    let process = kit.process_over(store.clone());
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(finished(&kit, &process, &[]).await);
    }
    let unused = layout::module_key(&Namespace::default(), &Digest::of(b"unused"));
    kit.storage.put(&unused, Bytes::from_static(b"x")).await.unwrap();
    store.undeletable.send_replace(Some(runs[0]));
    let options = HousekeepingOptions {
        retention: Retention {
            keep_ms: Some(0),
            keep_last: 0,
        },
        unused_ms: 0,
        ..Default::default()
    };
    eventually("the module, which comes after the runs, is deleted", async || {
        let error = process.control_plane.keep_house_now(&options).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot delete a run");
        (!kit.storage.exists(&unused).await.unwrap()).then_some(())
    })
    .await;
    assert_eq!(known(&kit).await, [runs[0]], "the others are forgotten");
    store.undeletable.send_replace(None);
    process.control_plane.keep_house_now(&options).await.unwrap();
    assert_eq!(known(&kit).await, [] as [RunId; 0]);
}

#[tokio::test]
async fn housekeeping_ends_however_many_runs_there_are() {
    let kit = kit().await;
    let process = kit.process();
    let submission = submission();
    // One more than a page of a list.
    for _ in 0..501 {
        let run = clock::new_run_id();
        let event = Event::Submitted {
            submission: Box::new(submission.clone()),
        };
        let submitted = [EventRecord {
            run,
            seq: 1,
            at: clock::now(),
            event,
        }];
        let hour = Duration::from_secs(3_600);
        let creating = kit
            .store
            .run_create(run, &submission, &submitted, "another", hour, None);
        creating.await.unwrap();
    }
    let unused = layout::module_key(&Namespace::default(), &Digest::of(b"unused"));
    kit.storage.put(&unused, Bytes::from_static(b"x")).await.unwrap();
    let options = HousekeepingOptions {
        unused_ms: 0,
        ..Default::default()
    };
    eventually("the module is deleted", async || {
        process.control_plane.keep_house_now(&options).await.unwrap();
        (!kit.storage.exists(&unused).await.unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_module_is_as_young_as_its_latest_upload() {
    let kit = kit().await;
    let process = kit.process();
    let pages = Pages::of(&kit, &process, false);
    let digest = Digest::of(b"a module");
    let upload = async || {
        let path = format!("/modules/{digest}");
        pages.send("PUT", &path, "a module".into()).await.0
    };
    let is_old = async |before| {
        let old = kit.storage.list_older(layout::MODULES, before, 10).await.unwrap();
        old.contains(&layout::module_key(&Namespace::default(), &digest))
    };
    assert_eq!(upload().await, 201);
    let later = eventually("it is old by the clock of the file system", async || {
        let now = clock::now();
        is_old(now).await.then_some(now)
    })
    .await;
    eventually("it is young again", async || {
        assert_eq!(upload().await, 200, "it was there already");
        (!is_old(later).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_module_is_kept_that_something_uses_again_while_it_is_looked_for_its_users() {
    let kit = kit().await;
    let store = Mortal::new(kit.store.clone(), Death::After, i64::MAX);
    let process = kit.process_over(store.clone());
    let key = |bytes: &[u8]| layout::module_key(&Namespace::default(), &Digest::of(bytes));
    let put = async |key: &str| kit.storage.put(key, Bytes::from_static(b"x")).await.unwrap();
    for bytes in [&b"named"[..], b"uploaded", b"run", b"unused"] {
        put(&key(bytes)).await;
    }
    // By the clock of the file system, they are old.
    eventually("a tick", async || {
        let keys = kit.storage.list_older(layout::MODULES, clock::now(), 10).await.unwrap();
        (keys.len() == 4).then_some(())
    })
    .await;
    let options = HousekeepingOptions {
        unused_ms: 0,
        ..Default::default()
    };
    store.lists.set_open(false);
    let keeping = async {
        let kept = process.control_plane.keep_house_now(&options);
        tokio::time::timeout(PATIENCE, kept).await.expect("it ends").unwrap();
    };
    let meanwhile = async {
        store.lists.knocked().await;
        let template = Template {
            job: submission().job,
            modules: [("f".to_owned(), Digest::of(b"named"))].into(),
            base: None,
            settings: serde_json::Map::new(),
            labels: Default::default(),
        };
        let (template, digest) = template.encode();
        let create = PipelineWrite::PipelineCreate(PipelineChange {
            namespace: Namespace::default(),
            name: "sums".to_owned(),
            description: None,
            labels: Default::default(),
            version: Some(NewVersion {
                template,
                digest,
                note: None,
            }),
            at: clock::now(),
            by: "ada".to_owned(),
        });
        assert_eq!(kit.store.pipelines_write(create).await.unwrap(), Written::Done);
        let uploaded_after = clock::now();
        eventually("it is young by the clock of the file system", async || {
            put(&key(b"uploaded")).await;
            let old = kit
                .storage
                .list_older(layout::MODULES, uploaded_after, 10)
                .await
                .unwrap();
            (!old.contains(&key(b"uploaded"))).then_some(())
        })
        .await;
        let mut submission = submission();
        submission.modules = [("f".to_owned(), Digest::of(b"run"))].into();
        process.control_plane.submit(submission).await.unwrap();
        store.lists.set_open(true);
    };
    tokio::join!(keeping, meanwhile);
    let there = async |bytes: &[u8]| kit.storage.exists(&key(bytes)).await.unwrap();
    assert!(there(b"named").await, "a version of a pipeline uses it");
    assert!(there(b"uploaded").await, "it is as young as its last upload");
    assert!(there(b"run").await, "a run uses it");
    assert!(!there(b"unused").await);
}

#[tokio::test]
async fn runs_that_are_not_over_are_kept() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Hang).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let retention = Retention {
        keep_ms: Some(0),
        keep_last: 0,
    };
    assert_eq!(process.control_plane.prune(&retention).await.unwrap(), 0);
    assert!(!kit.store.run_delete(run).await.unwrap());
    assert_eq!(known(&kit).await, [run]);
}

#[tokio::test]
async fn whoever_has_the_name_of_a_deleted_namespace_finds_nothing_of_it() {
    let kit = kit().await;
    let process = kit.process();
    let name: Namespace = "gone".parse().unwrap();
    let row = NamespaceRow {
        name: name.clone(),
        display_name: String::new(),
        allowed_locations: None,
        created_at: Timestamp(1),
        created_by: "ann".to_owned(),
    };
    let make = async || process.control_plane.namespace_create(&row).await.unwrap();
    assert_eq!(make().await, NamespaceCreation::Created);
    let digest = Digest::of(b"module");
    let run = RunId::from_parts(Timestamp(1), 1);
    let keys = [
        layout::module_key(&name, &digest),
        layout::upload_key(&name, &digest),
        layout::history_summary_key(&name, run),
        layout::history_index_key(&name, run),
    ];
    let neighbour = layout::module_key(&"gone-not".parse().unwrap(), &digest);
    let put = async |key: &str| kit.storage.put(key, Bytes::from_static(b"x")).await.unwrap();
    let there = async |key: &str| kit.storage.exists(key).await.unwrap();
    for key in keys.iter().chain([&neighbour]) {
        put(key).await;
    }
    let deletion = process.control_plane.namespace_delete(&name).await.unwrap();
    assert_eq!(deletion, NamespaceDeletion::Deleted);
    for key in &keys {
        assert!(!there(key).await, "{key}");
    }
    assert_eq!(make().await, NamespaceCreation::JustDeleted);
    // A request that was let in before.
    put(&keys[0]).await;
    let patient = HousekeepingOptions::default();
    process.control_plane.keep_house_now(&patient).await.unwrap();
    assert_eq!(make().await, NamespaceCreation::JustDeleted);
    let hasty = HousekeepingOptions {
        namespaces_ms: 0,
        ..patient
    };
    eventually("the name can be used again", async || {
        process.control_plane.keep_house_now(&hasty).await.unwrap();
        (make().await == NamespaceCreation::Created).then_some(())
    })
    .await;
    assert!(!there(&keys[0]).await);
    assert!(there(&neighbour).await);
}

#[tokio::test]
async fn whoever_takes_a_message_of_a_run_that_is_over_leaves_it_alone() {
    let kit = kit().await;
    let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let (tasks, reports) = (queue(), queue());
    let control_plane = kit.control_plane(kit.store.clone(), tasks.clone(), reports.clone());
    let run = control_plane.submit(submission()).await.unwrap();
    eventually("messages wait for a worker", async || (!tasks.is_empty()).then_some(())).await;
    control_plane.cancel(run, "me").await.unwrap();
    eventually("the run is cleaned up", async || {
        kit.store.run_get(run).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;

    let _worker = kit.worker(tasks.clone(), reports);
    eventually("the messages are put away", async || tasks.is_empty().then_some(())).await;
    assert_eq!(kit.runner.all_executions(), 0);
    assert_eq!(kit.objects(run), ["cancelled"], "for them");
    control_plane
        .keep_house_now(&HousekeepingOptions::default())
        .await
        .unwrap();
    assert_eq!(kit.objects(run), Vec::<String>::new());
}

#[tokio::test]
async fn objects_that_nothing_reaches_are_deleted_when_they_are_old() {
    let kit = kit().await;
    let process = kit.process();
    let (used, unused) = (Digest::of(b"used"), Digest::of(b"unused"));
    let put = async |key: String| kit.storage.put(&key, Bytes::from_static(b"x")).await.unwrap();
    put(layout::module_key(&Namespace::default(), &used)).await;
    put(layout::module_key(&Namespace::default(), &unused)).await;
    // The same bytes in a namespace whose runs do not use them.
    let other: Namespace = "other".parse().unwrap();
    put(layout::module_key(&other, &used)).await;
    put(layout::module_notes_key(&other, &used)).await;
    put("modules/of somebody else".into()).await;
    let run = finished(&kit, &process, &[used]).await;
    let lost = RunId::from_parts(Timestamp(1), 1);
    put(layout::cancel_key(lost)).await;
    put("runs/of somebody else/x".into()).await;
    let there = async |key: String| kit.storage.exists(&key).await.unwrap();

    let patient = HousekeepingOptions::default();
    process.control_plane.keep_house_now(&patient).await.unwrap();
    assert!(
        there(layout::module_key(&Namespace::default(), &unused)).await,
        "it may be for a submission to come"
    );
    assert!(
        !there(layout::cancel_key(lost)).await,
        "its run is unknown, and old by its name"
    );

    // The clock of a file system may lag behind by a tick.
    let hasty = HousekeepingOptions {
        unused_ms: 0,
        ..patient
    };
    eventually("the module is deleted", async || {
        process.control_plane.keep_house_now(&hasty).await.unwrap();
        (!there(layout::module_key(&Namespace::default(), &unused)).await).then_some(())
    })
    .await;
    assert!(there(layout::module_key(&Namespace::default(), &used)).await);
    assert!(!there(layout::module_key(&other, &used)).await);
    assert!(!there(layout::module_notes_key(&other, &used)).await);
    assert!(there("modules/of somebody else".into()).await);
    assert!(there("runs/of somebody else/x".into()).await);
    assert!(!kit.objects(run).is_empty(), "the result of a run that is known");
}

#[tokio::test]
async fn what_attempts_write_after_the_end_of_their_run_is_deleted() {
    let kit = kit().await;
    let process = kit.process();
    let done = finished(&kit, &process, &[]).await;
    let kept = kit.objects(done);
    assert!(!kept.is_empty(), "the result");
    kit.runner.script(|_, _| Act::Fail(platform("scripted")));
    let mut hopeless = submission();
    hopeless.settings.retry.max_attempts = 1;
    let failed = process.control_plane.submit(hopeless).await.unwrap();
    eventually("the run has failed", async || {
        kit.store.run_get(failed).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;
    kit.runner.script(|_, _| Act::Hang);
    let live = process.control_plane.submit(submission()).await.unwrap();
    process.until(live, |snapshot| !snapshot.stages.is_empty()).await;

    let (task, execution) = (
        TaskId {
            stage: StageId(0),
            index: 7,
        },
        clock::new_execution_id(),
    );
    for run in [done, failed, live] {
        let key = layout::shuffle_key(run, task, execution);
        kit.storage.put(&key, Bytes::from_static(b"late")).await.unwrap();
    }
    process.control_plane.keep_house_now(&Default::default()).await.unwrap();
    assert_eq!(kit.objects(done), kept);
    assert_eq!(kit.objects(failed), [""; 0]);
    let of_live = layout::shuffle_key(live, task, execution);
    assert!(kit.storage.exists(&of_live).await.unwrap(), "its run is not over");
}

#[tokio::test]
async fn uploads_of_attempts_that_nobody_heard_of_are_aborted() {
    let aws = Aws::shared().await;
    let bucket = aws.bucket().await;
    let out = format!("s3://{bucket}/out");
    let mut kit = Kit::with(|_| To::Folder(out.clone().into()), |_| Plan::Graph).await;
    let options = StorageOptions {
        path_style: true,
        aws: Some(aws.sdk_config()),
    };
    let folder = kit.dir.path().join("storage");
    kit.storage = Storage::open_with(folder.to_str().unwrap(), options).unwrap();
    let process = kit.process();
    let s3 = kit.storage.s3();
    let stage = async |run: RunId| {
        let (target, staging) = (format!("{out}/part"), format!("{out}/_weir/staging-{run}-part"));
        let file = format!("{target}-00000-of-00001");
        let mut writer = UploadWriter::create(s3, &file, &staging, &format!("{run}-0"))
            .await
            .unwrap();
        writer.write(b"late").await.unwrap();
        writer.finish().await.unwrap();
    };
    let uploads = async || s3.bucket(bucket.clone()).uploads("").count().await;

    kit.runner.script(|_, _| Act::Fail(platform("scripted")));
    let mut hopeless = submission();
    hopeless.settings.retry.max_attempts = 1;
    let over = process.control_plane.submit(hopeless).await.unwrap();
    eventually("the run has failed", async || {
        kit.store.run_get(over).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;
    kit.runner.script(|_, _| Act::Hang);
    let live = process.control_plane.submit(submission()).await.unwrap();
    process.until(live, |snapshot| !snapshot.stages.is_empty()).await;
    stage(over).await;
    stage(live).await;
    assert_eq!(uploads().await, 2);
    process.control_plane.keep_house_now(&Default::default()).await.unwrap();
    assert_eq!(uploads().await, 1, "that of the run that goes on");
    process.control_plane.cancel(live, "me").await.unwrap();
    eventually("that one is aborted as well", async || {
        process.control_plane.keep_house_now(&Default::default()).await.unwrap();
        (uploads().await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn uploads_of_modules_that_were_never_completed_are_deleted_when_they_are_old() {
    let aws = Aws::shared().await;
    let options = StorageOptions {
        path_style: true,
        aws: Some(aws.sdk_config()),
    };
    let bucket = format!("s3://{}/weir", aws.bucket().await);
    let mut kit = kit().await;
    let folder = kit.storage.clone();
    for storage in [folder, Storage::open_with(&bucket, options).unwrap()] {
        kit.storage = storage.clone();
        let process = kit.process();
        let digest = Digest::of(b"module");
        let uploaded = layout::upload_key(&Namespace::default(), &digest);
        let kept = layout::module_key(&Namespace::default(), &digest);
        for key in [&uploaded, &kept] {
            storage.put(key, Bytes::from_static(b"module")).await.unwrap();
        }
        let control_plane = &process.control_plane;
        control_plane.keep_house_now(&Default::default()).await.unwrap();
        assert!(storage.exists(&uploaded).await.unwrap(), "it may be completed");
        let options = HousekeepingOptions {
            uploads_ms: 0,
            ..Default::default()
        };
        eventually("the upload is deleted", async || {
            control_plane.keep_house_now(&options).await.unwrap();
            (!storage.exists(&uploaded).await.unwrap()).then_some(())
        })
        .await;
        assert!(storage.exists(&kept).await.unwrap());
        // It was put there past the server, and counts nevertheless.
        let usage = control_plane.namespace_usage(&Namespace::default()).await.unwrap();
        assert_eq!(usage.module_bytes, 6);
        storage.delete(vec![kept]).await.unwrap();
    }
}

#[tokio::test]
async fn workers_and_requests_are_forgotten() {
    let kit = kit().await;
    let process = kit.process();
    let worker = |seen_at| WorkerRow {
        worker: clock::new_worker_id(),
        seen_at,
        started_at: Timestamp(1),
        slots: 4,
        running: 0,
        draining: false,
        version: "1".into(),
        host: "somewhere".into(),
        tasks: Vec::new(),
    };
    let here = worker(clock::now());
    kit.store
        .workers_seen(&[here.clone(), worker(Timestamp(1))])
        .await
        .unwrap();
    let key = Idempotency {
        key: "order".into(),
        digest: Digest::of(b"order"),
    };
    let first = process
        .control_plane
        .submit_once(submission(), Some(&key))
        .await
        .unwrap();
    let control_plane = &process.control_plane;
    control_plane.keep_house_now(&Default::default()).await.unwrap();
    let workers = control_plane.workers(100).await.unwrap();
    let others = workers.iter().filter(|row| row.host == "somewhere");
    assert_eq!(others.collect::<Vec<_>>(), [&here]);
    let again = control_plane.submit_once(submission(), Some(&key)).await.unwrap();
    assert_eq!((again.run, again.replayed), (first.run, true), "a day has not passed");
    let options = HousekeepingOptions {
        requests_ms: 0,
        ..Default::default()
    };
    eventually("the key is free again", async || {
        control_plane.keep_house_now(&options).await.unwrap();
        let again = control_plane.submit_once(submission(), Some(&key)).await.unwrap();
        (!again.replayed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_control_plane_keeps_house_from_time_to_time() {
    let kit = kit().await;
    let process = kit.process();
    let run = finished(&kit, &process, &[]).await;
    process.control_plane.keep_house(HousekeepingOptions {
        interval_ms: 1,
        retention: Retention {
            keep_ms: Some(0),
            keep_last: 0,
        },
        ..Default::default()
    });
    eventually("the run is forgotten", async || {
        kit.store.run_get(run).await.unwrap().is_none().then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(30), process.control_plane.shutdown())
        .await
        .expect("it does not wait for the next time");
}
