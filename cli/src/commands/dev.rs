//! `weir dev`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_control_plane::Options;
use weir_control_plane::http::{self, Api};
use weir_platform::telemetry;

use super::server::listen;
use crate::args::DevArgs;
use crate::embedded::{DataFolder, Embedded};
use crate::error::Error;
use crate::planning::Planners;
use crate::service::inspector::SandboxInspector;
use crate::service::reader::EngineReader;
use crate::service::signals;
use crate::service::{machine, prices};
use crate::submission;

/// How often workers say how they are, in milliseconds: somebody may look at them.
const PRESENCE_MS: u64 = 5_000;

pub(super) async fn execute(args: DevArgs) -> Result<(), Error> {
    signals::serve(|stop| run(args, stop)).await
}

async fn run(args: DevArgs, stop: CancellationToken) -> Result<(), Error> {
    if !args.listen.ip().is_loopback() {
        return Err(Error::Usage(
            "`weir dev` lets everybody who reaches it read this machine's files, so it listens on loopback only; \
             `weir server` is for others"
                .to_owned(),
        ));
    }
    let listener = listen(args.listen, false).await?;
    let options = Options {
        takes_over: true,
        default_quota: args.quota.quota(),
        ..Options::default()
    };
    let planners = Planners::start(&DataFolder::open(&args.embedded.data)?.planning())?;
    let planner = Arc::new(planners.clone());
    let service = Embedded::start_with(&args.embedded, options, PRESENCE_MS, Some(planner)).await?;
    let options = http::Options {
        base: submission::current_folder()?,
        default_settings: submission::settings(&args.embedded),
        open: true,
        prices: prices::read(&args.embedded.prices)?,
        ..Default::default()
    };
    service.control_plane.schedule(options.defaults());
    let environment = http::Environment {
        control_plane: service.control_plane.clone(),
        storage: service.storage.clone(),
        inspector: Arc::new(SandboxInspector(Arc::clone(&service.sandbox))),
        rows: Arc::new(EngineReader(service.engine.clone())),
        sql: Arc::new(planners),
        templates: machine::templates()?,
        checks: Vec::new(),
        metrics: Arc::new(telemetry::prometheus_text),
    };
    let api = Api::new(options, environment).map_err(|error| Error::Usage(error.to_string()))?;
    let served = http::serve(listener, api, stop).await;
    service.shutdown().await;
    served.map_err(Error::io("answer requests"))
}
