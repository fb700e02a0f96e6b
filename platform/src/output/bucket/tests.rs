//! Against a real server: what a bucket holds at the end is what counts.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use weir_model::{FailureKind, RunId, Timestamp};
use weir_testkit::Aws;

use super::*;
use crate::output;

/// What is in a bucket: contents by path, and `PATH (upload)` for open uploads.
type Tree = BTreeMap<String, String>;

/// A bucket, and outputs in it.
struct Bucket {
    s3: S3,
    name: String,
}

impl Bucket {
    async fn new() -> Self {
        let aws = Aws::shared().await;
        Self {
            s3: S3::new(aws.sdk_config(), true),
            name: aws.bucket().await,
        }
    }

    fn store(&self) -> S3Store {
        self.s3.bucket(self.name.as_str())
    }

    async fn tree(&self) -> Tree {
        let store = self.store();
        let mut tree = Tree::new();
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        for object in objects {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            tree.insert(object.location.to_string(), String::from_utf8(bytes.to_vec()).unwrap());
        }
        let uploads: Vec<_> = store.uploads("").try_collect().await.unwrap();
        for upload in uploads {
            tree.insert(format!("{} (upload)", upload.path), upload.id);
        }
        tree
    }

    fn sink(&self, name: &str, run: RunId) -> SinkInfo {
        let folder = format!("s3://{}/out/{name}", self.name);
        SinkInfo {
            transform: format!("Write{name}"),
            target: format!("{folder}/part"),
            manifest: format!("{folder}/_weir/part.json"),
            staging: format!("{folder}/_weir/staging-{run}-part"),
            format: "text".into(),
            csv: None,
        }
    }

    /// Stages a file as an engine does.
    async fn stage_file(&self, sink: &SinkInfo, file: &str, token: &str, text: &str) -> OutputFile {
        let target = format!("{}{file}", sink.target);
        let mut writer = UploadWriter::create(&self.s3, &target, &sink.staging, token)
            .await
            .unwrap();
        writer.write(text.as_bytes()).await.unwrap();
        let (staged, bytes) = writer.finish().await.unwrap();
        OutputFile {
            target,
            staged,
            rows: 1,
            bytes,
        }
    }

    async fn stage(&self, run: RunId, sinks: &[(&str, &[&str])]) -> Vec<SinkOutput> {
        let mut outputs = Vec::new();
        for (name, files) in sinks {
            let sink = self.sink(name, run);
            let mut staged = Vec::new();
            for (index, file) in files.iter().enumerate() {
                let text = format!("{file} of {run}");
                staged.push(self.stage_file(&sink, file, &format!("{run}-{index}"), &text).await);
            }
            outputs.push(SinkOutput { sink, files: staged });
        }
        outputs
    }

    /// Commits as its callers do, in a task of its own.
    async fn commit(&self, run: RunId, outputs: &[SinkOutput]) -> Vec<OutputManifest> {
        let (s3, outputs) = (self.s3.clone(), outputs.to_vec());
        let task = tokio::spawn(async move { output::commit(&s3, run, outputs).await });
        task.await.unwrap().unwrap()
    }

    async fn abort(&self, outputs: &[SinkOutput]) {
        let sinks = outputs.iter().map(|output| output.sink.clone()).collect();
        let s3 = self.s3.clone();
        let task = tokio::spawn(async move { output::abort(&s3, sinks).await });
        task.await.unwrap().unwrap();
    }

    /// Runs a commit that ends after `steps` steps, as a crash would end it; says whether it was complete by then.
    async fn commit_until(&self, run: RunId, outputs: &[SinkOutput], steps: usize) -> bool {
        let left = AtomicUsize::new(steps);
        let crash = || match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::BadTarget {
                transform: "crash".into(),
                target: String::new(),
                folder: Default::default(),
            }),
        };
        let commits = outputs.iter().map(|output| SinkCommit::new(&self.s3, run, output));
        let mut commits: Vec<_> = commits.collect::<Result<_, _>>().unwrap();
        let steps = async {
            place(&mut commits, &crash).await?;
            publish(&commits, &crash).await?;
            clean(&commits, &crash).await
        };
        match steps.await {
            Ok(()) => true,
            Err(Error::BadTarget { transform, .. }) if transform == "crash" => false,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn run(n: u64) -> RunId {
    RunId::from_parts(Timestamp(n), 0)
}

#[tokio::test]
async fn an_output_is_its_files_and_a_manifest() {
    let bucket = Bucket::new().await;
    let outputs = bucket.stage(run(1), &[("a", &["-0", "/sub/1"]), ("empty", &[])]).await;
    let before = bucket.tree().await;
    assert!(
        before
            .keys()
            .all(|name| name.contains("_weir/staging-") || name.ends_with("(upload)")),
        "nobody sees what is staged: {before:?}"
    );
    let manifests = bucket.commit(run(1), &outputs).await;
    assert_eq!(manifests[0].files, ["part-0", "part/sub/1"]);
    assert_eq!((manifests[0].rows, manifests[1].rows), (2, 0));
    let after = bucket.tree().await;
    let names: Vec<_> = after.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "out/a/_weir/part.json",
            "out/a/part-0",
            "out/a/part/sub/1",
            "out/empty/_weir/part.json"
        ]
    );
    assert_eq!(after["out/a/part-0"], format!("-0 of {}", run(1)));
    let visible: OutputManifest = serde_json::from_str(&after["out/a/_weir/part.json"]).unwrap();
    assert_eq!(visible, manifests[0]);

    assert_eq!(bucket.commit(run(1), &outputs).await, manifests);
    assert_eq!(bucket.tree().await, after, "doing it again changes nothing");
}

#[tokio::test]
async fn large_files_have_many_parts_and_empty_ones_have_one() {
    let bucket = Bucket::new().await;
    let sink = bucket.sink("a", run(1));
    let long = "0123456789abcdef".repeat((20 << 20) / 16);
    let files = vec![
        bucket.stage_file(&sink, "-0", "t0", &long).await,
        bucket.stage_file(&sink, "-1", "t1", "").await,
    ];
    let parts = |file: &OutputFile| match &file.staged {
        Staged::Upload { parts, .. } => parts.iter().map(|part| part.bytes >> 20).collect::<Vec<_>>(),
        Staged::File { .. } => panic!("a file"),
    };
    assert_eq!((parts(&files[0]), parts(&files[1])), (vec![8, 8, 4], vec![0]));
    bucket.commit(run(1), &[SinkOutput { sink, files }]).await;
    let after = bucket.tree().await;
    assert!(after["out/a/part-0"] == long);
    assert_eq!(after["out/a/part-1"], "");
}

#[tokio::test]
async fn a_commit_survives_a_crash_after_every_step() {
    type Files = &'static [&'static str];
    let cases: [(Option<Files>, Files, Files); 3] = [
        (None, &["-0", "-1", "-2"], &[]),
        (Some(&["-0", "-1", "/sub/3"]), &["-0", "-2"], &["-0"]),
        (Some(&["-0"]), &[], &["-1"]),
    ];
    for (old, first, second) in cases {
        let set_up = || async {
            let bucket = Bucket::new().await;
            if let Some(old) = old {
                let outputs = bucket.stage(run(1), &[("a", old)]).await;
                bucket.commit(run(1), &outputs).await;
            }
            let outputs = bucket.stage(run(2), &[("a", first), ("b", second)]).await;
            (bucket, outputs)
        };
        let (bucket, outputs) = set_up().await;
        bucket.commit(run(2), &outputs).await;
        let expected = bucket.tree().await;
        assert_eq!(expected.len(), first.len() + second.len() + 2, "{expected:?}");
        for steps in 0.. {
            let (bucket, outputs) = set_up().await;
            let complete = bucket.commit_until(run(2), &outputs, steps).await;
            bucket.commit_until(run(2), &outputs, steps / 2).await;
            bucket.commit(run(2), &outputs).await;
            assert_eq!(bucket.tree().await, expected, "after {steps} steps");
            if complete {
                assert!(steps > 4, "{steps}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_abort_undoes_a_commit_after_every_step() {
    let cases: [(&[&str], &[&str]); 3] = [(&[], &["-0", "-1"]), (&["-0", "-1"], &["-2"]), (&["-0"], &["-0", "-1"])];
    for (old, new) in cases {
        for steps in 0.. {
            let bucket = Bucket::new().await;
            let outputs = bucket.stage(run(1), &[("a", old)]).await;
            bucket.commit(run(1), &outputs).await;
            let before = bucket.tree().await;
            let outputs = bucket.stage(run(2), &[("a", new)]).await;
            if bucket.commit_until(run(2), &outputs, steps).await {
                break;
            }
            let staged = bucket.tree().await.keys().any(|name| name.contains("_weir/staging-"));
            bucket.abort(&outputs).await;
            bucket.abort(&outputs).await;
            if !staged {
                // Only the last step is missing: the machine does not abort a commit that is reported done.
                continue;
            }
            let after = bucket.tree().await;
            let theirs = format!("of {}", run(2));
            assert!(after.values().all(|text| !text.contains(&theirs)), "{after:?}");
            assert!(
                after
                    .keys()
                    .all(|name| !name.contains("staging-") && !name.contains("(upload)")),
                "{after:?}"
            );
            if after.contains_key("out/a/_weir/part.json") {
                assert_eq!(after, before, "after {steps} steps");
            }
        }
    }
}

#[tokio::test]
async fn an_abort_leaves_the_uploads_of_other_runs() {
    let bucket = Bucket::new().await;
    let ours = bucket.stage(run(1), &[("a", &["-0"])]).await;
    let theirs = bucket.stage(run(2), &[("a", &["-0"])]).await;
    bucket.abort(&ours).await;
    bucket.commit(run(2), &theirs).await;
    let after = bucket.tree().await;
    assert_eq!(after["out/a/part-0"], format!("-0 of {}", run(2)));
    assert_eq!(after.len(), 2, "{after:?}");
}

#[tokio::test]
async fn what_losers_staged_goes_with_the_commit_or_before() {
    let bucket = Bucket::new().await;
    let outputs = bucket.stage(run(1), &[("a", &["-0"])]).await;
    let sink = &outputs[0].sink;
    let reported = bucket.stage_file(sink, "-0", "loser", "loser").await;
    output::discard(&bucket.s3, vec![reported.clone()]).await.unwrap();
    output::discard(&bucket.s3, vec![reported]).await.unwrap();
    assert_eq!(bucket.tree().await.len(), 2, "an upload and its marker");
    bucket.stage_file(sink, "-0", "crashed", "crashed").await;
    bucket.commit(run(1), &outputs).await;
    let after = bucket.tree().await;
    assert_eq!(after.len(), 2, "{after:?}");
    assert_eq!(after["out/a/part-0"], format!("-0 of {}", run(1)));
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let bucket = Bucket::new().await;
    let sink = bucket.sink("a", run(1));
    let target = format!("{}-0", sink.target);
    let mut writer = UploadWriter::create(&bucket.s3, &target, &sink.staging, "t")
        .await
        .unwrap();
    writer.write(&vec![0; 9 << 20]).await.unwrap();
    assert_eq!(bucket.tree().await.len(), 2);
    drop(writer);
    let gone = async {
        let store = bucket.store();
        while store.list(None).count().await + store.uploads("").count().await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
}

#[tokio::test]
async fn foreign_objects_are_replaced_and_lost_uploads_are_told() {
    let bucket = Bucket::new().await;
    let target = Path::from("out/a/part-0");
    bucket.store().put(&target, "somebody else's".into()).await.unwrap();
    let outputs = bucket.stage(run(1), &[("a", &["-0"])]).await;
    bucket.commit(run(1), &outputs).await;
    assert_eq!(bucket.tree().await["out/a/part-0"], format!("-0 of {}", run(1)));

    let outputs = bucket.stage(run(2), &[("a", &["-0"])]).await;
    output::discard(&bucket.s3, outputs[0].files.clone()).await.unwrap();
    let error = output::commit(&bucket.s3, run(2), outputs).await.unwrap_err();
    assert!(
        matches!(error, Error::Lost { .. }) && !error.is_transient(),
        "{error:?}"
    );
    assert_eq!(error.to_failure().code, "output_lost");
}

#[tokio::test]
async fn outputs_must_be_where_they_may_be() {
    let bucket = Bucket::new().await;
    let other = bucket.sink("b", run(1));
    let outputs = vec![SinkOutput {
        files: vec![bucket.stage_file(&other, "-0", "t", "x").await],
        sink: bucket.sink("a", run(1)),
    }];
    let error = output::commit(&bucket.s3, run(1), outputs).await.unwrap_err();
    assert!(matches!(error, Error::BadTarget { .. }), "{error:?}");

    let nowhere = Bucket {
        s3: bucket.s3.clone(),
        name: "no-such-bucket".to_owned(),
    };
    let outputs = vec![SinkOutput {
        sink: nowhere.sink("a", run(1)),
        files: Vec::new(),
    }];
    let error = output::commit(&bucket.s3, run(1), outputs).await.unwrap_err();
    let failure = error.to_failure();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::User, "output_not_writable")
    );
    assert!(failure.message.contains("no-such-bucket"), "{}", failure.message);
    assert_eq!(failure.transform.as_deref(), Some("Writea"));
}

#[tokio::test]
async fn one_run_writes_to_a_folder_and_a_bucket() {
    let bucket = Bucket::new().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out");
    let local = SinkInfo {
        transform: "Local".into(),
        target: folder.join("part").display().to_string(),
        manifest: folder.join("_weir/part.json").display().to_string(),
        staging: folder.join("_weir/staging").display().to_string(),
        format: "text".into(),
        csv: None,
    };
    std::fs::create_dir_all(&local.staging).unwrap();
    let staged = format!("{}/0", local.staging);
    std::fs::write(&staged, "x").unwrap();
    let mut outputs = bucket.stage(run(1), &[("a", &["-0"])]).await;
    let file = OutputFile {
        target: folder.join("part-0").display().to_string(),
        staged: Staged::File { path: staged },
        rows: 1,
        bytes: 1,
    };
    outputs.insert(
        0,
        SinkOutput {
            sink: local,
            files: vec![file],
        },
    );
    let manifests = bucket.commit(run(1), &outputs).await;
    let transforms: Vec<_> = manifests.iter().map(|manifest| manifest.transform.as_str()).collect();
    assert_eq!(transforms, ["Local", "Writea"]);
    assert_eq!(std::fs::read_to_string(folder.join("part-0")).unwrap(), "x");
    assert_eq!(bucket.tree().await.len(), 2);
}

#[tokio::test]
async fn what_is_staged_after_the_commit_is_removed_and_the_output_stays() {
    let bucket = Bucket::new().await;
    let outputs = bucket.stage(run(1), &[("a", &["-00000-of-00001"])]).await;
    bucket.commit(run(1), &outputs).await;
    let committed: HashSet<_> = bucket.tree().await.into_keys().collect();
    bucket
        .stage_file(&outputs[0].sink, "-00000-of-00001", "late", "loser")
        .await;
    assert_ne!(bucket.tree().await.into_keys().collect::<HashSet<_>>(), committed);
    for _ in 0..2 {
        let sinks = outputs.iter().map(|output| output.sink.clone()).collect();
        output::remove_staged(&bucket.s3, sinks).await.unwrap();
        assert_eq!(bucket.tree().await.into_keys().collect::<HashSet<_>>(), committed);
    }
}

#[tokio::test]
async fn a_sweep_removes_what_dead_runs_left() {
    let bucket = Bucket::new().await;
    let url = format!("s3://{}/out", bucket.name);
    let (done, unfinished, live) = (run(1), run(2), run(3));
    // A run that ended well but for its last step, with an upload of an attempt that nobody heard of.
    let outputs = bucket.stage(done, &[("a", &["-00000-of-00001"])]).await;
    bucket.commit(done, &outputs).await;
    bucket.stage(done, &[("a", &["-00000-of-00001"])]).await;
    // One whose commit stopped in the middle, and one that is running.
    let outputs = bucket
        .stage(unfinished, &[("b", &["-00000-of-00002", "-00001-of-00002"])])
        .await;
    assert!(!bucket.commit_until(unfinished, &outputs, 2).await);
    bucket
        .stage_file(&outputs[0].sink, "-00000-of-00002", "loser", "")
        .await;
    let running = bucket.stage(live, &[("c", &["-00000-of-00001"])]).await;
    // An upload whose marker was never written, one of somebody else, and one outside.
    let store = bucket.store();
    let none = (&object_store::Attributes::default(), &object_store::TagSet::default());
    for path in [
        "out/d/part-00000-of-00001",
        "out/backup.tar",
        "elsewhere-00000-of-00001",
    ] {
        store.upload_create(&Path::from(path), none.0, none.1).await.unwrap();
    }

    let is_live = |run| std::future::ready(run == live);
    let swept = output::sweep_orphans(&bucket.s3, &url, Duration::from_secs(3600), is_live)
        .await
        .unwrap();
    assert_eq!(
        (swept.stagings, swept.uploads),
        (2, 0),
        "the other uploads are too young"
    );
    let swept = output::sweep_orphans(&bucket.s3, &url, Duration::ZERO, is_live)
        .await
        .unwrap();
    assert_eq!((swept.stagings, swept.uploads), (0, 1));
    let left: HashSet<_> = bucket.tree().await.into_keys().collect();
    let marker = format!("out/c/_weir/staging-{live}-part/{live}-0.upload");
    let expected = [
        "out/a/_weir/part.json",
        "out/a/part-00000-of-00001",
        "out/c/part-00000-of-00001 (upload)",
        marker.as_str(),
        "out/backup.tar (upload)",
        "elsewhere-00000-of-00001 (upload)",
    ];
    assert_eq!(left, expected.into_iter().map(str::to_owned).collect());
    bucket.commit(live, &running).await;
}
