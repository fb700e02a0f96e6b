//! Runs that are made at their times, whichever control planes are there.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_control_plane::pipelines::{Defaults, Template};
use weir_control_plane::store::{
    CatchUp, ConcurrencyPolicy, NewVersion, PipelineChange, PipelineWrite, RunFilter, RunRow, ScheduleChange,
    ScheduleDefinition, Written,
};
use weir_model::{Namespace, RunOutcome, RunSettings, Timestamp};
use weir_platform::clock;

use crate::kit::{Kit, PATIENCE};
use crate::script::submission;

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
    kit.store.run_list(&filter, None, 1_000).await.unwrap()
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
