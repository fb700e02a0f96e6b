//! Attempts that go silent.

use weir_model::machine::{Decision, Effect, Input};
use weir_model::{Event, ReportBody, TaskMetrics, Timestamp};

use super::graphs::{graph, map_reduce, sink, stage};
use super::run::{Run, only, platform, report, sent};

#[test]
fn an_attempt_that_goes_silent_has_failed() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.report(&maps[0], 1, ReportBody::Started);
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(1_000)));
    assert_eq!(run.tick_after(999), Decision::default());
    let decision = run.tick_after(1);
    let [
        Event::AttemptFailed {
            failure,
            execution: None,
            attempt: 0,
            ..
        },
        Event::TaskDispatched { .. },
    ] = &decision.events[..]
    else {
        panic!("{decision:?}");
    };
    assert_eq!(failure.code, "attempt_lost");
    assert_eq!(only(&decision).attempt, 1);
}

#[test]
fn attempts_that_go_silent_count_against_the_limit() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    let mut message = maps[0].clone();
    for execution in 0..2 {
        run.report(&message, execution, ReportBody::Started);
        message = only(&run.tick_after(2_000));
    }
    run.report(&message, 2, ReportBody::Started);
    assert_eq!(run.tick_after(2_000).effects, [Effect::Abort]);
    run.input(Input::Aborted);
    assert_eq!(run.state.reason().expect("a reason").code, "attempt_lost");
}

#[test]
fn progress_keeps_an_attempt_alive() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.report(&maps[0], 1, ReportBody::Started);
    let progress = report(
        &maps[0],
        1,
        ReportBody::Progress {
            metrics: TaskMetrics::default(),
        },
    );
    for _ in 0..10 {
        assert_eq!(run.tick_after(900), Decision::default());
        run.state.progress(&progress, run.now);
    }
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(1_000)));
    assert_eq!(run.tick_after(1_000).events.len(), 2);
}

#[test]
fn progress_of_an_attempt_that_was_given_up_keeps_its_task_alive() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    run.report(&maps[0], 1, ReportBody::Started);
    run.tick_after(1_000);
    run.now = run.now.plus_ms(900);
    run.state.progress(
        &report(
            &maps[0],
            1,
            ReportBody::Progress {
                metrics: TaskMetrics::default(),
            },
        ),
        run.now,
    );
    assert_eq!(run.tick_after(999), Decision::default());
}

#[test]
fn a_message_that_nobody_takes_is_sent_again_ever_less_often() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    let mut attempt = maps[0].attempt;
    for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000] {
        assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(wait)));
        assert_eq!(run.tick_after(wait - 1), Decision::default());
        let decision = run.tick_after(1);
        assert!(
            matches!(decision.events[..], [Event::TaskDispatched { .. }]),
            "the task has not failed"
        );
        attempt += 1;
        assert_eq!(only(&decision).attempt, attempt);
    }
}

#[test]
fn messages_wait_in_the_queue_while_workers_are_busy_with_the_run() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.report(&maps[0], 1, ReportBody::Started);
    let progress = report(
        &maps[0],
        1,
        ReportBody::Progress {
            metrics: TaskMetrics::default(),
        },
    );
    for _ in 0..10 {
        assert_eq!(run.tick_after(900), Decision::default(), "nothing is sent again");
        run.state.progress(&progress, run.now);
    }
    run.succeed(&maps[0], 1);
    assert_eq!(run.state.next_wake(run.now), Some(run.now.plus_ms(1_000)));
    assert_eq!(
        only(&run.tick_after(1_000)).task,
        maps[1].task,
        "now its message is missed"
    );
}

#[test]
fn the_backoff_is_not_silence() {
    let (mut run, maps) = Run::planned(graph([stage(0, 1, sink("out"))]));
    let decision = run.fail(&maps[0], 1, platform());
    let Effect::Dispatch {
        not_before: Some(from), ..
    } = &decision.effects[0]
    else {
        panic!("{decision:?}")
    };
    assert_eq!(run.state.next_wake(run.now), Some(from.plus_ms(1_000)));
}

#[test]
fn a_new_owner_gives_every_attempt_its_full_time() {
    let (mut run, maps) = Run::planned(map_reduce());
    run.report(&maps[0], 1, ReportBody::Started);
    run.now = run.now.plus_ms(50_000);
    run.input(Input::Takeover {
        queue_lost: false,
        sent_through: u64::MAX,
    });
    assert_eq!(run.tick_after(999), Decision::default());
    assert_eq!(sent(&run.tick_after(1)).len(), 2);
}

#[test]
fn a_wake_that_is_overdue_is_due_now() {
    let (run, _) = Run::planned(map_reduce());
    let late = run.now.plus_ms(1_000_000);
    assert_eq!(run.state.next_wake(late), Some(late));
    assert_eq!(run.state.next_wake(Timestamp(0)), Some(run.now.plus_ms(1_000)));
}
