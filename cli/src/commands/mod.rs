//! One module per command.

mod build;
mod explain;
mod run;
mod runs;
mod sql;
mod validate;

use crate::args::{Args, Command};
use crate::error::Error;

/// Does what the command line says.
pub(crate) async fn execute(args: Args) -> Result<(), Error> {
    let _telemetry = weir_platform::telemetry::init(&weir_platform::telemetry::Options {
        filter: args.log,
        format: weir_platform::telemetry::Format::Human,
    })
    .map_err(|error| Error::Usage(error.to_string()))?;
    match args.command {
        Command::Run(args) => run::execute(args).await,
        Command::Sql(args) => sql::execute(args).await,
        Command::Validate(args) => validate::execute(args).await,
        Command::Explain(args) => explain::execute(args).await,
        Command::Build(args) => build::execute(args).await,
        Command::Runs(args) => runs::execute(args).await,
    }
}
