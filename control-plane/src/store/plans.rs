//! Lists of runs, and the indexes that databases must read them along, however few runs match.

use weir_model::{Namespace, RunOutcome, RunPhase};

use super::{RunFilter, Search};

/// Runs of the namespace `many` that the plans are of.
pub(super) const RUNS: u32 = 20_000;

/// Lists, each with its index.
pub(super) fn cases() -> Vec<(RunFilter, &'static str)> {
    let namespace: Namespace = "many".parse().unwrap();
    let all = RunFilter {
        namespace: Some(namespace),
        reach: Some(1_000),
        ..RunFilter::default()
    };
    let label = ("team".to_owned(), "a".to_owned());
    let filter = |change: fn(&mut RunFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        filter
    };
    let labelled = RunFilter {
        labels: vec![label],
        ..all.clone()
    };
    vec![
        (all.clone(), "runs_by_namespace"),
        (
            filter(|filter| filter.search = Search::parse("nothing").unwrap()),
            "runs_by_namespace",
        ),
        (
            filter(|filter| filter.phase = Some(RunPhase::Finished)),
            "runs_by_namespace",
        ),
        (
            filter(|filter| filter.outcome = Some(RunOutcome::Failed)),
            "runs_by_outcome",
        ),
        (
            filter(|filter| {
                filter.outcome = Some(RunOutcome::Failed);
                filter.phase = Some(RunPhase::Finished);
            }),
            "runs_by_outcome",
        ),
        (filter(|filter| filter.name = Some("job-7".to_owned())), "runs_by_job"),
        (
            filter(|filter| {
                filter.name = Some("job-7".to_owned());
                filter.outcome = Some(RunOutcome::Failed);
            }),
            "runs_by_job",
        ),
        (
            filter(|filter| filter.pipeline = Some("p-7".to_owned())),
            "runs_by_pipeline",
        ),
        (
            filter(|filter| filter.schedule = Some("s-7".to_owned())),
            "runs_by_schedule",
        ),
        (filter(|filter| filter.phase = Some(RunPhase::Running)), "runs_open"),
        (filter(|filter| filter.open = true), "runs_open"),
        (labelled.clone(), "run_labels"),
        (
            RunFilter {
                outcome: Some(RunOutcome::Failed),
                ..labelled
            },
            "run_labels",
        ),
    ]
}
