//! The `weir` command.
//!
//! **Invariants.** Data goes to stdout and everything else to stderr; progress is drawn only on a terminal; the exit
//! code says what kind of end it was (see [`error::Error::exit_code`]).
//!
//! **Boundary.** The only crate that knows all the others: it wires them into one process.

mod args;
mod cells;
mod client;
mod commands;
mod config;
mod drive;
mod embedded;
mod error;
mod format;
mod history;
mod preview;
mod progress;
mod rows;
mod service;
mod submission;
mod summary;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match config::parse() {
        Ok(args) => args,
        Err(error) => return error::report(&error),
    };
    if let args::Command::RenderTemplate = args.command {
        // Before there are threads, whose stacks would count.
        return weir_platform::templates::serve().unwrap_or_else(|source| {
            error::report(&error::Error::Io {
                action: "render a template".to_owned(),
                source,
            })
        });
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            return error::report(&error::Error::Io {
                action: "start the runtime".to_owned(),
                source,
            });
        }
    };
    let result = runtime.block_on(commands::execute(args));
    // Blocking calls that were abandoned (a stalled disk, say) must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}
