use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use weir_model::{FailureKind, RunId, Timestamp};

use super::*;
use crate::s3::S3;

/// What is in a folder: paths of files with their contents, and of empty folders.
type Tree = BTreeMap<String, String>;

fn tree(root: &Path) -> Tree {
    fn visit(root: &Path, folder: &Path, tree: &mut Tree) {
        let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        for path in &entries {
            if path.is_dir() {
                visit(root, path, tree);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                tree.insert(name, fs::read_to_string(path).unwrap());
            }
        }
        if entries.is_empty() && folder != root {
            tree.insert(
                format!("{}/", folder.strip_prefix(root).unwrap().display()),
                String::new(),
            );
        }
    }
    let mut tree = Tree::new();
    visit(root, root, &mut tree);
    tree
}

/// A folder in memory where there is one: these tests flush a lot, and do not cut the power.
fn temp_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(dir).unwrap()
}

fn run(n: u64) -> RunId {
    RunId::from_parts(Timestamp(n), 0)
}

fn sink(root: &Path, name: &str, run: RunId) -> SinkInfo {
    let target = root.join(name);
    SinkInfo {
        transform: format!("Write{name}"),
        target: target.join("part").display().to_string(),
        manifest: target.join("_weir/part.json").display().to_string(),
        staging: target.join(format!("_weir/staging-{run}/part")).display().to_string(),
        format: "text".into(),
        csv: None,
    }
}

/// Stages files as an engine does, and says what there is to commit.
fn stage(root: &Path, run: RunId, sinks: &[(&str, &[&str])]) -> Vec<SinkOutput> {
    let stage_one = |name: &str, files: &[&str]| {
        let sink = sink(root, name, run);
        let staging = Path::new(&sink.staging);
        let files = files.iter().enumerate().map(|(i, file)| {
            fs::create_dir_all(staging).unwrap();
            let (staged, text) = (staging.join(format!("{i}-x")), format!("{file} of {run}"));
            fs::write(&staged, &text).unwrap();
            OutputFile {
                target: root.join(name).join(file).display().to_string(),
                staged: Staged::File {
                    path: staged.display().to_string(),
                },
                rows: i as u64 + 1,
                bytes: text.len() as u64,
            }
        });
        let files = files.collect();
        SinkOutput { sink, files }
    };
    sinks.iter().map(|(name, files)| stage_one(name, files)).collect()
}

fn sinks(outputs: &[SinkOutput]) -> Vec<SinkInfo> {
    outputs.iter().map(|output| output.sink.clone()).collect()
}

/// A commit, step by step.
fn commit_steps(run: RunId, outputs: &[SinkOutput], after_step: AfterStep<'_>) -> Result<(), Error> {
    let commits = outputs.iter().map(|output| SinkCommit::new(run, output));
    let mut commits = commits.collect::<Result<Vec<_>, _>>()?;
    place(&mut commits, after_step)?;
    publish(&commits, after_step)?;
    clean(&commits, after_step)
}

async fn commit(run: RunId, outputs: Vec<SinkOutput>) -> Result<Vec<OutputManifest>, Error> {
    crate::output::commit(&S3::from_environment(false), run, outputs).await
}

async fn abort(sinks: Vec<SinkInfo>) -> Result<(), Error> {
    crate::output::abort(&S3::from_environment(false), sinks).await
}

async fn discard(files: Vec<OutputFile>) -> Result<(), Error> {
    crate::output::discard(&S3::from_environment(false), files).await
}

/// Runs a commit that ends after `steps` steps, as a crash would end it; says whether it was complete by then.
fn commit_until(run: RunId, outputs: &[SinkOutput], steps: usize) -> bool {
    let left = AtomicUsize::new(steps);
    let crash = || match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::io("", "crash", Path::new(""), io::Error::other("crash"))),
    };
    match commit_steps(run, outputs, &crash) {
        Ok(_) => true,
        Err(Error::Io { action: "crash", .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn an_output_is_its_files_and_a_manifest() {
    let dir = temp_dir();
    let outputs = stage(
        dir.path(),
        run(1),
        &[("out", &["part-0", "sub/part-1"]), ("empty", &[])],
    );
    let manifests = commit(run(1), outputs.clone()).await.unwrap();
    assert_eq!(manifests[0].files, ["part-0", "sub/part-1"]);
    let after = tree(dir.path());
    let bytes = after["out/part-0"].len() + after["out/sub/part-1"].len();
    assert_eq!((manifests[0].rows, manifests[0].bytes), (3, bytes as u64));
    assert_eq!((manifests[1].rows, manifests[1].bytes), (0, 0));
    let names: Vec<_> = after.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "empty/_weir/part.json",
            "out/_weir/part.json",
            "out/part-0",
            "out/sub/part-1"
        ]
    );
    let visible: OutputManifest = serde_json::from_str(&after["out/_weir/part.json"]).unwrap();
    assert_eq!(visible, manifests[0]);

    assert_eq!(commit(run(1), outputs).await.unwrap(), manifests);
    assert_eq!(tree(dir.path()), after, "doing it again changes nothing");
}

#[tokio::test]
async fn an_abort_leaves_nothing() {
    let dir = temp_dir();
    let outputs = stage(dir.path(), run(1), &[("out", &["part-0"])]);
    abort(sinks(&outputs)).await.unwrap();
    abort(sinks(&outputs)).await.unwrap();
    assert_eq!(tree(dir.path()).into_keys().collect::<Vec<_>>(), ["out/"]);
}

#[tokio::test]
async fn an_abort_leaves_the_staged_files_of_other_runs() {
    let dir = temp_dir();
    let ours = stage(dir.path(), run(1), &[("out", &["part-0"])]);
    let theirs = stage(dir.path(), run(2), &[("out", &["part-0"])]);
    abort(sinks(&ours)).await.unwrap();
    commit(run(2), theirs).await.unwrap();
    let after = tree(dir.path());
    assert_eq!(after["out/part-0"], format!("part-0 of {}", run(2)));
    assert_eq!(after.len(), 2, "{after:?}");
}

#[tokio::test]
async fn discarding_deletes_what_was_staged() {
    let dir = temp_dir();
    let outputs = stage(dir.path(), run(1), &[("out", &["part-0", "part-1"])]);
    discard(outputs[0].files[..1].to_vec()).await.unwrap();
    discard(outputs[0].files[..1].to_vec()).await.unwrap();
    assert_eq!(tree(dir.path()).len(), 1);
    let error = commit(run(1), outputs).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }) && !error.is_transient(), "{error}");
    assert_eq!(error.to_failure().code, "output_lost");
}

#[tokio::test]
async fn files_must_stay_in_the_output_folder_and_apart() {
    let dir = temp_dir();
    for files in [["part-0", "../other/part"], ["part-0", "part-0"]] {
        let outputs = stage(dir.path(), run(1), &[("out", &files)]);
        let error = commit(run(1), outputs).await.unwrap_err();
        assert!(matches!(error, Error::BadTarget { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_written_is_the_users_error() {
    let dir = temp_dir();
    fs::write(dir.path().join("out"), "a file where the folder should be").unwrap();
    let outputs = vec![SinkOutput {
        sink: sink(dir.path(), "out", run(1)),
        files: Vec::new(),
    }];
    let error = commit(run(1), outputs).await.unwrap_err();
    let failure = error.to_failure();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::User, "output_not_writable")
    );
    assert_eq!(failure.transform.as_deref(), Some("Writeout"));
    assert!(!error.is_transient());

    let read_only = Error::io("w", "x", Path::new("p"), io::ErrorKind::ReadOnlyFilesystem.into());
    assert_eq!(read_only.to_failure().kind, FailureKind::User);
    let full = Error::io("w", "x", Path::new("p"), io::ErrorKind::StorageFull.into());
    assert_eq!(full.to_failure().kind, FailureKind::Platform);
    assert!(full.is_transient());
}

/// Some of the files that an output may have.
fn file_set() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(vec!["part-0", "part-1", "part-2", "sub/part-3"], 0..=4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever was there before, a commit that crashes after any step and is done again gives what it would have
    /// given without the crash.
    #[test]
    fn a_commit_survives_a_crash_after_every_step(
        old in proptest::option::of(file_set()),
        first in file_set(),
        second in file_set(),
        again in 0..6usize,
    ) {
        let set_up = || {
            let dir = temp_dir();
            if let Some(old) = &old {
                assert!(commit_until(run(1), &stage(dir.path(), run(1), &[("a", old)]), usize::MAX));
            }
            let outputs = stage(dir.path(), run(2), &[("a", &first), ("b", &second)]);
            (dir, outputs)
        };
        let (dir, outputs) = set_up();
        prop_assert!(commit_until(run(2), &outputs, usize::MAX));
        let expected = tree(dir.path());
        let names: usize = first.len() + second.len() + 2;
        prop_assert_eq!(expected.len(), names, "only files of the new output and manifests: {:?}", expected);

        for steps in 0.. {
            let (dir, outputs) = set_up();
            let complete = commit_until(run(2), &outputs, steps);
            commit_until(run(2), &outputs, again);
            prop_assert!(commit_until(run(2), &outputs, usize::MAX));
            prop_assert_eq!(&tree(dir.path()), &expected, "after {} steps, then {}", steps, again);
            if complete {
                break;
            }
        }
    }

    /// A commit that is given up after any step leaves nothing of its own; the earlier output is either as it was, or
    /// it is not visible. No manifest ever names a file that is not there.
    #[test]
    fn an_abort_undoes_a_commit_after_every_step(old in file_set(), new in file_set()) {
        for steps in 0.. {
            let dir = temp_dir();
            prop_assert!(commit_until(run(1), &stage(dir.path(), run(1), &[("a", &old)]), usize::MAX));
            let before = tree(dir.path());
            let outputs = stage(dir.path(), run(2), &[("a", &new)]);
            let complete = commit_until(run(2), &outputs, steps);
            if complete {
                break;
            }
            let staging_is_gone = !Path::new(&outputs[0].sink.staging).exists();
            sinks(&outputs).iter().try_for_each(super::abort).unwrap();
            sinks(&outputs).iter().try_for_each(super::abort).unwrap();
            if staging_is_gone {
                // Only the last step is missing: the machine does not abort a commit that is reported done.
                continue;
            }
            let after = tree(dir.path());
            let theirs = format!("of {}", run(2));
            prop_assert!(after.values().all(|text| !text.contains(&theirs)), "{:?}", after);
            prop_assert!(after.keys().all(|name| !name.contains("_weir") || name == "a/_weir/part.json"), "{:?}", after);
            if after.contains_key("a/_weir/part.json") {
                let files = |tree: &Tree| tree.iter().filter(|(k, _)| !k.ends_with('/')).map(|(k, v)| (k.clone(), v.clone())).collect::<Tree>();
                prop_assert_eq!(files(&after), files(&before), "after {} steps", steps);
            }
        }
    }
}
