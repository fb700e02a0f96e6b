//! Pipelines from their text to their rows.

use std::path::Path;

use weir_engine::PlanError;
use weir_model::{
    CoalesceSettings, FailureKind, Job, Namespace, OutputFile, RunSettings, StageOutput, Staged, Submission,
};

use crate::driver::{Driver, Failed, MEMORY_BYTES, Run};

mod combine;
mod errors;
mod files;
mod join;
mod rows;
mod sharing;
mod wasm;

/// A job over the files of `base`.
fn submission(base: &Path, yaml: &str) -> Submission {
    Submission {
        namespace: Namespace::default(),
        name: "test".to_owned(),
        job: Job::Pipeline {
            yaml: yaml.to_owned(),
            file: "p.yaml".to_owned(),
            params: Default::default(),
        },
        modules: Default::default(),
        base: base.to_string_lossy().into_owned(),
        metadata: Default::default(),
        settings: RunSettings {
            target_partitions: 3,
            // Each partition is a task, so that whatever is wrong across tasks shows.
            coalesce: CoalesceSettings {
                target_bytes: 1,
                min_bytes: 1,
                parallelism: 4,
            },
            ..RunSettings::default()
        },
    }
}

/// A pipeline that is one chain, given its transforms one a line.
fn chain(transforms: &str) -> String {
    let transforms: String = transforms
        .trim()
        .lines()
        .map(|line| format!("    - {}\n", line.trim()))
        .collect();
    format!("pipeline:\n  type: chain\n  transforms:\n{transforms}")
}

/// A pipeline whose transforms name their inputs, given one a line.
fn graph(transforms: &str) -> String {
    let transforms: String = transforms
        .trim()
        .lines()
        .map(|line| format!("    - {}\n", line.trim()))
        .collect();
    format!("pipeline:\n  transforms:\n{transforms}")
}

async fn try_run(driver: &Driver, yaml: &str) -> Result<Run, Failed> {
    driver.run(&submission(driver.folder(), yaml)).await
}

async fn run(driver: &Driver, yaml: &str) -> Run {
    match try_run(driver, yaml).await {
        Ok(run) => run,
        Err(Failed::Plan(error)) => panic!("{error}\n{yaml}"),
        Err(Failed::Task(task, failure)) => panic!("{task:?}: {:?}\n{yaml}", failure.failure),
    }
}

/// What the logging transforms of a pipeline wrote, in the order of the text.
fn logged(run: &Run) -> Vec<String> {
    let logs = run.outputs.iter().flatten().flat_map(|output| &output.metrics.logs);
    let mut lines: Vec<String> = logs.map(|line| line.message.clone()).collect();
    lines.sort();
    lines
}

/// A pipeline that ends in `LogForTesting` logs these rows, in any order.
async fn check(yaml: &str, expect: &[&str]) {
    let driver = Driver::new(MEMORY_BYTES);
    check_in(&driver, yaml, expect).await;
}

async fn check_in(driver: &Driver, yaml: &str, expect: &[&str]) {
    let found = logged(&run(driver, yaml).await);
    let mut expect: Vec<&str> = expect.to_vec();
    expect.sort_unstable();
    assert_eq!(found, expect, "{yaml}");
}

/// A text without the `«` in it, and where that was, as messages have it.
fn marked(yaml: &str) -> (String, String) {
    let (before, after) = yaml.split_once('«').expect("a place is marked");
    let line = before.lines().count();
    let column = before.lines().last().unwrap_or_default().chars().count() + 1;
    (format!("{before}{after}"), format!("p.yaml:{line}:{column}: "))
}

/// A pipeline is refused with this message about the place that `«` marks.
async fn refused(yaml: &str, expect: &str) {
    let driver = Driver::new(MEMORY_BYTES);
    let (yaml, place) = marked(yaml);
    let expect = format!("{place}{expect}");
    match try_run(&driver, &yaml).await {
        Err(Failed::Plan(PlanError::Pipeline(diagnostics))) => assert_eq!(diagnostics.to_string(), expect, "{yaml}"),
        Err(other) => panic!("{other:?}\n{yaml}"),
        Ok(_) => panic!("it ran\n{yaml}"),
    }
}

/// A pipeline fails while it runs, by the user's fault, with this code and message.
async fn fails(yaml: &str, code: &str, message: &str) {
    let driver = Driver::new(MEMORY_BYTES);
    match try_run(&driver, yaml).await {
        Err(Failed::Task(_, failure)) => {
            let failure = failure.failure;
            assert_eq!(failure.kind, FailureKind::User, "{failure:?}");
            assert_eq!(
                (failure.code.as_str(), failure.message.as_str()),
                (code, message),
                "{yaml}"
            );
        }
        Err(other) => panic!("{other:?}\n{yaml}"),
        Ok(_) => panic!("it ran\n{yaml}"),
    }
}

/// The files that a run would make visible: names relative to the sink's folder, and contents; in order of the names.
fn files(run: &Run) -> Vec<(String, Vec<u8>)> {
    let read = |file: &OutputFile| {
        let Staged::File { path } = &file.staged else {
            panic!("{:?} is no file", file.staged);
        };
        let content = std::fs::read(path).unwrap();
        assert_eq!(content.len() as u64, file.bytes);
        (file.target.rsplit('/').next().unwrap().to_owned(), content)
    };
    let mut files: Vec<_> = run
        .outputs
        .iter()
        .flatten()
        .flat_map(|output| &output.files)
        .map(read)
        .collect();
    files.sort();
    files
}

fn texts(run: &Run) -> Vec<(String, String)> {
    files(run)
        .into_iter()
        .map(|(name, content)| (name, String::from_utf8(content).unwrap()))
        .collect()
}

/// How many stages end in a shuffle, in files, and nowhere.
fn stages(run: &Run) -> [usize; 3] {
    let count =
        |wanted: fn(&StageOutput) -> bool| run.graph.stages.iter().filter(|stage| wanted(&stage.output)).count();
    [
        count(|output| matches!(output, StageOutput::Shuffle { .. })),
        count(|output| matches!(output, StageOutput::Sink(_))),
        count(|output| matches!(output, StageOutput::Discard)),
    ]
}
