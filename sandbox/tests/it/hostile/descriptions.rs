//! Components that misdescribe themselves, or that never come to the point.

use weir_sandbox::Error;

use super::{Arena, REPEATS, presentable};
use crate::support::component;

/// The describer, with an order written into its data.
fn ordered(order: &str) -> Vec<u8> {
    const MARK: &[u8] = b"the order of the test is:";
    let mut bytes = component("describer").to_vec();
    let places: Vec<_> = bytes
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .collect();
    let [(place, _)] = places[..] else {
        panic!("the describer has {} marks", places.len())
    };
    let start = place + MARK.len();
    bytes[start..start + order.len()].copy_from_slice(order.as_bytes());
    bytes
}

/// A component of this description is refused, again and again, and others are loaded after it.
#[track_caller]
fn refused(order: &str, code: &str, says: &str) {
    let arena = Arena::new();
    let bytes = ordered(order);
    for _ in 0..REPEATS {
        let error: Error = match arena.sandbox.load(&bytes) {
            Err(error) => error,
            Ok(module) => panic!("{order} went through with {} functions", module.functions().len()),
        };
        assert_eq!(error.code(), code, "{order}: {error}");
        assert!(
            error.to_string().contains(says),
            "{order}: `{error}` does not say `{says}`"
        );
        assert!(error.is_user(), "{order}: {error}");
        assert!(presentable(&error.to_string()), "{order}: {error:?}");
    }
    arena.goes_on();
}

#[test]
fn the_unordered_description_is_fine() {
    let arena = Arena::new();
    let module = arena.sandbox.load(&ordered("")).unwrap();
    assert_eq!(module.functions()[0].name, "same");
    assert!(
        arena
            .sandbox
            .load(&ordered("functions-none"))
            .unwrap()
            .functions()
            .is_empty()
    );
}

#[test]
fn descriptions_that_do_not_end() {
    refused("loop", "wasm_limit", "took longer than");
    refused("memory", "wasm_limit", "bytes of memory");
    refused("trap", "wasm_trap", "unreachable");
}

#[test]
fn descriptions_that_are_too_large() {
    refused("functions-flood", "wasm_invalid_module", "it has 1001 functions");
    refused("docs-too-huge", "wasm_limit", "bytes of results");
    refused("docs-huge", "wasm_invalid_module", "documentation");
    refused("name-huge", "wasm_invalid_module", "no name for a function");
    refused("column-huge", "wasm_invalid_module", "column name of 1048576 bytes");
    refused("fields-flood", "wasm_invalid_module", "a schema of 5000 nodes");
    refused("fields-deep", "wasm_invalid_module", "nested deeper");
}

#[test]
fn names_that_are_none() {
    refused("name-empty", "wasm_invalid_module", "no name for a function");
    refused("name-control", "wasm_invalid_module", "no name for a function");
    refused("name-long", "wasm_invalid_module", "no name for a function");
    refused("name-not-utf8", "wasm_trap", "utf-8");
    refused("functions-twice", "wasm_invalid_module", "two functions `same`");
    refused("column-control", "wasm_invalid_module", "control character");
    refused("column-empty", "wasm_invalid_module", "without a name");
    refused("columns-twice", "wasm_invalid_module", "two columns `y`");
    refused("params-twice", "wasm_invalid_module", "two columns `x`");
    refused("zone-control", "wasm_invalid_module", "time zone");
}

#[test]
fn documentation_cannot_steer_a_terminal() {
    let arena = Arena::new();
    let module = arena.sandbox.load(&ordered("docs-control")).unwrap();
    assert!(
        presentable(&module.functions()[0].docs),
        "{:?}",
        module.functions()[0].docs
    );
}

#[test]
fn types_that_cannot_be() {
    refused(
        "children-missing",
        "wasm_invalid_module",
        "ends before all declared children",
    );
    refused("children-of-a-leaf", "wasm_invalid_module", "no list or struct");
    refused(
        "decimal-impossible",
        "wasm_invalid_module",
        "no decimal type of 200 digits",
    );
    refused("outputs-none", "wasm_invalid_module", "one output of one column");
    refused("outputs-several", "wasm_invalid_module", "one output of one column");
    refused("columns-none", "wasm_invalid_module", "has no columns");
    refused("columns-several", "wasm_invalid_module", "one output of one column");
    refused(
        "aggregate-without-state",
        "wasm_invalid_module",
        "at least one column of state",
    );
    refused(
        "kind-not-exported",
        "wasm_invalid_module",
        "does not export that interface",
    );
}
