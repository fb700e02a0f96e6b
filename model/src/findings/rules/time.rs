//! Where the time went that was not work.

use super::{capital, in_run};
use crate::findings::text::{count, micros, percent};
use crate::findings::{
    COLD_START_MAX_SHARE, COLD_START_MIN_MS, Evidence, Finding, FindingCode, HOT_FUNCTION_MAX_SHARE,
    HOT_FUNCTION_MIN_US, IDLE_SLOTS_MAX_SHARE, IDLE_SLOTS_MIN_US, Severity, Unit,
};
use crate::profile::{RunProfile, StageProfile};

pub(super) fn hot_function(profile: &RunProfile, found: &mut Vec<Finding>) {
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

pub(super) fn idle_slots(profile: &RunProfile, found: &mut Vec<Finding>) {
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

pub(super) fn cold_start(profile: &RunProfile, found: &mut Vec<Finding>) {
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
