//! `weir server`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_control_plane::housekeeping::{HousekeepingOptions, Retention};
use weir_control_plane::http::{self, Api, RateOptions, TlsOptions};
use weir_control_plane::identity::OidcOptions;
use weir_control_plane::provisioner::{EcsProvisioner, EcsService, ProcessOptions, ProcessProvisioner, Provisioner};
use weir_control_plane::store::{KeyFilter, Store};
use weir_control_plane::{ControlPlane, Environment, Options, ScalingOptions};
use weir_model::{CoalesceSettings, Digest, RunSettings};
use weir_platform::{aws, telemetry};

use crate::args::{AccessArgs, ProvisionerKind, ServerArgs};
use crate::embedded::DataFolder;
use crate::error::Error;
use crate::planning::{Planners, Setup};
use crate::service::inspector::SandboxInspector;
use crate::service::machine::{self, Machine};
use crate::service::parts::{self, Database, Queues};
use crate::service::reader::EngineReader;
use crate::service::{health, prices, signals};

/// Characters of a bootstrap key.
const MIN_BOOTSTRAP_KEY: usize = 20;

pub(super) async fn execute(args: ServerArgs) -> Result<(), Error> {
    signals::serve(|stop| run(args, stop)).await
}

async fn run(args: ServerArgs, stop: CancellationToken) -> Result<(), Error> {
    let options = http_options(&args.access)?;
    let prices = prices::read(&args.prices)?;
    let store = Database::open(&args.database).await?.store(args.migrate).await?;
    let queues = Queues::open(&args.queues).await?;
    let storage = parts::storage(&args.storage).await?;
    let provisioner = provisioner(&args).await?;
    let folder = DataFolder::open(&args.machine.data)?;
    let machine = Machine::start(&folder, &storage, args.machine.memory, args.allow_local_files)?;
    let planners = Planners::start(&Setup {
        storage: args.storage.storage.clone().unwrap_or_default(),
        s3_path_style: args.storage.s3_path_style,
        data_dir: folder.path().to_owned(),
        local_files: args.allow_local_files,
    })?;
    let access = &args.access;
    let open = options.api_key.is_none() && options.oidc.is_none() && !has_keys(&*store).await?;
    if open && !args.listen.ip().is_loopback() {
        return Err(Error::Usage(format!(
            "whoever reaches {} could do everything; set WEIR_BOOTSTRAP_API_KEY, or make a key while the server listens \
             on loopback",
            args.listen
        )));
    }
    let listener = listen(args.listen, access.tls_cert.is_some()).await?;
    let driving = Options {
        lease_ms: args.lease_ms,
        max_runs: args.max_runs as usize,
        default_quota: args.quota.quota(),
        ..Options::service()
    };
    let checks = queues.checks();
    let environment = Environment {
        store,
        tasks: queues.tasks,
        reports: queues.reports,
        storage: storage.clone(),
        planner: Arc::new(planners.clone()),
    };
    let control_plane = ControlPlane::start(driving, environment);
    if let Some(dead_letters) = queues.dead_letters {
        control_plane.watch_dead_letters(dead_letters);
    }
    control_plane.keep_house(housekeeping(&args));
    if let Some(provisioner) = provisioner {
        control_plane.scale(scaling(&args), provisioner);
    }
    let options = http::Options {
        default_settings: default_settings(&args),
        prices,
        open,
        ..options
    };
    control_plane.schedule(options.defaults());
    let environment = http::Environment {
        control_plane: control_plane.clone(),
        storage,
        inspector: Arc::new(SandboxInspector(machine.sandbox)),
        rows: Arc::new(EngineReader(machine.engine.clone())),
        sql: Arc::new(planners),
        templates: machine::templates()?,
        checks,
        metrics: Arc::new(telemetry::prometheus_text),
    };
    serve_metrics(access).await?;
    let api = Api::new(options, environment).map_err(|error| Error::Usage(error.to_string()))?;
    let served = http::serve(listener, api, stop).await;
    // Requests are over; now the runs are given back, for another server to take.
    control_plane.shutdown().await;
    tracing::info!("stopped");
    served.map_err(Error::io("answer requests"))
}

/// Refuses half of what goes together.
fn check_pairs(args: &AccessArgs) -> Result<(), Error> {
    let pairs = [
        (
            "--tls-cert",
            args.tls_cert.is_some(),
            "--tls-key",
            args.tls_key.is_some(),
        ),
        (
            "--oidc-issuer",
            args.oidc_issuer.is_some(),
            "--oidc-audience",
            args.oidc_audience.is_some(),
        ),
    ];
    match pairs.into_iter().find(|(_, one, _, other)| one != other) {
        Some((one, _, other, _)) => Err(Error::Usage(format!("{one} and {other} go together: give both"))),
        None => Ok(()),
    }
}

/// The digest of the bootstrap key. It opens everything, so one that is missing by mistake, or that somebody could come
/// upon by trying, is refused.
fn bootstrap_key(args: &AccessArgs) -> Result<Option<Digest>, Error> {
    let Some(key) = &args.bootstrap_api_key else {
        return Ok(None);
    };
    // As requests carry it: without what an editor leaves at the end of a file.
    let key = key.trim();
    if key.chars().count() < MIN_BOOTSTRAP_KEY {
        return Err(Error::Usage(format!(
            "the bootstrap key opens everything, and must have at least {MIN_BOOTSTRAP_KEY} characters; make one by \
             `head -c 32 /dev/urandom | base64`, or leave WEIR_BOOTSTRAP_API_KEY unset"
        )));
    }
    Ok(Some(Digest::of(key.as_bytes())))
}

/// Who may use the server, and how it is reached.
pub(super) fn http_options(args: &AccessArgs) -> Result<http::Options, Error> {
    check_pairs(args)?;
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    let oidc = args.oidc_issuer.clone().zip(args.oidc_audience.clone());
    let requests_per_second = f64::from(args.requests_per_second);
    Ok(http::Options {
        api_key: bootstrap_key(args)?,
        oidc: oidc.map(|(issuer, audience)| OidcOptions {
            issuer,
            audience,
            claim: args.oidc_claim.clone(),
            principal_claim: args.oidc_principal_claim.clone(),
            grants: args.oidc_grants.clone(),
        }),
        tls: tls.map(|(certificate, key)| TlsOptions { certificate, key }),
        metrics_elsewhere: args.metrics_listen.is_some(),
        trusted_proxies: args.trusted_proxies.clone(),
        rates: RateOptions {
            requests_per_second,
            burst: 10.0 * requests_per_second,
            ..Default::default()
        },
        ..Default::default()
    })
}

/// Answers for metrics where nothing else is, if that is wanted.
pub(super) async fn serve_metrics(args: &AccessArgs) -> Result<(), Error> {
    match args.metrics_listen {
        Some(address) => health::serve(address, http::metrics_router(Arc::new(telemetry::prometheus_text))).await,
        None => Ok(()),
    }
}

/// Whether there is a key by which somebody could be let in: then nobody is without one.
async fn has_keys(store: &dyn Store) -> Result<bool, Error> {
    let keys = store.identities().key_list(&KeyFilter::default(), None, 1).await;
    let keys = keys.map_err(Error::platform("look for API keys"))?;
    Ok(!keys.is_empty())
}

/// Binds the address of the API, and says where that is.
pub(super) async fn listen(address: SocketAddr, tls: bool) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await.map_err(Error::io(format!(
        "listen on {address}; choose another address by --listen"
    )))?;
    let address = listener.local_addr().map_err(Error::io("find the address"))?;
    let scheme = if tls { "https" } else { "http" };
    eprintln!("listening on {scheme}://{address}");
    Ok(listener)
}

/// Settings of runs that say nothing of them: as many partitions as the largest fleet runs tasks at once.
fn default_settings(args: &ServerArgs) -> RunSettings {
    let parallelism = args.workers_max.max(1).saturating_mul(slots(args)).min(1_024);
    RunSettings {
        target_partitions: parallelism,
        coalesce: CoalesceSettings {
            parallelism,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn slots(args: &ServerArgs) -> u32 {
    args.slots.unwrap_or_else(crate::submission::processors)
}

fn scaling(args: &ServerArgs) -> ScalingOptions {
    ScalingOptions {
        min_workers: args.workers_min,
        max_workers: args.workers_max,
        slots_per_worker: slots(args),
        idle_ms: args.workers_idle_ms,
        ..Default::default()
    }
}

fn housekeeping(args: &ServerArgs) -> HousekeepingOptions {
    const DAY_MS: u64 = 24 * 3_600_000;
    HousekeepingOptions {
        interval_ms: args.housekeeping_ms,
        retention: Retention {
            keep_ms: args.keep_runs_days.map(|days| u64::from(days) * DAY_MS),
            keep_last: args.keep_runs_last,
        },
        audit_ms: u64::from(args.access.keep_audit_days) * DAY_MS,
        ..Default::default()
    }
}

async fn provisioner(args: &ServerArgs) -> Result<Option<Arc<dyn Provisioner>>, Error> {
    if args.workers_min > args.workers_max {
        return Err(Error::Usage("--workers-min is larger than --workers-max".to_owned()));
    }
    match args.provisioner {
        ProvisionerKind::None => Ok(None),
        ProvisionerKind::Process => Ok(Some(Arc::new(ProcessProvisioner::new(worker_process(args)?)))),
        ProvisionerKind::Ecs => {
            let missing = || Error::Usage("--provisioner ecs needs --ecs-cluster and --ecs-service".to_owned());
            let cluster = args.ecs_cluster.as_deref().ok_or_else(missing)?;
            let names = args.ecs_service.as_deref().ok_or_else(missing)?;
            let services = names.split(',').map(|name| EcsService {
                name: name.trim().to_owned(),
                weight: 1,
            });
            let provisioner = EcsProvisioner::new(&aws::config().await, cluster, services.collect())
                .map_err(|error| Error::Usage(error.to_string()))?;
            Ok(Some(Arc::new(provisioner)))
        }
    }
}

/// A worker as a child of this process, with its settings in variables.
fn worker_process(args: &ServerArgs) -> Result<ProcessOptions, Error> {
    let program = std::env::current_exe().map_err(Error::io("find this program"))?;
    let mut options = ProcessOptions::new(program);
    options.arguments = vec!["worker".into()];
    let slots = slots(args).to_string();
    let given = [
        ("WEIR_TASK_QUEUE", args.queues.task_queue.as_deref()),
        ("WEIR_REPORT_QUEUE", args.queues.report_queue.as_deref()),
        ("WEIR_STORAGE", args.storage.storage.as_deref()),
        ("WEIR_SLOTS", Some(&*slots)),
        ("WEIR_S3_PATH_STYLE", args.storage.s3_path_style.then_some("true")),
        ("WEIR_ALLOW_LOCAL_FILES", args.allow_local_files.then_some("true")),
    ];
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), value?.into())));
    options.environment = given.collect();
    if let Some(folder) = &args.machine.data.data_dir {
        options.environment.push(("WEIR_DATA_DIR".into(), folder.into()));
    }
    if let Some(memory) = args.machine.memory {
        options
            .environment
            .push(("WEIR_MEMORY".into(), memory.to_string().into()));
    }
    Ok(options)
}
