//! Runs that are held up.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{Event, ReportBody, RunOutcome, RunPhase, RunSettings, Submission};

use super::graphs::{graph, map_reduce, sink, stage, submission};
use super::run::{Run, only, platform, sent};

fn pause() -> Input {
    Input::Pause { by: "ada".to_owned() }
}

fn resume() -> Input {
    Input::Resume { by: "ada".to_owned() }
}

#[test]
fn nothing_new_is_begun_in_a_pause() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.report(&maps[0], 1, ReportBody::Started);
    let decision = run.input(pause());
    assert_eq!(decision.effects, [Effect::Withdraw { pauses: 0 }]);
    assert_eq!(run.input(pause()), Decision::default(), "it is paused already");
    assert_eq!(run.state.phase(), RunPhase::Running, "an attempt still runs");
    assert_eq!(run.state.snapshot().paused_at, Some(run.now));

    let failed = run.fail(&maps[0], 1, platform());
    assert_eq!(sent(&failed), [], "it is not tried again now");
    assert_eq!(run.state.phase(), RunPhase::Paused);
    assert_eq!(run.state.snapshot().phase, RunPhase::Paused);
    assert_eq!(run.state.next_wake(run.now), None, "nothing is waited for");
    assert_eq!(run.tick_after(3_600_000), Decision::default());

    let on = run.input(resume());
    let messages = sent(&on);
    assert_eq!(messages.len(), 2);
    assert!(
        messages
            .iter()
            .all(|message| (message.attempt, message.pauses) == (1, 1))
    );
    assert_eq!(run.state.phase(), RunPhase::Running);
    assert_eq!(run.input(resume()), Decision::default(), "it is not paused");
}

#[test]
fn what_ends_in_a_pause_is_taken_in_and_gone_on_from() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.report(&maps[0], 1, ReportBody::Started);
    run.input(pause());
    // Somebody had taken the other one, and nobody had heard of it yet.
    let decision = run.succeed_all(&maps, 1);
    assert!(matches!(decision.effects[..], [Effect::WriteManifest { .. }]));
    assert_eq!(sent(&run.manifest_written(0, 0)), [], "readers wait");
    let reduces = sent(&run.input(resume()));
    assert!(
        reduces
            .iter()
            .all(|message| message.task.stage.0 == 1 && message.attempt == 0)
    );
    run.succeed_all(&reduces, 10);
    assert_eq!(run.state.phase(), RunPhase::Committing);
}

#[test]
fn a_run_that_is_paused_before_it_is_planned_begins_later() {
    let mut run = Run::submitted(submission());
    run.input(pause());
    assert_eq!(run.state.phase(), RunPhase::Paused);
    let planned = run.input(Input::Planned(Box::new(graph([stage(0, 1, sink("out"))]))));
    assert!(matches!(planned.events[..], [Event::Planned { .. }]), "{planned:?}");
    let message = only(&run.input(resume()));
    run.succeed(&message, 1);
    assert_eq!(run.state.phase(), RunPhase::Committing);
}

#[test]
fn a_paused_run_can_be_cancelled() {
    let (mut run, _) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.input(pause());
    let cancelled = run.input(Input::Cancel { by: "ada".to_owned() });
    assert_eq!(cancelled.effects, [Effect::Abort]);
    run.input(Input::Aborted);
    assert_eq!(run.state.outcome(), Some(RunOutcome::Cancelled));
    assert_eq!(run.state.phase(), RunPhase::Finished);
}

#[test]
fn the_next_owner_of_a_paused_run_holds_it_up_as_well() {
    for queue_lost in [false, true] {
        let (mut run, maps) = Run::planned(map_reduce());
        run.report(&maps[0], 1, ReportBody::Started);
        run.input(pause());
        let takeover = run.input(Input::Takeover {
            queue_lost,
            sent_through: 0,
        });
        assert_eq!(
            takeover.effects,
            [Effect::Withdraw { pauses: 0 }],
            "the last owner may have died"
        );
        let on = sent(&run.input(resume()));
        assert_eq!(
            on.len(),
            if queue_lost { 2 } else { 1 },
            "what still runs is left alone"
        );
    }
}

fn timed(timeout_s: u64) -> Submission {
    let submission = submission();
    Submission {
        settings: RunSettings {
            timeout_s: Some(timeout_s),
            ..submission.settings.clone()
        },
        ..submission
    }
}

#[test]
fn a_run_that_takes_too_long_fails() {
    let (mut run, maps) = Run::planned_with(timed(10), graph([stage(0, 1, sink("out"))]));
    run.report(&maps[0], 1, ReportBody::Started);
    for _ in 0..19 {
        run.now = run.now.plus_ms(500);
        run.report(&maps[0], 1, ReportBody::Started);
        run.state
            .progress(&super::run::report(&maps[0], 1, ReportBody::Started), run.now);
        assert_eq!(run.input(Input::Tick), Decision::default());
    }
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(500)));
    assert_eq!(run.tick_after(500).effects, [Effect::Abort]);
    run.input(Input::Aborted);
    let reason = run.state.reason().expect("a reason");
    assert_eq!((reason.code.as_str(), reason.retryable), ("timeout", true));
    assert_eq!(run.state.outcome(), Some(RunOutcome::Failed));
}

#[test]
fn planning_takes_of_the_time_and_a_pause_does_not() {
    let mut run = Run::submitted(timed(10));
    assert_eq!(run.tick_after(9_000), Decision::default());
    run.input(pause());
    assert_eq!(run.tick_after(60_000), Decision::default());
    run.input(resume());
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(1_000)));
    assert_eq!(run.tick_after(1_000).effects, [Effect::Abort]);
}

#[test]
fn a_commit_is_not_cut_short() {
    let (mut run, maps) = Run::planned_with(timed(10), graph([stage(0, 1, sink("out"))]));
    run.succeed(&maps[0], 1);
    assert_eq!(run.state.phase(), RunPhase::Committing);
    assert_eq!(run.state.next_wake(run.now), None);
    assert_eq!(run.tick_after(60_000), Decision::default());
}
