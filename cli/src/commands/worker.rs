//! `weir worker`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_worker::{Environment, Worker, WorkerOptions};

use crate::args::WorkerArgs;
use crate::embedded::DataFolder;
use crate::error::Error;
use crate::service::machine::Machine;
use crate::service::parts::{self, Queues};
use crate::service::{health, signals};

pub(super) async fn execute(args: WorkerArgs) -> Result<(), Error> {
    signals::serve(|stop| run(args, stop)).await
}

async fn run(args: WorkerArgs, stop: CancellationToken) -> Result<(), Error> {
    let queues = Queues::open(&args.queues).await?;
    let storage = parts::storage(&args.storage).await?;
    let folder = DataFolder::open(&args.machine.data)?;
    let machine = Machine::start(&folder, &storage, args.machine.memory, args.allow_local_files)?;
    let slots = args.slots.unwrap_or_else(crate::submission::processors) as usize;
    let options = WorkerOptions {
        slots,
        task_threads: slots,
        visibility_ms: args.visibility_ms,
        drain_ms: args.drain_ms,
        ecs_agent_uri: ecs_agent_uri(&args)?,
        host: ecs_task().await,
        ..Default::default()
    };
    let environment = Environment {
        tasks: queues.tasks,
        reports: queues.reports,
        storage,
        runner: Arc::new(machine.engine),
    };
    let worker = Worker::new(options, environment);
    if let Some(address) = args.health_listen {
        health::serve(address, weir_worker::health::router(worker.status())).await?;
    }
    eprintln!("worker {} runs {slots} tasks at once", worker.id());
    worker.run(stop).await.map_err(Error::io("run tasks"))?;
    tracing::info!("stopped");
    Ok(())
}

/// Where the agent of ECS answers that protects tasks, when that is wanted.
fn ecs_agent_uri(args: &WorkerArgs) -> Result<Option<String>, Error> {
    if !args.ecs_task_protection {
        return Ok(None);
    }
    match std::env::var("ECS_AGENT_URI") {
        Ok(uri) => Ok(Some(uri)),
        Err(_) => Err(Error::Usage(
            "--ecs-task-protection is for tasks of ECS, where ECS_AGENT_URI is set".to_owned(),
        )),
    }
}

/// The ECS task that this is, if it is one.
async fn ecs_task() -> Option<String> {
    let uri = std::env::var("ECS_CONTAINER_METADATA_URI_V4").ok()?;
    match weir_worker::ecs_task_arn(&uri).await {
        Ok(arn) => Some(arn),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot find out which ECS task this is"
            );
            None
        }
    }
}
