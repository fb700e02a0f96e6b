//! Three bugs that Spark had, as they would be here.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{
    Event, OutputFile, ReportBody, RunOutcome, RunSettings, SpeculationSettings, StageId, Staged, Submission,
    TaskMessage, TaskMetrics, TaskOutput,
};

use super::graphs::{aligned, graph, map_reduce, reading, shuffle, sink, stage, submission};
use super::run::{Run, execution, key, lost, only, output, platform, report, sent, task};

/// A run of tasks that write a sink: the first two are accepted, the third has a copy beside it, and there are so many
/// `others`.
fn copied(others: u32) -> (Run, TaskMessage, TaskMessage, Vec<TaskMessage>) {
    let submission = submission();
    let submission = Submission {
        settings: RunSettings {
            attempt_timeout_ms: 10_000,
            speculation: SpeculationSettings {
                min_ms: 50,
                quantile: 0.5,
                ..SpeculationSettings::default()
            },
            ..submission.settings.clone()
        },
        ..submission
    };
    let (mut run, mut messages) = Run::planned_with(submission, graph([stage(0, 3 + others, sink("out"))]));
    let others = messages.split_off(3);
    for (execution, message) in (1..).zip(&messages) {
        run.report(message, execution, ReportBody::Started);
    }
    run.now = run.now.plus_ms(10);
    for (execution, message) in (1..).zip(&messages[..2]) {
        stages_file(&mut run, message, execution);
    }
    let copy = only(&run.tick_after(1_000));
    run.report(&copy, 4, ReportBody::Started);
    (run, messages[2].clone(), copy, others)
}

/// What an execution of a task stages: the file that its task will be, under a name of its own.
fn staged(message: &TaskMessage, by: u128) -> TaskOutput {
    TaskOutput {
        files: vec![OutputFile {
            target: format!("/out/part-{}", message.task.index),
            staged: Staged::File {
                path: format!("/out/.staging/part-{}-{}", message.task.index, execution(by)),
            },
            rows: 1,
            bytes: 1,
        }],
        ..TaskOutput::default()
    }
}

fn stages_file(run: &mut Run, message: &TaskMessage, by: u128) -> Decision {
    let output = staged(message, by);
    run.report(message, by, ReportBody::Succeeded { output })
}

/// The files that a commit would make visible.
fn to_be_visible(run: &Run) -> Vec<OutputFile> {
    let outputs = run.state.accepted_outputs(StageId(0));
    outputs.flat_map(|(_, output)| output.files.clone()).collect()
}

fn discards(decision: &Decision) -> Vec<&TaskOutput> {
    let discards = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Discard(output) => Some(&**output),
        _ => None,
    });
    discards.collect()
}

/// SPARK-24589: the coordinator of commits knew tasks by stage and number only. When a stage was tried again, it let
/// tasks of both of its attempts commit, and rows were doubled.
///
/// Here a map stage is reopened for a lost object while a slow copy of that same task, which was sent for the first
/// attempt of the stage, is still under way. It comes back with a success, before or after the new one does.
#[test]
fn spark_24589_a_success_of_an_earlier_attempt_of_the_stage_is_not_accepted() {
    for old_one_first in [true, false] {
        let (mut run, maps) = Run::planned(map_reduce());
        run.succeed_all(&maps, 1);
        let reduces = sent(&run.manifest_written(0, 0));
        let remake = only(&run.fail(&reduces[0], 10, lost(0, 0, &[key(task(0, 0), 1)])));
        assert_eq!((remake.task, remake.stage_attempt), (task(0, 0), 1));
        let mut successes = [(&maps[0], 20), (&remake, 21)];
        if !old_one_first {
            successes.reverse();
        }
        for (message, by) in successes {
            let decision = run.succeed(message, by);
            match message.stage_attempt {
                0 => {
                    assert_eq!(
                        decision.events,
                        [],
                        "it was sent for an attempt of the stage that is over"
                    );
                    assert_eq!(discards(&decision), [&output(message, by)]);
                }
                _ => assert!(
                    matches!(decision.events[..], [Event::TaskAccepted { stage_attempt: 1, .. }]),
                    "{decision:?}"
                ),
            }
        }
        let keys: Vec<_> = run
            .state
            .accepted_outputs(StageId(0))
            .filter_map(|(_, output)| Some(output.shuffle.as_ref()?.key.clone()))
            .collect();
        assert_eq!(
            keys,
            [key(task(0, 0), 21), key(task(0, 1), 2)],
            "one output of each task, and the new one"
        );
    }
}

/// SPARK-24589, in the log: a control plane that gets it wrong must not be able to write it down for others either.
#[test]
fn spark_24589_nor_does_the_log_count_it() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed_all(&maps, 1);
    let reduces = sent(&run.manifest_written(0, 0));
    run.fail(&reduces[0], 10, lost(0, 0, &[key(task(0, 0), 1)]));
    let before = run.state.clone();
    let record = weir_model::EventRecord {
        run: run.state.run(),
        seq: run.state.next_seq(),
        at: run.now,
        event: Event::TaskAccepted {
            task: maps[0].task,
            stage_attempt: 0,
            attempt: 0,
            execution: execution(20),
            worker: report(&maps[0], 20, ReportBody::Started).worker,
            output: Box::new(output(&maps[0], 20)),
        },
    };
    weir_model::machine::apply(&mut run.state, &record);
    let accepted = |state: &weir_model::machine::RunState| state.accepted_outputs(StageId(0)).count();
    assert_eq!(accepted(&run.state), accepted(&before));
}

/// SPARK-4879: with speculation on, partitions of the output were missing. Of two attempts of a task the one was
/// denied the commit, and what it cleaned up was what the other had committed.
///
/// Here both attempts stage the file of the same partition, and reports come in any order, twice, or as failures: in
/// the end each partition is to be visible once, and what is deleted is the file that is not.
#[test]
fn spark_4879_speculation_loses_no_partition() {
    for copy_wins in [true, false] {
        for loser_fails in [true, false] {
            let (mut run, original, copy, others) = copied(1);
            let (winner, loser) = if copy_wins {
                (&copy, &original)
            } else {
                (&original, &copy)
            };
            let mut deleted = Vec::new();
            let mut hear = |run: &mut Run, message: &TaskMessage, by: u128, fails: bool| {
                let decision = match fails {
                    true => run.report(
                        message,
                        by,
                        ReportBody::Failed {
                            failure: platform(),
                            metrics: TaskMetrics::default(),
                        },
                    ),
                    false => stages_file(run, message, by),
                };
                deleted.extend(discards(&decision).into_iter().cloned());
            };
            if loser_fails {
                hear(&mut run, loser, 11, true);
            }
            hear(&mut run, winner, 10, false);
            // The queue delivers the report of the winner again, and that of the loser late.
            hear(&mut run, winner, 10, false);
            hear(&mut run, loser, 11, loser_fails);
            assert_eq!(stages_file(&mut run, &others[0], 12).effects, [Effect::Commit]);
            hear(&mut run, winner, 10, false);

            let visible = to_be_visible(&run);
            let targets: Vec<_> = visible.iter().map(|file| file.target.as_str()).collect();
            assert_eq!(targets, ["/out/part-0", "/out/part-1", "/out/part-2", "/out/part-3"]);
            assert_eq!(visible[2], staged(winner, 10).files[0]);
            let kept = |output: &TaskOutput| output.files.iter().all(|file| !visible.contains(file));
            assert!(
                deleted.iter().all(kept),
                "what is to be visible was deleted: {deleted:?}"
            );
            let left = if loser_fails { vec![] } else { vec![staged(loser, 11)] };
            assert_eq!(deleted, left);
            run.input(Input::Committed(Vec::new()));
            assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
        }
    }
}

/// SPARK-39195: an attempt was authorised to commit and died. The coordinator waited for it for ever, and denied the
/// commit to every other attempt of the task: the stage could not end.
///
/// Here an attempt that was heard of, alone or beside a copy, is never heard of again, or fails when it has staged its
/// file already. Whatever the order, the next success is accepted and the run ends.
#[test]
fn spark_39195_attempts_that_die_do_not_stand_in_the_way() {
    type Death = fn(&mut Run, &TaskMessage, &TaskMessage) -> TaskMessage;
    let deaths: [Death; 4] = [
        // Both go silent.
        |run, _, _| only(&run.tick_after(20_000)),
        // One fails, the other goes silent.
        |run, original, _| {
            assert_eq!(sent(&run.fail(original, 3, platform())), [], "the copy is under way");
            only(&run.tick_after(20_000))
        },
        |run, _, copy| {
            assert_eq!(sent(&run.fail(copy, 4, platform())), [], "the original is under way");
            only(&run.tick_after(20_000))
        },
        // Both fail.
        |run, original, copy| {
            run.fail(original, 3, platform());
            only(&run.fail(copy, 4, platform()))
        },
    ];
    for death in deaths {
        let (mut run, original, copy, _) = copied(0);
        let again = death(&mut run, &original, &copy);
        assert!(again.attempt > copy.attempt);
        let decision = stages_file(&mut run, &again, 30);
        assert_eq!(decision.effects, [Effect::Commit]);
        assert_eq!(to_be_visible(&run)[2], staged(&again, 30).files[0]);
        // The dead come back, and change nothing.
        for (message, by) in [(&original, 3), (&copy, 4)] {
            let late = stages_file(&mut run, message, by);
            assert_eq!(late.events, []);
            assert_eq!(discards(&late), [&staged(message, by)]);
        }
        run.input(Input::Committed(Vec::new()));
        assert_eq!(run.state.outcome(), Some(RunOutcome::Succeeded));
    }
}

/// SPARK-39195, with the control plane dying too: what it authorised is in the log, and the next one is as free.
#[test]
fn spark_39195_nor_do_control_planes_that_die_with_them() {
    let (mut run, _, copy, _) = copied(0);
    run.state = run.replayed();
    run.input(Input::Takeover {
        queue_lost: false,
        sent_through: u64::MAX,
    });
    let again = only(&run.tick_after(20_000));
    assert!(again.attempt > copy.attempt);
    assert_eq!(stages_file(&mut run, &again, 30).effects, [Effect::Commit]);
}

/// The first two together: a copy of a map task, and its stage tried again.
#[test]
fn a_copy_of_an_earlier_attempt_of_the_stage_is_not_accepted_either() {
    let submission = submission();
    let submission = Submission {
        settings: RunSettings {
            speculation: SpeculationSettings {
                min_ms: 50,
                ..SpeculationSettings::default()
            },
            ..submission.settings.clone()
        },
        ..submission
    };
    let stages = [
        stage(0, 3, shuffle(2)),
        reading(stage(1, 2, sink("out")), [aligned(0, 0..2)]),
    ];
    let (mut run, maps) = Run::planned_with(submission, graph(stages));
    for (execution, message) in (1..).zip(&maps) {
        run.report(message, execution, ReportBody::Started);
    }
    run.succeed_all(&maps[..2], 1);
    let copy = only(&run.tick_after(500));
    run.succeed(&maps[2], 3);
    let reduces = sent(&run.manifest_written(0, 0));
    let remake = only(&run.fail(&reduces[0], 10, lost(0, 0, &[key(task(0, 2), 3)])));
    let late = run.succeed(&copy, 4);
    assert_eq!(late.events, []);
    assert_eq!(discards(&late), [&output(&copy, 4)]);
    assert_eq!(run.succeed(&remake, 5).events.len(), 1);
}
