use arrow::array::{Array, Float64Array};
use arrow::datatypes::DataType;
use weir_sandbox::{AggregateInstance, Emit, OpenOptions, RowError};

use crate::support::{array, module};

fn open(name: &str) -> AggregateInstance {
    module("kinds").open_aggregate(name, &OpenOptions::default()).unwrap()
}

fn floats<const N: usize>(values: [impl Into<Option<f64>>; N]) -> arrow::array::ArrayRef {
    array(values.into_iter().map(Into::into).collect::<Float64Array>())
}

#[test]
fn groups_are_updated_in_one_call() {
    let mut median = open("median");
    let refused = median
        .update(&[floats([1.0, 10.0, 3.0, 2.0, 20.0])], &[0, 2, 0, 0, 2], 3)
        .unwrap();
    assert!(refused.is_empty());
    median
        .update(&[floats([Some(30.0), None, Some(7.0)])], &[2, 0, 3], 5)
        .unwrap();
    assert_eq!(median.group_count(), 5);
    let results = median.evaluate(Emit::All).unwrap();
    assert_eq!(&results, &floats([Some(2.0), None, Some(20.0), Some(7.0), None]));
    assert_eq!(median.group_count(), 0);
    // And again from the start.
    median.update(&[floats([5.0])], &[0], 1).unwrap();
    assert_eq!(&median.evaluate(Emit::All).unwrap(), &floats([5.0]));
}

#[test]
fn the_first_groups_can_be_taken_out() {
    let mut median = open("median");
    median.update(&[floats([1.0, 2.0, 3.0])], &[0, 1, 2], 3).unwrap();
    assert_eq!(&median.evaluate(Emit::First(2)).unwrap(), &floats([1.0, 2.0]));
    assert_eq!(median.group_count(), 1);
    median.update(&[floats([9.0])], &[1], 2).unwrap();
    assert_eq!(&median.evaluate(Emit::All).unwrap(), &floats([3.0, 9.0]));
    assert_eq!(median.evaluate(Emit::First(1)).unwrap_err().code(), "wasm_arguments");
}

#[test]
fn partial_results_travel() {
    let values: Vec<f64> = (0..1_000).map(|i| f64::from(i * 7 % 1_000)).collect();
    let groups: Vec<u32> = (0..1_000).map(|i| i % 10).collect();
    let mut whole = open("weighted_mean");
    let weights = floats([Some(2.0), None]);
    let weight = |n: usize| {
        arrow::compute::take(
            &weights,
            &arrow::array::UInt32Array::from_iter_values((0..n as u32).map(|i| i % 2)),
            None,
        )
        .unwrap()
    };
    whole
        .update(&[array(Float64Array::from(values.clone())), weight(1_000)], &groups, 10)
        .unwrap();

    let mut merged = open("weighted_mean");
    assert!(matches!(merged.function().state[0].data_type(), DataType::Struct(_)));
    for part in 0..4 {
        let rows = part * 250..(part + 1) * 250;
        let mut partial = open("weighted_mean");
        let columns = [
            array(Float64Array::from(values[rows.clone()].to_vec())),
            weight(1_000).slice(rows.start, 250),
        ];
        partial.update(&columns, &groups[rows], 10).unwrap();
        let states = partial.state(Emit::All).unwrap();
        assert_eq!(states[0].len(), 10);
        merged.merge(&states, &(0..10).collect::<Vec<_>>(), 10).unwrap();
    }
    assert_eq!(
        &merged.evaluate(Emit::All).unwrap(),
        &whole.evaluate(Emit::All).unwrap()
    );
}

#[test]
fn rows_can_be_refused() {
    let mut median = open("median");
    let refused = median.update(&[floats([1.0, f64::NAN])], &[0, 0], 1).unwrap();
    let message = "not a number".to_owned();
    assert_eq!(refused, [RowError { row: 1, message }]);
    assert_eq!(&median.evaluate(Emit::All).unwrap(), &floats([1.0]));
}

#[test]
fn groups_must_fit() {
    let mut median = open("median");
    let error = median.update(&[floats([1.0])], &[1], 1).unwrap_err();
    assert!(error.to_string().contains("group 1 of 1"), "{error}");
    let error = median.update(&[floats([1.0])], &[0, 0], 1).unwrap_err();
    assert!(error.to_string().contains("1 rows instead of 2"), "{error}");
    median.update(&[floats([1.0])], &[0], 3).unwrap();
    let error = median.update(&[floats([1.0])], &[0], 2).unwrap_err();
    assert!(error.to_string().contains("2 groups after 3"), "{error}");
}
