//! Memory: too little of it, and too much.

use super::{capital, in_run, in_stage, named, worst};
use crate::findings::text::{bytes, percent};
use crate::findings::{
    Evidence, Finding, FindingCode, MEMORY_MAX_SHARE, MEMORY_MIN_GIB_SECONDS, MEMORY_MIN_SHARE, SPILL_WARNING_RATIO,
    Severity, Unit,
};
use crate::profile::RunProfile;

pub(super) fn spill(profile: &RunProfile, found: &mut Vec<Finding>) {
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

pub(super) fn memory_nearly_full(profile: &RunProfile, found: &mut Vec<Finding>) {
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

pub(super) fn memory_unused(profile: &RunProfile, found: &mut Vec<Finding>) {
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
