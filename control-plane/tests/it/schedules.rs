//! Runs that are made at their times, whichever control planes are there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use weir_control_plane::pipelines::{Defaults, Template};
use weir_control_plane::store::{
    CatchUp, ConcurrencyPolicy, NewVersion, PipelineChange, PipelineWrite, RunFilter, RunRow, ScheduleChange,
    ScheduleDefinition, Written,
};
use weir_model::{
    Namespace, RestartType, RunId, RunOutcome, RunPhase, RunSettings, ScheduleRef, Submission, Timestamp,
};
use weir_platform::clock;

use crate::history::Pages;
use crate::kit::{Kit, PATIENCE, Process, eventually};
use crate::mortal::{Death, Mortal};
use crate::script::{Act, platform, submission};

const MINUTE_MS: u64 = 60_000;

fn defaults() -> Defaults {
    Defaults {
        base: "/".to_owned(),
        settings: RunSettings::default(),
    }
}

/// A kit with a pipeline, whose leaders do not wait long for one that died.
async fn kit() -> Kit {
    let mut kit = Kit::new().await;
    kit.options.lease_ms = 1_000;
    let submission = submission();
    let template = Template {
        job: submission.job,
        modules: BTreeMap::new(),
        base: Some(submission.base),
        settings: serde_json::Map::new(),
        labels: BTreeMap::new(),
    };
    let (template, digest) = template.encode();
    let pipeline = PipelineWrite::PipelineCreate(PipelineChange {
        namespace: Namespace::default(),
        name: "sums".to_owned(),
        description: None,
        labels: BTreeMap::new(),
        version: Some(NewVersion {
            template,
            digest,
            note: None,
        }),
        at: clock::now(),
        by: "ada".to_owned(),
    });
    assert_eq!(kit.store.pipelines_write(pipeline).await.unwrap(), Written::Done);
    kit
}

/// A schedule of every minute that was not looked at for so many.
fn minutely(minutes: u64, definition: ScheduleDefinition) -> (ScheduleChange, Timestamp) {
    let this_minute = clock::now().0 / MINUTE_MS;
    let first = Timestamp((this_minute - minutes) * MINUTE_MS);
    let change = ScheduleChange {
        namespace: Namespace::default(),
        name: "minutely".to_owned(),
        pipeline: "sums".to_owned(),
        definition: ScheduleDefinition {
            cron: "* * * * *".to_owned(),
            ..definition
        },
        next_at: Some(first),
        at: clock::now(),
        by: "ada".to_owned(),
    };
    (change, first)
}

async fn runs(kit: &Kit) -> Vec<RunRow> {
    let filter = RunFilter {
        schedule: Some("minutely".to_owned()),
        ..RunFilter::default()
    };
    kit.store.run_list(&filter, None, 1_000).await.unwrap().rows
}

/// Waits until the schedule has dealt with all times up to now.
async fn caught_up(kit: &Kit) {
    let looking = async {
        loop {
            let row = kit
                .store
                .schedule_get(&Namespace::default(), "minutely")
                .await
                .unwrap()
                .unwrap();
            if row.next_at > Some(clock::now()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it catches up");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_the_leader_dies_each_time_gets_one_run() {
    let kit = kit().await;
    let definition = ScheduleDefinition {
        catch_up: CatchUp::All,
        ..ScheduleDefinition::default()
    };
    let (change, first) = minutely(30, definition);
    let create = PipelineWrite::ScheduleCreate(change.clone());
    assert_eq!(kit.store.pipelines_write(create).await.unwrap(), Written::Done);
    for enough in [1, 5, 12, 20] {
        let process = kit.process();
        process.control_plane.schedule(defaults());
        let rival = kit.process();
        rival.control_plane.schedule(defaults());
        let looking = async {
            while runs(&kit).await.len() < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("runs");
        // Both end as a crash would end them.
        drop((process, rival));
    }
    let process = kit.process();
    process.control_plane.schedule(defaults());
    caught_up(&kit).await;
    let mut times: Vec<_> = runs(&kit)
        .await
        .iter()
        .map(|run| run.schedule.as_ref().and_then(|schedule| schedule.at).expect("a time"))
        .collect();
    times.sort();
    let expected: Vec<_> = (0..times.len() as u64)
        .map(|minute| first.plus_ms(minute * MINUTE_MS))
        .collect();
    assert_eq!(times, expected);
    assert!(times.len() >= 31, "{} runs", times.len());

    // A leader that died before it noted anything: the next one begins where that had begun.
    let row = kit
        .store
        .schedule_get(&Namespace::default(), "minutely")
        .await
        .unwrap()
        .unwrap();
    let again = PipelineWrite::ScheduleUpdate(change, row.generation);
    assert_eq!(kit.store.pipelines_write(again).await.unwrap(), Written::Done);
    caught_up(&kit).await;
    let made = runs(&kit).await.len();
    assert!(
        made - times.len() <= 2,
        "{made} runs after {}: only minutes that came meanwhile",
        times.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_keep_what_they_are_told_to() {
    let kit = kit().await;
    let definition = ScheduleDefinition {
        catch_up: CatchUp::All,
        successful_run_history_limit: Some(2),
        ..ScheduleDefinition::default()
    };
    let (change, _) = minutely(6, definition);
    let create = PipelineWrite::ScheduleCreate(change);
    kit.store.pipelines_write(create).await.unwrap();
    let process = kit.process();
    process.control_plane.schedule(defaults());
    caught_up(&kit).await;
    let trimmed = async {
        loop {
            let runs = runs(&kit).await;
            let over = runs
                .iter()
                .all(|run| run.summary.outcome == Some(RunOutcome::Succeeded));
            if over && runs.len() <= 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Old runs are looked for every half minute.
    tokio::time::timeout(2 * PATIENCE, trimmed).await.expect("old runs go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_suspended_keeps_what_it_is_told_to() {
    let kit = kit().await;
    let definition = ScheduleDefinition {
        successful_run_history_limit: Some(1),
        suspend: true,
        ..ScheduleDefinition::default()
    };
    let (mut change, at) = minutely(0, definition);
    change.next_at = None;
    let create = PipelineWrite::ScheduleCreate(change);
    kit.store.pipelines_write(create).await.unwrap();
    let process = kit.process();
    let mut made = Vec::new();
    for minute in 0..3 {
        let mut earlier = submission();
        earlier.metadata.schedule = Some(ScheduleRef {
            name: "minutely".to_owned(),
            at: Some(Timestamp(at.0 - minute * MINUTE_MS)),
        });
        let run = process.control_plane.submit(earlier).await.unwrap();
        cleaned(&kit, run).await;
        made.push(run);
    }
    process.control_plane.schedule(defaults());
    eventually("old runs go", async || {
        let left: Vec<_> = runs(&kit).await.into_iter().map(|run| run.run).collect();
        (left == made[2..]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_forbids_it_has_one_run_at_a_time() {
    let kit = kit().await;
    let definition = ScheduleDefinition {
        catch_up: CatchUp::All,
        concurrency_policy: ConcurrencyPolicy::Forbid,
        ..ScheduleDefinition::default()
    };
    let (change, first) = minutely(6, definition);
    let create = PipelineWrite::ScheduleCreate(change);
    kit.store.pipelines_write(create).await.unwrap();
    let queue = || std::sync::Arc::new(weir_platform::MemoryQueue::new(Default::default()));
    // Nobody works, so that the first run stays under way.
    let control_plane = kit.control_plane(kit.store.clone(), queue(), queue());
    control_plane.schedule(defaults());
    caught_up(&kit).await;
    let made = runs(&kit).await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].schedule.as_ref().and_then(|schedule| schedule.at), Some(first));
    let row = kit
        .store
        .schedule_get(&Namespace::default(), "minutely")
        .await
        .unwrap()
        .unwrap();
    assert!(row.status.skipped >= 6, "{:?}", row.status);
    assert_eq!(row.status.reason.expect("a reason").code, "still_running");
}

/// A submission that fails at once and is to be tried again in an hour.
fn hopeless() -> Submission {
    let mut submission = submission();
    submission.settings.retry.max_attempts = 1;
    let policy = &mut submission.settings.restart_policy;
    policy.kind = RestartType::OnFailure;
    policy.on_failure_retries = 10;
    policy.on_failure_retry_interval_s = 3_600;
    submission
}

async fn row(kit: &Kit, run: RunId) -> RunRow {
    kit.store.run_get(run).await.unwrap().unwrap()
}

/// Waits until a run is over and its objects are deleted.
async fn cleaned(kit: &Kit, run: RunId) -> RunRow {
    eventually("the run is cleaned up", async || {
        let row = row(kit, run).await;
        row.cleaned.then_some(row)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tidying_up_keeps_no_schedule_waiting_and_no_leadership_from_being_renewed() {
    let kit = kit().await;
    let store = Mortal::new(kit.store.clone(), Death::After, i64::MAX);
    let process = kit.process_over(store.clone());
    let mut short_lived = submission();
    short_lived.settings.restart_policy.time_to_live_s = Some(0);
    let expired = process.control_plane.submit(short_lived).await.unwrap();
    cleaned(&kit, expired).await;

    // As with a storage that does not answer.
    store.deletions.set_open(false);
    process.control_plane.schedule(defaults());
    store.deletions.knocked().await;
    let (change, _) = minutely(0, ScheduleDefinition::default());
    let create = PipelineWrite::ScheduleCreate(change);
    kit.store.pipelines_write(create).await.unwrap();
    caught_up(&kit).await;
    assert!(!runs(&kit).await.is_empty());
    // A third of the lease apart, so that it would have run out.
    store.leads_again(4).await;
    store.deletions.set_open(true);
    eventually("the run is forgotten", async || {
        kit.store.run_get(expired).await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_to_be_tried_again_can_be_cancelled() {
    let kit = kit().await;
    kit.runner.script(|_, _| Act::Fail(platform("scripted")));
    let process = kit.process();
    let run = process.control_plane.submit(hopeless()).await.unwrap();
    assert!(cleaned(&kit, run).await.summary.restart_at.is_some());
    let pages = Pages::of(&kit, &process, false);
    let path = format!("/runs/{run}");
    assert!(pages.ask("GET", &path).await.1["restart_at"].is_string());
    let (status, cancelled) = pages.ask("POST", &format!("{path}/cancel")).await;
    assert_eq!(
        (status, &cancelled["result"], &cancelled["restart_at"]),
        (202, &json!("failed"), &Value::Null),
        "{cancelled}"
    );
    assert_eq!(row(&kit, run).await.summary.restart_at, None);
    let (status, again) = pages.ask("POST", &format!("{path}/cancel")).await;
    assert_eq!((status, &again["code"]), (409, &json!("run_finished")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_it_fails_is_not_tried_again() {
    let kit = kit().await;
    // One task fails; the others go on until they are told to stop, and then for a while.
    kit.runner.script(|task, _| match task.index {
        0 => Act::Fail(platform("scripted")),
        _ => Act::WorkAfter(Duration::from_millis(300)),
    });
    let process = kit.process();
    let run = process.control_plane.submit(hopeless()).await.unwrap();
    process
        .until(run, |snapshot| snapshot.phase == RunPhase::Stopping)
        .await;
    process.control_plane.cancel(run, "ada").await.unwrap();
    let row = cleaned(&kit, run).await;
    assert_eq!(
        (row.summary.outcome, row.summary.restart_at),
        (Some(RunOutcome::Failed), None)
    );
}

/// A schedule of this policy, one run of which has failed and is to be tried again in an hour; and that run.
async fn waiting_to_be_tried_again(kit: &Kit, process: &Process, policy: ConcurrencyPolicy) -> RunId {
    let definition = ScheduleDefinition {
        concurrency_policy: policy,
        ..ScheduleDefinition::default()
    };
    let (change, at) = minutely(0, definition);
    let mut failing = hopeless();
    failing.metadata.schedule = Some(ScheduleRef {
        name: "minutely".to_owned(),
        at: Some(Timestamp(at.0 - MINUTE_MS)),
    });
    kit.runner.script(|_, _| Act::Fail(platform("scripted")));
    let run = process.control_plane.submit(failing).await.unwrap();
    assert!(cleaned(kit, run).await.summary.restart_at.is_some());
    kit.runner.script(|_, _| Act::Work);
    let create = PipelineWrite::ScheduleCreate(change);
    kit.store.pipelines_write(create).await.unwrap();
    process.control_plane.schedule(defaults());
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_to_be_tried_again_is_under_way_for_a_schedule_that_forbids_another() {
    let kit = kit().await;
    let process = kit.process();
    let waiting = waiting_to_be_tried_again(&kit, &process, ConcurrencyPolicy::Forbid).await;
    caught_up(&kit).await;
    assert_eq!(runs(&kit).await.len(), 1);
    let schedule = kit.store.schedule_get(&Namespace::default(), "minutely").await;
    let reason = schedule.unwrap().unwrap().status.reason.expect("a reason");
    assert_eq!(reason.code, "still_running");
    assert!(reason.message.contains(&waiting.to_string()), "{}", reason.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_to_be_tried_again_is_replaced() {
    let kit = kit().await;
    let process = kit.process();
    let waiting = waiting_to_be_tried_again(&kit, &process, ConcurrencyPolicy::Replace).await;
    caught_up(&kit).await;
    assert!(runs(&kit).await.len() >= 2, "another is made");
    let row = row(&kit, waiting).await;
    assert_eq!(row.summary.restart_at, None, "it is not tried again beside that");
    assert_eq!(row.cancel_requested_by.as_deref(), Some("schedule minutely"));
}
