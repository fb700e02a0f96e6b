//! What can go wrong, and whose fault it was.

use std::fmt;
use std::ops::Range;

use crate::words::presentable;

/// A failure of the sandbox or of what runs in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no component that this contract knows.
    #[error("the module cannot be used: {message}")]
    InvalidModule {
        /// What is wrong and what to do.
        message: String,
    },
    /// The component has no function of that name and kind.
    #[error("the module has no {kind} function `{function}`; it has {known}")]
    UnknownFunction {
        /// What was asked for.
        function: String,
        /// The kind that was asked for.
        kind: crate::FunctionKind,
        /// What there is.
        known: String,
    },
    /// The function refused its configuration.
    #[error("function `{function}` cannot start: {message}")]
    Open {
        /// The function.
        function: String,
        /// What it said.
        message: String,
    },
    /// The function refused a batch.
    #[error("function `{function}` failed: {message}")]
    Guest {
        /// The function.
        function: String,
        /// The rows that it was given, counted over the calls of the instance.
        rows: Range<u64>,
        /// The row that it blames.
        row: Option<u64>,
        /// What it said.
        message: String,
    },
    /// The function crashed.
    #[error("function `{function}` crashed: {message}")]
    Trap {
        /// The function.
        function: String,
        /// The rows that it was given.
        rows: Range<u64>,
        /// The trap, and the last words of the guest if it had any.
        message: String,
    },
    /// The function reached a limit.
    #[error("function `{function}` was stopped: {limit}")]
    Limit {
        /// The function.
        function: String,
        /// The rows that it was given.
        rows: Range<u64>,
        /// Which limit.
        limit: Limit,
    },
    /// The function returned something that is not what it declared.
    #[error("function `{function}` returned an invalid result: {message}")]
    InvalidResult {
        /// The function.
        function: String,
        /// The rows that it was given.
        rows: Range<u64>,
        /// What is wrong with it.
        message: String,
    },
    /// The columns are not what the function declared.
    #[error("function `{function}` cannot take these columns: {message}")]
    Arguments {
        /// The function.
        function: String,
        /// What is wrong with them.
        message: String,
    },
    /// The instance failed before and is gone.
    #[error("function `{function}` failed in an earlier call; open it again")]
    Poisoned {
        /// The function.
        function: String,
    },
    /// The caller wanted the call to stop.
    #[error("function `{function}` was stopped because its task was cancelled")]
    Cancelled {
        /// The function.
        function: String,
    },
    /// All instances that [`SandboxOptions`](crate::SandboxOptions) allows exist already.
    #[error("no room for another Wasm instance; raise `max_instances` or run fewer tasks at once")]
    OutOfInstances,
    /// The cache of compiled modules cannot be used.
    #[error("cannot use the cache of compiled modules at {path}")]
    Cache {
        /// The file or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The engine failed.
    #[error("the Wasm engine failed while {doing}")]
    Engine {
        /// What it was about to do.
        doing: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The bytes are at fault; the message may quote them.
    pub(crate) fn invalid_module(message: impl AsRef<str>) -> Self {
        Self::InvalidModule {
            message: presentable(message.as_ref()).into_owned(),
        }
    }

    /// Whether the user's code or data is at fault, so that trying again gives the same.
    pub fn is_user(&self) -> bool {
        !matches!(
            self,
            Self::OutOfInstances | Self::Cache { .. } | Self::Engine { .. } | Self::Cancelled { .. }
        ) && !self.is_budget()
    }

    /// Whether the memory budget of the caller, not a limit of the function, was the reason.
    pub fn is_budget(&self) -> bool {
        matches!(
            self,
            Self::Limit {
                limit: Limit::Budget { .. },
                ..
            }
        )
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidModule { .. } => "wasm_invalid_module",
            Self::UnknownFunction { .. } => "wasm_unknown_function",
            Self::Open { .. } => "wasm_open",
            Self::Guest { .. } => "wasm_error",
            Self::Trap { .. } => "wasm_trap",
            Self::Limit {
                limit: Limit::Budget { .. },
                ..
            } => "out_of_memory",
            Self::Limit { .. } => "wasm_limit",
            Self::InvalidResult { .. } => "wasm_invalid_result",
            Self::Arguments { .. } => "wasm_arguments",
            Self::Poisoned { .. } => "wasm_poisoned",
            Self::Cancelled { .. } => "cancelled",
            Self::OutOfInstances => "wasm_out_of_instances",
            Self::Cache { .. } => "wasm_cache",
            Self::Engine { .. } => "wasm_engine",
        }
    }

    /// The function, where one was running.
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::UnknownFunction { function, .. }
            | Self::Open { function, .. }
            | Self::Guest { function, .. }
            | Self::Trap { function, .. }
            | Self::Limit { function, .. }
            | Self::InvalidResult { function, .. }
            | Self::Arguments { function, .. }
            | Self::Poisoned { function }
            | Self::Cancelled { function } => Some(function),
            Self::InvalidModule { .. } | Self::OutOfInstances | Self::Cache { .. } | Self::Engine { .. } => None,
        }
    }

    /// The rows that were being processed, counted over the calls of the instance: the one row that is to blame, or
    /// the batch.
    pub fn rows(&self) -> Option<Range<u64>> {
        match self {
            Self::Guest { row: Some(row), .. } => Some(*row..row.saturating_add(1)),
            Self::Guest { rows, .. }
            | Self::Trap { rows, .. }
            | Self::Limit { rows, .. }
            | Self::InvalidResult { rows, .. } => Some(rows.clone()),
            _ => None,
        }
    }
}

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
    Memory {
        /// The limit.
        bytes: usize,
    },
    /// The caller's memory budget, see [`Host::grow`](crate::Host::grow).
    Budget {
        /// What the caller said.
        reason: String,
    },
    /// [`Limits::call_timeout_ms`](crate::Limits::call_timeout_ms).
    Time {
        /// The limit.
        ms: u64,
    },
    /// [`SandboxOptions::stack_bytes`](crate::SandboxOptions::stack_bytes).
    Stack {
        /// The limit.
        bytes: usize,
    },
    /// [`Limits::table_elements`](crate::Limits::table_elements).
    Tables {
        /// The limit.
        elements: usize,
    },
    /// [`Limits::output_bytes`](crate::Limits::output_bytes).
    Output {
        /// The limit.
        bytes: usize,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { bytes } => write!(f, "it needs more than the {bytes} bytes of memory that it may use"),
            Self::Budget { reason } => write!(f, "it needs more memory than the task has left ({reason})"),
            Self::Time { ms } => write!(f, "one batch took longer than {ms} ms"),
            Self::Stack { bytes } => write!(f, "it used up its stack of {bytes} bytes; is there a recursion?"),
            Self::Tables { elements } => write!(f, "it needs tables of more than {elements} elements"),
            Self::Output { bytes } => write!(f, "one batch gave more than {bytes} bytes of results"),
        }
    }
}

/// A row that a function refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The row of the batch, from zero.
    pub row: u32,
    /// What the function said.
    pub message: String,
}
