//! Things that fail, and whose fault it is.

use std::time::Duration;

use weir_model::{Event, Failure, FailureKind, RunOutcome};

use crate::kit::{Kit, eventually};
use crate::script::{Act, MAPS, Plan, REDUCES, To, platform, submission, task};

fn users_fault() -> Failure {
    Failure {
        function: Some("tokenize".into()),
        ..Failure::new(FailureKind::User, "wasm_trap", "it divided by zero")
    }
}

#[tokio::test]
async fn the_users_fault_fails_the_run_at_once_and_leaves_nothing() {
    let kit = Kit::new().await;
    kit.runner.script(|id, _| match id.index == 1 && id.stage.0 == 1 {
        true => Act::Fail(users_fault()),
        false => Act::WorkAfter(Duration::from_millis(20)),
    });
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
    let reason = snapshot.reason.clone().unwrap();
    assert!(reason.message.contains("it divided by zero"), "{reason:?}");
    assert!(!reason.retryable);
    assert_eq!(reason.task, Some(task(1, 1)));
    assert_eq!(kit.runner.executions(task(1, 1)), 1, "it is not tried again");
    assert_eq!(kit.output_files(), Vec::<String>::new());
    eventually("objects are deleted", async || {
        kit.objects(run).iter().all(|name| name == "cancelled").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_platforms_fault_is_tried_again() {
    let kit = Kit::new().await;
    kit.runner.script(|id, nth| match (id.index, nth) {
        (1, 1..=2) => Act::Fail(platform("the network is down")),
        (2, 1) => Act::Panic,
        _ => Act::Work,
    });
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    assert_eq!(kit.runner.executions(task(0, 1)), 3);
    assert_eq!(kit.runner.executions(task(0, 2)), 2);
    assert_eq!(kit.acceptances(run).await.len() as u32, MAPS + REDUCES);
    let panics = kit
        .events(run)
        .await
        .into_iter()
        .filter_map(|record| match record.event {
            Event::AttemptFailed { failure, .. } if failure.code == "worker_panic" => Some(failure.message),
            _ => None,
        });
    assert!(panics.into_iter().all(|message| message.contains("scripted")));
}

#[tokio::test]
async fn the_platforms_fault_is_not_tried_for_ever() {
    let kit = Kit::new().await;
    kit.runner.script(|id, _| match id.stage.0 {
        0 => Act::Fail(platform("the disk is on fire")),
        _ => Act::Work,
    });
    let process = kit.process();
    let mut twice = submission();
    twice.settings.retry.max_attempts = 2;
    let run = process.control_plane.submit(twice).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
    assert!(
        snapshot
            .reason
            .as_ref()
            .unwrap()
            .message
            .contains("the disk is on fire")
    );
    assert!((0..MAPS).all(|index| kit.runner.executions(task(0, index)) <= 2));
}

#[tokio::test]
async fn lost_shuffle_objects_are_made_again() {
    let kit = Kit::new().await;
    let process = kit.process();
    // The first reader deletes what it was about to read.
    let objects = kit.dir.path().join("storage/runs");
    kit.runner.script(move |id, nth| {
        if id == task(1, 0) && nth == 1 {
            for run in std::fs::read_dir(&objects).unwrap() {
                std::fs::remove_dir_all(run.unwrap().path().join("shuffle/0")).unwrap();
            }
        }
        Act::Work
    });
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    let reopened = |record: &weir_model::EventRecord| matches!(record.event, Event::StageReopened { .. });
    assert!(kit.events(run).await.iter().any(reopened));
}

#[tokio::test]
async fn planning_errors_end_the_run_unless_they_pass() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Fail(users_fault())).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
    assert!(snapshot.reason.as_ref().unwrap().message.contains("it divided by zero"));

    let kit = Kit::with(
        |_| To::Submitter,
        |call| match call {
            1 => Plan::Fail(platform("the storage is away")),
            _ => Plan::Graph,
        },
    )
    .await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    assert_eq!(process.finished(run).await.outcome, Some(RunOutcome::Succeeded));

    let kit = Kit::with(|_| To::Submitter, |_| Plan::Panic).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_the_users_fault() {
    // The reducers have nothing to stage here, so that the commit is the first to touch the folder.
    let kit = Kit::with(|dir| To::Folder(dir.join("file/out")), |_| Plan::Graph).await;
    std::fs::write(kit.dir.path().join("file"), "not a folder").unwrap();
    kit.runner.script(|id, _| match id.stage.0 {
        1 => Act::Empty,
        _ => Act::Work,
    });
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Failed));
    let reason = snapshot.reason.clone().unwrap();
    assert!(reason.message.contains("choose an output path"), "{reason:?}");
}
