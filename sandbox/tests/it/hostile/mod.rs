//! Guests that attack their host. Whatever they do, the call ends in bounded time with an error that names the function
//! and the rows, it is the user's fault, and the same sandbox goes on to serve a well-behaved guest.
//!
//! Every attack is repeated in a sandbox that has room for two instances, so that one that leaks its place is found.

mod bare;
mod descriptions;
mod endings;
mod results;
mod survivals;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use weir_sandbox::{
    CacheOptions, Drained, Emit, Error, Host, Limit, Limits, Module, OpenOptions, Sandbox, SandboxOptions,
};

use crate::support::component;

/// Instances that fit into the sandbox of a test.
const POOL: u32 = 2;
/// How often an attack is repeated: more than twice the pool.
const REPEATS: u32 = 2 * POOL + 1;

const MEMORY: usize = 32 << 20;
const OUTPUT: usize = 1 << 20;
const LOG: usize = 16 << 10;
const METRICS: usize = 16;
/// For attacks that only end by the clock; others get long enough for the slowest machine.
const SHORT: u64 = 60;
const LONG: u64 = 60_000;
/// For components that describe themselves, well-behaved ones included.
const LOAD: u64 = 2_000;

/// A sandbox with little room. What is compiled once is kept for all tests.
fn sandbox() -> Sandbox {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile-cache");
    let options = SandboxOptions {
        max_instances: POOL,
        max_memory_bytes: 256 << 20,
        load_timeout_ms: LOAD,
        cache: Some(CacheOptions {
            key_file: dir.join("key"),
            dir,
            max_bytes: 1 << 30,
        }),
        ..SandboxOptions::default()
    };
    Sandbox::new(options).expect("a sandbox")
}

/// Counts what instances hold.
#[derive(Default)]
struct Meter(AtomicUsize);

impl Host for Meter {
    fn grow(&self, bytes: usize) -> Result<(), String> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn shrink(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Where an attack happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Open,
    Scalar,
    FlatMap,
    Update,
    Merge,
    State,
    Evaluate,
}

impl Place {
    const ALL: [Self; 7] = [
        Self::Open,
        Self::Scalar,
        Self::FlatMap,
        Self::Update,
        Self::Merge,
        Self::State,
        Self::Evaluate,
    ];

    /// As the hostile guest knows it.
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Scalar => "scalar",
            Self::FlatMap => "flat-map",
            Self::Update => "update",
            Self::Merge => "merge",
            Self::State => "state",
            Self::Evaluate => "evaluate",
        }
    }

    fn function(self) -> &'static str {
        match self {
            Self::Open | Self::Scalar => "add_one",
            Self::FlatMap => "double",
            Self::Update | Self::Merge | Self::State | Self::Evaluate => "sum",
        }
    }

    /// The rows that an error of the first call here is about: those that it was given, counted from those before.
    fn rows(self) -> Range<u64> {
        match self {
            Self::Open => 0..0,
            Self::Scalar | Self::FlatMap | Self::Update | Self::Merge => 0..3,
            Self::State | Self::Evaluate => 3..3,
        }
    }
}

/// An instance of the hostile guest's function.
enum Victim {
    Scalar(weir_sandbox::ScalarInstance),
    FlatMap(weir_sandbox::FlatMapInstance),
    Aggregate(weir_sandbox::AggregateInstance),
}

impl Victim {
    /// Calls what `place` stands for, with three rows where it takes rows.
    fn call(&mut self, place: Place) -> Result<Vec<ArrayRef>, Error> {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        match self {
            Self::Scalar(scalar) => scalar.call(&[column]).map(|evaluated| vec![evaluated.column]),
            Self::FlatMap(flat_map) => flat_map.call(&[column], 3).map(|mapped| {
                mapped
                    .emitted
                    .into_iter()
                    .flat_map(|emitted| emitted.rows.columns().to_vec())
                    .collect()
            }),
            Self::Aggregate(aggregate) => {
                let groups = [0, 1, 0];
                match place {
                    Place::Merge => return aggregate.merge(&[column], &groups, 2).map(|()| Vec::new()),
                    _ => aggregate.update(&[column], &groups, 2)?,
                };
                match place {
                    Place::State => aggregate.state(Emit::All),
                    Place::Evaluate => aggregate.evaluate(Emit::All).map(|column| vec![column]),
                    _ => Ok(Vec::new()),
                }
            }
        }
    }

    fn drain(&mut self) -> Drained {
        match self {
            Self::Scalar(scalar) => scalar.drain(),
            Self::FlatMap(flat_map) => flat_map.drain(),
            Self::Aggregate(aggregate) => aggregate.drain(),
        }
    }

    fn is_poisoned(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_poisoned(),
            Self::FlatMap(flat_map) => flat_map.is_poisoned(),
            Self::Aggregate(aggregate) => aggregate.is_poisoned(),
        }
    }
}

/// A sandbox, and the hostile guest in it.
struct Arena {
    sandbox: Sandbox,
    module: Module,
    meter: Arc<Meter>,
}

impl Arena {
    fn new() -> Self {
        let sandbox = sandbox();
        let module = sandbox
            .load(&component("hostile"))
            .expect("the hostile guest hides its intentions");
        Self {
            sandbox,
            module,
            meter: Arc::default(),
        }
    }

    fn options(&self, attack: &str, timeout_ms: u64) -> OpenOptions {
        OpenOptions {
            config: format!("{{\"attack\": \"{attack}\"}}"),
            limits: Limits {
                memory_bytes: MEMORY,
                call_timeout_ms: timeout_ms,
                output_bytes: OUTPUT,
                log_bytes: LOG,
                metrics: METRICS,
                ..Limits::default()
            },
            host: self.meter.clone(),
        }
    }

    /// Opens the function of `place`, or another scalar, for the attack `what` there.
    fn open(&self, place: Place, function: &str, what: &str, timeout_ms: u64) -> Result<Victim, Error> {
        let options = self.options(&format!("{}:{what}", place.name()), timeout_ms);
        match place {
            Place::Open | Place::Scalar => self.module.open_scalar(function, &options).map(Victim::Scalar),
            Place::FlatMap => self.module.open_flat_map(function, &options).map(Victim::FlatMap),
            _ => self.module.open_aggregate(function, &options).map(Victim::Aggregate),
        }
    }

    /// Makes an attack that must end in an error. The clock of short limits also runs while a function opens and in the
    /// calls before the attacked one: where a busy machine was too slow for those, they are tried again.
    #[track_caller]
    fn attempt(&self, place: Place, function: &str, what: &str, timeout_ms: u64) -> (Error, Option<Victim>) {
        for _ in 0..100 {
            let (error, victim) = match self.open(place, function, what, timeout_ms) {
                Err(error) => (error, None),
                Ok(mut victim) => match victim.call(place) {
                    Err(error) => (error, Some(victim)),
                    Ok(_) => panic!("{what} in {} of {function} went through", place.name()),
                },
            };
            let by_the_clock = matches!(
                &error,
                Error::Limit {
                    limit: Limit::Time { .. },
                    ..
                }
            );
            let too_early = error.rows() != Some(place.rows()) || (victim.is_none() && place != Place::Open);
            if !(by_the_clock && too_early) {
                return (error, victim);
            }
        }
        panic!("this machine is too slow to open {function} in {timeout_ms} ms");
    }

    /// Repeats an attack that must end the call with an error of this code, in whose message `says` occurs.
    #[track_caller]
    fn ends(&self, place: Place, function: &str, what: &str, timeout_ms: u64, code: &str, says: &str) {
        for _ in 0..REPEATS {
            let context = format!("{what} in {} of {function}", place.name());
            let (error, victim) = self.attempt(place, function, what, timeout_ms);
            assert_eq!(error.code(), code, "{context}: {error}");
            assert!(
                error.to_string().contains(says),
                "{context}: `{error}` does not say `{says}`"
            );
            assert!(error.is_user(), "{context}: {error} is not blamed on the user");
            assert_eq!(error.function(), Some(function), "{context}");
            if place != Place::Open {
                assert_eq!(error.rows(), Some(place.rows()), "{context}");
            }
            assert!(presentable(&error.to_string()), "{context}: {error:?}");
            if let Some(mut victim) = victim {
                assert!(victim.is_poisoned(), "{context} left an instance that can be called");
                bounded(&victim.drain(), &context);
                let again = victim.call(place).expect_err("a second call");
                assert_eq!(again.code(), "wasm_poisoned", "{context}: {again}");
            }
        }
        self.goes_on();
    }

    /// The same sandbox serves well-behaved calls, as many at once as it has room for, and nothing is held after them.
    #[track_caller]
    fn goes_on(&self) {
        let mut instances: Vec<_> = (0..POOL)
            .map(|_| {
                self.module
                    .open_scalar("add_one", &self.options("", LONG))
                    .expect("room for a good guest")
            })
            .collect();
        for instance in &mut instances {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
            let sums = instance.call(&[column]).expect("a good guest").column;
            assert_eq!(sums.as_primitive::<Int64Type>().values(), &[2, 3, 4]);
        }
        drop(instances);
        assert_eq!(self.meter.0.load(Ordering::Relaxed), 0, "memory is still charged");
    }
}

/// Whether text can be shown to people as it is: not endless, and without characters that a terminal obeys.
fn presentable(text: &str) -> bool {
    text.len() <= 8 << 10 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

/// What an instance left behind is no more than its limits allow, and can be shown.
#[track_caller]
fn bounded(drained: &Drained, context: &str) {
    let bytes: usize = drained.logs.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= LOG, "{context} logged {bytes} bytes");
    assert!(
        drained.metrics.len() <= METRICS,
        "{context} made {} metrics",
        drained.metrics.len()
    );
    for line in &drained.logs {
        assert!(presentable(&line.message), "{context} logged {:?}", line.message);
    }
    for name in drained.metrics.keys() {
        assert!(
            presentable(name) && !name.contains(['\n', '\t']),
            "{context} made a metric {name:?}"
        );
        assert!(
            (1..=128).contains(&name.len()),
            "{context} made a metric of {} bytes",
            name.len()
        );
    }
}
