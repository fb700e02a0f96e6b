//! Results that are not what they say they are. None of them becomes an array.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::{Arena, LONG, Place};

/// Forgeries of a column of 64-bit integers, and what the error says.
const FORGED_INTEGERS: &[(&str, &str)] = &[
    ("rows-lie", "4"),
    ("rows-max", "4294967295"),
    ("node-length-lies", "2 values instead of 3"),
    ("node-missing", "node is missing"),
    ("node-extra", "1 nodes and 0 buffers too many"),
    ("nodes-flood", "99999 nodes and 0 buffers too many"),
    ("buffer-missing", "value buffer is missing"),
    ("buffers-missing", "validity buffer is missing"),
    ("buffer-extra", "0 nodes and 1 buffers too many"),
    ("buffers-flood", "value buffer has 0 bytes"),
    ("values-short", "bytes instead of"),
    ("values-empty", "has 0 bytes instead of"),
    ("null-count-lies", "validity buffer has 0 bytes"),
    ("null-count-beyond", "nulls and its node says"),
    ("null-count-wrong", "has 0 nulls and its node says 1"),
    ("null-count-max", "validity buffer has 0 bytes"),
    ("validity-short", "validity buffer has 0 bytes"),
    ("wrong-type", "buffer"),
    ("narrower-type", "bytes instead of"),
];

#[test]
fn forged_integers() {
    let arena = Arena::new();
    for (what, says) in FORGED_INTEGERS {
        arena.ends(Place::Scalar, "add_one", what, LONG, "wasm_invalid_result", says);
    }
}

#[test]
fn wrong_row_counts() {
    let arena = Arena::new();
    for (place, function) in [
        (Place::Scalar, "add_one"),
        (Place::State, "sum"),
        (Place::Evaluate, "sum"),
    ] {
        arena.ends(place, function, "fewer-rows", LONG, "wasm_invalid_result", "instead of");
        arena.ends(place, function, "more-rows", LONG, "wasm_invalid_result", "instead of");
    }
}

#[test]
fn forged_outputs_of_flat_maps() {
    let arena = Arena::new();
    let forged = [
        ("rows-lie", "output `main`: column `y`: 6 values instead of 7"),
        ("node-missing", "output `main`: column `y`: its node is missing"),
        (
            "buffer-missing",
            "output `main`: column `y`: its value buffer is missing",
        ),
        (
            "values-short",
            "output `main`: column `y`: its value buffer has 47 bytes instead of 48",
        ),
        ("output-unknown", "rows for output 2 of 2"),
        ("output-max", "rows for output 4294967295 of 2"),
        ("outputs-swapped", "output `texts`"),
    ];
    for (what, says) in forged {
        arena.ends(Place::FlatMap, "double", what, LONG, "wasm_invalid_result", says);
    }
}

#[test]
fn forged_groups_of_aggregates() {
    let arena = Arena::new();
    for place in [Place::State, Place::Evaluate] {
        for what in [
            "rows-lie",
            "node-missing",
            "buffer-missing",
            "values-short",
            "null-count-lies",
            "wrong-type",
        ] {
            arena.ends(place, "sum", what, LONG, "wasm_invalid_result", "");
        }
    }
}

#[test]
fn forged_text() {
    let arena = Arena::new();
    let forged = [
        ("offsets-short", "offset buffer has 15 bytes instead of 16"),
        ("offsets-fall", "offsets fall"),
        ("offsets-negative", "offsets fall"),
        ("offsets-not-from-zero", "start at 1"),
        ("offsets-min", "start at -2147483648"),
        ("offsets-beyond", "bytes instead of 2147483647"),
        ("not-utf8", "UTF-8"),
        ("half-a-character", "UTF-8"),
        ("values-short", "data buffer has 2 bytes instead of 3"),
        ("wrong-type", "buffer is missing"),
    ];
    for (what, says) in forged {
        arena.ends(Place::Scalar, "to_text", what, LONG, "wasm_invalid_result", says);
    }
}

#[test]
fn forged_nested_and_narrow_types() {
    let arena = Arena::new();
    let forged = [
        ("to_bool", "values-empty", "0 bytes instead of 1"),
        ("to_decimal", "too-many-digits", "too large"),
        ("to_decimal", "narrower-type", "24 bytes instead of 48"),
        ("to_list", "child-short", "items: 2 values instead of 3"),
        ("to_list", "child-nulls-lie", "items: its validity buffer"),
        ("to_list", "offsets-beyond", "items: 3 values instead of 2147483647"),
        ("to_list", "offsets-fall", "offsets fall"),
        ("to_struct", "child-short", "field `a`: 2 values instead of 3"),
        ("to_struct", "child-nulls-lie", "field `a`: its validity buffer"),
        ("to_struct", "node-extra", "1 nodes"),
    ];
    for (function, what, says) in forged {
        arena.ends(Place::Scalar, function, what, LONG, "wasm_invalid_result", says);
    }
}

#[test]
fn refused_rows_that_do_not_exist() {
    let arena = Arena::new();
    for place in [Place::Scalar, Place::FlatMap, Place::Update] {
        for (what, says) in [
            ("errors-out-of-range", "refuses row 3 of 3"),
            ("errors-max", "refuses row 4294967295 of 3"),
            ("errors-unordered", "ascending"),
            ("errors-twice", "ascending"),
        ] {
            arena.ends(place, place.function(), what, LONG, "wasm_invalid_result", says);
        }
    }
}

#[test]
fn floods_of_output() {
    let arena = Arena::new();
    for place in [Place::Scalar, Place::FlatMap, Place::State, Place::Evaluate] {
        arena.ends(
            place,
            place.function(),
            "values-flood",
            LONG,
            "wasm_limit",
            "more than 1048576 bytes of results",
        );
    }
    arena.ends(
        Place::FlatMap,
        "double",
        "outputs-flood",
        LONG,
        "wasm_limit",
        "more than 1048576 bytes of results",
    );
    for place in [Place::Scalar, Place::FlatMap, Place::Update] {
        arena.ends(
            place,
            place.function(),
            "errors-flood",
            LONG,
            "wasm_limit",
            "more than 1048576 bytes of results",
        );
    }
    for place in Place::ALL.into_iter().filter(|place| *place != Place::Open) {
        arena.ends(
            place,
            place.function(),
            "refuse-too-huge",
            LONG,
            "wasm_limit",
            "more than 1048576 bytes",
        );
    }
}

#[test]
fn text_that_is_none_where_the_contract_says_text() {
    let arena = Arena::new();
    for place in Place::ALL.into_iter().filter(|place| *place != Place::Open) {
        arena.ends(place, place.function(), "refuse-not-utf8", LONG, "wasm_trap", "utf-8");
    }
}

/// A refusal is the guest's right, so the instance lives on; its words are shown to people.
#[test]
fn refusals_are_bounded_and_name_rows_that_exist() {
    let arena = Arena::new();
    for place in Place::ALL.into_iter().filter(|place| *place != Place::Open) {
        for what in ["refuse", "refuse-row-beyond", "refuse-control", "refuse-huge"] {
            let mut victim = arena.open(place, place.function(), what, LONG).unwrap();
            let error = victim.call(place).expect_err(what);
            let context = format!("{what} in {place:?}");
            assert_eq!(error.code(), "wasm_error", "{context}: {error}");
            assert!(error.is_user() && !victim.is_poisoned(), "{context}");
            assert!(
                super::presentable(&error.to_string()),
                "{context}: {} bytes",
                error.to_string().len()
            );
            let takes_rows = !place.rows().is_empty();
            let row = if what == "refuse" && takes_rows {
                1..2
            } else {
                place.rows()
            };
            assert_eq!(error.rows(), Some(row), "{context}");
        }
    }
    for what in ["refuse", "refuse-control", "refuse-huge"] {
        arena.ends(Place::Open, "add_one", what, LONG, "wasm_open", "add_one");
    }
    arena.goes_on();
}

#[test]
fn bytes_behind_the_values_are_ignored() {
    let arena = Arena::new();
    for what in ["values-longer", "validity-unused"] {
        let mut victim = arena.open(Place::Scalar, "add_one", what, LONG).unwrap();
        let columns = victim.call(Place::Scalar).unwrap();
        assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[2, 3, 4], "{what}");
        assert_eq!(columns[0].null_count(), 0, "{what}");
    }
    arena.goes_on();
}
