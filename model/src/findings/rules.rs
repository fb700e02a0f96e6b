//! The rules.

use crate::profile::{RunProfile, StageProfile, Verdict};

use super::text::{bytes, count, micros, percent};
use super::{
    BROADCAST_MAX_BYTES, COLD_START_MAX_SHARE, COLD_START_MIN_MS, Evidence, Finding, FindingCode,
    HOT_FUNCTION_MAX_SHARE, HOT_FUNCTION_MIN_US, IDLE_SLOTS_MAX_SHARE, IDLE_SLOTS_MIN_US, MAX_STAGES_PER_RULE,
    MEMORY_MAX_SHARE, MEMORY_MIN_GIB_SECONDS, MEMORY_MIN_SHARE, PARTITION_MAX_BYTES, REFUSED_ROWS_MAX_SHARE,
    RETRIES_WARNING_SHARE, SKEW_MIN_BYTES, SKEW_MIN_EXCESS_US, SKEW_MIN_TASKS, SKEW_RATIO, SMALL_FILE_BYTES,
    SMALL_FILES_MAX, SMALL_TASKS_MAX_MEDIAN_US, SMALL_TASKS_MIN_TASKS, SPILL_WARNING_RATIO, Severity, Unit,
};

/// A rule: adds what it finds.
type Rule = fn(&RunProfile, &mut Vec<Finding>);

pub(super) const ALL: &[Rule] = &[
    rows_not_conserved,
    dead_letters,
    skewed_duration,
    skewed_bytes,
    large_partition,
    large_broadcast,
    spill,
    memory_nearly_full,
    memory_unused,
    hot_function,
    small_tasks,
    small_files,
    idle_slots,
    retries,
    refused_rows,
    cold_start,
];

/// The code of failures of tasks that were set aside.
const DEAD_LETTER: &str = "poison_task";

/// What `find` finds in each stage, by how bad it is there; the worst stages only.
fn worst(profile: &RunProfile, found: &mut Vec<Finding>, find: impl Fn(&StageProfile) -> Option<(f64, Finding)>) {
    let mut all: Vec<(f64, Finding)> = profile.stages.iter().filter_map(find).collect();
    all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    found.extend(all.into_iter().take(MAX_STAGES_PER_RULE).map(|(_, finding)| finding));
}

/// Evidence in a stage.
fn in_stage(stage: &StageProfile, metric: &str, value: f64, threshold: f64, unit: Unit) -> Evidence {
    Evidence {
        stage: Some(stage.id),
        metric: metric.to_owned(),
        value,
        threshold,
        unit,
        ..Evidence::default()
    }
}

/// Evidence in the whole run.
fn in_run(metric: &str, value: f64, threshold: f64, unit: Unit) -> Evidence {
    Evidence {
        metric: metric.to_owned(),
        value,
        threshold,
        unit,
        ..Evidence::default()
    }
}

/// How a stage is called.
fn named(stage: &StageProfile) -> String {
    match stage.name.as_str() {
        "" => format!("stage {}", stage.id),
        name => format!("stage {} ({name})", stage.id),
    }
}

fn rows_not_conserved(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let rows = &stage.conservation;
        let (what, metric, value, threshold) = if rows.exchange == Verdict::Broken {
            let read = rows.rows_taken.saturating_add(rows.rows_unread);
            (
                format!(
                    "{} were written for it, and it read {read}",
                    count(rows.rows_offered, "row")
                ),
                "rows_taken",
                read,
                rows.rows_offered,
            )
        } else if rows.inside == Verdict::Broken {
            let gone = rows.rows_out.saturating_add(rows.rows_dropped);
            (
                format!(
                    "it read {}, wrote {} and dropped {}",
                    count(rows.rows_in, "row"),
                    rows.rows_out,
                    rows.rows_dropped
                ),
                "rows_out",
                gone,
                rows.rows_in,
            )
        } else if rows.commit == Verdict::Broken {
            let committed = rows.rows_committed.unwrap_or_default();
            (
                format!(
                    "it wrote {}, and {committed} became visible",
                    count(rows.rows_out, "row")
                ),
                "rows_committed",
                committed,
                rows.rows_out,
            )
        } else {
            return None;
        };
        let finding = Finding {
            code: FindingCode::RowsNotConserved,
            severity: Severity::Error,
            title: format!("Rows of {} do not add up", named(stage)),
            detail: format!("Of {}: {what}.", named(stage)),
            evidence: in_stage(stage, metric, value as f64, threshold as f64, Unit::Count),
            fix: "Do not use the output. This is a bug of weir: please report it with the run's events.".to_owned(),
        };
        Some((value.abs_diff(threshold) as f64, finding))
    });
}

fn dead_letters(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let number = stage.attempts.failures.get(DEAD_LETTER).copied().unwrap_or(0);
        (number > 0).then(|| {
            let finding = Finding {
                code: FindingCode::DeadLetters,
                severity: Severity::Error,
                title: format!(
                    "{} of {} ended whoever ran it",
                    count(number.into(), "task"),
                    named(stage)
                ),
                detail: format!(
                    "{} set aside: no worker that took it ever said anything about it again.",
                    match number {
                        1 => "1 task was".to_owned(),
                        number => format!("{number} tasks were"),
                    }
                ),
                evidence: in_stage(stage, "attempts.failures.poison_task", number.into(), 0.0, Unit::Count),
                fix: "Look for workers that were killed for using too much memory; give workers more memory or fewer \
                      slots, or split the stage into more tasks."
                    .to_owned(),
            };
            (f64::from(number), finding)
        })
    });
}

fn skewed_duration(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn skewed_bytes(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn large_partition(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn large_broadcast(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn spill(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let spilled = &stage.quantiles.spilled_bytes;
        (spilled.sum > 0).then(|| {
            let read = stage.quantiles.bytes_in.sum.max(1);
            let ratio = spilled.sum as f64 / read as f64;
            let operator = stage.operators.iter().max_by_key(|operator| operator.spilled_bytes);
            let operator = operator.filter(|operator| operator.spilled_bytes > 0);
            let whose = operator.map_or_else(|| "its shuffle".to_owned(), |operator| format!("`{}`", operator.name));
            let finding = Finding {
                code: FindingCode::Spill,
                severity: match ratio > SPILL_WARNING_RATIO {
                    true => Severity::Warning,
                    false => Severity::Info,
                },
                title: format!(
                    "{} spilled {} to local disk",
                    capital(&named(stage)),
                    bytes(spilled.sum)
                ),
                detail: format!(
                    "Most of it was {whose}; task {}.{} spilled {}. The stage read {}.",
                    stage.id,
                    spilled.largest_task,
                    bytes(spilled.p100),
                    bytes(stage.quantiles.bytes_in.sum)
                ),
                evidence: Evidence {
                    task: Some(spilled.largest_task),
                    operator: operator.map(|operator| operator.id),
                    ..in_stage(stage, "spilled_bytes", spilled.sum as f64, 0.0, Unit::Bytes)
                },
                fix: "Give workers more memory or fewer slots, or raise the setting `target_partitions`, so that each \
                      task holds less."
                    .to_owned(),
            };
            (spilled.sum as f64, finding)
        })
    });
}

fn memory_nearly_full(profile: &RunProfile, found: &mut Vec<Finding>) {
    let memory = &profile.memory;
    let share = memory.peak_bytes as f64 / memory.limit_bytes.max(1) as f64;
    if memory.limit_bytes == 0 || share <= MEMORY_MAX_SHARE {
        return;
    }
    let largest = profile
        .stages
        .iter()
        .filter(|stage| stage.quantiles.peak_memory_bytes.p100 > 0)
        .max_by_key(|stage| stage.quantiles.peak_memory_bytes.p100);
    found.push(Finding {
        code: FindingCode::MemoryNearlyFull,
        severity: Severity::Warning,
        title: format!("{} of a worker's memory was used", percent(share)),
        detail: format!(
            "The tasks of a worker held {} of {} at once{}.",
            bytes(memory.peak_bytes),
            bytes(memory.limit_bytes),
            largest.map_or_else(String::new, |stage| {
                let peak = &stage.quantiles.peak_memory_bytes;
                format!(
                    "; the largest was task {}.{} with {}",
                    stage.id,
                    peak.largest_task,
                    bytes(peak.p100)
                )
            })
        ),
        evidence: Evidence {
            stage: largest.map(|stage| stage.id),
            task: largest.map(|stage| stage.quantiles.peak_memory_bytes.largest_task),
            ..in_run("memory.peak_bytes", share, MEMORY_MAX_SHARE, Unit::Share)
        },
        fix:
            "Give workers more memory or fewer slots before the data grows; operators that can spill will, others fail."
                .to_owned(),
    });
}

fn memory_unused(profile: &RunProfile, found: &mut Vec<Finding>) {
    let memory = &profile.memory;
    let share = memory.peak_bytes as f64 / memory.limit_bytes.max(1) as f64;
    let paid = profile.usage.memory_gib_seconds();
    if memory.limit_bytes == 0 || share >= MEMORY_MIN_SHARE || paid < MEMORY_MIN_GIB_SECONDS {
        return;
    }
    found.push(Finding {
        code: FindingCode::MemoryUnused,
        severity: Severity::Info,
        title: format!("Of a worker's memory {} was used at most", percent(share)),
        detail: format!(
            "The tasks of a worker held at most {} of {} at once; the run had {:.1} GiB hours of memory.",
            bytes(memory.peak_bytes),
            bytes(memory.limit_bytes),
            paid / 3600.0
        ),
        evidence: in_run("memory.peak_bytes", share, MEMORY_MIN_SHARE, Unit::Share),
        fix: "Give workers less memory, or more slots.".to_owned(),
    });
}

fn hot_function(profile: &RunProfile, found: &mut Vec<Finding>) {
    let Some(function) = profile.functions.first() else {
        return;
    };
    if function.time_share <= HOT_FUNCTION_MAX_SHARE || function.wasm_us < HOT_FUNCTION_MIN_US {
        return;
    }
    let calls = |stage: &&StageProfile| stage.functions.iter().any(|known| known.name == function.name);
    let stage = profile.stages.iter().filter(calls).max_by_key(|stage| {
        let of = stage.functions.iter().find(|known| known.name == function.name);
        of.map_or(0, |known| known.wasm_us)
    });
    let operator = stage.and_then(|stage| {
        let calling = stage
            .operators
            .iter()
            .filter(|operator| operator.functions.contains(&function.name));
        calling.max_by_key(|operator| operator.wasm_us)
    });
    found.push(Finding {
        code: FindingCode::HotFunction,
        severity: Severity::Info,
        title: format!(
            "The function `{}` takes {} of the run's time",
            function.name,
            percent(function.time_share)
        ),
        detail: format!(
            "{} in {} of it.",
            capital(&micros(function.wasm_us)),
            count(function.calls, "call"),
        ),
        evidence: Evidence {
            stage: stage.map(|stage| stage.id),
            operator: operator.map(|operator| operator.id),
            function: Some(function.name.clone()),
            ..in_run(
                "functions.time_share",
                function.time_share,
                HOT_FUNCTION_MAX_SHARE,
                Unit::Share,
            )
        },
        fix: "Profile the function; build it with optimisations; filter rows before it; do what SQL can do in SQL."
            .to_owned(),
    });
}

fn small_tasks(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn small_files(profile: &RunProfile, found: &mut Vec<Finding>) {
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

fn idle_slots(profile: &RunProfile, found: &mut Vec<Finding>) {
    let slots = &profile.slots;
    let Some(share) = slots.idle_share() else { return };
    let idle = slots.available_us.saturating_sub(slots.busy_us);
    if share <= IDLE_SLOTS_MAX_SHARE || idle < IDLE_SLOTS_MIN_US {
        return;
    }
    found.push(Finding {
        code: FindingCode::IdleSlots,
        severity: Severity::Info,
        title: format!("Slots were idle {} of the time", percent(share)),
        detail: format!(
            "{} had {} of time, of which tasks of this run took {}. Other runs may have used the rest.",
            count(slots.slots.into(), "slot"),
            micros(slots.available_us),
            micros(slots.busy_us)
        ),
        evidence: in_run("slots.idle_share", share, IDLE_SLOTS_MAX_SHARE, Unit::Share),
        fix: "Raise the setting `target_partitions`, or split large input files, so that there are as many tasks as \
              slots; or let there be fewer workers."
            .to_owned(),
    });
}

fn retries(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let attempts = &stage.attempts;
        let again = attempts.failed.saturating_add(stage.reopened);
        // What fails once and ends the run is the run's reason, not a finding.
        if again == 0 || attempts.retries == 0 {
            return None;
        }
        let share = f64::from(again) / f64::from(attempts.dispatched.max(1));
        let (code, _) = attempts.failures.iter().max_by_key(|(_, count)| **count).unzip();
        let codes: Vec<String> = attempts
            .failures
            .iter()
            .map(|(code, count)| format!("`{code}`: {count}"))
            .collect();
        let finding = Finding {
            code: FindingCode::Retries,
            severity: match share > RETRIES_WARNING_SHARE {
                true => Severity::Warning,
                false => Severity::Info,
            },
            title: format!(
                "{} of {} were made again",
                count(attempts.retries.into(), "attempt"),
                named(stage)
            ),
            detail: format!(
                "{} failed ({}){}.",
                count(attempts.failed.into(), "attempt"),
                match codes.is_empty() {
                    true => "none said why".to_owned(),
                    false => codes.join(", "),
                },
                match stage.reopened {
                    0 => String::new(),
                    lost => format!(
                        ", and {} ran again since what it had written was lost",
                        count(lost.into(), "task")
                    ),
                }
            ),
            evidence: in_stage(stage, "attempts.failed", again.into(), 0.0, Unit::Count),
            fix: match code.map(String::as_str) {
                Some("attempt_lost") => {
                    "Workers went away without a word: look for processes that were killed for using too much memory, \
                     and for interrupted spot capacity."
                }
                Some("out_of_memory") => "Give workers more memory or fewer slots, or raise `target_partitions`.",
                _ => "Look at the failed attempts of the stage: each says what failed and on which worker.",
            }
            .to_owned(),
        };
        Some((share, finding))
    });
}

fn refused_rows(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let rows = &stage.conservation;
        // Rows that the pipeline makes itself are read from nowhere.
        let all = rows.rows_in.max(rows.rows_out).max(rows.rows_refused);
        let share = rows.rows_refused as f64 / all.max(1) as f64;
        (share > REFUSED_ROWS_MAX_SHARE).then(|| {
            let finding = Finding {
                code: FindingCode::RefusedRows,
                severity: Severity::Warning,
                title: format!("{} of {} were refused", count(rows.rows_refused, "row"), named(stage)),
                detail: format!(
                    "Functions and expressions refused {} of {}.",
                    percent(share),
                    count(all, "row")
                ),
                evidence: in_stage(
                    stage,
                    "conservation.rows_refused",
                    share,
                    REFUSED_ROWS_MAX_SHARE,
                    Unit::Share,
                ),
                fix: "Read the output for errors (`error_handling` of the transform): each row there says why it was \
                      refused."
                    .to_owned(),
            };
            (rows.rows_refused as f64, finding)
        })
    });
}

fn cold_start(profile: &RunProfile, found: &mut Vec<Finding>) {
    cold_workers(profile, found);
    cold_modules(profile, found);
}

/// Attempts waited for their Wasm modules.
fn cold_modules(profile: &RunProfile, found: &mut Vec<Finding>) {
    let (modules, task_us) = (&profile.usage.modules, profile.usage.task_us);
    let share = modules.load_us as f64 / task_us.max(1) as f64;
    if modules.cold() == 0 || modules.load_us < COLD_START_MIN_MS * 1_000 || share <= COLD_START_MAX_SHARE {
        return;
    }
    found.push(Finding {
        code: FindingCode::ColdStart,
        severity: Severity::Info,
        title: format!("{} of the tasks' time was waiting for Wasm modules", percent(share)),
        detail: format!(
            "Workers compiled {}, read {} compiled before from their caches, and had {} in memory; tasks waited {} for \
             them.",
            count(modules.compiled, "module"),
            modules.cached,
            modules.warm,
            micros(modules.load_us),
        ),
        evidence: in_run("usage.modules.load_us", share, COLD_START_MAX_SHARE, Unit::Share),
        fix: "Keep workers longer before they are scaled in, or keep their cache folder on a disk that stays; smaller \
              modules compile faster."
            .to_owned(),
    });
}

/// The run waited for a worker.
fn cold_workers(profile: &RunProfile, found: &mut Vec<Finding>) {
    let phases = &profile.phases;
    let (Some(waited), Some(total)) = (phases.cold_start_ms, phases.total_ms) else {
        return;
    };
    let share = waited as f64 / total.max(1) as f64;
    if waited < COLD_START_MIN_MS || share <= COLD_START_MAX_SHARE {
        return;
    }
    found.push(Finding {
        code: FindingCode::ColdStart,
        severity: Severity::Info,
        title: format!("{} of the run was waiting for a worker", percent(share)),
        detail: format!(
            "The first task waited {} for a worker; the run took {}.",
            micros(waited.saturating_mul(1_000)),
            micros(total.saturating_mul(1_000))
        ),
        evidence: in_run("phases.cold_start_ms", share, COLD_START_MAX_SHARE, Unit::Share),
        fix: "Keep a worker running (the scaling's minimum), or keep workers longer before they are scaled in; many \
              short jobs may share one run."
            .to_owned(),
    });
}

/// The same with a capital letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
