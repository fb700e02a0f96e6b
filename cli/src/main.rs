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
mod csv;
mod drive;
mod embedded;
mod error;
mod format;
mod history;
mod planning;
mod preview;
mod progress;
mod rows;
mod service;
mod submission;
mod summary;
mod target;

use std::process::ExitCode;

/// The exit code of a process whose main thread panicked, as Rust has it.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    let args = match config::parse() {
        Ok(args) => args,
        Err(error) => return error::report(&error),
    };
    match args.command {
        // Before there are threads, whose stacks would count.
        args::Command::RenderTemplate => {
            return weir_platform::templates::serve().unwrap_or_else(|source| {
                error::report(&error::Error::Io {
                    action: "render a template".to_owned(),
                    source,
                })
            });
        }
        args::Command::PlanJob => return planning::serve(args.log, args.log_format),
        _ => {}
    }
    // Jobs are planned, and results decoded, on the threads of the runtime and on this one.
    let main = std::thread::Builder::new()
        .name("main".to_owned())
        .stack_size(weir_engine::STACK_BYTES)
        .spawn(move || run(args));
    match main.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic is above.
        Ok(Err(_)) => ExitCode::from(PANICKED),
        Err(source) => error::report(&error::Error::Io {
            action: "start the main thread".to_owned(),
            source,
        }),
    }
}

fn run(args: args::Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(weir_engine::STACK_BYTES)
        .enable_all()
        .build();
    let runtime = match runtime {
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
