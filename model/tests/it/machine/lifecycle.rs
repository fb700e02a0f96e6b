//! From submission to the end, when nothing goes wrong but the user's mind.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{
    Event, InputRef, OutputManifest, ReportBody, RunOutcome, RunPhase, StageId, StageOutput, TaskMetrics,
};

use super::graphs::{aligned, all, graph, map_reduce, reading, shuffle, sink, stage, submission};
use super::run::{Run, output, partitions, platform, report, sent, task, user};

#[test]
fn a_run_goes_from_submission_to_visible_outputs() {
    let (mut run, maps) = Run::planned(map_reduce());
    assert_eq!(partitions(&maps), [0..1, 1..2]);
    assert!(
        maps.iter()
            .all(|message| message.tasks == 2 && message.inputs.is_empty() && message.attempt == 0)
    );
    assert_eq!(maps[0].namespace.as_str(), "tenant");

    assert_eq!(run.succeed(&maps[0], 1).effects, []);
    let manifest = Effect::WriteManifest {
        stage: StageId(0),
        stage_attempt: 0,
    };
    assert_eq!(run.succeed(&maps[1], 2).effects, [manifest]);

    let reduces = sent(&run.manifest_written(0, 0));
    assert_eq!(partitions(&reduces), [0..1, 1..2]);
    assert!(reduces.iter().all(|message| message.inputs
        == [InputRef {
            stage: StageId(0),
            stage_attempt: 0
        }]));
    assert_eq!(run.state.phase(), RunPhase::Running);

    let decision = run.succeed_all(&reduces, 3);
    assert_eq!(decision.effects, [Effect::Commit]);
    assert_eq!(run.state.phase(), RunPhase::Committing);

    let outputs = vec![OutputManifest {
        run: run.state.run(),
        transform: "out".to_owned(),
        files: vec!["part-00000".to_owned()],
        rows: 4,
        bytes: 4,
    }];
    let decision = run.input(Input::Committed(outputs.clone()));
    assert_eq!(decision.events.len(), 2);
    assert_eq!(decision.effects, [Effect::Cleanup]);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
    assert_eq!(run.state.outputs(), outputs);
    assert_eq!(run.state.reason(), None);
}

#[test]
fn a_run_without_sinks_has_nothing_to_commit() {
    let (mut run, messages) = Run::planned(graph([stage(0, 1, StageOutput::Result)]));
    run.succeed(&messages[0], 1);
    let decision = run.manifest_written(0, 0);
    assert_eq!(decision.effects, [Effect::Cleanup]);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
    assert!(!run.events().any(|event| matches!(event, Event::CommitStarted)));
}

#[test]
fn a_run_without_stages_succeeds() {
    let (run, messages) = Run::planned(graph([]));
    assert_eq!(messages, []);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn a_stage_that_is_run_for_its_effects_needs_no_manifest() {
    let (mut run, messages) = Run::planned(graph([stage(0, 1, StageOutput::Discard)]));
    run.succeed(&messages[0], 1);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn a_stage_starts_when_the_last_of_its_inputs_is_complete() {
    let (mut run, messages) = Run::planned(graph([
        stage(0, 1, shuffle(2)),
        stage(1, 1, shuffle(2)),
        // A self join of one side, and a broadcast of the other.
        reading(stage(2, 2, sink("out")), [aligned(0, 0..2), aligned(0, 0..2), all(1)]),
    ]));
    run.succeed_all(&messages, 1);
    assert_eq!(run.manifest_written(0, 0).effects, []);
    let reduces = sent(&run.manifest_written(1, 0));
    assert_eq!(reduces.len(), 2);
    let refs = [0, 1].map(|stage| InputRef {
        stage: StageId(stage),
        stage_attempt: 0,
    });
    assert_eq!(reduces[0].inputs, refs, "each manifest is named once");
}

#[test]
fn tasks_are_sized_by_what_was_written() {
    let mut submission = submission();
    submission.settings.coalesce.target_bytes = 1_000;
    submission.settings.coalesce.min_bytes = 1_000;
    let graph = graph([
        stage(0, 2, shuffle(2)),
        reading(stage(1, 4, sink("out")), [aligned(0, 0..2), aligned(0, 2..4)]),
    ]);
    let (mut run, messages) = Run::planned_with(submission, graph);
    for (execution, message) in (1..).zip(&messages) {
        let mut output = output(message, execution);
        // The shuffle's first partition has 1,200 bytes in all, its second 300.
        output.shuffle.as_mut().expect("an object").index[0].length = 600;
        output.shuffle.as_mut().expect("an object").index[1].length = 150;
        run.report(message, execution, ReportBody::Succeeded { output });
    }
    assert_eq!(partitions(&sent(&run.manifest_written(0, 0))), [0..1, 1..2, 2..3, 3..4]);
}

#[test]
fn a_partition_that_the_shuffle_does_not_have_is_passed_over() {
    let (mut run, maps) = Run::planned(map_reduce());
    for (execution, message) in (1..).zip(&maps) {
        let mut output = output(message, execution);
        output.shuffle.as_mut().expect("an object").index[1].partition = u32::MAX;
        run.report(message, execution, ReportBody::Succeeded { output });
    }
    assert_eq!(run.manifest_written(0, 0).effects.len(), 1);
}

#[test]
fn a_stage_is_not_complete_before_its_tasks_are() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed(&maps[0], 1);
    assert_eq!(run.manifest_written(0, 0), Decision::default());
    assert_eq!(run.manifest_written(1, 0), Decision::default());
    assert_eq!(run.manifest_written(9, 0), Decision::default());
}

#[test]
fn partitions_without_rows_cost_no_task() {
    let graph = graph([
        stage(0, 1, shuffle(4)),
        reading(stage(1, 4, sink("out")), [aligned(0, 0..4)]),
    ]);
    let (mut run, messages) = Run::planned(graph);
    run.succeed(&messages[0], 1);
    assert_eq!(
        partitions(&sent(&run.manifest_written(0, 0))),
        [0..1, 1..4],
        "two of the four partitions have rows"
    );
}

#[test]
fn scans_are_sized_by_their_files_where_known() {
    let mut scan = stage(0, 3, sink("out"));
    scan.scan_bytes = vec![0, 5, 0];
    let (_, messages) = Run::planned(graph([scan.clone()]));
    assert_eq!(messages.len(), 1);
    scan.scan_bytes.clear();
    let (_, messages) = Run::planned(graph([scan]));
    assert_eq!(messages.len(), 3);
}

#[test]
fn the_second_report_of_an_accepted_execution_changes_nothing() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed(&maps[0], 1);
    assert_eq!(run.succeed(&maps[0], 1), Decision::default(), "its objects must stay");
}

#[test]
fn the_output_of_another_execution_is_deleted() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed(&maps[0], 1);
    let decision = run.succeed(&maps[0], 2);
    assert_eq!(decision.events, []);
    assert_eq!(decision.effects, [Effect::Discard(Box::new(output(&maps[0], 2)))]);
}

#[test]
fn reports_of_what_was_never_sent_are_left_alone() {
    let (mut run, maps) = Run::planned(map_reduce());
    let mut unknown = [
        maps[0].clone(),
        maps[0].clone(),
        maps[0].clone(),
        maps[0].clone(),
        maps[0].clone(),
    ];
    unknown[0].task = task(9, 0);
    unknown[1].task = task(0, 9);
    unknown[2].stage_attempt = 1;
    unknown[3].attempt = 1;
    unknown[4].run = weir_model::RunId::from_parts(run.now, 99);
    for message in &unknown {
        assert_eq!(
            run.succeed(message, 1),
            Decision::default(),
            "a later owner may know it"
        );
        assert_eq!(run.report(message, 1, ReportBody::Started), Decision::default());
        assert_eq!(run.fail(message, 1, user()), Decision::default());
    }
}

#[test]
fn the_first_sign_of_life_is_logged_whatever_it_is() {
    let (mut run, maps) = Run::planned(map_reduce());
    let progress = || ReportBody::Progress {
        metrics: TaskMetrics::default(),
    };
    assert_eq!(run.report(&maps[0], 1, progress()).events.len(), 1);
    assert_eq!(run.report(&maps[0], 1, ReportBody::Started).events, []);
    assert_eq!(run.report(&maps[0], 1, progress()).events, []);
    assert_eq!(
        run.report(&maps[0], 2, ReportBody::Started).events.len(),
        1,
        "the message was delivered twice"
    );
}

#[test]
fn a_plan_that_failed_ends_the_run() {
    for (failure, retryable) in [(user(), false), (platform(), true)] {
        let mut run = Run::submitted(submission());
        let code = failure.code.clone();
        run.input(Input::PlanFailed(failure));
        assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
        let reason = run.state.reason().expect("a reason");
        assert_eq!((reason.code.as_str(), reason.retryable), (code.as_str(), retryable));
    }
}

#[test]
fn a_plan_that_contradicts_itself_ends_the_run() {
    let misplaced = graph([stage(1, 1, StageOutput::Result)]);
    let backwards = graph([reading(stage(0, 1, shuffle(1)), [aligned(0, 0..1)])]);
    let dead_end = graph([
        stage(0, 1, StageOutput::Result),
        reading(stage(1, 1, StageOutput::Result), [all(0)]),
    ]);
    let outside = graph([
        stage(0, 1, shuffle(4)),
        reading(stage(1, 3, StageOutput::Result), [aligned(0, 0..4)]),
    ]);
    let uneven = graph([
        stage(0, 1, shuffle(4)),
        reading(stage(1, 3, StageOutput::Result), [aligned(0, 0..3)]),
    ]);
    for graph in [misplaced, backwards, dead_end, outside, uneven] {
        let mut run = Run::submitted(submission());
        run.input(Input::Planned(Box::new(graph)));
        assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
        assert_eq!(run.state.reason().expect("a reason").code, "invalid_plan");
    }
}

#[test]
fn a_commit_that_failed_for_good_is_undone() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.succeed(&maps[0], 1);
    assert_eq!(run.input(Input::CommitFailed(user())).effects, [Effect::Abort]);
    assert_eq!(run.state.phase(), RunPhase::Stopping);
    assert_eq!(
        run.input(Input::Committed(Vec::new())),
        Decision::default(),
        "it was decided otherwise"
    );
    assert_eq!(run.input(Input::Aborted).effects, [Effect::Cleanup]);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
}

#[test]
fn a_cancelled_run_leaves_nothing() {
    let cancel = || Input::Cancel { by: "ada".to_owned() };
    let (mut run, maps) = Run::planned(map_reduce());
    assert_eq!(run.input(cancel()).effects, [Effect::Abort]);
    assert_eq!(run.input(cancel()), Decision::default());
    assert_eq!(
        run.succeed(&maps[0], 1).effects,
        [Effect::Discard(Box::new(output(&maps[0], 1)))]
    );
    assert_eq!(run.fail(&maps[1], 2, user()), Decision::default());
    assert_eq!(run.state.next_wake(run.now), None);
    assert_eq!(run.input(Input::Aborted).effects, [Effect::Cleanup]);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Cancelled));
    assert!(run.state.reason().expect("a reason").message.contains("ada"));

    let mut run = Run::submitted(submission());
    assert_eq!(
        run.input(cancel()).effects,
        [Effect::Abort],
        "while it is being planned"
    );
    assert_eq!(run.input(Input::Planned(Box::new(map_reduce()))), Decision::default());
}

#[test]
fn a_commit_that_has_begun_is_not_cancelled() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.succeed(&maps[0], 1);
    assert_eq!(run.input(Input::Cancel { by: "ada".to_owned() }), Decision::default());
    run.input(Input::Committed(Vec::new()));
    assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn the_end_is_the_end() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.succeed(&maps[0], 1);
    run.input(Input::Committed(Vec::new()));
    let orphan = output(&maps[0], 2);
    let inputs = [
        (Input::Submit(Box::new(submission())), vec![]),
        (Input::Planned(Box::new(map_reduce())), vec![]),
        (Input::PlanFailed(user()), vec![]),
        (
            Input::ManifestWritten {
                stage: StageId(0),
                stage_attempt: 0,
            },
            vec![],
        ),
        (Input::Committed(Vec::new()), vec![]),
        (Input::CommitFailed(user()), vec![]),
        (Input::Aborted, vec![]),
        (Input::Cancel { by: "ada".to_owned() }, vec![]),
        (
            Input::Takeover {
                queue_lost: true,
                sent_through: u64::MAX,
            },
            vec![],
        ),
        (Input::Tick, vec![]),
        (
            Input::Report(Box::new(report(&maps[0], 1, ReportBody::Started))),
            vec![],
        ),
        (
            Input::Report(Box::new(report(
                &maps[0],
                1,
                ReportBody::Succeeded {
                    output: output(&maps[0], 1),
                },
            ))),
            vec![],
        ),
        (
            Input::Report(Box::new(report(
                &maps[0],
                2,
                ReportBody::Succeeded { output: orphan.clone() },
            ))),
            vec![Effect::Discard(Box::new(orphan))],
        ),
    ];
    for (input, effects) in inputs {
        assert_eq!(
            run.input(input),
            Decision {
                events: vec![],
                effects
            }
        );
    }
}
