//! The rules.

mod faults;
mod memory;
mod sizes;
mod time;

use super::{Evidence, Finding, MAX_STAGES_PER_RULE, Unit};
use crate::profile::{RunProfile, StageProfile};

/// A rule: adds what it finds.
type Rule = fn(&RunProfile, &mut Vec<Finding>);

pub(super) const ALL: &[Rule] = &[
    faults::rows_not_conserved,
    faults::dead_letters,
    sizes::skewed_duration,
    sizes::skewed_bytes,
    sizes::large_partition,
    sizes::large_broadcast,
    memory::spill,
    memory::memory_nearly_full,
    memory::memory_unused,
    time::hot_function,
    sizes::small_tasks,
    sizes::small_files,
    time::idle_slots,
    faults::retries,
    faults::refused_rows,
    time::cold_start,
];

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

/// The same with a capital letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
