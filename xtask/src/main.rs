//! The repository's automation: `cargo xtask COMMAND`. Run without a command to see what there is.
//!
//! **Boundary.** Starts programs and looks at files; nothing that ships depends on it.

mod api;
mod ci;
mod command;
mod dashboard;
mod debian;
mod error;
mod guests;
mod python;
mod terraform;
mod test;
mod toolchain;

use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::toolchain::Source;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test [ARGS...]
      Set up what the tests need, then run all of them. With ARGS, which go to `cargo test`, only the tests of the main
      workspace that they choose: cargo xtask test -p weir-model -- digest
  ci
      Everything that must hold before a change goes in: format, lints, tests, documentation, dependencies, dashboard.
  api
      Call a server in every way that openapi.json allows, and some that it does not, and compare the answers with it.
  dashboard
      Build the dashboard; the next build of the binary takes it in. Needs Node.
  terraform [--write|--apply-local]
      Check the Terraform modules, the image and the operators' document. --write makes the tables of their documents anew;
      --apply-local applies the stack to an emulator of AWS (two minutes) and checks that the next plan changes nothing.
  guests
      Build every guest crate in the repository.
  guest-toolchain [--from rustup|debian]
      Make sure that guests can be compiled. By default tries rustup, then Debian's packages.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["test", args @ ..] => test::run(args.strip_prefix(&["--"]).unwrap_or(args)),
        ["ci"] => ci::run(),
        ["api"] => api::check(),
        ["dashboard"] => dashboard::build(),
        ["terraform"] => terraform::run(terraform::Mode::Check),
        ["terraform", "--write"] => terraform::run(terraform::Mode::Write),
        ["terraform", "--apply-local"] => terraform::run(terraform::Mode::ApplyLocal),
        ["guests"] => guests::build_all(),
        ["guest-toolchain"] => toolchain::ensure(None),
        ["guest-toolchain", "--from", source] => toolchain::ensure(Some(source.parse::<Source>()?)),
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Error::Usage(format!(
            "`{}` is not understood\n\n{USAGE}",
            args.join(" ")
        ))),
    }
}
