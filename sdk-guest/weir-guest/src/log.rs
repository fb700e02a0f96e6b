//! Writing to the log of the run.

use std::fmt::Arguments;

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Unexpected, but handled.
    Warn,
    /// Wrong.
    Error,
}

/// Writes a line. The macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
/// [`error!`](crate::error) do this with a format string.
///
/// A line costs a call to the host, and there is a limit on the bytes that an instance may log: log what is rare.
pub fn log(level: Level, message: Arguments<'_>) {
    let message = message.to_string();
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::weir::udf::log;
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::log(level, &message);
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Logs for developers; takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Logs something normal; takes what `format!` takes.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Info, ::core::format_args!($($message)+)) };
}

/// Logs something unexpected that was handled; takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Logs something wrong; takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Error, ::core::format_args!($($message)+)) };
}
