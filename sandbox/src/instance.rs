//! One component instance that serves one function: its limits, its calls, and its end.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{AsContextMut, ResourceLimiter, Store, StoreContextMut, Trap, UpdateDeadline};

use crate::guest_log::{Drained, GuestLog};
use crate::wasi::Random;
use crate::words::presentable;
use crate::{Error, Host, Limit, Limits, OpenOptions};

/// What the store of an instance holds.
pub(crate) struct State {
    pub(crate) log: GuestLog,
    pub(crate) random: Random,
    limits: Limits,
    host: Arc<dyn Host>,
    /// Bytes of linear memory, all of them charged to `host`.
    memory: usize,
    table_elements: usize,
    /// The limit that the guest met last. A guest may go on after an allocation that failed; when it ends instead, this
    /// is why.
    denied: Option<Limit>,
    /// When the running call must be over.
    deadline: Instant,
    /// Why the running call was interrupted.
    stopped: Option<Stop>,
}

#[derive(Clone, Copy)]
enum Stop {
    Timeout,
    Cancelled,
}

impl Drop for State {
    fn drop(&mut self) {
        if self.memory > 0 {
            self.host.shrink(self.memory);
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current);
        // A component may have several memories; the limit is on all of them together.
        let total = self.memory.saturating_add(bytes);
        if total > self.limits.memory_bytes {
            self.denied = Some(Limit::Memory {
                bytes: self.limits.memory_bytes,
            });
            return Ok(false);
        }
        if let Err(reason) = self.host.grow(bytes) {
            self.denied = Some(Limit::Budget { reason });
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements {
            self.denied = Some(Limit::Tables {
                elements: self.limits.table_elements,
            });
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }
}

/// An instance before it is known what it is for.
pub(crate) struct Instance {
    /// Gone after a failure.
    live: Option<Live>,
    function: Arc<str>,
    limits: Limits,
    stack_bytes: usize,
    /// Rows of all calls so far.
    rows: u64,
    busy: Duration,
    /// What was not drained when the instance went.
    leftover: Drained,
}

struct Live {
    store: Store<State>,
    instance: wasmtime::component::Instance,
}

impl Instance {
    /// Instantiates a component.
    ///
    /// # Errors
    /// When there is no room, or the component's start-up traps or goes over a limit.
    pub(crate) fn new(
        pre: &InstancePre<State>,
        function: &str,
        options: &OpenOptions,
        stack_bytes: usize,
    ) -> Result<Self, Error> {
        let limits = &options.limits;
        let state = State {
            log: GuestLog::new(function, limits.log_bytes, limits.metrics),
            random: Random::default(),
            limits: limits.clone(),
            host: options.host.clone(),
            memory: 0,
            table_elements: 0,
            denied: None,
            deadline: Instant::now(),
            stopped: None,
        };
        let mut store = Store::new(pre.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.output_bytes);
        store.epoch_deadline_callback(look_at_the_clock);
        start_clock(&mut store, limits);
        let mut this = Self {
            live: None,
            function: function.into(),
            limits: limits.clone(),
            stack_bytes,
            rows: 0,
            busy: Duration::ZERO,
            leftover: Drained::default(),
        };
        match pre.instantiate(&mut store) {
            Ok(instance) => {
                this.live = Some(Live { store, instance });
                Ok(this)
            }
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Err(Error::OutOfInstances),
            Err(error) => Err(this.explain(error, store.data_mut(), 0..0)),
        }
    }

    /// The export that `index` names. The signature must have been checked with [`check`](Self::check) in some instance
    /// of the same component.
    pub(crate) fn func<P, R>(&mut self, index: &ComponentExportIndex) -> Result<Callable<P, R>, Error> {
        let live = self.live.as_mut().ok_or_else(|| Error::Poisoned {
            function: self.function.to_string(),
        })?;
        let func = live.instance.get_func(&mut live.store, index).ok_or(Error::Engine {
            doing: "looking up an export",
            source: "the export is not a function".into(),
        })?;
        Ok(Callable {
            func,
            signature: std::marker::PhantomData,
        })
    }

    /// Checks that an export has the signature that the contract says.
    pub(crate) fn check<P, R>(&mut self, index: &ComponentExportIndex) -> Result<(), String>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let callable = self.func::<P, R>(index).map_err(|error| error.to_string())?;
        let live = self.live.as_ref().ok_or("the instance is gone")?;
        callable
            .func
            .typed::<P, R>(&live.store)
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    }

    /// Calls an export with the arguments of a batch of `rows` rows.
    ///
    /// # Errors
    /// A trap or a limit; the instance is gone then.
    pub(crate) fn call<P, R, S>(&mut self, rows: usize, callable: &Callable<S, R>, params: P) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
        S: SameSignature<P>,
    {
        let range = self.rows..self.rows.saturating_add(rows as u64);
        let Some(mut live) = self.live.take() else {
            return Err(Error::Poisoned {
                function: self.function.to_string(),
            });
        };
        // SAFETY: `check` has compared this export of this component with the types `S` and `R` when the module was
        // loaded, and `P` is `S` with another lifetime, which is no part of a component type.
        let func = unsafe { TypedFunc::<P, R>::new_unchecked(callable.func) };
        start_clock(&mut live.store, &self.limits);
        let start = Instant::now();
        let result = func.call(live.store.as_context_mut(), params);
        self.busy += start.elapsed();
        match result {
            Ok(result) => {
                self.rows = range.end;
                self.live = Some(live);
                Ok(result)
            }
            Err(error) => {
                let error = self.explain(error, live.store.data_mut(), range);
                self.leftover = live.store.data_mut().log.drain();
                Err(error)
            }
        }
    }

    /// Ends the instance because of what it returned.
    pub(crate) fn poison(&mut self, message: String, rows: usize) -> Error {
        self.leftover = self.drain();
        self.live = None;
        Error::InvalidResult {
            function: self.function.to_string(),
            rows: self.last_rows(rows),
            message,
        }
    }

    /// What the guest says of a batch that it refused. The instance goes on.
    pub(crate) fn refused(&self, error: crate::abi::GuestError, rows: usize) -> Error {
        let range = self.last_rows(rows);
        Error::Guest {
            function: self.function.to_string(),
            row: error
                .row
                .filter(|row| (*row as usize) < rows)
                .map(|row| range.start + u64::from(row)),
            rows: range,
            message: presentable(&error.message).into_owned(),
        }
    }

    fn last_rows(&self, rows: usize) -> Range<u64> {
        self.rows.saturating_sub(rows as u64)..self.rows
    }

    pub(crate) fn arguments(&self, message: String) -> Error {
        Error::Arguments {
            function: self.function.to_string(),
            message,
        }
    }

    pub(crate) fn drain(&mut self) -> Drained {
        match &mut self.live {
            Some(live) => live.store.data_mut().log.drain(),
            None => std::mem::take(&mut self.leftover),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.store.data().memory)
    }

    pub(crate) fn busy(&self) -> Duration {
        self.busy
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.live.is_none()
    }

    /// Says what an error of wasmtime was.
    fn explain(&self, error: wasmtime::Error, state: &mut State, rows: Range<u64>) -> Error {
        let function = self.function.to_string();
        if matches!(state.stopped, Some(Stop::Cancelled)) {
            return Error::Cancelled { function };
        }
        let trap = error.downcast_ref::<Trap>().copied();
        let limit = match trap {
            _ if state.stopped.is_some() => Some(Limit::Time {
                ms: self.limits.call_timeout_ms,
            }),
            Some(Trap::Interrupt) => Some(Limit::Time {
                ms: self.limits.call_timeout_ms,
            }),
            Some(Trap::StackOverflow) => Some(Limit::Stack {
                bytes: self.stack_bytes,
            }),
            // wasmtime keeps the type of this error to itself.
            _ if format!("{error:?}").contains("fuel allocated for hostcalls") => Some(Limit::Output {
                bytes: self.limits.output_bytes,
            }),
            _ => state.denied.take(),
        };
        if let Some(limit) = limit {
            return Error::Limit { function, rows, limit };
        }
        let what = match trap {
            Some(trap) => trap.to_string(),
            None => presentable(&error.root_cause().to_string()).into_owned(),
        };
        let last_words = state.log.last_words();
        let message = if last_words.is_empty() {
            what
        } else {
            format!("{last_words} ({what})")
        };
        Error::Trap {
            function,
            rows,
            message,
        }
    }
}

/// An export with the types that it was checked for; the parameters have the lifetime `'static` there.
pub(crate) struct Callable<S, R> {
    func: Func,
    signature: std::marker::PhantomData<fn(S) -> R>,
}

/// `P` is `Self`, up to lifetimes.
///
/// # Safety
/// Both must be the same component type.
pub(crate) unsafe trait SameSignature<P> {}

/// Declares a list of parameters that may borrow.
macro_rules! signature {
    ($(($($static:ty),*) is <$lifetime:lifetime> ($($borrowed:ty),*);)*) => {$(
        // SAFETY: the tokens differ in lifetimes only.
        unsafe impl<$lifetime> SameSignature<($($borrowed,)*)> for ($($static,)*) {}
    )*};
}

signature! {
    () is <'a> ();
    (&'static str, &'static [crate::abi::Field], &'static str) is <'a> (&'a str, &'a [crate::abi::Field], &'a str);
    (crate::abi::BatchIn<'static>) is <'a> (crate::abi::BatchIn<'a>);
    (crate::abi::BatchIn<'static>, &'static [u32], u32) is <'a> (crate::abi::BatchIn<'a>, &'a [u32], u32);
    (Option<u32>) is <'a> (Option<u32>);
}

fn start_clock(store: &mut Store<State>, limits: &Limits) {
    let state = store.data_mut();
    let now = Instant::now();
    state.deadline = now
        .checked_add(Duration::from_millis(limits.call_timeout_ms))
        .unwrap_or(now + FOREVER);
    state.denied = None;
    state.stopped = None;
    state.log.start_call();
    store.set_epoch_deadline(1);
}

const FOREVER: Duration = Duration::from_secs(86_400 * 365);

/// Runs at the first check after each tick.
fn look_at_the_clock(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    if state.host.cancelled() {
        state.stopped = Some(Stop::Cancelled);
        return Err(Trap::Interrupt.into());
    }
    if Instant::now() >= state.deadline {
        state.stopped = Some(Stop::Timeout);
        return Err(Trap::Interrupt.into());
    }
    Ok(UpdateDeadline::Continue(1))
}

/// `Module::new` lets no function through whose interface is not exported.
pub(crate) fn missing(function: &crate::Function) -> Error {
    Error::InvalidModule {
        message: format!("function `{}` has no interface to call", function.name),
    }
}
