//! Copies of attempts that take much longer than the others of their stage.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{
    Event, Failure, FailureKind, InputRef, PartitionSpan, ReportBody, RunSettings, SpeculationSettings, StageId,
    Submission, TaskMessage, TaskMetrics,
};

use super::graphs::{aligned, graph, reading, shuffle, sink, stage, submission};
use super::run::{Run, key, lost, only, output, platform, report, sent, task, user};

/// Ten tasks that write a sink: nine of them are enough to judge the last.
const TASKS: u32 = 10;

fn settings(speculation: SpeculationSettings) -> Submission {
    let submission = submission();
    Submission {
        settings: RunSettings {
            attempt_timeout_ms: 10_000,
            speculation,
            ..submission.settings.clone()
        },
        ..submission
    }
}

fn speculation() -> SpeculationSettings {
    SpeculationSettings {
        enabled: true,
        multiplier: 3.0,
        quantile: 0.9,
        min_ms: 50,
    }
}

/// A run all of whose tasks have begun, and have taken 100 ms so far; and their messages.
fn begun(speculation: SpeculationSettings) -> (Run, Vec<TaskMessage>) {
    let (mut run, messages) = Run::planned_with(settings(speculation), graph([stage(0, TASKS, sink("out"))]));
    for (execution, message) in (1..).zip(&messages) {
        run.report(message, execution, ReportBody::Started);
    }
    run.now = run.now.plus_ms(100);
    (run, messages)
}

/// As [`begun`], with all but the last task accepted after 100 ms.
fn late() -> (Run, TaskMessage) {
    let (mut run, messages) = begun(speculation());
    let (last, others) = messages.split_last().expect("messages");
    run.succeed_all(others, 1);
    (run, last.clone())
}

/// As [`late`], with the copy of the last task.
fn copied() -> (Run, TaskMessage, TaskMessage) {
    let (mut run, original) = late();
    let copy = only(&run.tick_after(200));
    (run, original, copy)
}

fn last_stage(run: &Run) -> (u32, u32, u32) {
    let snapshot = run.state.snapshot();
    let stage = snapshot.stages.last().expect("a stage");
    (
        stage.speculative_attempts,
        stage.speculative_wins,
        stage.failed_attempts,
    )
}

#[test]
fn a_slow_attempt_is_copied_and_stays_under_way() {
    let (mut run, original) = late();
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(200)));
    assert_eq!(run.tick_after(199), Decision::default());
    let decision = run.tick_after(1);
    let copy = only(&decision);
    assert_eq!(
        decision.events,
        [Event::TaskDispatched {
            task: original.task,
            stage_attempt: 0,
            attempt: 1,
            not_before: None,
            speculative: true,
        }]
    );
    assert_eq!(
        copy,
        TaskMessage {
            attempt: 1,
            ..original.clone()
        }
    );
    assert_eq!(last_stage(&run), (1, 0, 0));
    assert_eq!(run.tick_after(5_000), Decision::default(), "there is one copy");
    let running = |run: &Run| {
        let stage = &run.state.snapshot().stages[0];
        (stage.running, stage.speculative_running)
    };
    assert_eq!(running(&run), (1, 1));
    let accepted = run.succeed(&original, 10);
    assert_eq!(running(&run), (0, 0));
    assert!(
        matches!(accepted.events[0], Event::TaskAccepted { attempt: 0, .. }),
        "{accepted:?}"
    );
    assert_eq!(accepted.effects, [Effect::Commit]);
    assert_eq!(last_stage(&run), (1, 0, 0));
}

#[test]
fn the_first_success_is_accepted_and_the_output_of_the_other_deleted() {
    let (mut run, original, copy) = copied();
    run.report(&copy, 11, ReportBody::Started);
    let accepted = run.succeed(&copy, 11);
    assert!(
        matches!(accepted.events[0], Event::TaskAccepted { attempt: 1, .. }),
        "{accepted:?}"
    );
    let late = run.succeed(&original, 10);
    assert_eq!(late.events, []);
    assert_eq!(late.effects, [Effect::Discard(Box::new(output(&original, 10)))]);
    let again = run.succeed(&copy, 11);
    assert_eq!(again, Decision::default(), "what was accepted is not deleted");
    assert_eq!(last_stage(&run), (1, 1, 0));
}

#[test]
fn the_failure_of_one_means_nothing_while_the_other_is_under_way() {
    for (first, then) in [(0, 1), (1, 0)] {
        let (mut run, original, copy) = copied();
        let of = [original, copy];
        run.report(&of[1], 11, ReportBody::Started);
        for failure in [platform(), lost(0, 0, &["x".to_owned()])] {
            let mut run = Run {
                state: run.state.clone(),
                log: run.log.clone(),
                now: run.now,
            };
            let failed = run.fail(&of[first], 20, failure.clone());
            assert!(
                matches!(failed.events[..], [Event::AttemptFailed { .. }]),
                "nothing is tried again: {failed:?}"
            );
            assert_eq!(failed.effects, []);
            assert_eq!(
                run.tick_after(5_000),
                Decision::default(),
                "there is no second copy before the task is tried again"
            );
            let accepted = run.succeed(&of[then], 21);
            assert_eq!(accepted.effects, [Effect::Commit]);
            assert_eq!(last_stage(&run), (1, u32::from(then == 1), 1));
        }
    }
}

#[test]
fn two_attempts_that_fail_are_one_failure_of_their_task() {
    let (mut run, mut original, mut copy) = copied();
    // The third failure of the task is the last.
    for try_ in 1..=3 {
        run.report(&copy, 11, ReportBody::Started);
        run.fail(&copy, 11, platform());
        let decision = run.fail(&original, 10, platform());
        if try_ == 3 {
            assert_eq!(decision.effects, [Effect::Abort]);
            break;
        }
        original = only(&decision);
        run.report(&original, 10, ReportBody::Started);
        copy = only(&run.tick_after(1_000));
        assert_eq!(copy.attempt, original.attempt + 1);
    }
    assert_eq!(last_stage(&run), (3, 0, 6));
}

#[test]
fn the_users_fault_is_the_users_fault_whichever_attempt_finds_it() {
    for finds in [0, 1] {
        let (mut run, original, copy) = copied();
        let decision = run.fail([&original, &copy][finds], 12, user());
        assert_eq!(decision.effects, [Effect::Abort]);
    }
}

#[test]
fn two_attempts_that_go_silent_are_one_failure_of_their_task() {
    let (mut run, original, copy) = copied();
    run.report(&copy, 11, ReportBody::Started);
    assert_eq!(run.tick_after(9_999), Decision::default());
    let decision = run.tick_after(1);
    let lost: Vec<_> = decision
        .events
        .iter()
        .filter_map(|event| match event {
            Event::AttemptFailed { attempt, failure, .. } => Some((*attempt, failure.code.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        lost,
        [(original.attempt, "attempt_lost"), (copy.attempt, "attempt_lost")]
    );
    assert_eq!(only(&decision).attempt, copy.attempt + 1);
}

#[test]
fn a_sign_of_life_of_either_attempt_keeps_the_task_alive() {
    for lives in [0, 1] {
        let (mut run, original, copy) = copied();
        run.report(&copy, 11, ReportBody::Started);
        let progress = report(
            [&original, &copy][lives],
            10,
            ReportBody::Progress {
                metrics: TaskMetrics::default(),
            },
        );
        for _ in 0..5 {
            assert_eq!(run.tick_after(9_000), Decision::default());
            run.state.progress(&progress, run.now);
        }
    }
}

#[test]
fn a_copy_that_nobody_takes_is_missed_when_the_original_has_failed() {
    let (mut run, original, copy) = copied();
    run.fail(&original, 10, platform());
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(10_000)));
    let decision = run.tick_after(10_000);
    assert!(
        matches!(decision.events[..], [Event::TaskDispatched { speculative: false, .. }]),
        "{decision:?}"
    );
    assert_eq!(only(&decision).attempt, copy.attempt + 1);
}

#[test]
fn nothing_is_copied_before_enough_tasks_are_accepted() {
    let (mut run, messages) = begun(speculation());
    run.succeed_all(&messages[..8], 1);
    assert_eq!(
        run.state.next_wake(run.now),
        Some(run.now.plus_ms(9_900)),
        "only silence leads to something"
    );
    assert_eq!(run.tick_after(9_000), Decision::default());
}

#[test]
fn how_long_others_took_is_by_the_clock_of_their_workers() {
    let (mut run, messages) = begun(speculation());
    for (execution, message) in (1..).zip(&messages[..9]) {
        let mut output = output(message, execution);
        output.metrics.elapsed_us = 400_000;
        run.report(message, execution, ReportBody::Succeeded { output });
    }
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(1_100)));
}

#[test]
fn what_is_over_soon_is_not_copied() {
    let (mut run, messages) = begun(SpeculationSettings {
        min_ms: 5_000,
        ..speculation()
    });
    run.succeed_all(&messages[..9], 1);
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(4_900)));
}

#[test]
fn only_some_tasks_of_a_stage_have_a_copy_at_a_time() {
    let (mut run, messages) = begun(SpeculationSettings {
        quantile: 0.5,
        ..speculation()
    });
    run.succeed_all(&messages[..5], 1);
    let copy = only(&run.tick_after(2_000));
    assert_eq!(run.tick_after(100), Decision::default());
    run.succeed(&copy, 20);
    let next = only(&run.tick_after(0));
    assert_ne!(next.task, copy.task);
}

#[test]
fn a_lone_task_is_not_copied_nor_is_anything_when_it_is_off() {
    let (mut run, messages) = Run::planned_with(settings(speculation()), graph([stage(0, 1, sink("out"))]));
    run.report(&messages[0], 1, ReportBody::Started);
    assert_eq!(run.tick_after(9_999), Decision::default());

    let (mut run, messages) = begun(SpeculationSettings {
        enabled: false,
        ..speculation()
    });
    run.succeed_all(&messages[..9], 1);
    assert_eq!(run.tick_after(9_000), Decision::default());
}

#[test]
fn settings_out_of_all_bounds_do_no_harm() {
    for number in [-1e300, -1.0, 0.0, 1e300] {
        let (mut run, messages) = begun(SpeculationSettings {
            multiplier: number,
            quantile: number,
            ..speculation()
        });
        run.succeed_all(&messages[..9], 1);
        run.tick_after(9_000);
        assert_eq!(run.succeed(&messages[9], 10).effects, [Effect::Commit]);
    }
}

/// Two tasks that shuffle, and ten that write: all of these have begun and have taken 100 ms so far.
fn reducing(speculation: SpeculationSettings) -> (Run, Vec<TaskMessage>) {
    let (mut run, maps) = Run::planned_with(
        settings(speculation),
        graph([
            stage(0, 2, shuffle(TASKS)),
            reading(stage(1, TASKS, sink("out")), [aligned(0, 0..TASKS)]),
        ]),
    );
    for (execution, message) in (1..).zip(&maps) {
        let mut output = output(message, execution);
        let object = output.shuffle.as_mut().expect("an object");
        object.index = (0..TASKS)
            .map(|partition| PartitionSpan {
                partition,
                ..object.index[1]
            })
            .collect();
        run.report(message, execution, ReportBody::Succeeded { output });
    }
    let reduces = sent(&run.manifest_written(0, 0));
    assert_eq!(reduces.len(), TASKS as usize);
    for (execution, message) in (100..).zip(&reduces) {
        run.report(message, execution, ReportBody::Started);
    }
    run.now = run.now.plus_ms(100);
    (run, reduces)
}

#[test]
fn nothing_is_copied_while_its_input_is_made_again() {
    let (mut run, reduces) = reducing(speculation());
    run.succeed_all(&reduces[..8], 100);
    let remake = only(&run.fail(&reduces[8], 108, lost(0, 0, &[key(task(0, 0), 1)])));
    run.succeed(&reduces[8], 109);
    assert_eq!(run.tick_after(5_000), Decision::default());
    run.succeed(&remake, 200);
    run.manifest_written(0, 1);
    let copy = only(&run.tick_after(0));
    assert_eq!(copy.task, reduces[9].task);
    assert_eq!(
        copy.inputs,
        [InputRef {
            stage: StageId(0),
            stage_attempt: 1
        }]
    );
}

#[test]
fn a_copy_that_nobody_takes_is_not_missed_while_its_input_is_made_again() {
    let (mut run, reduces) = reducing(SpeculationSettings {
        quantile: 0.5,
        ..speculation()
    });
    run.succeed_all(&reduces[2..], 102);
    let copy = only(&run.tick_after(1_000));
    assert_eq!(copy.task, reduces[0].task);
    let remake = only(&run.fail(&reduces[1], 101, lost(0, 0, &[key(task(0, 0), 1)])));
    run.fail(&reduces[0], 100, platform());
    run.report(&remake, 200, ReportBody::Started);
    // Only that one can be missed: the copy could not be sent again.
    let missed = only(&run.tick_after(10_000));
    assert_eq!((missed.task, missed.attempt), (remake.task, remake.attempt + 1));
    assert!(run.state.next_wake(run.now) > Some(run.now), "nothing is due any more");
    run.succeed(&missed, 201);
    run.manifest_written(0, 1);
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(10_000)));
    let again: Vec<_> = sent(&run.tick_after(10_000))
        .iter()
        .map(|message| message.task)
        .collect();
    assert_eq!(again, [reduces[0].task, reduces[1].task]);
}

#[test]
fn a_copy_that_may_not_have_been_sent_is_sent_again_by_the_next_owner() {
    let (mut run, _, copy) = copied();
    run.state = run.replayed();
    let again = run.input(Input::Takeover {
        queue_lost: false,
        sent_through: run.state.next_seq() - 2,
    });
    assert_eq!(sent(&again), [copy]);
}

#[test]
fn a_queue_that_was_lost_took_the_copy_with_it() {
    let (mut run, original, copy) = copied();
    let again = only(&run.input(Input::Takeover {
        queue_lost: true,
        sent_through: 0,
    }));
    assert_eq!(again.attempt, copy.attempt + 1);
    run.report(&again, 30, ReportBody::Started);
    let next = only(&run.tick_after(1_000));
    assert_eq!((next.task, next.attempt), (original.task, again.attempt + 1));
}

#[test]
fn reports_of_attempts_that_were_given_up_do_not_fail_a_task_that_has_two() {
    let (mut run, original, copy) = copied();
    run.report(&copy, 11, ReportBody::Started);
    let again = only(&run.tick_after(10_000));
    run.report(&again, 12, ReportBody::Started);
    let failure = Failure::new(FailureKind::Cancelled, "cancelled", "the worker shuts down");
    for given_up in [&original, &copy] {
        assert_eq!(run.fail(given_up, 10, failure.clone()), Decision::default());
    }
    let accepted = run.succeed(&copy, 11);
    assert_eq!(accepted.effects, [Effect::Commit], "a success is a success");
}
