use arrow::array::{
    Array, AsArray, BooleanArray, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringViewArray, StructArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::json::ReaderBuilder;
use weir_sandbox::{FunctionKind, OpenOptions, RowError, Volatility};

use crate::support::{array, module, text};

#[test]
fn a_module_says_what_it_holds() {
    let module = module("kinds");
    let names: Vec<&str> = module
        .functions()
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "add",
            "and_then",
            "shout",
            "trimmed",
            "or_else",
            "parse",
            "answer",
            "divide",
            "spin",
            "toil",
            "configured",
            "same",
            "columns",
            "words",
            "median",
            "weighted_mean"
        ]
    );
    let add = module.function("add").unwrap();
    assert_eq!(add.kind, FunctionKind::Scalar);
    assert_eq!(add.volatility, Volatility::Immutable);
    assert_eq!(add.docs, "Adds two numbers.\n\nWraps around.");
    assert_eq!(add.params[1].name(), "b");
    assert!(!add.params[1].is_nullable());
    assert_eq!(add.result().data_type(), &DataType::Int64);
    assert!(module.function("or_else").unwrap().params[0].is_nullable());
    assert_eq!(module.function("and_then").unwrap().volatility, Volatility::Stable);
    assert_eq!(module.function("answer").unwrap().volatility, Volatility::Volatile);
}

#[test]
fn numbers_with_and_without_nulls() {
    let mut add = module("kinds").open_scalar("add", &OpenOptions::default()).unwrap();
    for rows in [0, 1, 15, 16, 17, 8_192] {
        let a: Int64Array = (0..rows).collect();
        let b: Int64Array = (0..rows).map(|i| i * 1_000).collect();
        let sum = add.call(&[array(a), array(b)]).unwrap();
        assert_eq!(
            sum.column.as_ref(),
            &(0..rows).map(|i| i * 1_001).collect::<Int64Array>() as &dyn Array
        );
        assert!(sum.errors.is_empty());
    }
    let a = Int64Array::from(vec![Some(1), None, Some(3), None]);
    let b = Int64Array::from(vec![Some(10), Some(20), None, None]);
    let sum = add.call(&[array(a), array(b)]).unwrap();
    assert_eq!(
        sum.column.as_ref(),
        &Int64Array::from(vec![Some(11), None, None, None]) as &dyn Array
    );
}

#[test]
fn booleans() {
    let mut both = module("kinds")
        .open_scalar("and_then", &OpenOptions::default())
        .unwrap();
    let a: BooleanArray = (0..100).map(|i| (i % 7 != 0).then_some(i % 2 == 0)).collect();
    let b: BooleanArray = (0..100).map(|i| Some(i % 3 == 0)).collect();
    let expected: BooleanArray = (0..100).map(|i| (i % 7 != 0).then_some(i % 6 == 0)).collect();
    let result = both.call(&[array(a.clone()), array(b.clone())]).unwrap();
    assert_eq!(result.column.as_ref(), &expected as &dyn Array);
    // A slice that does not start at a whole byte.
    let slices = [array(a.slice(3, 50)), array(b.slice(3, 50))];
    assert_eq!(
        both.call(&slices).unwrap().column.as_ref(),
        &expected.slice(3, 50) as &dyn Array
    );
}

#[test]
fn text_owned_and_borrowed() {
    let module = module("kinds");
    let mut shout = module.open_scalar("shout", &OpenOptions::default()).unwrap();
    let input = text([Some("straße"), None, Some("")]);
    let shouted = shout.call(std::slice::from_ref(&input)).unwrap();
    assert_eq!(&shouted.column, &text([Some("STRASSE"), None, Some("")]));
    assert_eq!(
        &shout.call(&[input.slice(1, 2)]).unwrap().column,
        &text([None, Some("")])
    );

    let mut trimmed = module.open_scalar("trimmed", &OpenOptions::default()).unwrap();
    assert_eq!(&trimmed.call(&[text(["  a ", "b"])]).unwrap().column, &text(["a", "b"]));

    let mut or_else = module.open_scalar("or_else", &OpenOptions::default()).unwrap();
    let result = or_else
        .call(&[text([Some("a"), None, None]), text([Some("x"), Some("y"), None])])
        .unwrap();
    assert_eq!(&result.column, &text([Some("a"), Some("yy"), None]));
}

#[test]
fn other_layouts_of_text_are_accepted() {
    let mut shout = module("kinds").open_scalar("shout", &OpenOptions::default()).unwrap();
    let large = LargeStringArray::from(vec!["a", "b"]);
    let view = StringViewArray::from(vec!["a", "b"]);
    for input in [array(large), array(view)] {
        assert_eq!(&shout.call(&[input]).unwrap().column, &text(["A", "B"]));
    }
}

#[test]
fn other_types_are_refused_and_the_instance_goes_on() {
    let mut add = module("kinds").open_scalar("add", &OpenOptions::default()).unwrap();
    let int = || array(Int64Array::from(vec![1]));
    for (columns, expected) in [
        (vec![int()], "1 columns instead of 2"),
        (
            vec![int(), array(Int32Array::from(vec![1]))],
            "column `b` has type Int32 instead of Int64",
        ),
        (
            vec![int(), array(Int64Array::from(vec![1, 2]))],
            "column `b` has 2 rows instead of 1",
        ),
    ] {
        let error = add.call(&columns).unwrap_err();
        assert_eq!(error.code(), "wasm_arguments");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(add.call(&[int(), int()]).unwrap().column.len(), 1);
}

#[test]
fn rows_can_be_refused() {
    let mut parse = module("kinds").open_scalar("parse", &OpenOptions::default()).unwrap();
    let result = parse
        .call(&[text([Some("1"), Some("x"), None, Some(""), Some("5")])])
        .unwrap();
    assert_eq!(
        result.column.as_ref(),
        &Int64Array::from(vec![Some(1), None, None, None, Some(5)]) as &dyn Array
    );
    let message = "invalid digit found in string".to_owned();
    assert_eq!(result.errors, [RowError { row: 1, message }]);
}

#[test]
fn a_function_may_have_no_arguments() {
    let mut answer = module("kinds").open_scalar("answer", &OpenOptions::default()).unwrap();
    let result = answer.call_rows(&[], 3).unwrap();
    assert_eq!(result.column.as_primitive::<Int32Type>().values(), &[42, 42, 42]);
}

#[test]
fn configuration_arrives() {
    let options = OpenOptions {
        config: r#"{"greeting": "hello", "other": [1]}"#.to_owned(),
        ..OpenOptions::default()
    };
    let mut configured = module("kinds").open_scalar("configured", &options).unwrap();
    let result = configured.call(&[text(["greeting", "other", "missing"])]).unwrap();
    assert_eq!(&result.column, &text([Some("hello"), None, None]));
    let options = OpenOptions {
        config: "[".to_owned(),
        ..OpenOptions::default()
    };
    let error = module("kinds").open_scalar("configured", &options).err().unwrap();
    assert_eq!(error.code(), "wasm_open");
    assert!(error.is_user());
}

/// Rows of all types, with values, nulls and empty lists.
pub(crate) fn everything() -> RecordBatch {
    let module = module("kinds");
    let function = module.function("columns").unwrap();
    let rows = r#"
        {"boolean": true, "int8": -8, "int16": -16, "int32": -32, "int64": -64, "uint8": 255, "uint16": 65535,
         "uint32": 4294967295, "uint64": 18446744073709551615, "float32": 1.5, "float64": -2.25, "utf8": "é",
         "binary": "00ff", "date": "2024-02-29", "timestamp": "2024-02-29T12:00:00.000001",
         "instant": "1969-12-31T23:59:59Z", "decimal": "12345678901234567890.0123456789", "list": [1, null, 3],
         "nested lists": [["a", "b"], [], ["c"]], "point": {"x": 1, "y": null}, "points": [{"x": 1, "y": 2}, {"x": 3}],
         "rest_1": 1, "rest_2": 2, "rest_3": 3, "rest_4": 4}
        {"points": [], "rest_1": 5, "rest_2": 6, "rest_3": 7, "rest_4": 8}
        {"boolean": false, "utf8": "", "binary": "", "list": [], "nested lists": [], "point": {"x": 7, "y": 8},
         "points": [{"x": 9, "y": 10}], "rest_1": 9, "rest_2": 10, "rest_3": 11, "rest_4": 12}
    "#;
    let mut reader = ReaderBuilder::new(function.outputs[0].schema.clone())
        .build(rows.as_bytes())
        .unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 3);
    batch
}

#[test]
fn every_type_survives_as_a_struct() {
    let everything = everything();
    let mut same = module("kinds").open_scalar("same", &OpenOptions::default()).unwrap();
    let fields = everything.schema().fields().clone();
    let nulls = Some(vec![true, false, true].into());
    let columns = everything.columns().to_vec();
    let input = StructArray::try_new(fields, columns, nulls).unwrap();
    let output = same.call(&[array(input.clone())]).unwrap().column;
    output.to_data().validate_full().unwrap();
    assert_eq!(output.as_ref(), &input as &dyn Array);
    let output = same.call(&[array(input.slice(1, 2))]).unwrap().column;
    assert_eq!(output.as_ref(), &input.slice(1, 2) as &dyn Array);
}
