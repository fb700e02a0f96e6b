//! Tasks and files that are too large, too small, or too different.

use super::{capital, in_stage, named, worst};
use crate::findings::text::{bytes, count, micros};
use crate::findings::{
    BROADCAST_MAX_BYTES, Evidence, Finding, FindingCode, PARTITION_MAX_BYTES, SKEW_MIN_BYTES, SKEW_MIN_EXCESS_US,
    SKEW_MIN_TASKS, SKEW_RATIO, SMALL_FILE_BYTES, SMALL_FILES_MAX, SMALL_TASKS_MAX_MEDIAN_US, SMALL_TASKS_MIN_TASKS,
    Severity, Unit,
};
use crate::profile::RunProfile;

pub(super) fn skewed_duration(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let time = &stage.quantiles.elapsed_us;
        let ratio = time.skew().filter(|ratio| *ratio > SKEW_RATIO)?;
        let excess = time.p100.saturating_sub(time.p50);
        (stage.done >= SKEW_MIN_TASKS && excess >= SKEW_MIN_EXCESS_US).then(|| {
            let read = &stage.quantiles.bytes_in;
            // Whether the slow one is slow since it has more to do.
            let by_size = read.skew().is_some_and(|ratio| ratio > 2.0) && read.largest_task == time.largest_task;
            let fix = match (by_size, stage.inputs.is_empty()) {
                (true, false) => {
                    "The task has more rows than the others: many rows share a key. Aggregate before the join or group, \
                     add a column to the key that splits the large one, or broadcast the smaller side of a join."
                }
                (true, true) => "The task reads more than the others: split the large file, or write it as Parquet.",
                (false, _) => {
                    "The task reads no more than the others: look at its log and its worker, and at rows that take a \
                     user function long."
                }
            };
            let finding = Finding {
                code: FindingCode::SkewedDuration,
                severity: Severity::Warning,
                title: format!("One task of {} takes {ratio:.0} times as long as most", named(stage)),
                detail: format!(
                    "Task {}.{} took {}, the median of {} is {}.",
                    stage.id,
                    time.largest_task,
                    micros(time.p100),
                    count(stage.done.into(), "task"),
                    micros(time.p50)
                ),
                evidence: Evidence {
                    task: Some(time.largest_task),
                    ..in_stage(stage, "elapsed_us", ratio, SKEW_RATIO, Unit::Ratio)
                },
                fix: fix.to_owned(),
            };
            (excess as f64, finding)
        })
    });
}

pub(super) fn skewed_bytes(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let read = &stage.quantiles.bytes_in;
        // With a median of nothing, every ratio is exceeded.
        let ratio = read.p100 as f64 / read.p50.max(1) as f64;
        (stage.done >= SKEW_MIN_TASKS && ratio > SKEW_RATIO && read.p100 >= SKEW_MIN_BYTES).then(|| {
            let finding = Finding {
                code: FindingCode::SkewedBytes,
                severity: Severity::Warning,
                title: format!("One task of {} reads {ratio:.0} times as much as most", named(stage)),
                detail: format!(
                    "Task {}.{} read {}, the median of {} is {}.",
                    stage.id,
                    read.largest_task,
                    bytes(read.p100),
                    count(stage.done.into(), "task"),
                    bytes(read.p50)
                ),
                evidence: Evidence {
                    task: Some(read.largest_task),
                    ..in_stage(stage, "bytes_in", ratio, SKEW_RATIO, Unit::Ratio)
                },
                fix: match stage.inputs.is_empty() {
                    true => "Split the large input file, or write it in a format that can be split, such as Parquet.",
                    false => {
                        "Many rows share a key. Filter out keys that mean nothing (nulls, defaults) before, aggregate \
                         before the join or group, or add a column to the key that splits the large one."
                    }
                }
                .to_owned(),
            };
            (read.p100 as f64, finding)
        })
    });
}

pub(super) fn large_partition(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let read = &stage.quantiles.bytes_in;
        (read.p100 > PARTITION_MAX_BYTES).then(|| {
            let finding = Finding {
                code: FindingCode::LargePartition,
                severity: Severity::Warning,
                title: format!("A task of {} reads {}", named(stage), bytes(read.p100)),
                detail: format!(
                    "Task {}.{} read {}; the median of {} is {}.",
                    stage.id,
                    read.largest_task,
                    bytes(read.p100),
                    count(stage.done.into(), "task"),
                    bytes(read.p50)
                ),
                evidence: Evidence {
                    task: Some(read.largest_task),
                    ..in_stage(
                        stage,
                        "bytes_in",
                        read.p100 as f64,
                        PARTITION_MAX_BYTES as f64,
                        Unit::Bytes,
                    )
                },
                fix: match stage.inputs.is_empty() {
                    true => "Split the input into more or smaller files, so that more tasks can read it.",
                    false => "Raise the setting `target_partitions`, so that each task gets less.",
                }
                .to_owned(),
            };
            (read.p100 as f64, finding)
        })
    });
}

pub(super) fn large_broadcast(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let input = stage
            .inputs
            .iter()
            .filter(|input| input.broadcast)
            .max_by_key(|input| input.bytes)?;
        (input.bytes > BROADCAST_MAX_BYTES).then(|| {
            let finding = Finding {
                code: FindingCode::LargeBroadcast,
                severity: Severity::Warning,
                title: format!("Every task of {} reads {}", named(stage), bytes(input.bytes)),
                detail: format!(
                    "Stage {} wrote {} ({}), and all {} of stage {} read all of it.",
                    input.stage,
                    bytes(input.bytes),
                    count(input.rows, "row"),
                    count(stage.tasks.into(), "task"),
                    stage.id
                ),
                evidence: in_stage(
                    stage,
                    "inputs.bytes",
                    input.bytes as f64,
                    BROADCAST_MAX_BYTES as f64,
                    Unit::Bytes,
                ),
                fix:
                    "Filter or project that side of the join before it, or join by equal keys, so that both sides can \
                      be partitioned."
                        .to_owned(),
            };
            (input.bytes as f64, finding)
        })
    });
}

pub(super) fn small_tasks(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let time = &stage.quantiles.elapsed_us;
        (stage.tasks > SMALL_TASKS_MIN_TASKS && time.p50 < SMALL_TASKS_MAX_MEDIAN_US && stage.done > 0).then(|| {
            let finding = Finding {
                code: FindingCode::SmallTasks,
                severity: Severity::Warning,
                title: format!("{} has {} short tasks", capital(&named(stage)), stage.tasks),
                detail: format!(
                    "Half of its {} tasks took less than {}: sending and starting them costs about as much.",
                    stage.tasks,
                    micros(time.p50.saturating_add(1_000))
                ),
                evidence: in_stage(
                    stage,
                    "tasks",
                    stage.tasks.into(),
                    SMALL_TASKS_MIN_TASKS.into(),
                    Unit::Count,
                ),
                fix: match stage.inputs.is_empty() {
                    true => "Write the input as fewer, larger files.",
                    false => "Lower the setting `target_partitions`, or raise `coalesce.min_bytes`.",
                }
                .to_owned(),
            };
            (f64::from(stage.tasks), finding)
        })
    });
}

pub(super) fn small_files(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let sink = stage.sink.as_ref().filter(|sink| sink.small_files > SMALL_FILES_MAX)?;
        let finding = Finding {
            code: FindingCode::SmallFiles,
            severity: Severity::Warning,
            title: format!("`{}` writes {} small files", sink.transform, sink.small_files),
            detail: format!(
                "{} of its {} are smaller than {}; together they have {}.",
                sink.small_files,
                count(sink.files, "file"),
                bytes(SMALL_FILE_BYTES),
                bytes(sink.bytes)
            ),
            evidence: in_stage(
                stage,
                "sink.small_files",
                sink.small_files as f64,
                SMALL_FILES_MAX as f64,
                Unit::Count,
            ),
            fix: "Set `num_shards` of the sink, or lower the setting `target_partitions`: who reads many small files \
                  waits for each of them."
                .to_owned(),
        };
        Some((sink.small_files as f64, finding))
    });
}
