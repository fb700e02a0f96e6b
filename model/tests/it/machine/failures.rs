//! Attempts that fail, and shuffle objects that are lost.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{Event, Failure, FailureKind, InputRef, RunOutcome, RunPhase, StageId, TaskMessage};

use super::graphs::{aligned, graph, map_reduce, reading, shuffle, sink, stage};
use super::run::{Run, key, lost, only, platform, sent, task, user};

/// A run whose maps are accepted as executions 1 and 2, and the messages of its reduces.
fn reducing() -> (Run, Vec<TaskMessage>) {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed_all(&maps, 1);
    let reduces = sent(&run.manifest_written(0, 0));
    (run, reduces)
}

fn dispatched_after(decision: &Decision) -> u64 {
    let wait = decision.effects.iter().find_map(|effect| match effect {
        Effect::Dispatch { not_before, .. } => *not_before,
        _ => None,
    });
    wait.expect("a backoff").0
}

#[test]
fn the_users_fault_fails_the_run_at_once() {
    let (mut run, maps) = Run::planned(map_reduce());
    let decision = run.fail(&maps[0], 1, user());
    assert_eq!(decision.effects, [Effect::Abort]);
    assert_eq!(run.state.phase(), RunPhase::Stopping);
    run.input(Input::Aborted);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
    let reason = run.state.reason().expect("a reason");
    assert_eq!(reason.code, "wasm_trap");
    assert!(!reason.retryable);
    assert_eq!(
        reason.message,
        "transform `Parse`, function `parse_line`, rows 10 to 19: unreachable (task 0.0, stage `stage 0`)"
    );
}

#[test]
fn the_platforms_fault_is_tried_again_with_backoff_up_to_a_limit() {
    let (mut run, maps) = Run::planned(map_reduce());
    let first = run.fail(&maps[0], 1, platform());
    let wait = dispatched_after(&first) - run.now.0;
    assert!((4..=8).contains(&wait), "{wait} ms");
    let again = only(&first);
    assert_eq!((again.task, again.attempt), (task(0, 0), 1));

    let second = run.fail(&again, 2, platform());
    let wait = dispatched_after(&second) - run.now.0;
    assert!((8..=16).contains(&wait), "{wait} ms");

    assert_eq!(
        run.fail(&only(&second), 3, platform()).effects,
        [Effect::Abort],
        "three attempts are allowed"
    );
    run.input(Input::Aborted);
    let reason = run.state.reason().expect("a reason");
    assert_eq!(reason.code, "disk_full");
    assert!(reason.retryable);
    assert!(
        reason.message.contains("task 0.0, stage `stage 0` failed 3 times"),
        "{}",
        reason.message
    );
    assert!(reason.message.contains("retry.max_attempts"), "{}", reason.message);
}

#[test]
fn an_attempt_that_was_told_to_stop_while_nobody_said_so_is_tried_again() {
    let (mut run, maps) = Run::planned(map_reduce());
    let stopped = Failure::new(FailureKind::Cancelled, "cancelled", "the worker shuts down");
    assert_eq!(only(&run.fail(&maps[0], 1, stopped)).attempt, 1);
}

#[test]
fn a_failure_is_not_retried_twice() {
    let (mut run, maps) = Run::planned(map_reduce());
    let again = only(&run.fail(&maps[0], 1, platform()));
    assert_eq!(
        run.fail(&maps[0], 1, platform()),
        Decision::default(),
        "the same report again"
    );
    assert_eq!(
        run.fail(&maps[0], 9, platform()),
        Decision::default(),
        "another delivery of the same message"
    );
    run.succeed(&again, 2);
    assert_eq!(run.fail(&again, 3, platform()), Decision::default(), "the task is done");
    assert_eq!(run.fail(&again, 3, user()), Decision::default(), "the task is done");
}

#[test]
fn an_attempt_that_was_given_up_may_still_win() {
    let (mut run, maps) = Run::planned(map_reduce());
    let again = only(&run.fail(&maps[0], 1, platform()));
    let decision = run.succeed(&maps[0], 2);
    assert!(matches!(decision.events[..], [Event::TaskAccepted { attempt: 0, .. }]));
    assert!(matches!(run.succeed(&again, 3).effects[..], [Effect::Discard(_)]));
}

#[test]
fn an_attempt_that_was_given_up_may_still_find_the_users_fault() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.fail(&maps[0], 1, platform());
    assert_eq!(run.fail(&maps[0], 2, user()).effects, [Effect::Abort]);
}

#[test]
fn only_the_makers_of_lost_objects_run_again() {
    let (mut run, reduces) = reducing();
    let decision = run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 1), 2)]));
    let remake = only(&decision);
    assert_eq!((remake.task, remake.stage_attempt, remake.attempt), (task(0, 1), 1, 1));
    assert_eq!(
        run.state
            .accepted_outputs(StageId(0))
            .map(|(index, _)| index)
            .collect::<Vec<_>>(),
        [0]
    );

    // The sibling reads the same manifest and fails alike: it waits for the same thing.
    assert_eq!(run.fail(&reduces[1], 4, lost(0, 0, &[key(task(0, 1), 2)])).effects, []);

    let decision = run.succeed(&remake, 5);
    assert_eq!(
        decision.effects,
        [Effect::WriteManifest {
            stage: StageId(0),
            stage_attempt: 1
        }]
    );
    assert_eq!(
        run.manifest_written(0, 0),
        Decision::default(),
        "the manifest of the attempt before"
    );
    let again = sent(&run.manifest_written(0, 1));
    assert_eq!(
        again.iter().map(|message| message.task).collect::<Vec<_>>(),
        [task(1, 0), task(1, 1)]
    );
    assert!(again.iter().all(|message| message.inputs
        == [InputRef {
            stage: StageId(0),
            stage_attempt: 1
        }]));
    assert_eq!(run.succeed_all(&again, 6).effects, [Effect::Commit]);
}

#[test]
fn readers_that_are_done_stay_done() {
    let (mut run, reduces) = reducing();
    run.succeed(&reduces[1], 3);
    let remake = only(&run.fail(&reduces[0], 4, lost(0, 0, &[key(task(0, 0), 1)])));
    run.succeed(&remake, 5);
    let again = only(&run.manifest_written(0, 1));
    assert_eq!(again.task, task(1, 0));
    assert_eq!(run.succeed(&again, 6).effects, [Effect::Commit]);
}

#[test]
fn a_reader_that_failed_late_reads_the_new_manifest_at_once() {
    let (mut run, reduces) = reducing();
    let remake = only(&run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    run.succeed(&remake, 4);
    run.manifest_written(0, 1);
    let again = only(&run.fail(&reduces[1], 5, lost(0, 0, &[key(task(0, 0), 1)])));
    assert_eq!(
        again.inputs,
        [InputRef {
            stage: StageId(0),
            stage_attempt: 1
        }]
    );
}

#[test]
fn all_tasks_run_again_when_the_manifest_is_gone() {
    let (mut run, reduces) = reducing();
    let remakes = sent(&run.fail(&reduces[0], 3, lost(0, 0, &["the manifest".to_owned()])));
    assert_eq!(
        remakes.iter().map(|message| message.task).collect::<Vec<_>>(),
        [task(0, 0), task(0, 1)]
    );
}

#[test]
fn makers_join_the_attempt_of_the_stage_that_is_under_way() {
    let (mut run, reduces) = reducing();
    let first = only(&run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    let second = only(&run.fail(&reduces[1], 4, lost(0, 0, &[key(task(0, 1), 2)])));
    assert_eq!((first.stage_attempt, second.stage_attempt), (1, 1));
    run.succeed(&first, 5);
    assert_eq!(
        run.succeed(&second, 6).effects,
        [Effect::WriteManifest {
            stage: StageId(0),
            stage_attempt: 1
        }]
    );
}

#[test]
fn makers_do_not_join_an_attempt_whose_manifest_is_being_written() {
    let (mut run, reduces) = reducing();
    let first = only(&run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    run.succeed(&first, 4);
    let second = only(&run.fail(&reduces[1], 5, lost(0, 0, &[key(task(0, 1), 2)])));
    assert_eq!(second.stage_attempt, 2);
    assert_eq!(run.manifest_written(0, 1), Decision::default());
}

#[test]
fn the_output_of_an_earlier_attempt_of_the_stage_is_not_accepted() {
    let (mut run, reduces) = reducing();
    let remake = only(&run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    let earlier = TaskMessage {
        stage_attempt: 0,
        attempt: 0,
        ..remake.clone()
    };
    assert!(
        matches!(run.succeed(&earlier, 1).effects[..], [Effect::Discard(_)]),
        "these objects are gone"
    );
    assert!(matches!(
        run.succeed(&remake, 4).events[..],
        [Event::TaskAccepted { .. }]
    ));
}

#[test]
fn losses_are_mended_through_any_number_of_stages() {
    let (mut run, messages) = Run::planned(graph([
        stage(0, 1, shuffle(2)),
        reading(stage(1, 2, shuffle(2)), [aligned(0, 0..2)]),
        reading(stage(2, 2, sink("out")), [aligned(1, 0..2)]),
    ]));
    run.succeed_all(&messages, 1);
    let middle = sent(&run.manifest_written(0, 0));
    run.succeed_all(&middle, 2);
    let last = sent(&run.manifest_written(1, 0));

    let remake = only(&run.fail(&last[0], 4, lost(1, 0, &[key(task(1, 1), 3)])));
    let source = only(&run.fail(&remake, 5, lost(0, 0, &[key(task(0, 0), 1)])));
    assert_eq!((source.task, source.stage_attempt), (task(0, 0), 1));

    run.succeed(&source, 6);
    let remake = only(&run.manifest_written(0, 1));
    assert_eq!((remake.task, remake.stage_attempt), (task(1, 1), 1));
    run.succeed(&remake, 7);
    let again = only(&run.manifest_written(1, 1));
    assert_eq!(again.task, task(2, 0));
    run.succeed(&again, 8);
    assert_eq!(run.succeed(&last[1], 9).effects, [Effect::Commit]);
}

#[test]
fn a_retry_waits_while_its_input_is_made_again() {
    let (mut run, reduces) = reducing();
    let remake = only(&run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    assert_eq!(run.fail(&reduces[1], 4, platform()).effects, []);
    run.succeed(&remake, 5);
    assert_eq!(sent(&run.manifest_written(0, 1)).len(), 2);
}

#[test]
fn objects_that_are_lost_again_and_again_fail_the_run() {
    let (mut run, reduces) = reducing();
    let mut reader = reduces[0].clone();
    for attempt in 0..2 {
        let remakes = sent(&run.fail(&reader, 10, lost(0, attempt, &["the manifest".to_owned()])));
        run.succeed_all(&remakes, 20 + 10 * u128::from(attempt));
        reader = only(&run.manifest_written(0, attempt + 1));
    }
    let decision = run.fail(&reader, 11, lost(0, 2, &["the manifest".to_owned()]));
    assert_eq!(decision.effects, [Effect::Abort]);
    run.input(Input::Aborted);
    let reason = run.state.reason().expect("a reason");
    assert_eq!((reason.code.as_str(), reason.retryable), ("shuffle_lost", true));
}

#[test]
fn a_task_that_cries_wolf_is_not_heard_for_ever() {
    let (mut run, reduces) = reducing();
    let remake = only(&run.fail(&reduces[1], 3, lost(0, 0, &[key(task(0, 0), 1)])));
    run.succeed(&remake, 4);
    let mut reader = reduces[0].clone();
    run.manifest_written(0, 1);
    let sent_again = (0..10).take_while(|_| {
        let decision = run.fail(&reader, 5, lost(0, 0, &[key(task(0, 0), 1)]));
        let stopped = decision.effects.contains(&Effect::Abort);
        if !stopped {
            reader = only(&decision);
        }
        !stopped
    });
    assert_eq!(sent_again.count(), 3, "once for each attempt that the stage may have");
}

#[test]
fn a_loss_of_what_the_task_does_not_read_is_an_ordinary_failure() {
    let nothing = Failure {
        lost: None,
        ..lost(0, 0, &[])
    };
    for failure in [nothing, lost(1, 0, &[]), lost(7, 0, &[]), lost(0, 5, &[])] {
        let (mut run, reduces) = reducing();
        let decision = run.fail(&reduces[0], 3, failure);
        assert_eq!(only(&decision).task, task(1, 0), "it is tried again");
        dispatched_after(&decision);
    }
}

#[test]
fn losses_that_make_no_sense_count_against_the_limit() {
    let (mut run, reduces) = reducing();
    let mut reader = reduces[0].clone();
    for _ in 0..2 {
        reader = only(&run.fail(&reader, 3, lost(7, 0, &[])));
    }
    assert_eq!(run.fail(&reader, 3, lost(7, 0, &[])).effects, [Effect::Abort]);
}

#[test]
fn what_is_not_written_yet_cannot_be_lost() {
    let (mut run, reduces) = reducing();
    run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)]));
    let decision = run.fail(&reduces[1], 4, lost(0, 1, &["the manifest".to_owned()]));
    assert!(
        matches!(decision.events[..], [Event::AttemptFailed { .. }]),
        "it waits like its sibling"
    );
    assert_eq!(decision.effects, []);
}
