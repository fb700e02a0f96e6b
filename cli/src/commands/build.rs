//! `weir build`.

use std::io::{self, Write};

use weir_guest_build::{BuildOptions, Output};

use crate::args::BuildArgs;
use crate::error::Error;

pub(super) async fn execute(args: BuildArgs) -> Result<(), Error> {
    let dir = args.dir.clone();
    let options = BuildOptions {
        output: Output::Stderr,
        ..Default::default()
    };
    let built = tokio::task::spawn_blocking(move || weir_guest_build::build(&dir, &options))
        .await
        .map_err(Error::platform("build the guest"))?
        .map_err(|error| Error::Usage(chain(&error)))?;
    let component = match &args.out {
        Some(file) => {
            built.write_to(file).map_err(Error::platform("copy the component"))?;
            file.as_path()
        }
        None => built.component.as_path(),
    };
    eprintln!("{built}");
    let mut out = io::stdout().lock();
    writeln!(out, "{}", component.display()).map_err(Error::io("print the component's path"))
}

/// An error and its causes, in one line each.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\n  caused by: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
