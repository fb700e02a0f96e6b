//! Functions of a real component, in queries.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::assert_batches_eq;
use datafusion::catalog::{MemTable, Session};
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio_util::sync::CancellationToken;
use weir_guest_build::BuildOptions;
use weir_model::{Digest, Failure, FailureKind, MetricValue, Namespace, TaskMetrics, layout};
use weir_platform::Storage;
use weir_sandbox::{Limits, Sandbox, SandboxOptions};

use super::{
    FlatMapPlanner, FlatMapSpec, Functions, ModuleError, TaskFunctions, WasmFunction, WasmFunctionRef, flat_map,
    load_modules, scalar_reference,
};
use crate::task::{TaskLog, classify};

static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/tests/guests/kinds");
    // Unit tests have no folder of their own; cargo's own is next to the test.
    let tmpdir = std::env::current_exe().unwrap().parent().unwrap().join("../../tmp");
    weir_guest_build::build(&dir, &BuildOptions::for_tests(tmpdir))
        .unwrap_or_else(|error| panic!("{error}"))
        .bytes
});

static SANDBOX: LazyLock<Arc<Sandbox>> = LazyLock::new(|| {
    let options = SandboxOptions {
        max_instances: 200,
        ..SandboxOptions::default()
    };
    Arc::new(Sandbox::new(options).unwrap())
});

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(FlatMapPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// An attempt with the functions of the component, over a table `t`.
struct Attempt {
    session: SessionContext,
    functions: Functions,
    log: Arc<TaskLog>,
    cancel: CancellationToken,
    pool: Arc<dyn MemoryPool>,
}

impl Attempt {
    fn new(config: SessionConfig) -> Self {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(256 << 20));
        let log = Arc::new(TaskLog::default());
        let cancel = CancellationToken::new();
        let module = SANDBOX.load(&COMPONENT).unwrap();
        let functions = Functions::for_task(
            [(module.digest(), module)].into(),
            TaskFunctions {
                pool: Arc::clone(&pool),
                log: Arc::clone(&log),
                cancel: cancel.clone(),
                limits: Limits::default(),
            },
        );
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool))
            .build_arc()
            .unwrap();
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_query_planner(Arc::new(Planner))
            .build();
        let session = SessionContext::new_with_state(state);
        for name in ["add", "parse", "shout", "divide", "spin"] {
            session.register_udf(function(&functions, name).scalar_udf().unwrap().as_ref().clone());
        }
        for name in ["median", "weighted_mean"] {
            session.register_udaf(function(&functions, name).aggregate_udf().unwrap().as_ref().clone());
        }
        session.register_table("t", Arc::new(table())).unwrap();
        Self {
            session,
            functions,
            log,
            cancel,
            pool,
        }
    }

    async fn sql(&self, query: &str) -> Result<Vec<RecordBatch>> {
        self.session.sql(query).await?.collect().await
    }

    async fn failure(&self, query: &str) -> Failure {
        classify(&self.sql(query).await.unwrap_err())
    }

    async fn plan(&self, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
        self.session.execute_logical_plan(plan).await?.collect().await
    }

    fn metrics(&self) -> TaskMetrics {
        let mut metrics = TaskMetrics::default();
        self.log.measure(&mut metrics);
        metrics
    }
}

fn function(functions: &Functions, name: &str) -> WasmFunction {
    functions.function(&reference(name)).unwrap()
}

fn reference(name: &str) -> WasmFunctionRef {
    WasmFunctionRef {
        module: Digest::of(&COMPONENT),
        function: name.to_owned(),
        config: "{}".to_owned(),
    }
}

/// 6 rows in 2 partitions.
fn table() -> MemTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("g", DataType::Utf8, false),
        Field::new("i", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("line", DataType::Utf8, true),
    ]));
    let batch = |g: [&str; 3], i: [Option<i32>; 3], x: [f64; 3], lines: [Option<&str>; 3]| {
        RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(StringArray::from(g.to_vec())),
                Arc::new(Int32Array::from(i.to_vec())),
                Arc::new(Float64Array::from(x.to_vec())),
                Arc::new(StringArray::from(lines.to_vec())),
            ],
        )
        .unwrap()
    };
    let one = batch(
        ["a", "b", "a"],
        [Some(1), None, Some(3)],
        [1.0, 2.0, 9.0],
        [Some("A b"), Some(""), None],
    );
    let two = batch(
        ["b", "a", "b"],
        [Some(4), Some(5), Some(6)],
        [4.0, 5.0, 6.0],
        [Some("7"), Some("c"), Some("STOP")],
    );
    MemTable::try_new(schema, vec![vec![one], vec![two]]).unwrap()
}

#[tokio::test]
async fn scalars_in_queries() {
    let attempt = Attempt::new(SessionConfig::new());
    // The arguments are cast from 32 bits; constants are passed on.
    let rows = attempt
        .sql("SELECT add(i, 10) AS s, shout(g) AS g FROM t ORDER BY i NULLS LAST")
        .await
        .unwrap();
    let expected = [
        "+----+---+",
        "| s  | g |",
        "+----+---+",
        "| 11 | A |",
        "| 13 | A |",
        "| 14 | B |",
        "| 15 | A |",
        "| 16 | B |",
        "|    | B |",
        "+----+---+",
    ];
    assert_batches_eq!(expected, &rows);
    let metrics = attempt.metrics();
    assert!(metrics.wasm_us > 0);
    let mut functions: Vec<&str> = metrics
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    functions.sort_unstable();
    assert_eq!(functions, ["add", "shout"]);
    let apart: u64 = metrics.functions.iter().map(|function| function.wasm_us).sum();
    assert!(metrics.wasm_us - apart <= 2, "{metrics:?}");
    let rows = attempt
        .sql("SELECT count(*) AS n FROM t WHERE add(i, 1) > 4")
        .await
        .unwrap();
    assert_batches_eq!(["+---+", "| n |", "+---+", "| 3 |", "+---+"], &rows);
}

#[tokio::test]
async fn constants_are_folded() {
    let attempt = Attempt::new(SessionConfig::new());
    let plan = attempt.session.sql("SELECT add(1, 2) AS s FROM t").await.unwrap();
    let plan = plan.into_optimized_plan().unwrap();
    assert!(plan.to_string().contains("Int64(3)"), "{plan}");
}

#[tokio::test]
async fn nothing_is_called_while_a_job_is_planned() {
    let module = SANDBOX.load(&COMPONENT).unwrap();
    let functions = Functions::for_planning([(module.digest(), module)].into());
    let session = SessionContext::new();
    // The one would never return.
    for name in ["spin", "add"] {
        session.register_udf(function(&functions, name).scalar_udf().unwrap().as_ref().clone());
    }
    let plan = session.sql("SELECT spin(1) AS a, add(1, 2) AS b").await.unwrap();
    let plan = plan.into_optimized_plan().unwrap().to_string();
    assert!(plan.contains("spin(") && plan.contains("add("), "{plan}");
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    let attempt = Attempt::new(SessionConfig::new());
    for (query, expected) in [
        (
            "SELECT add(i) FROM t",
            "function `add(a: Int64, b: Int64)` takes 2 arguments, and 1 are given",
        ),
        ("SELECT add(i, g) FROM t", "takes `b` as Int64, and Utf8"),
        ("SELECT add(i, x) FROM t", "takes `b` as Int64, and Float64"),
    ] {
        let error = attempt.sql(query).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = attempt.functions.function(&reference("ad")).unwrap_err().to_string();
    assert!(error.contains("no function `ad`; it has `add`"), "{error}");
    let error = function(&attempt.functions, "add")
        .aggregate_udf()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`add` is a scalar function and cannot be used as a aggregate"),
        "{error}"
    );
}

#[tokio::test]
async fn failures_name_function_and_rows() {
    let attempt = Attempt::new(SessionConfig::new());
    let failure = attempt
        .failure("SELECT parse(line) FROM t WHERE g = 'b' AND i > 5")
        .await;
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::User, "wasm_row_refused")
    );
    assert_eq!(failure.function.as_deref(), Some("parse"));
    assert_eq!(failure.rows, Some((0, 1)));
    assert_eq!(
        failure.message,
        "function `parse` refused row 0: invalid digit found in string"
    );

    let failure = attempt.failure("SELECT divide(i, i - 5) FROM t").await;
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::User, "wasm_trap"));
    assert_eq!(failure.function.as_deref(), Some("divide"));
    assert!(
        failure.message.contains("attempt to divide by zero"),
        "{}",
        failure.message
    );
    assert!(
        attempt
            .log
            .lines()
            .iter()
            .any(|line| line.message.contains("divide by zero"))
    );
    // The next query gets another instance.
    attempt.sql("SELECT divide(i, 2) FROM t").await.unwrap();
    assert_eq!(attempt.functions.modules().len(), 1);
}

#[tokio::test]
async fn memory_is_the_tasks() {
    let attempt = Attempt::new(SessionConfig::new());
    attempt.sql("SELECT shout(g) FROM t").await.unwrap();
    assert!(attempt.pool.reserved() > 0, "an idle instance is charged");
    let pool = Arc::clone(&attempt.pool);
    drop(attempt);
    assert_eq!(pool.reserved(), 0);
    let attempt = Attempt::new(SessionConfig::new());
    attempt
        .pool
        .try_grow(
            &datafusion::execution::memory_pool::MemoryConsumer::new("all").register(&attempt.pool),
            (256 << 20) - 1,
        )
        .unwrap();
    let failure = attempt.failure("SELECT shout(g) FROM t").await;
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Platform, "out_of_memory")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_ends_a_running_call() {
    let attempt = Attempt::new(SessionConfig::new());
    let cancel = attempt.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cancel.cancel();
    });
    let failure = attempt.failure("SELECT spin(1)").await;
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Cancelled, "cancelled")
    );
}

#[tokio::test]
async fn aggregates_in_every_phase() {
    let expected = [
        "+---+-----+-----+-----+",
        "| g | m   | f   | w   |",
        "+---+-----+-----+-----+",
        "| a | 5.0 | 9.0 | 5.0 |",
        "| b | 4.0 | 6.0 | 4.0 |",
        "+---+-----+-----+-----+",
    ];
    let query = "SELECT g, median(x) AS m, median(x) FILTER (WHERE x > 5) AS f, weighted_mean(x, NULL) AS w \
                 FROM t GROUP BY g ORDER BY g";
    // One phase, two phases, and two where the first gives up and passes every row on as a state.
    let skipping = SessionConfig::new()
        .with_target_partitions(2)
        .set_u64("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", 1)
        .set_str(
            "datafusion.execution.skip_partial_aggregation_probe_ratio_threshold",
            "0.0",
        );
    for config in [
        SessionConfig::new().with_target_partitions(1),
        SessionConfig::new().with_target_partitions(4),
        skipping,
    ] {
        let attempt = Attempt::new(config);
        assert_batches_eq!(expected, &attempt.sql(query).await.unwrap());
        assert_eq!(attempt.pool.reserved(), 0, "the states are given back");
    }
}

#[tokio::test]
async fn aggregates_without_groups_or_rows() {
    for partitions in [1, 4] {
        let attempt = Attempt::new(SessionConfig::new().with_target_partitions(partitions));
        let rows = attempt.sql("SELECT median(x) AS m FROM t").await.unwrap();
        assert_batches_eq!(["+-----+", "| m   |", "+-----+", "| 5.0 |", "+-----+"], &rows);
        let rows = attempt.sql("SELECT median(x) AS m FROM t WHERE x > 100").await.unwrap();
        assert_batches_eq!(["+---+", "| m |", "+---+", "|   |", "+---+"], &rows);
    }
    let attempt = Attempt::new(SessionConfig::new());
    let failure = attempt.failure("SELECT median(x + 'NaN'::double) FROM t").await;
    assert_eq!(failure.code, "wasm_row_refused");
    let error = attempt
        .sql("SELECT median(x) OVER (ORDER BY x) FROM t")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("over a window"), "{error}");
    let error = attempt
        .sql("SELECT median(DISTINCT x), sum(DISTINCT i) FROM t")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("with DISTINCT"), "{error}");
}

async fn words(attempt: &Attempt, spec: FlatMapSpec) -> LogicalPlan {
    let input = attempt.session.table("t").await.unwrap().into_unoptimized_plan();
    flat_map(
        function(&attempt.functions, "words"),
        spec,
        input,
        vec![col("i"), col("line")],
    )
    .unwrap()
}

#[tokio::test]
async fn flat_maps_give_rows_of_their_main_output() {
    let attempt = Attempt::new(SessionConfig::new());
    let words = words(&attempt, FlatMapSpec::main()).await;
    let plan = LogicalPlanBuilder::from(words)
        .filter(col("line").lt(lit(6i64)))
        .unwrap()
        .build()
        .unwrap();
    // Only the columns of the arguments are read.
    let physical = attempt.session.state().create_physical_plan(&plan).await.unwrap();
    let shown = displayable(physical.as_ref()).indent(true).to_string();
    assert!(shown.contains("WasmFlatMapExec: words("), "{shown}");
    assert!(!shown.contains("x@"), "{shown}");

    let error = attempt.plan(plan).await.unwrap_err();
    let failure = classify(&error);
    assert_eq!(
        (failure.code.as_str(), failure.rows),
        ("wasm_row_refused", Some((2, 3)))
    );
    assert_eq!(failure.function.as_deref(), Some("words"));
}

#[tokio::test]
async fn flat_maps_give_several_outputs_and_errors() {
    let attempt = Attempt::new(SessionConfig::new().with_batch_size(1));
    let spec = FlatMapSpec::named(function(&attempt.functions, "words").description(), ["main", "empty"]).unwrap();
    let words = words(
        &attempt,
        FlatMapSpec {
            errors: true,
            counts: true,
            ..spec
        },
    )
    .await;
    let plan = LogicalPlanBuilder::from(words)
        .project(vec![
            col("kind"),
            col("main"),
            col("empty"),
            col("error"),
            col("counts"),
        ])
        .unwrap()
        .sort(vec![
            col("kind").sort(true, true),
            col("main").sort(true, true),
            col("counts").sort(true, true),
        ])
        .unwrap()
        .build()
        .unwrap();
    let rows = attempt.plan(plan).await.unwrap();
    let shown = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    let shown: Vec<String> = shown
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("kind"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "| 0 | {word: 7, line: 4} | | | |",
        "| 0 | {word: a, line: 1} | | | |",
        "| 0 | {word: b, line: 1} | | | |",
        "| 0 | {word: c, line: 5} | | | |",
        "| 2 | | | {element: {g: b, i: 6, x: 6.0, line: STOP}, msg: line 6 says stop, stack: } | |",
        // Batches of one row come in.
        "| 3 | | | | {total: 1, bad: 0} |",
        "| 3 | | | | {total: 1, bad: 0} |",
        "| 3 | | | | {total: 1, bad: 0} |",
        "| 3 | | | | {total: 1, bad: 0} |",
        "| 3 | | | | {total: 1, bad: 0} |",
        "| 3 | | | | {total: 1, bad: 1} |",
    ];
    assert_eq!(shown, expected);
    assert!(rows.iter().all(|batch| batch.num_rows() <= 1));
    assert_eq!(attempt.metrics().user["words.words"], MetricValue::Counter { value: 4 });
    assert_eq!(attempt.pool.reserved(), 0);
}

#[tokio::test]
async fn outputs_that_are_not_there_are_named() {
    let attempt = Attempt::new(SessionConfig::new());
    let error = FlatMapSpec::named(function(&attempt.functions, "words").description(), ["mian"]).unwrap_err();
    assert!(
        error.to_string().contains("no output `mian`; it has main, empty"),
        "{error}"
    );
}

#[tokio::test]
async fn plans_name_functions_by_module_and_configuration() {
    let attempt = Attempt::new(SessionConfig::new());
    let add = function(&attempt.functions, "add").scalar_udf().unwrap();
    let reference = scalar_reference(&add).unwrap();
    assert_eq!(reference, &self::reference("add"));
    let travelled: WasmFunctionRef = serde_json::from_str(&serde_json::to_string(reference).unwrap()).unwrap();
    assert_eq!(
        attempt.functions.function(&travelled).unwrap().scalar_udf().unwrap(),
        add
    );
    let other = WasmFunctionRef {
        config: "{\"a\": 1}".to_owned(),
        ..travelled
    };
    assert_ne!(attempt.functions.function(&other).unwrap().scalar_udf().unwrap(), add);
}

#[tokio::test]
async fn modules_come_from_storage() {
    let storage = Storage::new(Arc::new(object_store::memory::InMemory::new()));
    let digest = Digest::of(&COMPONENT);
    // A sandbox of its own, which has loaded nothing.
    let sandbox = Arc::new(
        Sandbox::new(SandboxOptions {
            max_instances: 2,
            ..SandboxOptions::default()
        })
        .unwrap(),
    );
    let error = load_modules(&sandbox, &storage, &Namespace::default(), [digest])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ModuleError::Storage { .. }) && !error.is_user(),
        "{error}"
    );
    storage
        .put(
            &layout::module_key(&Namespace::default(), &digest),
            "something else".into(),
        )
        .await
        .unwrap();
    let error = load_modules(&sandbox, &storage, &Namespace::default(), [digest])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ModuleError::Damaged { .. }) && !error.is_user(),
        "{error}"
    );

    storage
        .put(
            &layout::module_key(&Namespace::default(), &digest),
            COMPONENT.clone().into(),
        )
        .await
        .unwrap();
    let modules = load_modules(&sandbox, &storage, &Namespace::default(), [digest])
        .await
        .unwrap();
    assert_eq!(modules.modules[&digest].digest(), digest);
    let bad = Digest::of(b"no component");
    storage
        .put(&layout::module_key(&Namespace::default(), &bad), "no component".into())
        .await
        .unwrap();
    let error = load_modules(&sandbox, &storage, &Namespace::default(), [digest, bad])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ModuleError::Sandbox { .. }) && error.is_user(),
        "{error}"
    );
}
