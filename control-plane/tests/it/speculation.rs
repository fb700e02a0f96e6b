//! Attempts that take far longer than those beside them.

use weir_model::{Event, RunOutcome};

use crate::kit::{Kit, eventually};
use crate::script::{Act, submission, task};

#[tokio::test]
async fn an_attempt_that_hangs_is_overtaken_by_its_copy_and_told_to_stop() {
    let mut kit = Kit::new().await;
    // Nobody waits this long: the clean-up comes when the slow attempt has stopped.
    kit.options.grace_ms = 3_600_000;
    let slow = task(1, 0);
    kit.runner.script(move |task, nth| match (task == slow, nth) {
        (true, 1) => Act::Hang,
        _ => Act::Work,
    });
    let mut submission = submission();
    submission.settings.speculation.min_ms = 50;
    submission.settings.speculation.quantile = 0.5;
    let process = kit.process();
    let run = process.control_plane.submit(submission).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    let stage = &snapshot.stages[1];
    assert!(
        stage.speculative_attempts > 0 && stage.speculative_wins > 0,
        "{stage:?}"
    );
    assert_eq!(stage.failed_attempts, 0);
    let events = kit.events(run).await;
    let of_slow: Vec<_> = events
        .iter()
        .filter_map(|record| match record.event {
            Event::TaskDispatched {
                task,
                attempt,
                speculative,
                ..
            } if task == slow => Some((attempt, speculative)),
            _ => None,
        })
        .collect();
    assert_eq!(of_slow, [(0, false), (1, true)]);

    eventually("the slow attempt is told to stop", async || {
        let row = process.control_plane.run_get(run).await.unwrap().unwrap();
        row.cleaned.then_some(())
    })
    .await;
    assert_eq!(kit.objects(run), Vec::<String>::new());
}
