use arrow::array::{Array, Int64Array, RecordBatch};
use weir_model::MetricValue;
use weir_sandbox::{Mapped, OpenOptions, RowError};

use crate::scalar::everything;
use crate::support::{array, module, text};

fn output(mapped: &Mapped, output: usize) -> Vec<&RecordBatch> {
    mapped
        .emitted
        .iter()
        .filter(|emitted| emitted.output == output)
        .map(|emitted| &emitted.rows)
        .collect()
}

#[test]
fn rows_go_to_named_outputs() {
    let module = module("kinds");
    let function = module.function("words").unwrap();
    let outputs: Vec<&str> = function.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["main", "empty"]);
    let mut words = module.open_flat_map("words", &OpenOptions::default()).unwrap();
    let lines = array(Int64Array::from(vec![Some(1), Some(2), Some(3), None, Some(5)]));
    let texts = text([Some("Hello  World"), Some(" "), None, Some("x"), Some("again")]);
    let mapped = words.call(&[lines, texts], 5).unwrap();
    assert!(mapped.errors.is_empty());
    let [main] = output(&mapped, 0)[..] else {
        panic!("one batch")
    };
    assert_eq!(main.column(0), &text(["hello", "world", "again"]));
    assert_eq!(main.column(1).as_ref(), &Int64Array::from(vec![1, 1, 5]) as &dyn Array);
    let [empty] = output(&mapped, 1)[..] else {
        panic!("one batch")
    };
    assert_eq!(empty.column(0).as_ref(), &Int64Array::from(vec![2]) as &dyn Array);

    let drained = words.drain();
    assert_eq!(drained.metrics["words"], MetricValue::Counter { value: 3 });
    let distribution = MetricValue::Distribution {
        count: 3,
        sum: 3,
        min: 0,
        max: 2,
    };
    assert_eq!(drained.metrics["words_per_line"], distribution);
    assert_eq!(drained.metrics["line"], MetricValue::Gauge { value: 5 });
    assert_eq!(drained.logs[0].message, "line 2 is empty");
    assert_eq!(drained.logs[0].source, "words");
    assert!(words.drain().metrics.is_empty());
}

#[test]
fn rows_of_a_refused_row_are_taken_back() {
    let mut words = module("kinds").open_flat_map("words", &OpenOptions::default()).unwrap();
    let lines = array(Int64Array::from(vec![1, 2, 3]));
    let mapped = words.call(&[lines, text(["a b", "c STOP d", "e"])], 3).unwrap();
    let message = "line 2 says stop".to_owned();
    assert_eq!(mapped.errors, [RowError { row: 1, message }]);
    assert_eq!(output(&mapped, 0)[0].column(0), &text(["a", "b", "e"]));
}

#[test]
fn nothing_in_nothing_out() {
    let mut words = module("kinds").open_flat_map("words", &OpenOptions::default()).unwrap();
    let lines = array(Int64Array::from(Vec::<i64>::new()));
    let mapped = words.call(&[lines, text::<0>([] as [Option<&str>; 0])], 0).unwrap();
    assert!(mapped.emitted.is_empty());
}

#[test]
fn every_type_survives_as_a_column() {
    // The function takes one struct and emits its fields.
    let everything = everything();
    let mut columns = module("kinds")
        .open_flat_map("columns", &OpenOptions::default())
        .unwrap();
    for (offset, length) in [(0, 3), (1, 2), (2, 1)] {
        let rows = everything.slice(offset, length);
        let input = arrow::array::StructArray::from(rows.clone());
        let mapped = columns.call(&[array(input)], length).unwrap();
        assert_eq!(output(&mapped, 0), [&rows]);
    }
}
