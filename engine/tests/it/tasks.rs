//! Attempts of tasks: what they leave, measure and refuse.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use weir_model::{Digest, FailureKind, RunSettings, layout};

use crate::driver::{Driver, Failed, MEMORY_BYTES, Run, context, messages, sql};

const GROUPS: &str = "select v % 100 as k, count(*) as c from generate_series(1, 20000) as t(v) group by 1";

async fn planned(driver: &Driver, statement: &str) -> (Run, RunSettings) {
    let submission = sql(statement, &[], 4);
    (driver.plan(&submission).await.unwrap(), submission.settings)
}

#[tokio::test]
async fn executions_never_share_an_object() {
    let driver = Driver::new(MEMORY_BYTES);
    let (run, settings) = planned(&driver, GROUPS).await;
    let message = &messages(&run, 0, &settings)[0];
    let mut keys = BTreeSet::new();
    for _ in 0..3 {
        let output = driver.engine.run_task(message, &context(message.task)).await.unwrap();
        let object = output.shuffle.unwrap();
        assert!(driver.storage.exists(&object.key).await.unwrap());
        keys.insert(object.key);
    }
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn an_attempt_measures_what_it_did() {
    let driver = Driver::new(MEMORY_BYTES);
    let (mut run, settings) = planned(&driver, GROUPS).await;
    for stage in 0..run.graph.stages.len() {
        driver.run_stage(&mut run, stage, &settings).await.unwrap();
    }
    let outputs: Vec<_> = run.outputs.iter().map(|tasks| tasks.iter()).collect();
    let written: u64 = outputs[0].clone().map(|output| output.metrics.rows_out).sum();
    let read: u64 = outputs[1].clone().map(|output| output.metrics.rows_in).sum();
    assert_eq!((written, read), (100, 100));
    for output in outputs.into_iter().flatten() {
        let metrics = &output.metrics;
        assert!(metrics.elapsed_us > 0 && metrics.peak_memory_bytes > 0, "{metrics:?}");
        assert_eq!(metrics.operators[0].depth, 0);
        let stored: u64 = output
            .shuffle
            .iter()
            .flat_map(|object| &object.index)
            .map(|span| span.length)
            .sum();
        assert_eq!(metrics.bytes_out, stored);
    }
}

#[tokio::test]
async fn a_cancelled_attempt_ends_and_leaves_nothing() {
    let driver = Driver::new(MEMORY_BYTES);
    // Runs for ever, as far as a test is concerned.
    let endless = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b";
    let (run, settings) = planned(&driver, endless).await;
    let message = messages(&run, 0, &settings).remove(0);
    let attempt = context(message.task);
    let key = layout::shuffle_key(run.id, message.task, attempt.execution);
    let (cancel, progress) = (attempt.cancel.clone(), attempt.progress.clone());
    let engine = driver.engine.clone();
    let task = tokio::spawn(async move { engine.run_task(&message, &attempt).await });
    while progress.metrics().operators.is_empty() {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    let failure = task.await.unwrap().unwrap_err().failure;
    assert_eq!(failure.kind, FailureKind::Cancelled, "{failure:?}");
    assert!(!driver.storage.exists(&key).await.unwrap());
}

#[tokio::test]
async fn lost_shuffle_objects_are_reported_with_their_stage() {
    for driver in [Driver::new(MEMORY_BYTES), Driver::in_bucket().await.0] {
        lose_shuffle(&driver).await;
    }
}

async fn lose_shuffle(driver: &Driver) {
    let (mut run, settings) = planned(driver, GROUPS).await;
    driver.run_stage(&mut run, 0, &settings).await.unwrap();
    let keys: Vec<_> = run.outputs[0]
        .iter()
        .filter_map(|output| output.shuffle.as_ref())
        .map(|o| o.key.clone())
        .collect();
    driver.storage.delete(keys.clone()).await.unwrap();
    let Err(Failed::Task(_, failed)) = driver.run_stage(&mut run, 1, &settings).await else {
        panic!("it read nothing")
    };
    assert_eq!(failed.failure.kind, FailureKind::ShuffleLost);
    let lost = failed.failure.lost.unwrap();
    assert_eq!((lost.stage.0, lost.stage_attempt, lost.objects), (0, 0, keys));
}

#[tokio::test]
async fn without_its_manifest_a_stage_is_lost() {
    for driver in [Driver::new(MEMORY_BYTES), Driver::in_bucket().await.0] {
        let (mut run, settings) = planned(&driver, GROUPS).await;
        driver.run_stage(&mut run, 0, &settings).await.unwrap();
        let key = layout::manifest_key(run.id, run.graph.stages[0].id, 0);
        driver.storage.delete(vec![key.clone()]).await.unwrap();
        let Err(Failed::Task(_, failed)) = driver.run_stage(&mut run, 1, &settings).await else {
            panic!("it read nothing")
        };
        assert_eq!(failed.failure.kind, FailureKind::ShuffleLost);
        let lost = failed.failure.lost.unwrap();
        assert_eq!((lost.stage.0, lost.stage_attempt, lost.objects), (0, 0, vec![key]));
    }
}

#[tokio::test]
async fn a_plan_of_another_build_is_refused() {
    let driver = Driver::new(MEMORY_BYTES);
    let (run, settings) = planned(&driver, GROUPS).await;
    let mut message = messages(&run, 0, &settings).remove(0);
    let mut plan = driver
        .storage
        .get(&layout::plan_key(message.run, &message.plan))
        .await
        .unwrap()
        .to_vec();
    // The build comes first in a plan, after its length.
    plan[1] = b'9';
    message.plan = Digest::of(&plan);
    driver
        .storage
        .put(&layout::plan_key(message.run, &message.plan), plan.into())
        .await
        .unwrap();
    let failure = driver
        .engine
        .run_task(&message, &context(message.task))
        .await
        .unwrap_err()
        .failure;
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Platform, "plan_of_other_build")
    );
    assert!(
        failure.message.contains("run workers of the same build"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn little_memory_spills_and_gives_the_same_rows() {
    let statement = "select v, count(*) as c from \
        (select (v * 7919) % 100003 as v from generate_series(1, 200000) as t(v)) group by 1";
    let submission = sql(statement, &[], 4);
    let rich = Driver::new(MEMORY_BYTES).rows(&submission).await.unwrap();
    let poor = Driver::new(4 << 20);
    let run = poor.run(&submission).await.unwrap();
    let spilled: u64 = run
        .outputs
        .iter()
        .flatten()
        .map(|output| output.metrics.spilled_bytes)
        .sum();
    assert!(spilled > 0);
    let rows = |batches: &[RecordBatch]| {
        let all = concat_batches(&batches[0].schema(), batches).unwrap();
        let order = sort_to_indices(all.column(0), None, None).unwrap();
        take_record_batch(&all, &order).unwrap()
    };
    let last = run.outputs.last().unwrap().iter();
    let last = last.filter_map(|output| output.shuffle.clone()).collect();
    let result = poor
        .engine
        .read_result(&Default::default(), run.id, &run.graph, last, 0)
        .await
        .unwrap();
    let result: Vec<_> = futures::TryStreamExt::try_collect(result).await.unwrap();
    assert_eq!(rows(&result), rows(&rich));
}

#[tokio::test]
async fn too_little_memory_says_so() {
    let statement = "select array_agg(v) from generate_series(1, 1000000) as t(v)";
    let driver = Driver::new(1 << 20);
    let Err(Failed::Task(_, failed)) = driver.rows(&sql(statement, &[], 4)).await else {
        panic!("it had enough")
    };
    assert_eq!(
        (failed.failure.kind, failed.failure.code.as_str()),
        (FailureKind::Platform, "out_of_memory")
    );
    assert!(
        failed.failure.message.contains("give workers more memory"),
        "{}",
        failed.failure.message
    );
}
