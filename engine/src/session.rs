//! The DataFusion sessions that jobs are planned and tasks are run in.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::{CacheManager, CacheManagerConfig};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use weir_model::RunSettings;
use weir_platform::Storage;

use crate::constants;
use crate::io::{AttemptStores, Stores};
use crate::stages::DistributedJoins;
use crate::wasm::FlatMapPlanner;

/// Consumers that an out-of-memory message names.
const NAMED_CONSUMERS: usize = 5;
/// The rule before which joins are still logical about where their rows come from.
const JOIN_SELECTION: &str = "join_selection";

/// What all tasks of a process share: the memory pool, the spill folder, the stores and the caches of file metadata.
pub(crate) fn runtime(memory_bytes: usize, spill_dir: &Path, stores: Stores) -> Result<Arc<RuntimeEnv>> {
    let pool = FairSpillPool::new(memory_bytes);
    let named = std::num::NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(std::num::NonZeroUsize::MIN);
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill_dir.to_owned()]));
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, named)))
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(stores))
        // A job is planned over the files that are there, not over those that an earlier job found.
        .with_object_list_cache_limit(0)
        .build_arc()
}

/// Settings that planner and tasks must agree on.
pub(crate) fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    let options = config.options_mut();
    // A partition must read its own files: its siblings run elsewhere.
    options.execution.enable_file_stream_work_stealing = false;
    // Exchanges are cut, so a filter that one side learns while it runs cannot reach the other; inside a stage tasks
    // turn them on where that is safe.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    config
}

/// The settings of a task. A task of one partition runs its plan alone, so there its joins and sorts may tell its scans
/// what they learn: the filter of a join waits until all partitions of the plan have read their build side, and that
/// of a partitioned join tells partitions apart by their number among all.
pub(crate) fn task_config(partitions: usize) -> SessionConfig {
    let mut config = config();
    if partitions == 1 {
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.enable_dynamic_filter_pushdown = true;
        optimizer.enable_join_dynamic_filter_pushdown = true;
        optimizer.enable_topk_dynamic_filter_pushdown = true;
        optimizer.enable_aggregate_dynamic_filter_pushdown = true;
    }
    config
}

/// Connects what filters at run time with what can use that, as far as the settings of the task allow.
pub(crate) fn with_dynamic_filters(
    plan: Arc<dyn ExecutionPlan>,
    config: &SessionConfig,
) -> Result<Arc<dyn ExecutionPlan>> {
    match config.options().optimizer.enable_dynamic_filter_pushdown {
        true => FilterPushdown::new_post_optimization().optimize(plan, config.options()),
        false => Ok(plan),
    }
}

/// The same runtime, which lists each folder once: the planner asks for a table's files several times.
fn listing_once(runtime: &RuntimeEnv) -> Result<Arc<RuntimeEnv>> {
    let caches = &runtime.cache_manager;
    let caches = CacheManagerConfig {
        file_statistics_cache: caches.get_file_statistic_cache(),
        file_statistics_cache_limit: caches.get_file_statistic_cache_limit(),
        file_metadata_cache: Some(caches.get_file_metadata_cache()),
        metadata_cache_limit: caches.get_metadata_cache_limit(),
        ..CacheManagerConfig::default()
    };
    Ok(Arc::new(RuntimeEnv {
        cache_manager: CacheManager::try_new(&caches)?,
        ..runtime.clone()
    }))
}

/// The same runtime, which reaches buckets through a storage, so that its requests are counted where that is.
pub(crate) fn through(runtime: &RuntimeEnv, storage: &Storage) -> RuntimeEnv {
    RuntimeEnv {
        object_store_registry: Arc::new(AttemptStores::new(runtime, storage.s3().clone())),
        ..runtime.clone()
    }
}

/// A session for planning a job.
///
/// # Errors
/// When its caches cannot be made.
pub(crate) fn planning(runtime: &RuntimeEnv, settings: &RunSettings) -> Result<SessionContext> {
    let mut config = config().with_target_partitions(settings.target_partitions.max(1) as usize);
    let options = config.options_mut();
    // Round-robin exchanges cost a shuffle and change nothing that a hash exchange would not.
    options.optimizer.enable_round_robin_repartition = false;
    // A merge that keeps an order through a hash exchange has no counterpart in a shuffle.
    options.optimizer.prefer_existing_sort = false;
    // A subquery's value would have to travel from one stage's task to others' expressions.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(listing_once(runtime)?)
        .with_default_features()
        .with_query_planner(Arc::new(Planner))
        .with_physical_optimizer_rules(physical_rules())
        .build();
    constants::leave_to_tasks(&mut state)?;
    Ok(SessionContext::new_with_state(state))
}

/// A session with the functions that plans name, for tasks.
pub(crate) fn executing(runtime: &Arc<RuntimeEnv>) -> SessionContext {
    SessionContext::new_with_config_rt(config(), Arc::clone(runtime))
}

fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = Vec::new();
    for rule in PhysicalOptimizer::new().rules {
        let join_selection = rule.name() == JOIN_SELECTION;
        rules.push(rule);
        if join_selection {
            rules.push(Arc::new(DistributedJoins) as _);
        }
    }
    rules
}

/// Plans our logical nodes besides DataFusion's.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(extension_planners());
        planner.create_physical_plan(plan, session).await
    }
}

/// The planners of the modules that have logical nodes of their own.
fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    let mut planners = crate::pipeline::extension_planners();
    planners.push(Arc::new(FlatMapPlanner));
    planners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_join_rule_is_in_place() {
        let names: Vec<_> = physical_rules().iter().map(|rule| rule.name().to_owned()).collect();
        let joins = names
            .iter()
            .position(|name| name == "distributed_joins")
            .expect("the rule is there");
        assert_eq!(names[joins - 1], JOIN_SELECTION);
    }
}
