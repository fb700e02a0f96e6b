//! What people are shown.

use weir_model::{
    LogLevel, LogLine, ReportBody, RunPhase, StagePhase, StageSnapshot, TaskMessage, TaskMetrics, TaskOutput,
};

use super::graphs::map_reduce;
use super::run::{Run, key, lost, output, platform, report, sent, task};

fn metrics(rows: u64) -> TaskMetrics {
    TaskMetrics {
        rows_in: rows,
        rows_out: 2 * rows,
        bytes_in: 3 * rows,
        bytes_out: 4 * rows,
        spilled_bytes: 5 * rows,
        ..TaskMetrics::default()
    }
}

fn succeeded(message: &TaskMessage, execution: u128, metrics: TaskMetrics) -> ReportBody {
    ReportBody::Succeeded {
        output: TaskOutput {
            metrics,
            ..output(message, execution)
        },
    }
}

fn rows(stage: &StageSnapshot) -> [u64; 5] {
    [
        stage.rows_in,
        stage.rows_out,
        stage.bytes_in,
        stage.bytes_out,
        stage.spilled_bytes,
    ]
}

#[test]
fn totals_are_those_of_accepted_attempts_and_of_what_runs() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.report(&maps[0], 1, ReportBody::Started);
    run.state.progress(
        &report(&maps[0], 1, ReportBody::Progress { metrics: metrics(10) }),
        run.now,
    );
    let snapshot = run.state.snapshot();
    assert_eq!(
        (snapshot.namespace.as_str(), snapshot.name.as_str()),
        ("tenant", "test")
    );
    assert_eq!(
        (snapshot.phase, snapshot.created_at, snapshot.planned_at),
        (RunPhase::Running, run.now, Some(run.now))
    );
    let stage = &snapshot.stages[0];
    assert_eq!(
        (stage.phase, stage.tasks, stage.running, stage.done),
        (StagePhase::Running, 2, 1, 0)
    );
    assert_eq!(rows(stage), [10, 20, 30, 40, 50]);
    assert_eq!(
        (snapshot.stages[1].phase, snapshot.stages[1].tasks),
        (StagePhase::Waiting, 0)
    );

    run.report(&maps[0], 1, succeeded(&maps[0], 1, metrics(11)));
    let stage = &run.state.snapshot().stages[0];
    assert_eq!((stage.running, stage.done), (0, 1));
    assert_eq!(
        rows(stage),
        [11, 22, 33, 44, 55],
        "the progress of an attempt is not counted beside its end"
    );

    run.fail(&maps[1], 2, platform());
    assert_eq!(run.state.snapshot().stages[0].failed_attempts, 1);
}

#[test]
fn what_is_made_again_is_not_counted_twice() {
    let (mut run, maps) = Run::planned(map_reduce());
    for (execution, message) in (1..).zip(&maps) {
        run.report(message, execution, succeeded(message, execution, metrics(10)));
    }
    let reduces = sent(&run.manifest_written(0, 0));
    assert_eq!(run.state.snapshot().stages[0].phase, StagePhase::Completed);
    run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)]));
    let stage = &run.state.snapshot().stages[0];
    assert_eq!(
        (stage.phase, stage.done, stage.rows_in, stage.finished_at),
        (StagePhase::Running, 1, 10, None)
    );
}

#[test]
fn the_latest_log_lines_are_kept() {
    let (mut run, maps) = Run::planned(map_reduce());
    let lines = |numbers: std::ops::Range<u32>| TaskMetrics {
        logs: numbers
            .map(|number| LogLine {
                level: LogLevel::Info,
                source: "f".to_owned(),
                message: number.to_string(),
            })
            .collect(),
        ..TaskMetrics::default()
    };
    run.report(
        &maps[0],
        1,
        ReportBody::Failed {
            failure: platform(),
            metrics: lines(0..600),
        },
    );
    run.report(&maps[1], 2, succeeded(&maps[1], 2, lines(600..1_200)));
    let snapshot = run.state.snapshot();
    assert_eq!(snapshot.logs.len(), 1_000);
    assert_eq!(snapshot.logs[0].message, "200");
    assert_eq!(snapshot.logs[999].message, "1199");
    let (_, output) = run
        .state
        .accepted_outputs(maps[1].task.stage)
        .next()
        .expect("an output");
    assert_eq!(output.metrics.logs, [], "kept once");
}
