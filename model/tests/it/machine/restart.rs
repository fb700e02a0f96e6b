//! Which runs are tried again when they are over.

use weir_model::machine::Input;
use weir_model::{Failure, FailureKind, RestartPolicy, RestartType, Restarts, RunSettings, Submission, Timestamp};

use super::graphs::{graph, sink, stage, submission};
use super::run::{Run, user};

#[derive(Clone, Copy, Debug)]
enum End {
    Succeeds,
    Fails,
    CannotBePlanned,
    Cancelled,
}

/// Milliseconds from the end of a run to the next try.
fn next_after(end: End, kind: RestartType, restarts: Restarts) -> Option<u64> {
    let mut submission = Submission {
        settings: RunSettings {
            restart_policy: RestartPolicy {
                kind,
                on_failure_retries: 2,
                on_failure_retry_interval_s: 7,
                on_submission_failure_retries: 1,
                on_submission_failure_retry_interval_s: 30,
                time_to_live_s: Some(60),
            },
            ..submission().settings
        },
        ..submission()
    };
    submission.metadata.restarts = restarts;
    let mut run = Run::submitted(submission);
    assert_eq!(run.state.restart_at(), None, "it is not over");
    assert_eq!(run.state.expires_at(), None);
    if let End::CannotBePlanned = end {
        run.input(Input::PlanFailed(Failure::new(
            FailureKind::User,
            "no_file",
            "there is none",
        )));
    } else {
        let planned = run.input(Input::Planned(Box::new(graph([stage(0, 1, sink("out"))]))));
        let message = super::run::only(&planned);
        match end {
            End::Succeeds => {
                run.succeed(&message, 1);
                run.input(Input::Committed(Vec::new()));
            }
            End::Fails => {
                run.fail(&message, 1, user());
                run.input(Input::Aborted);
            }
            _ => {
                run.input(Input::Cancel { by: "ada".to_owned() });
                run.input(Input::Aborted);
            }
        }
    }
    assert!(run.state.is_finished());
    assert_eq!(run.state.expires_at(), Some(run.now.plus_ms(60_000)));
    run.state.restart_at().map(|at: Timestamp| at.ms_since(run.now))
}

#[test]
fn runs_are_tried_again_as_their_policy_says() {
    use End::{Cancelled, CannotBePlanned, Fails, Succeeds};
    use RestartType::{Always, Never, OnFailure};
    let none = Restarts::default();
    let after = |after_runs, after_submissions| Restarts {
        after_runs,
        after_submissions,
    };
    for end in [Succeeds, Fails, CannotBePlanned, Cancelled] {
        assert_eq!(next_after(end, Never, none), None, "{end:?}");
    }
    for kind in [OnFailure, Always] {
        assert_eq!(next_after(Fails, kind, none), Some(7_000));
        assert_eq!(next_after(Fails, kind, after(1, 5)), Some(7_000));
        assert_eq!(next_after(Fails, kind, after(2, 0)), None, "it was tried often enough");
        assert_eq!(next_after(CannotBePlanned, kind, after(5, 0)), Some(30_000));
        assert_eq!(next_after(CannotBePlanned, kind, after(0, 1)), None);
        assert_eq!(next_after(Cancelled, kind, none), None);
    }
    assert_eq!(next_after(Succeeds, OnFailure, none), None);
    assert_eq!(next_after(Succeeds, Always, after(9, 9)), Some(7_000));
}
