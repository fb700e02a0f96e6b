//! All TPC-H queries give the rows of single-process DataFusion, whatever the number of partitions.

use std::path::Path;
use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use tempfile::TempDir;

use crate::driver::{Driver, MEMORY_BYTES, sql};
use crate::tpch_data::{QUERIES, TABLES, generate};

const SCALE: f64 = 0.02;
/// Files of each large table.
const PARTS: i32 = 3;

pub(crate) fn data() -> &'static Path {
    static DATA: OnceLock<TempDir> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path(), SCALE, PARTS).unwrap();
        folder
    })
    .path()
}

/// Rows as text; floats rounded, since sums over other groupings round otherwise.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let Some(first) = batches.first() else { return vec![] };
    let batch = concat_batches(&first.schema(), batches).unwrap();
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let cell = |column: &ArrayFormatter<'_>, row| column.value(row).to_string();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| cell(column, row))
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

/// The tables in single-process DataFusion.
pub(crate) async fn context() -> SessionContext {
    let context = SessionContext::new();
    for table in TABLES {
        let path = data().join(table);
        context
            .register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default())
            .await
            .unwrap();
    }
    context
}

async fn check(number: usize) {
    let query = QUERIES[number - 1];
    let expected = context().await.sql(query).await.unwrap().collect().await.unwrap();
    let expected = rows(&expected);
    assert!(!expected.is_empty(), "query {number} has no rows at this scale");
    let tables = TABLES.map(|table| (table, data().join(table).to_str().unwrap().to_owned()));
    let driver = Driver::new(MEMORY_BYTES);
    for partitions in [1, 4, 16] {
        let result = driver.rows(&sql(query, &tables, partitions)).await;
        let result = result.unwrap_or_else(|e| panic!("query {number} at {partitions} partitions: {e:?}"));
        // The order of every query with one is total, so rows are compared in order.
        assert_eq!(rows(&result), expected, "query {number} at {partitions} partitions");
    }
}

macro_rules! queries {
    ($($name:ident: $number:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                check($number).await;
            }
        )*
    };
}

queries! {
    q01: 1, q02: 2, q03: 3, q04: 4, q05: 5, q06: 6, q07: 7, q08: 8, q09: 9, q10: 10, q11: 11,
    q12: 12, q13: 13, q14: 14, q15: 15, q16: 16, q17: 17, q18: 18, q19: 19, q20: 20, q21: 21, q22: 22,
}
