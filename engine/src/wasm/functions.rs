//! The functions that a session can name, and what they report to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tokio_util::sync::CancellationToken;
use weir_model::Digest;
use weir_sandbox::{Drained, Host, Limits, Module, OpenOptions};

use super::{WasmFunction, WasmFunctionRef};
use crate::task::TaskLog;

/// The functions of one session: of a job that is planned, or of an attempt. Cheap to clone.
#[derive(Clone, Default)]
pub struct Functions(Arc<Inner>);

#[derive(Default)]
struct Inner {
    modules: BTreeMap<Digest, Module>,
    task: Option<TaskFunctions>,
}

/// What functions of an attempt use and report to.
#[derive(Clone)]
pub struct TaskFunctions {
    /// Where their memory is charged.
    pub pool: Arc<dyn MemoryPool>,
    /// Where they log and count.
    pub log: Arc<TaskLog>,
    /// Ends their calls.
    pub cancel: CancellationToken,
    /// What each instance may use.
    pub limits: Limits,
}

impl Functions {
    /// Functions for planning. Scalar ones cannot be called then: an optimizer that folds constants leaves the calls to the
    /// tasks, which have limits for them.
    pub fn for_planning(modules: BTreeMap<Digest, Module>) -> Self {
        Self(Arc::new(Inner { modules, task: None }))
    }

    /// Functions for an attempt.
    pub fn for_task(modules: BTreeMap<Digest, Module>, task: TaskFunctions) -> Self {
        Self(Arc::new(Inner {
            modules,
            task: Some(task),
        }))
    }

    /// A function, ready to be planned with or run.
    ///
    /// # Errors
    /// When its module is not one of this session's, or has no such function.
    pub fn function(&self, reference: &WasmFunctionRef) -> Result<WasmFunction> {
        let Some(module) = self.0.modules.get(&reference.module) else {
            return plan_err!(
                "the Wasm module {} of function `{}` is not loaded",
                reference.module,
                reference.function
            );
        };
        let Some(function) = module.function(&reference.function) else {
            let known: Vec<String> = module
                .functions()
                .iter()
                .map(|known| format!("`{}`", known.name))
                .collect();
            return plan_err!(
                "the Wasm module has no function `{}`; it has {}",
                reference.function,
                known.join(", ")
            );
        };
        Ok(WasmFunction::new(
            reference.clone(),
            Arc::clone(function),
            module.clone(),
            self.clone(),
        ))
    }

    /// The modules of this session.
    pub fn modules(&self) -> &BTreeMap<Digest, Module> {
        &self.0.modules
    }

    /// Whether tenants' code may run here.
    pub(super) fn are_callable(&self) -> bool {
        self.0.task.is_some()
    }

    /// How to open a function here. With `charged`, its memory is a reservation of its own.
    pub(super) fn open_options(&self, reference: &WasmFunctionRef, charged: bool) -> OpenOptions {
        let mut options = OpenOptions {
            config: reference.config.clone(),
            ..OpenOptions::default()
        };
        if let Some(task) = &self.0.task {
            options.limits = task.limits.clone();
            let reservation = charged.then(|| {
                let name = format!("WasmFunction[{}]", reference.function);
                MemoryConsumer::new(name).register(&task.pool)
            });
            options.host = Arc::new(TaskHost {
                reservation,
                cancel: task.cancel.clone(),
            });
        }
        options
    }

    /// Passes on what an instance logged and counted, and the time that it took.
    pub(super) fn report(&self, function: &str, drained: Drained, busy: Duration) {
        let Some(TaskFunctions { log, .. }) = &self.0.task else {
            return;
        };
        log.add_wasm_time(function, busy);
        for (name, value) in drained.metrics {
            log.record(&format!("{function}.{name}"), &value);
        }
        for line in drained.logs {
            log.push(line);
        }
        if drained.dropped_log_lines > 0 {
            log.add_dropped(drained.dropped_log_lines);
        }
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions")
            .field("modules", &self.0.modules.keys())
            .finish_non_exhaustive()
    }
}

/// The attempt, as an instance sees it.
struct TaskHost {
    reservation: Option<MemoryReservation>,
    cancel: CancellationToken,
}

impl Host for TaskHost {
    fn grow(&self, bytes: usize) -> Result<(), String> {
        match &self.reservation {
            Some(reservation) => reservation.try_grow(bytes).map_err(|error| error.strip_backtrace()),
            None => Ok(()),
        }
    }

    fn shrink(&self, bytes: usize) {
        if let Some(reservation) = &self.reservation {
            reservation.shrink(bytes);
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
