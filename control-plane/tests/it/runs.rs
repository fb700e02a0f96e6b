//! Runs to which nothing bad happens.

use weir_control_plane::store::RunFilter;
use weir_control_plane::{Error, Options};
use weir_model::{Event, RunOutcome, RunPhase};

use crate::kit::{Kit, eventually};
use crate::script::{MAPS, Plan, REDUCES, To, expected_lines, submission};

#[tokio::test]
async fn a_run_writes_its_output_once_and_cleans_up() {
    let kit = Kit::new().await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    assert_eq!(kit.runner.all_executions(), MAPS + REDUCES);
    assert_eq!(kit.acceptances(run).await.len() as u32, MAPS + REDUCES);
    assert_eq!(snapshot.outputs[0].rows, u64::from(REDUCES));

    let events = kit.events(run).await;
    assert!(matches!(events[0].event, Event::Submitted { .. }));
    assert!(matches!(events[events.len() - 1].event, Event::Finished { .. }));

    let row = eventually("the clean-up is noted", async || {
        let row = process.control_plane.run_get(run).await.unwrap().unwrap();
        row.cleaned.then_some(row)
    })
    .await;
    assert_eq!(row.summary.phase, RunPhase::Finished);
    assert_eq!(row.summary.outcome, Some(RunOutcome::Succeeded));
    assert_eq!(
        (row.summary.tasks_done, row.summary.tasks),
        (MAPS + REDUCES, MAPS + REDUCES)
    );
    assert_eq!(row.owner, None, "nobody owns a run that is over");
    assert_eq!(row.last_seq, events.len() as u64);
    assert_eq!(
        kit.objects(run),
        Vec::<String>::new(),
        "shuffle objects and manifests are deleted"
    );
}

#[tokio::test]
async fn a_result_is_kept_for_the_submitter() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    assert_eq!(process.finished(run).await.outcome, Some(RunOutcome::Succeeded));
    process.control_plane.shutdown().await;

    let later = kit.process();
    let result = later.control_plane.result(run).await.unwrap().unwrap();
    assert_eq!(result.graph.stages.len(), 2);
    let mut lines = Vec::new();
    for object in result.objects {
        let object = kit.storage.get(&object.key).await.unwrap();
        lines.extend(std::str::from_utf8(&object).unwrap().lines().map(str::to_owned));
    }
    assert_eq!(lines, expected_lines(), "in task order");
    let kept = kit.objects(run);
    assert!(
        kept.iter()
            .all(|name| name.starts_with("shuffle/1/") || name.starts_with("stages/1-")),
        "{kept:?}"
    );
    assert!(later.control_plane.watch(run).await.unwrap().borrow().outcome.is_some());
}

#[tokio::test]
async fn a_run_without_stages_succeeds() {
    let kit = Kit::with(|_| To::Nothing { tasks: 0 }, |_| Plan::Graph).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    assert_eq!(process.finished(run).await.outcome, Some(RunOutcome::Succeeded));
    assert!(process.control_plane.result(run).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_tasks_and_many_runs_go_through() {
    let kit = Kit::with(|_| To::Nothing { tasks: 2_000 }, |_| Plan::Graph).await;
    let process = kit.process();
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(process.control_plane.submit(submission()).await.unwrap());
    }
    for run in runs {
        let snapshot = process.finished(run).await;
        assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
        assert_eq!(snapshot.stages[0].done, 2_000);
        assert_eq!(kit.acceptances(run).await.len(), 2_000);
    }
    assert_eq!(kit.runner.all_executions(), 6_000);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let kit = Kit::new().await;
    let process = kit.process();
    let mut runs = Vec::new();
    for name in ["a", "b", "a"] {
        let named = weir_model::Submission {
            name: name.into(),
            ..submission()
        };
        let run = process.control_plane.submit(named).await.unwrap();
        process.finished(run).await;
        runs.push(run);
    }
    let list = async |name: Option<&str>, before, limit| {
        let filter = RunFilter {
            name: name.map(str::to_owned),
            outcome: Some(RunOutcome::Succeeded),
            ..RunFilter::default()
        };
        let rows = process
            .control_plane
            .run_list(&filter, before, limit)
            .await
            .unwrap()
            .rows;
        rows.into_iter().map(|row| row.run).collect::<Vec<_>>()
    };
    runs.sort();
    let youngest_first: Vec<_> = runs.iter().rev().copied().collect();
    let page = list(None, None, 2).await;
    assert_eq!(page, youngest_first[..2]);
    assert_eq!(list(None, page.last().copied(), 2).await, youngest_first[2..]);
    assert_eq!(list(Some("a"), None, 10).await.len(), 2);
    assert_eq!(list(Some("c"), None, 10).await.len(), 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Hang).await;
    let kit = Kit {
        options: Options {
            max_runs: 1,
            ..kit.options.clone()
        },
        ..kit
    };
    let process = kit.process();
    let control_plane = &process.control_plane;
    let nameless = weir_model::Submission {
        name: " ".into(),
        ..submission()
    };
    let refused = control_plane.submit(nameless).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the submission is not valid: its name must have 1 to 200 bytes"
    );
    let unknown = weir_platform::clock::new_run_id();
    assert!(matches!(
        control_plane.watch(unknown).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        control_plane.cancel(unknown, "me").await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        control_plane.resume(unknown).await,
        Err(Error::NotFound { .. })
    ));

    control_plane.submit(submission()).await.unwrap();
    assert!(matches!(
        control_plane.submit(submission()).await,
        Err(Error::Busy { limit: 1 })
    ));
    control_plane.shutdown().await;
    assert!(matches!(
        control_plane.submit(submission()).await,
        Err(Error::ShuttingDown)
    ));
}
