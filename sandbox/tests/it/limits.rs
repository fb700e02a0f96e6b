use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::Int64Array;
use weir_sandbox::{Error, Host, Limit, Limits, OpenOptions};

use crate::support::{array, limited, module, text};

/// A budget that counts.
#[derive(Default)]
struct Budget {
    held: AtomicUsize,
    full: AtomicBool,
}

impl Host for Budget {
    fn grow(&self, bytes: usize) -> Result<(), String> {
        if self.full.load(Ordering::Relaxed) {
            return Err("the pool is full".to_owned());
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn shrink(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[test]
fn a_crash_ends_the_instance_and_names_the_rows() {
    let mut divide = module("kinds").open_scalar("divide", &OpenOptions::default()).unwrap();
    let ok = [array(Int64Array::from(vec![4, 6])), array(Int64Array::from(vec![2, 3]))];
    divide.call(&ok).unwrap();
    let bad = [
        array(Int64Array::from(vec![1, 1, 1])),
        array(Int64Array::from(vec![1, 0, 1])),
    ];
    let error = divide.call(&bad).unwrap_err();
    let Error::Trap { function, message, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(function, "divide");
    assert!(message.contains("attempt to divide by zero"), "{message}");
    assert_eq!(error.rows(), Some(2..5));
    assert!(error.is_user());
    // The last words are in the log, too.
    assert!(
        divide
            .drain()
            .logs
            .iter()
            .any(|line| line.message.contains("divide by zero"))
    );
    assert!(divide.is_poisoned());
    assert_eq!(divide.call(&ok).unwrap_err().code(), "wasm_poisoned");
}

#[test]
fn memory_is_charged_and_given_back() {
    let budget = Arc::new(Budget::default());
    let options = OpenOptions {
        host: budget.clone(),
        ..OpenOptions::default()
    };
    let mut shout = module("kinds").open_scalar("shout", &options).unwrap();
    let before = budget.held.load(Ordering::Relaxed);
    assert_eq!(before, shout.memory_bytes());
    let long = "x".repeat(4 << 20);
    shout.call(&[text([long.as_str()])]).unwrap();
    assert!(shout.memory_bytes() > before + (8 << 20));
    assert_eq!(budget.held.load(Ordering::Relaxed), shout.memory_bytes());

    budget.full.store(true, Ordering::Relaxed);
    let longer = "x".repeat(32 << 20);
    let error = shout.call(&[text([longer.as_str()])]).unwrap_err();
    assert!(
        matches!(&error, Error::Limit { limit: Limit::Budget { reason }, .. } if reason == "the pool is full"),
        "{error}"
    );
    assert!(!error.is_user());
    assert_eq!(budget.held.load(Ordering::Relaxed), 0);
}

#[test]
fn memory_has_a_limit() {
    let limits = Limits {
        memory_bytes: 8 << 20,
        ..Limits::default()
    };
    let mut shout = module("kinds").open_scalar("shout", &limited(limits)).unwrap();
    let error = shout.call(&[text(["x".repeat(16 << 20).as_str()])]).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Limit {
                limit: Limit::Memory { bytes: 8388608 },
                ..
            }
        ),
        "{error}"
    );
    assert!(error.is_user());
}

#[test]
fn results_have_a_limit() {
    let limits = Limits {
        output_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut shout = module("kinds").open_scalar("shout", &limited(limits)).unwrap();
    shout.call(&[text(["x".repeat(1_000_000).as_str()])]).unwrap();
    let error = shout.call(&[text(["x".repeat(1 << 20).as_str()])]).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Limit {
                limit: Limit::Output { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn unknown_functions_are_named_with_what_there_is() {
    let module = module("kinds");
    let error = module.open_scalar("ad", &OpenOptions::default()).err().unwrap();
    let message = error.to_string();
    assert!(
        message.starts_with("the module has no scalar function `ad`; it has `add` (scalar), "),
        "{message}"
    );
    assert!(module.open_flat_map("add", &OpenOptions::default()).is_err());
}
