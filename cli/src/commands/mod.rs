//! One module per command.

mod build;
mod dev;
mod doctor;
mod explain;
mod history;
mod identity;
mod migrate;
mod modules;
mod outputs;
mod pipelines;
mod quotas;
mod run;
mod runs;
mod schedules;
mod server;
mod sql;
mod submit;
mod validate;
mod worker;
mod workers;

use weir_platform::telemetry;

use crate::args::{Args, Command, LogFormat};
use crate::error::Error;

/// Does what the command line says.
pub(crate) async fn execute(args: Args) -> Result<(), Error> {
    let serves = matches!(
        args.command,
        Command::Server(_) | Command::Worker(_) | Command::Dev(_) | Command::History(_)
    );
    let _telemetry = telemetry::init(&telemetry::Options {
        filter: args
            .log
            .unwrap_or_else(|| if serves { "info" } else { "warn" }.to_owned()),
        format: match args.log_format {
            LogFormat::Text => telemetry::Format::Human,
            LogFormat::Json => telemetry::Format::Json,
        },
    })
    .map_err(|error| Error::Usage(error.to_string()))?;
    match args.command {
        Command::Run(args) => run::execute(args).await,
        Command::Sql(args) => sql::execute(args).await,
        Command::Validate(args) => validate::execute(args).await,
        Command::Explain(args) => explain::execute(args).await,
        Command::Build(args) => build::execute(args).await,
        Command::Submit(args) => submit::execute(args).await,
        Command::Runs(args) => runs::execute(args).await,
        Command::Pipelines(command) => pipelines::execute(command).await,
        Command::Schedules(command) => schedules::execute(command).await,
        Command::Modules(command) => modules::execute(command).await,
        Command::Workers(command) => workers::execute(command).await,
        Command::Namespaces(command) => identity::namespaces(command).await,
        Command::Keys(command) => identity::keys(command).await,
        Command::Sessions(command) => identity::sessions(command).await,
        Command::Audit(args) => identity::audit(args).await,
        Command::Whoami(args) => identity::whoami(args).await,
        Command::Quotas(command) => quotas::execute(command).await,
        Command::Dev(args) => dev::execute(args).await,
        Command::Server(args) => server::execute(*args).await,
        Command::History(args) => history::execute(args).await,
        Command::Worker(args) => worker::execute(args).await,
        Command::Migrate(args) => migrate::execute(args).await,
        Command::Doctor(args) => doctor::execute(args).await,
        Command::RenderTemplate => Err(Error::Usage("this command is for servers".to_owned())),
        Command::PlanJob => Err(Error::Usage("this command is for servers".to_owned())),
    }
}
