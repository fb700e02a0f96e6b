//! Attacks that need nothing but to be called.

use std::hint::black_box;
use std::ptr::{read_volatile, write_volatile};

use crate::weir::udf::{log, metrics};

/// Does `what`, if it is known here; returns when the attack leaves the call alive.
#[allow(clippy::disallowed_methods, reason = "that is the attack")]
pub(crate) fn strike(what: &str) {
    match what {
        "loop" => forever(|| {}),
        "trap" => std::process::abort(),
        "panic" => panic!("the guest is out of ideas"),
        "exit" => std::process::exit(3),
        "exit-well" => std::process::exit(0),
        "recursion" => {
            black_box(deeper(1));
        }
        "recursion-in-memory" => {
            black_box(deeper_in_memory(1));
        }
        "memory" => take_all_memory(|block| std::mem::forget(black_box(vec![1u8; block]))),
        "memory-politely" => {
            // A failed allocation is no crime.
            let mut kept: Vec<u8> = Vec::new();
            while kept.try_reserve_exact(kept.capacity() + (1 << 20)).is_ok() {}
        }
        "wild-read" => {
            // SAFETY: none; that is the attack.
            black_box(unsafe { read_volatile(0xffff_fff0 as *const u64) });
        }
        "wild-write" => {
            // SAFETY: none; that is the attack.
            unsafe { write_volatile(0xffff_fff0 as *mut u64, 1) };
        }
        "reach-out" => reach_out(),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3_600)),
        "log-flood" => (0..20_000).for_each(|i| log::log(log::Level::Info, &format!("line {i} of a flood"))),
        "log-forever" => forever(|| log::log(log::Level::Error, "again")),
        "log-huge" => log::log(log::Level::Info, &"x".repeat(768 << 10)),
        "log-too-huge" => log::log(log::Level::Info, &"x".repeat(4 << 20)),
        "log-control" => log::log(log::Level::Info, "before\u{1b}[2J\u{7}\u{0}after\r\nnext"),
        "stdout-flood" => (0..20_000).for_each(|i| println!("line {i} of a flood")),
        "stderr-no-newline" => (0..2_000).for_each(|_| eprint!("{}", "x".repeat(1_000))),
        "metric-flood" => (0..10_000).for_each(|i| metrics::counter(&format!("metric_{i}"), 1)),
        "metric-forever" => forever(|| metrics::gauge("again", 1)),
        "metric-names" => {
            for name in [
                "",
                "new\nline",
                "\u{1b}[31mred",
                "nul\0",
                &"n".repeat(129),
                &"n".repeat(512 << 10),
            ] {
                metrics::counter(name, 1);
            }
        }
        "metric-overflow" => {
            metrics::counter("overflowing", i64::MAX);
            metrics::counter("overflowing", i64::MAX);
            let samples = metrics::Samples {
                count: u64::MAX,
                sum: i64::MIN,
                min: 5,
                max: -5,
            };
            metrics::distribution("overflowing_too", samples);
            metrics::distribution("overflowing_too", samples);
        }
        "metric-kinds" => {
            metrics::counter("chameleon", 1);
            metrics::gauge("chameleon", 2);
        }
        _ => {}
    }
}

/// Panics when anything of the host can be seen.
fn reach_out() {
    for path in ["/etc/passwd", "/", ".", "/proc/self/environ"] {
        assert!(
            std::fs::read(path).is_err() && std::fs::read_dir(path).is_err(),
            "{path} can be read"
        );
    }
    assert!(
        std::fs::write("/tmp/weir-was-here", "x").is_err(),
        "files can be written"
    );
    assert_eq!(std::env::vars().count(), 0, "there is an environment");
    assert_eq!(std::env::args().count(), 0, "there are arguments");
    let mut input = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::stdin(), &mut input);
    assert!(input.is_empty(), "there is an input: {read:?}");
    let now = std::time::Instant::now();
    (0..100_000u32).for_each(|i| {
        black_box(i);
    });
    assert!(now.elapsed().is_zero(), "time can be measured");
    let today = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(today.is_ok_and(|today| today.is_zero()), "the date can be seen");
}

fn forever(mut turn: impl FnMut()) {
    static GO_ON: bool = true;
    // SAFETY: a plain read; volatile, so that the compiler does not know that it never ends.
    while unsafe { read_volatile(&GO_ON) } {
        turn();
    }
}

fn take_all_memory(mut take: impl FnMut(usize)) {
    forever(|| take(1 << 20));
}

/// Recursion that no optimiser turns into a loop and that uses the stack of the engine only.
fn deeper(n: u64) -> u64 {
    static FLOOR: u64 = 0;
    // SAFETY: a plain read; volatile, so that the compiler does not know that there is no floor.
    if unsafe { read_volatile(&FLOOR) } == n {
        return 1;
    }
    (deeper(n.wrapping_add(1)) ^ n).wrapping_mul(n | 1)
}

/// Recursion that uses the guest's own stack, which lies in its linear memory.
#[allow(unconditional_recursion)]
fn deeper_in_memory(n: u64) -> u64 {
    let mut frame = [n; 512];
    let frame = black_box(&mut frame);
    frame[1] = deeper_in_memory(frame[0].wrapping_add(1));
    frame.iter().fold(0, |sum, x| sum ^ x)
}
