//! Runs one attempt: bytes in, objects out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use cpu_time::ThreadTime;
use datafusion::execution::TaskContext as SessionTask;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use weir_model::{Digest, Failure, FailureKind, Namespace, RunId, TaskMessage, TaskMetrics, TaskOutput, layout};
use weir_platform::Storage;
use weir_platform::s3::RequestCounts;
use weir_sandbox::{Limits, Sandbox};

use super::failure::{classify, panicked, with_sources};
use super::interrupt::{cancelled, interruptible};
use super::metrics::Meter;
use super::output::{Attempt, Output, partition_range};
use super::{TaskContext, TaskFailure, TaskLog, TaskMemory};
use crate::PlanError;
use crate::cache::Cache;
use crate::session;
use crate::shuffle::{ManifestCache, ShuffleInputs, ShuffleMetrics};
use crate::stages::codec::PlanCodec;
use crate::stages::{Assignment, StagePlan, places, restrict};
use crate::wasm::{Functions, LoadedModules, TaskFunctions, load_modules};

/// Bytes of stage plans that a process keeps.
const PLAN_CACHE_BYTES: usize = 64 << 20;
/// Bytes of stage manifests that a process keeps.
const MANIFEST_CACHE_BYTES: usize = 64 << 20;

/// What the attempts of a process share.
pub(crate) struct Shared {
    pub(crate) storage: Storage,
    pub(crate) runtime: Arc<RuntimeEnv>,
    sandbox: Arc<Sandbox>,
    /// Functions that plans name.
    functions: SessionContext,
    plans: Cache<Digest, Vec<u8>>,
    manifests: Arc<ManifestCache>,
}

impl Shared {
    pub(crate) fn new(storage: Storage, runtime: Arc<RuntimeEnv>, sandbox: Arc<Sandbox>) -> Self {
        Self {
            storage,
            functions: session::executing(&runtime),
            runtime,
            sandbox,
            plans: Cache::new(PLAN_CACHE_BYTES),
            manifests: Arc::new(Cache::new(MANIFEST_CACHE_BYTES)),
        }
    }

    pub(super) async fn plan(&self, storage: &Storage, run: RunId, digest: Digest) -> Result<Arc<Vec<u8>>, Failure> {
        if let Some(plan) = self.plans.get(&digest) {
            return Ok(plan);
        }
        let bytes = storage.get(&layout::plan_key(run, &digest)).await;
        let bytes = bytes.map_err(|e| Failure::new(FailureKind::Platform, "plan_missing", with_sources(&e)))?;
        if Digest::of(&bytes) != digest {
            let message = format!("the plan {digest} is damaged in storage");
            return Err(Failure::new(FailureKind::Platform, "plan_damaged", message));
        }
        let plan = Arc::new(Vec::from(bytes));
        self.plans.insert(digest, Arc::clone(&plan), plan.len());
        Ok(plan)
    }

    /// The schema of a result stage's rows, and the order by which its partitions are to be merged.
    pub(super) async fn result(
        &self,
        namespace: &Namespace,
        stage: &StagePlan,
    ) -> Result<(SchemaRef, Option<LexOrdering>), PlanError> {
        let modules = load_modules(&self.sandbox, &self.storage, namespace, stage.modules.iter().copied())
            .await?
            .modules;
        let codec = PlanCodec::new(Functions::for_planning(modules));
        let context = self.functions.task_ctx();
        let schema = codec.decode(&stage.operators, &context)?.schema();
        let order = match &stage.assignment {
            Assignment::Result { order } => codec.decoder(&context).sort_exprs(order, &schema)?,
            _ => vec![],
        };
        Ok((schema, LexOrdering::new(order)))
    }

    /// Rows of a batch.
    pub(super) fn batch_size(&self) -> usize {
        self.functions.state_ref().read().config().batch_size()
    }

    /// The session of one attempt: its memory, inputs and log over what the process shares.
    fn session(
        &self,
        storage: &Storage,
        message: &TaskMessage,
        memory: &Arc<TaskMemory>,
        log: &Arc<TaskLog>,
    ) -> Arc<SessionTask> {
        let inputs = ShuffleInputs::new(
            storage.clone(),
            message.run,
            Arc::clone(&self.manifests),
            &message.inputs,
        );
        let config = session::task_config(message.partitions.len())
            .with_extension(Arc::new(inputs))
            .with_extension(Arc::clone(log));
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(memory) as Arc<dyn MemoryPool>,
            ..session::through(&self.runtime, storage)
        };
        let state = self.functions.state_ref();
        let state = state.read();
        Arc::new(SessionTask::new(
            Some(message.task.to_string()),
            message.run.to_string(),
            config,
            state.scalar_functions().clone(),
            state.higher_order_functions().clone(),
            state.aggregate_functions().clone(),
            state.window_functions().clone(),
            Arc::new(runtime),
        ))
    }
}

/// Runs one attempt. Whatever ends it early (an error, a panic, cancellation, this future being dropped after its
/// failure), the objects that it wrote are not reachable; after a failure they are deleted as well.
pub(crate) async fn run(
    shared: &Shared,
    message: &TaskMessage,
    context: &TaskContext,
) -> Result<TaskOutput, TaskFailure> {
    let mut meter = None;
    let cpu_us = Arc::new(AtomicU64::new(0));
    let attempt = attempt(shared, message, context, Arc::clone(&cpu_us), &mut meter);
    let attempt = AssertUnwindSafe(measured(attempt, &cpu_us)).catch_unwind();
    let result = tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            Err(cancelled())
        }
        result = attempt => match result {
            Ok(result) => result,
            Err(panic) => Err(panicked(panic.as_ref())),
        },
    };
    let metrics = meter.map_or_else(TaskMetrics::default, |meter| meter.finish());
    match result {
        Ok(mut output) => {
            output.metrics = metrics;
            Ok(output)
        }
        Err(failure) => {
            let key = layout::shuffle_key(message.run, message.task, context.execution);
            if let Err(error) = shared.storage.delete(vec![key]).await {
                // Garbage collection deletes it later.
                tracing::debug!(task = %message.task, %error, "cannot delete the output of a failed attempt");
            }
            Err(TaskFailure { failure, metrics })
        }
    }
}

/// Adds to `cpu_us` what the polls of a future take of the processor, in microseconds.
async fn measured<T>(future: impl Future<Output = T>, cpu_us: &AtomicU64) -> T {
    let mut future = std::pin::pin!(future);
    // Less than a microsecond at a time adds up as well.
    let mut total = Duration::ZERO;
    std::future::poll_fn(|context| {
        // Not every system has the clock.
        let clock = ThreadTime::try_now().ok();
        let polled = future.as_mut().poll(context);
        if let Some(used) = clock.and_then(|clock| clock.try_elapsed().ok()) {
            total += used;
            cpu_us.store(total.as_micros() as u64, Ordering::Relaxed);
        }
        polled
    })
    .await
}

async fn attempt(
    shared: &Shared,
    message: &TaskMessage,
    context: &TaskContext,
    cpu_us: Arc<AtomicU64>,
    measured: &mut Option<Arc<Meter>>,
) -> Result<TaskOutput, Failure> {
    let started = Instant::now();
    let requests = Arc::new(RequestCounts::default());
    let storage = shared.storage.counted(&requests);
    let bytes = shared.plan(&storage, message.run, message.plan).await?;
    let stage = StagePlan::from_bytes(&bytes)
        .map_err(|e| Failure::new(FailureKind::Platform, "plan_of_other_build", with_sources(&e)))?;
    let memory = Arc::new(TaskMemory::new(Arc::clone(&shared.runtime.memory_pool)));
    let log = Arc::new(TaskLog::default());
    let session = shared.session(&storage, message, &memory, &log);
    let digests = stage.modules.iter().copied();
    let modules = load_modules(&shared.sandbox, &storage, &message.namespace, digests).await;
    let LoadedModules { modules, loads } = modules.map_err(|error| {
        let kind = if error.is_user() {
            FailureKind::User
        } else {
            FailureKind::Platform
        };
        Failure::new(kind, "wasm_module", with_sources(&error))
    })?;
    let functions = TaskFunctions {
        pool: Arc::clone(&memory) as Arc<dyn MemoryPool>,
        log: Arc::clone(&log),
        cancel: context.cancel.clone(),
        limits: Limits::default(),
    };
    let codec = PlanCodec::new(Functions::for_task(modules, functions));
    let failed = |error| classify(&error);

    let whole = codec.decode(&stage.operators, &session).map_err(failed)?;
    let partitions = whole.output_partitioning().partition_count();
    let schema = whole.schema();
    let range = partition_range(message, partitions).map_err(failed)?;
    let plan = restrict(&whole, range.clone()).map_err(failed)?;
    let plan = interruptible(plan, &context.cancel).map_err(failed)?;
    let places = places(&whole, range.clone());
    drop(whole);
    let plan = session::with_dynamic_filters(plan, session.session_config()).map_err(failed)?;

    let output = Arc::new(ShuffleMetrics::default());
    let meter = Arc::new(Meter {
        started,
        cpu_us,
        plan: Arc::clone(&plan),
        places,
        output: Arc::clone(&output),
        shuffles: !matches!(stage.assignment, Assignment::Sink(_) | Assignment::Discard),
        memory,
        log,
        requests,
        modules: loads,
    });
    context.progress.follow(Arc::clone(&meter));
    *measured = Some(meter);

    let attempt = Attempt {
        message,
        execution: context.execution,
        s3: storage.s3(),
    };
    let mut output =
        Output::new(stage.assignment, &schema, partitions, &codec, &session, attempt, output).map_err(failed)?;
    for (own, partition) in range.enumerate() {
        let rows = plan.execute(own, Arc::clone(&session)).map_err(failed)?;
        output.take(partition, rows, &session).await.map_err(failed)?;
    }
    output
        .finish(&storage, message, context.execution)
        .await
        .map_err(failed)
}
