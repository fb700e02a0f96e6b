//! Stopping runs on request.

use weir_control_plane::Error;
use weir_model::{Event, RunOutcome, RunPhase};

use crate::kit::Kit;
use crate::script::{Act, Plan, To, submission, task};

#[tokio::test]
async fn a_run_can_be_cancelled_while_it_is_planned() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Hang).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    process.control_plane.cancel(run, "ann").await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Cancelled));
    assert!(snapshot.reason.as_ref().unwrap().message.contains("ann"));
}

#[tokio::test]
async fn cancelling_a_running_run_stops_its_tasks_and_deletes_what_they_staged() {
    let kit = Kit::new().await;
    kit.runner.script(|id, _| match id == task(1, 2) {
        true => Act::Hang,
        false => Act::Work,
    });
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    process
        .until(run, |snapshot| {
            snapshot.stages.get(1).is_some_and(|stage| stage.done == 2)
        })
        .await;
    assert!(
        kit.output_files().iter().any(|name| name.starts_with("_weir/")),
        "{:?}",
        kit.output_files()
    );
    process.control_plane.cancel(run, "ann").await.unwrap();
    process.control_plane.cancel(run, "bob").await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Cancelled));
    assert_eq!(kit.output_files(), Vec::<String>::new());
    assert_eq!(kit.runner.executions(task(1, 2)), 1, "it is not tried again");
    let requests = kit
        .events(run)
        .await
        .into_iter()
        .filter_map(|record| match record.event {
            Event::CancelRequested { by } => Some(by),
            _ => None,
        });
    assert_eq!(requests.collect::<Vec<_>>(), ["ann"], "the first request counts");

    // The worker is free again.
    kit.runner.script(|_, _| Act::Work);
    let next = process.control_plane.submit(submission()).await.unwrap();
    assert_eq!(process.finished(next).await.outcome, Some(RunOutcome::Succeeded));
    kit.check_output();
    assert!(matches!(
        process.control_plane.cancel(next, "ann").await,
        Err(Error::Finished { .. })
    ));
}

#[tokio::test]
async fn messages_of_a_cancelled_run_that_still_wait_are_not_run() {
    let kit = Kit::with(|_| To::Nothing { tasks: 50 }, |_| Plan::Graph).await;
    kit.runner.script(|_, _| Act::Hang);
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    process
        .until(run, |snapshot| {
            snapshot.stages.first().is_some_and(|stage| stage.running == 4)
        })
        .await;
    process.control_plane.cancel(run, "ann").await.unwrap();
    assert_eq!(process.finished(run).await.outcome, Some(RunOutcome::Cancelled));

    kit.runner.script(|_, _| Act::Work);
    let mut other = submission();
    other.namespace = "other".parse().unwrap();
    let other = process.control_plane.submit(other).await.unwrap();
    assert_eq!(process.finished(other).await.outcome, Some(RunOutcome::Succeeded));
    assert!(
        kit.runner.all_executions() <= 4 + 50,
        "{} tasks ran",
        kit.runner.all_executions()
    );
}

#[tokio::test]
async fn another_control_plane_can_ask_for_a_cancellation() {
    let mut kit = Kit::with(|_| To::Nothing { tasks: 4 }, |_| Plan::Graph).await;
    // The owner hears of it when it renews its lease.
    kit.options.lease_ms = 1_500;
    kit.runner.script(|_, _| Act::Hang);
    let (owner, other) = (kit.process(), kit.process());
    let run = owner.control_plane.submit(submission()).await.unwrap();
    owner.until(run, |snapshot| snapshot.phase == RunPhase::Running).await;
    other.control_plane.cancel(run, "bob").await.unwrap();
    let snapshot = owner.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Cancelled));
    assert!(snapshot.reason.as_ref().unwrap().message.contains("bob"));
}

#[tokio::test]
async fn a_cancellation_outlives_a_crash() {
    let kit = Kit::with(|_| To::Nothing { tasks: 4 }, |_| Plan::Graph).await;
    kit.runner.script(|_, _| Act::Hang);
    let first = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    first.until(run, |snapshot| snapshot.phase == RunPhase::Running).await;
    first.kill().await;
    kit.expire(run).await;
    let second = kit.process();
    second.control_plane.cancel(run, "ann").await.unwrap();
    second.control_plane.resume(run).await.unwrap();
    assert_eq!(second.finished(run).await.outcome, Some(RunOutcome::Cancelled));
}
