//! What is written is what is read, for every type and however it got there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float64Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch, RecordBatchOptions, StringArray,
    StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use proptest::prelude::*;
use weir_model::{InputRef, RunId, ShuffleObject, StageId, StageManifest, Timestamp, layout};
use weir_platform::Storage;

use super::{LostObjects, ShuffleInputs, ShuffleMetrics, ShuffleReaderExec, ShuffleWriter};
use crate::cache::Cache;

const STAGE: StageId = StageId(7);

fn run_id() -> RunId {
    RunId::from_parts(Timestamp(1), 2)
}

/// A stage's shuffle in memory, and tasks that write and read it.
struct Fixture {
    storage: Storage,
    schema: SchemaRef,
    batch_rows: usize,
    memory: usize,
}

impl Fixture {
    fn new(schema: SchemaRef) -> Self {
        Self {
            storage: Storage::new(Arc::new(InMemory::new())),
            schema,
            batch_rows: 16,
            memory: 64 << 20,
        }
    }

    fn context(&self) -> Arc<TaskContext> {
        let input = InputRef {
            stage: STAGE,
            stage_attempt: 3,
        };
        let inputs = ShuffleInputs::new(self.storage.clone(), run_id(), Arc::new(Cache::new(1 << 20)), &[input]);
        let config = SessionConfig::new()
            .with_batch_size(self.batch_rows)
            .with_extension(Arc::new(inputs));
        let pool = Arc::new(GreedyMemoryPool::new(self.memory));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime))
    }

    async fn write(
        &self,
        name: &str,
        batches: &[RecordBatch],
        partitioning: Partitioning,
    ) -> (Option<ShuffleObject>, Arc<ShuffleMetrics>) {
        let metrics = Arc::new(ShuffleMetrics::default());
        let schema = Arc::clone(&self.schema);
        let mut writer =
            ShuffleWriter::partitioned(schema, partitioning, &self.context(), Arc::clone(&metrics)).unwrap();
        for batch in batches {
            writer.write(batch.clone()).await.unwrap();
        }
        (writer.finish(&self.storage, name.to_owned()).await.unwrap(), metrics)
    }

    async fn publish(&self, objects: &[ShuffleObject]) {
        let key = layout::manifest_key(run_id(), STAGE, 3);
        self.storage
            .put(&key, StageManifest::new(objects).to_bytes().into())
            .await
            .unwrap();
    }

    async fn read(&self, reader: &ShuffleReaderExec, partition: usize) -> Result<Vec<RecordBatch>> {
        reader.execute(partition, self.context())?.try_collect().await
    }

    fn reader(&self, partitions: usize) -> ShuffleReaderExec {
        let equivalences = EquivalenceProperties::new(Arc::clone(&self.schema));
        ShuffleReaderExec::new(STAGE, Partitioning::UnknownPartitioning(partitions), equivalences)
    }

    fn gatherer(&self, partitions: usize) -> ShuffleReaderExec {
        ShuffleReaderExec::gather(STAGE, partitions as u32, Arc::clone(&self.schema))
    }
}

fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| format!("{}|", column.value(row))).collect());
        }
    }
    rows
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

type Row = (Option<i64>, Option<String>, Option<bool>, Option<Vec<Option<i32>>>, f64);

/// A column of every kind, all made of the same rows.
fn batch(rows: &[Row]) -> RecordBatch {
    let numbers = || rows.iter().map(|row| row.0);
    let texts = || rows.iter().map(|row| row.1.as_deref());
    let lists = rows.iter().map(|row| row.3.clone());
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let text: ArrayRef = Arc::new(StringArray::from_iter(texts()));
    let number: ArrayRef = Arc::new(Int64Array::from_iter(numbers()));
    let nested = StructArray::from(vec![
        (Arc::new(Field::new("text", DataType::Utf8, true)), Arc::clone(&text)),
        (
            Arc::new(Field::new("list", list.data_type().clone(), true)),
            Arc::new(list.clone()) as ArrayRef,
        ),
    ]);
    let fixed = rows.iter().map(|row| row.0.map(i64::to_le_bytes));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("number", number),
        ("text", text),
        ("large", Arc::new(LargeStringArray::from_iter(texts()))),
        ("view", Arc::new(StringViewArray::from_iter(texts()))),
        ("dictionary", Arc::new(texts().collect::<DictionaryArray<Int32Type>>())),
        (
            "bytes",
            Arc::new(texts().map(|text| text.map(str::as_bytes)).collect::<BinaryArray>()),
        ),
        ("bool", Arc::new(rows.iter().map(|row| row.2).collect::<BooleanArray>())),
        (
            "float",
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.4))),
        ),
        (
            "date",
            Arc::new(Date32Array::from_iter(
                numbers().map(|n| n.map(|n| (n % 100_000) as i32)),
            )),
        ),
        ("time", {
            let times = numbers().map(|n| n.map(|n| n % 1_000_000_000_000_000));
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("+01:00"))
        }),
        ("decimal", {
            let decimals = Decimal128Array::from_iter(numbers().map(|n| n.map(i128::from)));
            Arc::new(decimals.with_precision_and_scale(30, 4).unwrap())
        }),
        (
            "fixed",
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 8).unwrap()),
        ),
        ("list", Arc::new(list)),
        ("nested", Arc::new(nested)),
        ("nothing", Arc::new(NullArray::new(rows.len()))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let text = proptest::option::of("[a-cé]{0,20}");
    let list = proptest::option::of(proptest::collection::vec(proptest::option::of(any::<i32>()), 0..4));
    let row = (
        proptest::option::of(any::<i64>()),
        text,
        proptest::option::of(any::<bool>()),
        list,
        -1e9..1e9,
    );
    proptest::collection::vec(row, 0..60)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Several tasks write, several partitions read; nothing is lost, doubled or changed, and equal keys meet.
    #[test]
    fn rows_come_out_as_they_went_in(
        tasks in proptest::collection::vec(proptest::collection::vec(any_rows(), 0..4), 1..4),
        partitions in 1_usize..5,
        tight in any::<bool>(),
    ) {
        let schema = batch(&[]).schema();
        let mut fixture = Fixture::new(Arc::clone(&schema));
        if tight {
            // Too little for more than a few encoded batches: the rest spills.
            fixture.memory = 24 << 10;
        }
        block_on(async {
            let mut objects = Vec::new();
            let mut written = Vec::new();
            for (task, chunks) in tasks.iter().enumerate() {
                let batches: Vec<_> = chunks.iter().map(|rows| batch(rows)).collect();
                let key = Partitioning::Hash(vec![col("text", &schema).unwrap()], partitions);
                let (object, _) = fixture.write(&format!("object-{task}"), &batches, key).await;
                let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
                assert_eq!(object.is_some(), count > 0);
                objects.extend(object);
                written.extend(rows(&batches));
            }
            fixture.publish(&objects).await;
            // Reading is charged as well, and must not fail for the writer's limit.
            fixture.memory = 64 << 20;
            let reader = fixture.reader(partitions);
            let mut read = Vec::new();
            let mut homes = std::collections::HashMap::new();
            for partition in 0..partitions {
                let batches = fixture.read(&reader, partition).await.unwrap();
                for batch in &batches {
                    assert_eq!(batch.schema(), schema);
                    for text in rows(&[batch.project(&[1]).unwrap()]) {
                        assert_eq!(*homes.entry(text).or_insert(partition), partition);
                    }
                }
                read.extend(rows(&batches));
            }
            let written = sorted(written);
            assert_eq!(sorted(read), written);
            let gathered = fixture.read(&fixture.gatherer(partitions), 0).await.unwrap();
            assert_eq!(sorted(rows(&gathered)), written);
        });
    }
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn by_number(schema: &Schema, partitions: usize) -> Partitioning {
    Partitioning::Hash(vec![col("n", schema).unwrap()], partitions)
}

/// A join may have a shuffle on one side and an exchange of DataFusion's on the other.
#[tokio::test]
async fn rows_are_assigned_as_datafusion_assigns_them() {
    let batch = numbers(0..1000);
    let schema = batch.schema();
    let fixture = Fixture::new(Arc::clone(&schema));
    let source = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], Arc::clone(&schema), None).unwrap();
    let exchange = RepartitionExec::try_new(source, by_number(&schema, 5)).unwrap();
    let (object, _) = fixture.write("object", &[batch], by_number(&schema, 5)).await;
    fixture.publish(&[object.unwrap()]).await;
    for partition in 0..5 {
        let expected: Vec<_> = exchange
            .execute(partition, Arc::default())
            .unwrap()
            .try_collect::<Vec<_>>()
            .await
            .unwrap();
        let read = fixture.read(&fixture.reader(5), partition).await.unwrap();
        assert_eq!(sorted(rows(&read)), sorted(rows(&expected)), "partition {partition}");
    }
}

#[tokio::test]
async fn small_batches_are_put_together() {
    let batches: Vec<_> = (0..100).map(|n| numbers([n])).collect();
    let schema = batches[0].schema();
    let fixture = Fixture::new(Arc::clone(&schema));
    let (object, metrics) = fixture.write("object", &batches, by_number(&schema, 1)).await;
    fixture.publish(&[object.unwrap()]).await;
    let read = fixture.read(&fixture.reader(1), 0).await.unwrap();
    assert_eq!(read.len(), 100_usize.div_ceil(fixture.batch_rows));
    assert_eq!(concat_batches(&schema, &read).unwrap(), numbers(0..100));
    assert_eq!(metrics.rows.load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn what_does_not_fit_in_memory_is_spilled() {
    let batches: Vec<_> = (0..64)
        .map(|n| numbers((0..1024).map(|m| (n * 1024 + m) * 0x5851_f42d)))
        .collect();
    let schema = batches[0].schema();
    let mut fixture = Fixture::new(Arc::clone(&schema));
    fixture.batch_rows = 1024;
    fixture.memory = 100 << 10;
    let (object, metrics) = fixture.write("object", &batches, by_number(&schema, 3)).await;
    let object = object.unwrap();
    assert!(metrics.spilled_bytes.load(Ordering::Relaxed) > 100 << 10, "{metrics:?}");
    let index_end = object.index.last().map(|span| span.offset + span.length).unwrap();
    let stored = fixture.storage.get("object").await.unwrap();
    assert_eq!(stored.len() as u64, index_end);
    fixture.publish(&[object]).await;
    fixture.memory = 64 << 20;
    let read = fixture.read(&fixture.gatherer(3), 0).await.unwrap();
    assert_eq!(sorted(rows(&read)), sorted(rows(&batches)));
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let schema = Arc::new(Schema::empty());
    let fixture = Fixture::new(Arc::clone(&schema));
    let options = RecordBatchOptions::new().with_row_count(Some(100));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
    let (object, _) = fixture
        .write("object", &[batch], Partitioning::UnknownPartitioning(1))
        .await;
    fixture.publish(&[object.unwrap()]).await;
    let read = fixture.read(&fixture.gatherer(1), 0).await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
}

#[tokio::test]
async fn what_filtered_views_do_not_show_is_not_written() {
    let long = "x".repeat(1000);
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(
        (0..1000).map(|n| format!("{n}{long}")),
    ));
    let batch = RecordBatch::try_from_iter([("v", views)]).unwrap().slice(10, 9);
    let fixture = Fixture::new(batch.schema());
    let (object, _) = fixture
        .write(
            "object",
            std::slice::from_ref(&batch),
            Partitioning::UnknownPartitioning(1),
        )
        .await;
    let span = object.as_ref().unwrap().index[0];
    assert!(span.length < 20_000, "{span:?}");
    fixture.publish(&[object.unwrap()]).await;
    assert_eq!(
        rows(&fixture.read(&fixture.reader(1), 0).await.unwrap()),
        rows(&[batch])
    );
}

#[tokio::test]
async fn a_restricted_reader_reads_its_range() {
    let batch = numbers(0..200);
    let schema = batch.schema();
    let fixture = Fixture::new(Arc::clone(&schema));
    let (object, _) = fixture.write("object", &[batch], by_number(&schema, 8)).await;
    fixture.publish(&[object.unwrap()]).await;
    let whole = fixture.reader(8);
    let part = whole.restricted(2..5);
    for partition in 0..3 {
        let expected = rows(&fixture.read(&whole, partition + 2).await.unwrap());
        assert_eq!(rows(&fixture.read(&part, partition).await.unwrap()), expected);
    }
    assert!(part.execute(3, fixture.context()).is_err());
}

fn lost(error: &DataFusionError) -> &LostObjects {
    match error {
        DataFusionError::External(error) => error.downcast_ref().expect("objects are lost"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn lost_objects_are_named_all_at_once() {
    let schema = numbers([]).schema();
    let fixture = Fixture::new(Arc::clone(&schema));
    let mut objects = Vec::new();
    for name in ["a", "b", "c"] {
        objects.extend(fixture.write(name, &[numbers(0..50)], by_number(&schema, 2)).await.0);
    }
    fixture.publish(&objects).await;
    fixture
        .storage
        .delete(vec!["a".to_owned(), "c".to_owned()])
        .await
        .unwrap();
    let error = fixture.read(&fixture.reader(2), 1).await.unwrap_err();
    let lost = &lost(&error).lost;
    assert_eq!((lost.stage, lost.stage_attempt), (STAGE, 3));
    assert_eq!(lost.objects, ["a", "c"]);
}

#[tokio::test]
async fn a_damaged_object_is_an_error() {
    let schema = numbers([]).schema();
    let fixture = Fixture::new(Arc::clone(&schema));
    let (object, _) = fixture.write("object", &[numbers(0..50)], by_number(&schema, 1)).await;
    let mut object = object.unwrap();
    // One message too few.
    object.index[0].rows += 1;
    fixture.publish(&[object.clone()]).await;
    let error = fixture.read(&fixture.reader(1), 0).await.unwrap_err();
    assert!(
        error.to_string().contains("should have 51 rows here, but 50 were read"),
        "{error}"
    );
    // A message cut short.
    object.index[0].length -= 8;
    fixture.publish(&[object]).await;
    assert!(fixture.read(&fixture.reader(1), 0).await.is_err());
}
