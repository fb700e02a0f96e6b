//! `weir history`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_control_plane::history::History;
use weir_control_plane::http::{self, Api};
use weir_control_plane::store::{Durability, NamespaceRow, SqliteStore, Store};
use weir_control_plane::{ControlPlane, Environment, Options, Planner};
use weir_model::{Failure, FailureKind, RunId, StageGraph, Submission};
use weir_platform::templates::Templates;
use weir_platform::{MemoryQueue, Queue, Storage, clock, telemetry};

use super::server::{http_options, listen, serve_metrics};
use crate::args::{DataArgs, HistoryArgs};
use crate::embedded::DataFolder;
use crate::error::{Error, chain};
use crate::service::inspector::SandboxInspector;
use crate::service::machine::Machine;
use crate::service::reader::EngineReader;
use crate::service::sql::EngineChecker;
use crate::service::{parts, prices, signals};

/// How often namespaces are looked for that had no runs before.
const NAMESPACES: Duration = Duration::from_secs(60);

pub(super) async fn execute(args: HistoryArgs) -> Result<(), Error> {
    signals::serve(|stop| run(args, stop)).await
}

async fn run(args: HistoryArgs, stop: CancellationToken) -> Result<(), Error> {
    let prices = prices::read(&args.prices)?;
    let options = http_options(&args.access)?;
    let open = options.api_key.is_none() && options.oidc.is_none();
    if open && !args.listen.ip().is_loopback() {
        return Err(Error::Usage(format!(
            "whoever reaches {} could see every run; set WEIR_BOOTSTRAP_API_KEY or WEIR_OIDC_ISSUER",
            args.listen
        )));
    }
    let storage = parts::storage(&args.storage).await?;
    storage
        .check()
        .await
        .map_err(Error::platform("read the storage; `weir doctor` says more"))?;
    // The service as it is, over an empty database: what is not in the storage is not there.
    let folder = tempfile::tempdir().map_err(Error::io("make a temporary folder"))?;
    let store = SqliteStore::open(&folder.path().join("empty.db"), Durability::Process).await;
    let store: Arc<dyn Store> = Arc::new(store.map_err(Error::platform("make an empty database"))?);
    let history = History::new(storage.clone());
    name_namespaces(&history, &*store).await?;
    let queue = || Arc::new(MemoryQueue::new(Default::default())) as Arc<dyn Queue>;
    let environment = Environment {
        store: Arc::clone(&store),
        tasks: queue(),
        reports: queue(),
        storage: storage.clone(),
        planner: Arc::new(NoPlanner),
    };
    let control_plane = ControlPlane::start(Options::default(), environment);
    // For rows of outputs. Files of machines are those of others.
    let data = DataFolder::open(&DataArgs {
        data_dir: Some(folder.path().to_owned()),
    })?;
    let machine = Machine::start(&data, &storage, None, false)?;
    let listener = listen(args.listen, args.access.tls_cert.is_some()).await?;
    serve_metrics(&args.access).await?;
    let options = http::Options {
        read_only: true,
        prices,
        open,
        ..options
    };
    let environment = http::Environment {
        control_plane: control_plane.clone(),
        storage,
        inspector: Arc::new(SandboxInspector(machine.sandbox)),
        rows: Arc::new(EngineReader(machine.engine.clone())),
        sql: Arc::new(EngineChecker(machine.engine)),
        // Nothing is submitted.
        templates: Templates::in_process(),
        checks: Vec::new(),
        metrics: Arc::new(telemetry::prometheus_text),
    };
    let api = Api::new(options, environment).map_err(|error| Error::Usage(error.to_string()))?;
    let naming = async {
        loop {
            tokio::time::sleep(NAMESPACES).await;
            if let Err(error) = name_namespaces(&history, &*store).await {
                tracing::warn!(error = chain(&error), "cannot look for namespaces");
            }
        }
    };
    let served = tokio::select! {
        served = http::serve(listener, api, stop) => served,
        () = naming => Ok(()),
    };
    control_plane.shutdown().await;
    served.map_err(Error::io("answer requests"))
}

/// Lets the service know of the namespaces that have runs in the storage.
async fn name_namespaces(history: &History, store: &dyn Store) -> Result<(), Error> {
    let found = history.namespaces().await;
    for name in found.map_err(Error::platform("look for namespaces in the storage"))? {
        let row = NamespaceRow {
            name,
            display_name: String::new(),
            created_at: clock::now(),
            allowed_locations: None,
            created_by: "weir history".to_owned(),
        };
        let named = store.identities().namespace_create(&row).await;
        named.map_err(Error::platform("note a namespace"))?;
    }
    Ok(())
}

/// Nothing is submitted here.
struct NoPlanner;

#[async_trait]
impl Planner for NoPlanner {
    async fn plan(&self, _: RunId, _: &Submission, _: &Storage) -> Result<StageGraph, Failure> {
        let message = "this process shows the history of runs; `weir server` runs them";
        Err(Failure::new(FailureKind::User, "read_only", message))
    }
}
