//! What a new owner of a run does.

use weir_model::machine::{Effect, Input, MAX_OWNERS_WITHOUT_PLAN, RunState, apply, decide};
use weir_model::{Event, EventRecord, ReportBody, RunOutcome, RunPhase, StageId};

use super::graphs::{graph, map_reduce, sink, stage, submission};
use super::run::{Run, key, lost, only, platform, sent, task};

/// A takeover from an owner that had sent all of its messages.
fn takeover_by(queue_lost: bool) -> Input {
    Input::Takeover {
        queue_lost,
        sent_through: u64::MAX,
    }
}

fn takeover(run: &mut Run, queue_lost: bool) -> Vec<Effect> {
    run.state = run.replayed();
    run.input(takeover_by(queue_lost)).effects
}

#[test]
fn messages_that_may_not_have_been_sent_are_sent_again_as_they_were() {
    let (mut run, maps) = Run::planned(map_reduce());
    let sent_through = run.state.next_seq() - 2;
    run.report(&maps[1], 1, ReportBody::Started);
    run.state = run.replayed();
    let again = run.input(Input::Takeover {
        queue_lost: false,
        sent_through: 0,
    });
    assert_eq!(again.events, [Event::OwnerChanged { queue_lost: false }]);
    assert_eq!(
        sent(&again),
        [maps[0].clone()],
        "the other one was taken by somebody, so it was sent"
    );

    let (mut run, maps) = Run::planned(map_reduce());
    let again = run.input(Input::Takeover {
        queue_lost: false,
        sent_through,
    });
    assert_eq!(sent(&again), maps[1..], "only what comes after the cursor");

    // The wait before a retry is kept.
    let failed = run.fail(&maps[0], 1, platform());
    let waits = |effects: &[Effect]| {
        let wait = effects.iter().map(|effect| match effect {
            Effect::Dispatch { message, not_before } if message.attempt == 1 => *not_before,
            _ => None,
        });
        wait.flatten().collect::<Vec<_>>()
    };
    assert_eq!(waits(&failed.effects).len(), 1);
    let again = run.input(Input::Takeover {
        queue_lost: false,
        sent_through: 0,
    });
    assert_eq!(waits(&again.effects), waits(&failed.effects));
}

#[test]
fn each_effect_whose_result_is_missing_is_done_again() {
    let mut run = Run::submitted(submission());
    assert_eq!(takeover(&mut run, false), [Effect::Plan]);

    let maps = sent(&run.input(Input::Planned(Box::new(map_reduce()))));
    assert_eq!(
        takeover(&mut run, false),
        [],
        "messages in a queue that lasts are waited for"
    );
    run.succeed_all(&maps, 1);
    assert_eq!(
        takeover(&mut run, true),
        [Effect::WriteManifest {
            stage: StageId(0),
            stage_attempt: 0
        }]
    );

    let reduces = sent(&run.manifest_written(0, 0));
    run.succeed_all(&reduces, 3);
    assert_eq!(takeover(&mut run, true), [Effect::Commit]);

    run.input(Input::CommitFailed(platform()));
    assert_eq!(takeover(&mut run, true), [Effect::Abort]);
    run.input(Input::Aborted);
    assert_eq!(takeover(&mut run, true), []);
}

#[test]
fn tasks_whose_messages_were_lost_are_sent_again_and_have_not_failed() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed(&maps[0], 1);
    run.report(&maps[1], 2, ReportBody::Started);
    // More often than a task may fail.
    for attempt in 1..10 {
        run.state = run.replayed();
        let again = only(&run.input(takeover_by(true)));
        assert_eq!(
            (again.task, again.attempt),
            (task(0, 1), attempt),
            "accepted work is not done again"
        );
    }
    assert!(!run.events().any(|event| matches!(event, Event::AttemptFailed { .. })));
}

#[test]
fn tasks_whose_input_is_being_made_again_wait_for_it_whoever_owns_the_run() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.succeed_all(&maps, 1);
    let reduces = sent(&run.manifest_written(0, 0));
    run.fail(&reduces[0], 3, lost(0, 0, &[key(task(0, 0), 1)]));
    run.state = run.replayed();
    let remake = only(&run.input(takeover_by(true)));
    assert_eq!((remake.task, remake.stage_attempt, remake.attempt), (task(0, 0), 1, 2));
    run.succeed(&remake, 4);
    assert_eq!(
        sent(&run.manifest_written(0, 1)).len(),
        2,
        "the one that failed, and the one whose message was lost"
    );
}

#[test]
fn a_run_that_somebody_else_submitted_is_picked_up() {
    let mut run = Run::submitted(submission());
    assert_eq!(run.log.len(), 1);
    assert_eq!(takeover(&mut run, true), [Effect::Plan]);
    assert_eq!(run.state.phase(), RunPhase::Planning);
}

#[test]
fn before_the_first_event_only_a_submission_makes_sense() {
    let state = RunState::new(Run::submitted(submission()).state.run());
    for input in [
        takeover_by(true),
        Input::Planned(Box::new(map_reduce())),
        Input::Cancel { by: "ada".to_owned() },
        Input::Tick,
    ] {
        assert_eq!(decide(&state, &input, Default::default()), Default::default());
    }
}

#[test]
fn events_that_make_no_sense_change_nothing() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    let accepted = run.succeed(&maps[0], 1).events.remove(0);
    let Event::TaskAccepted {
        output,
        execution,
        worker,
        ..
    } = &accepted
    else {
        panic!("{accepted:?}")
    };
    let nonsense = [
        Event::Submitted {
            submission: Box::new(submission()),
        },
        Event::Planned {
            graph: Box::new(map_reduce()),
        },
        Event::StageStarted {
            stage: StageId(0),
            tasks: vec![],
        },
        Event::StageStarted {
            stage: StageId(9),
            tasks: vec![],
        },
        Event::TaskDispatched {
            task: task(0, 0),
            stage_attempt: 0,
            attempt: 7,
            not_before: None,
            speculative: false,
        },
        Event::TaskDispatched {
            task: task(9, 9),
            stage_attempt: 0,
            attempt: 0,
            not_before: None,
            speculative: false,
        },
        Event::AttemptStarted {
            task: task(0, 0),
            attempt: 0,
            execution: *execution,
            worker: *worker,
        },
        Event::AttemptStarted {
            task: task(0, 9),
            attempt: 9,
            execution: *execution,
            worker: *worker,
        },
        Event::TaskAccepted {
            task: task(0, 9),
            stage_attempt: 3,
            attempt: 0,
            execution: *execution,
            worker: *worker,
            output: output.clone(),
        },
        accepted.clone(),
        Event::StageCompleted {
            stage: StageId(0),
            stage_attempt: 0,
        },
        Event::StageCompleted {
            stage: StageId(9),
            stage_attempt: 0,
        },
        Event::StageReopened {
            stage: StageId(9),
            stage_attempt: 1,
            tasks: vec![0],
        },
        Event::CancelRequested { by: "ada".to_owned() },
        Event::CommitStarted,
    ];
    for event in nonsense {
        let mut state = run.state.clone();
        let record = EventRecord {
            run: state.run(),
            seq: state.next_seq(),
            at: run.now,
            event,
        };
        apply(&mut state, &record);
        assert_eq!(state.next_seq(), record.seq + 1);
        assert_eq!(
            (state.snapshot(), state.stage_attempt(StageId(0))),
            (run.state.snapshot(), run.state.stage_attempt(StageId(0))),
            "{record:?}"
        );
    }
}

#[test]
fn an_event_is_applied_once_and_to_its_own_run() {
    let (run, _) = Run::planned(map_reduce());
    let mut state = run.state.clone();
    run.log.iter().for_each(|record| apply(&mut state, record));
    assert_eq!(state, run.state);
    let foreign = EventRecord {
        run: weir_model::RunId::from_parts(run.now, 77),
        seq: state.next_seq(),
        at: run.now,
        event: Event::CancelRequested { by: "ada".to_owned() },
    };
    apply(&mut state, &foreign);
    assert_eq!(state, run.state);
}

#[test]
fn a_run_whose_planning_ends_every_owner_fails() {
    let mut run = Run::submitted(submission());
    for _ in 0..MAX_OWNERS_WITHOUT_PLAN {
        assert_eq!(takeover(&mut run, false), [Effect::Plan]);
    }
    assert_eq!(takeover(&mut run, true), [Effect::Cleanup]);
    let snapshot = run.state.snapshot();
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
    let reason = snapshot.reason.expect("a run that failed says why");
    assert_eq!((reason.code.as_str(), reason.retryable), ("planning_failed", false));

    // Owners that come after the plan do not count.
    let (mut run, _) = Run::planned(map_reduce());
    for _ in 0..=MAX_OWNERS_WITHOUT_PLAN {
        takeover(&mut run, false);
    }
    assert_eq!(run.state.phase(), RunPhase::Running);
}
