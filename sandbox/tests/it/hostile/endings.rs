//! Attacks that end the call, in every export.

use super::{Arena, LONG, Place, SHORT};

#[track_caller]
fn everywhere(what: &str, timeout_ms: u64, code: &str, says: &str) {
    let arena = Arena::new();
    for place in Place::ALL {
        arena.ends(place, place.function(), what, timeout_ms, code, says);
    }
}

#[test]
fn endless_loop() {
    everywhere("loop", SHORT, "wasm_limit", "took longer than 60 ms");
}

#[test]
fn endless_loop_of_calls_to_the_host() {
    everywhere("log-forever", SHORT, "wasm_limit", "took longer than 60 ms");
    everywhere("metric-forever", SHORT, "wasm_limit", "took longer than 60 ms");
}

#[test]
fn trap() {
    everywhere("trap", LONG, "wasm_trap", "unreachable");
}

#[test]
fn panic_with_last_words() {
    everywhere("panic", LONG, "wasm_trap", "the guest is out of ideas");
}

#[test]
fn exit_of_the_process() {
    everywhere("exit", LONG, "wasm_trap", "it called `exit` with failure");
    everywhere("exit-well", LONG, "wasm_trap", "it called `exit` with success");
}

#[test]
fn sleeping_on_the_hosts_time() {
    everywhere("sleep", LONG, "wasm_trap", "");
}

#[test]
fn recursion_without_end() {
    everywhere("recursion", LONG, "wasm_limit", "used up its stack");
    everywhere("recursion-in-memory", LONG, "wasm_trap", "out of bounds memory access");
}

#[test]
fn memory_bomb() {
    everywhere("memory", LONG, "wasm_limit", "more than the 33554432 bytes of memory");
}

#[test]
fn wild_pointers() {
    everywhere("wild-read", LONG, "wasm_trap", "out of bounds memory access");
    everywhere("wild-write", LONG, "wasm_trap", "out of bounds memory access");
}

#[test]
fn a_log_line_larger_than_all_results() {
    everywhere("log-too-huge", LONG, "wasm_limit", "more than 1048576 bytes");
}

#[test]
fn a_trap_in_a_later_batch_names_its_rows() {
    let arena = Arena::new();
    for place in [Place::Scalar, Place::FlatMap, Place::Update] {
        let mut victim = arena
            .open(place, place.function(), "trap-in-second-batch", LONG)
            .unwrap();
        victim.call(place).expect("the first batch");
        let error = victim.call(place).expect_err("the second batch");
        assert_eq!(error.rows(), Some(3..6), "{place:?}: {error}");
        assert!(error.to_string().contains("row 4 is unlucky"), "{error}");
        assert!(victim.is_poisoned());
        drop(victim);
        arena.goes_on();
    }
}
