//! Attacks that leave the call alive: they must not leave more behind than the limits allow.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use weir_sandbox::Drained;

use super::{Arena, LONG, METRICS, Place, REPEATS, bounded};

/// Repeats an attack during a call, which must give the right result nevertheless. Gives what the first one left.
#[track_caller]
fn survives(what: &str) -> Drained {
    let arena = Arena::new();
    let mut first = None;
    for _ in 0..REPEATS {
        let mut victim = arena.open(Place::Scalar, "add_one", what, LONG).unwrap();
        let columns: Vec<ArrayRef> = victim
            .call(Place::Scalar)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[2, 3, 4]);
        let drained = victim.drain();
        bounded(&drained, what);
        first.get_or_insert(drained);

        // Draining gives nothing of the limits back.
        victim
            .call(Place::Scalar)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let again = victim.drain();
        bounded(&again, what);
        let first = first.as_ref().expect("was set");
        let bytes = |drained: &Drained| drained.logs.iter().map(|line| line.message.len()).sum::<usize>();
        assert!(bytes(first) + bytes(&again) <= super::LOG, "{what}");
        let names = first
            .metrics
            .keys()
            .chain(again.metrics.keys())
            .collect::<std::collections::BTreeSet<_>>();
        assert!(names.len() <= METRICS, "{what}");
    }
    arena.goes_on();
    first.expect("was set")
}

#[test]
fn allocations_that_fail_are_no_crime() {
    survives("memory-politely");
}

#[test]
fn nothing_of_the_host_can_be_seen() {
    survives("reach-out");
}

#[test]
fn floods_of_log_lines_are_cut_and_counted() {
    let drained = survives("log-flood");
    assert_eq!(drained.logs[0].message, "line 0 of a flood");
    assert_eq!(drained.logs.len() as u64 + drained.dropped_log_lines, 20_000);

    let drained = survives("stdout-flood");
    assert_eq!(drained.logs[0].message, "line 0 of a flood");
    assert_eq!(drained.logs.len() as u64 + drained.dropped_log_lines, 20_000);
}

#[test]
fn endless_lines_are_cut() {
    assert_eq!(survives("stderr-no-newline").logs.len(), 1);
    assert_eq!(survives("log-huge").logs.len(), 1);
}

#[test]
fn log_lines_cannot_steer_a_terminal() {
    let drained = survives("log-control");
    let message = &drained.logs[0].message;
    assert!(
        message.starts_with("before") && message.ends_with("next"),
        "{message:?}"
    );
}

#[test]
fn floods_of_metrics_are_cut() {
    let drained = survives("metric-flood");
    assert_eq!(drained.metrics.len(), METRICS);
    assert!(
        drained
            .logs
            .iter()
            .any(|line| line.message.contains("too many metrics")),
        "{:?}",
        drained.logs
    );
}

#[test]
fn metrics_with_impossible_names_are_dropped_and_told() {
    let drained = survives("metric-names");
    assert!(drained.metrics.is_empty(), "{:?}", drained.metrics.keys());
    assert_eq!(drained.logs.len(), 6, "{:?}", drained.logs);
}

#[test]
fn metrics_of_impossible_values_harm_nobody() {
    assert_eq!(survives("metric-overflow").metrics.len(), 2);
    assert_eq!(survives("metric-kinds").metrics.len(), 1);
}
