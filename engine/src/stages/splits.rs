//! Which part of its Parquet files each partition of a scan reads.
//!
//! DataFusion cuts the files, laid end to end, into byte ranges of one size. A row group belongs to the range that it
//! starts in, so a range that ends just behind the start of a file has a whole row group more than its size says, and
//! another nothing at all. In one process its partitions take work from each other; tasks cannot.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::catalog::memory::DataSourceExec;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};

/// Files per partition from which on they are small enough to be left whole, so that nobody needs to know their row
/// groups.
const WHOLE_FILES: usize = 8;
/// Footers read at once; most are in the cache, since planning looked at the statistics in them.
const CONCURRENT_FOOTERS: usize = 16;

/// The footers of files, by where they lie.
type Footers = HashMap<(ObjectStoreUrl, Path), Arc<ParquetMetaData>>;

/// A piece of a file that is read as a whole: a row group, or the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// In the list of files.
    file: usize,
    /// The bytes whose row groups these are.
    start: u64,
    end: u64,
    /// Bytes to read.
    bytes: u64,
}

/// The same plan, whose scans of several partitions have their row groups spread evenly over these. Rows stay in the
/// order of their files. There are fewer partitions when there are fewer row groups.
///
/// # Errors
/// When a footer cannot be read.
pub(super) async fn balance(plan: Arc<dyn ExecutionPlan>, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let footers = footers(&plan, session).await?;
    plan.transform_up(|node| {
        let Some((scan, files)) = splittable(&node) else {
            return Ok(Transformed::no(node));
        };
        let mut pieces = Vec::new();
        for (file, whole) in files.iter().enumerate() {
            let place = (scan.object_store_url.clone(), whole.object_meta.location.clone());
            add_pieces(file, &whole.object_meta, footers.get(&place), &mut pieces);
        }
        let groups = split(&pieces, scan.file_groups.len());
        let groups = groups.into_iter().map(|pieces| file_group(&files, pieces)).collect();
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(groups)
            .build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as _))
    })
    .data()
}

/// The footers of the files whose row groups matter.
async fn footers(plan: &Arc<dyn ExecutionPlan>, session: &dyn Session) -> Result<Footers> {
    let mut wanted: HashMap<(ObjectStoreUrl, Path), ObjectMeta> = HashMap::new();
    plan.apply(|node| {
        if let Some((scan, files)) = splittable(node)
            && files.len() < scan.file_groups.len().saturating_mul(WHOLE_FILES)
        {
            wanted.extend(files.into_iter().map(|file| {
                let place = (scan.object_store_url.clone(), file.object_meta.location.clone());
                (place, file.object_meta)
            }));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let runtime = session.runtime_env();
    stream::iter(wanted)
        .map(|(place, file)| async move {
            let store = runtime.object_store(&place.0)?;
            let footer = DFParquetMetadata::new(store.as_ref(), &file)
                .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
                .with_page_index_policy(Some(PageIndexPolicy::Skip))
                .fetch_metadata()
                .await?;
            Ok((place, footer))
        })
        .buffer_unordered(CONCURRENT_FOOTERS)
        .try_collect()
        .await
}

/// A scan of whole Parquet files in several partitions that may be any; and the files, in order.
fn splittable(plan: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, Vec<PartitionedFile>)> {
    let scan: &FileScanConfig = plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()?;
    let free = scan.file_source.downcast_ref::<ParquetSource>().is_some()
        && scan.file_groups.len() > 1
        && scan.output_partitioning.is_none()
        && scan.output_ordering.is_empty()
        && !scan.preserve_order;
    if !free {
        return None;
    }
    let mut files: Vec<PartitionedFile> = Vec::new();
    let mut end = 0;
    for file in scan.file_groups.iter().flat_map(FileGroup::iter) {
        let range = file.range();
        match files.last_mut() {
            Some(last) if end < last.object_meta.size => {
                if last.object_meta.location != file.object_meta.location || range.0 != end {
                    return None;
                }
            }
            _ if range.0 != 0 => return None,
            _ => {
                let mut whole = file.clone();
                whole.range = None;
                files.push(whole);
            }
        }
        end = range.1;
    }
    let complete = files.last().is_some_and(|last| end == last.object_meta.size);
    complete.then_some((scan, files))
}

/// Adds the row groups of a file, or the file when they are not known or do not follow each other.
fn add_pieces(file: usize, meta: &ObjectMeta, footer: Option<&Arc<ParquetMetaData>>, pieces: &mut Vec<Piece>) {
    let groups = footer.map_or(&[][..], |footer| footer.row_groups());
    let mut starts: Vec<u64> = groups.iter().map(start).collect();
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    if starts.is_empty() || !starts.is_sorted() || starts.last().is_some_and(|last| *last >= meta.size) {
        pieces.push(Piece {
            file,
            start: 0,
            end: meta.size,
            bytes: meta.size,
        });
        return;
    }
    let ends = starts.iter().copied().skip(1).chain([meta.size]);
    let ranges = starts.iter().zip(ends).zip(groups);
    pieces.extend(ranges.map(|((start, end), group)| Piece {
        file,
        start: *start,
        end,
        bytes: u64::try_from(group.compressed_size()).unwrap_or(0),
    }));
}

/// Where a row group starts, as the scan sees it: at the first page of its first column.
fn start(group: &RowGroupMetaData) -> u64 {
    let start = group.columns().first().map_or(0, |column| {
        column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset())
    });
    u64::try_from(start).unwrap_or(0)
}

/// Cuts a list of pieces into at most `parts` runs, none empty, of which the largest is as small as can be.
fn split(pieces: &[Piece], parts: usize) -> Vec<&[Piece]> {
    let total: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    // The smallest limit of a run under which they suffice.
    let mut low = pieces.iter().map(|piece| piece.bytes).max().unwrap_or(0);
    let mut high = total.max(low);
    while low < high {
        let limit = low + (high - low) / 2;
        if runs(pieces, limit, parts).is_some() {
            high = limit;
        } else {
            low = limit + 1;
        }
    }
    runs(pieces, low, parts).unwrap_or_else(|| vec![pieces])
}

/// Runs of at most `limit` bytes, unless that takes more than `parts`. None is empty; when pieces would be too few for
/// the parts that are left, each gets one of its own.
fn runs(pieces: &[Piece], limit: u64, parts: usize) -> Option<Vec<&[Piece]>> {
    let mut runs = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        let left = parts.checked_sub(runs.len()).filter(|left| *left > 0)?;
        let most = rest.len().saturating_sub(left - 1).max(1);
        let mut bytes = 0_u64;
        let fitting = rest[..most].iter().take_while(|piece| {
            bytes = bytes.saturating_add(piece.bytes);
            bytes <= limit
        });
        let (run, others) = rest.split_at(fitting.count().max(1));
        runs.push(run);
        rest = others;
    }
    Some(runs)
}

/// The files of a run. Neighbours in one file become one range.
fn file_group(files: &[PartitionedFile], run: &[Piece]) -> FileGroup {
    let ranges = run.chunk_by(|one, next| one.file == next.file);
    let ranges = ranges.filter_map(|pieces| {
        let (first, last) = (pieces.first()?, pieces.last()?);
        let file = &files[first.file];
        let whole = first.start == 0 && last.end == file.object_meta.size;
        Some(match whole {
            true => file.clone(),
            false => file.clone().with_range(first.start as i64, last.end as i64),
        })
    });
    FileGroup::new(ranges.collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::execution::context::SessionContext;
    use datafusion::physical_plan::ExecutionPlanProperties;
    use datafusion::prelude::ParquetReadOptions;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use weir_model::RunSettings;

    use super::*;
    use crate::io::Stores;
    use crate::session;

    fn pieces(bytes: &[u64]) -> Vec<Piece> {
        let piece = |(file, bytes): (usize, &u64)| Piece {
            file,
            start: 0,
            end: *bytes,
            bytes: *bytes,
        };
        bytes.iter().enumerate().map(piece).collect()
    }

    #[track_caller]
    fn check(bytes: &[u64], parts: usize, expected: &[&[u64]]) {
        let pieces = pieces(bytes);
        let sizes = split(&pieces, parts)
            .into_iter()
            .map(|run| run.iter().map(|piece| piece.bytes).collect::<Vec<_>>());
        assert_eq!(sizes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_largest_run_is_as_small_as_can_be() {
        check(&[7, 3, 7, 3], 2, &[&[7, 3], &[7, 3]]);
        check(&[1, 1, 1, 9, 1, 1], 3, &[&[1, 1, 1], &[9], &[1, 1]]);
        check(&[5, 5, 5, 5, 5], 3, &[&[5, 5], &[5, 5], &[5]]);
    }

    #[test]
    fn no_run_is_empty() {
        check(&[100, 1, 1], 3, &[&[100], &[1], &[1]]);
        check(&[1, 1, 100], 3, &[&[1], &[1], &[100]]);
        check(&[4, 4], 3, &[&[4], &[4]]);
        check(&[0, 0, 0], 2, &[&[0, 0], &[0]]);
        check(&[], 4, &[]);
    }

    /// Writes numbers from `first` on, in row groups of these sizes.
    fn write(path: &std::path::Path, first: i64, groups: &[usize]) -> i64 {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema.clone(), Some(properties)).unwrap();
        let mut next = first;
        for rows in groups {
            let end = next + *rows as i64;
            let column = Int64Array::from_iter_values(next..end);
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).unwrap();
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
            next = end;
        }
        writer.close().unwrap();
        next
    }

    /// Rows of each partition of a scan of files with row groups of these sizes. The numbers in them come in order.
    async fn partitions(files: &[&[usize]], target_partitions: u32) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let mut next = 0;
        for (number, groups) in files.iter().enumerate() {
            next = write(&folder.path().join(format!("{number:03}.parquet")), next, groups);
        }
        let stores = Stores::new(weir_platform::s3::S3::from_environment(false), true);
        let runtime = session::runtime(1 << 30, &folder.path().join("spill"), stores).unwrap();
        let settings = RunSettings {
            target_partitions,
            ..RunSettings::default()
        };
        let context: SessionContext = session::planning(&runtime, &settings).unwrap();
        context
            .register_parquet("t", folder.path().to_str().unwrap(), ParquetReadOptions::default())
            .await
            .unwrap();
        // The files of a test are small.
        let options = "set datafusion.optimizer.repartition_file_min_size = 0";
        context.sql(options).await.unwrap().collect().await.unwrap();
        let plan = context.sql("select n from t").await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let plan = balance(plan, &context.state()).await.unwrap();
        let count = plan.output_partitioning().partition_count();
        let mut expected = 0..next;
        let mut rows = Vec::new();
        for partition in 0..count {
            let batches = plan.execute(partition, context.task_ctx()).unwrap();
            let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
            rows.push(batches.iter().map(RecordBatch::num_rows).sum());
            for batch in batches {
                let numbers = batch.column(0).as_primitive::<Int64Type>();
                assert!(
                    numbers
                        .values()
                        .iter()
                        .eq(expected.by_ref().take(batch.num_rows()).collect::<Vec<_>>().iter())
                );
            }
        }
        assert!(expected.is_empty(), "some rows are in no partition");
        rows
    }

    #[tokio::test]
    async fn files_of_one_size_get_a_partition_each() {
        // Cut by bytes, the first row group of each file but the first would go to the partition before.
        let file: &[usize] = &[7000, 3000];
        assert_eq!(partitions(&[file; 4], 4).await, [10_000; 4]);
        assert_eq!(partitions(&[file; 4], 2).await, [20_000; 2]);
    }

    #[tokio::test]
    async fn one_file_is_cut_at_its_row_groups() {
        assert_eq!(partitions(&[&[1000; 16]], 4).await, [4000; 4]);
        assert_eq!(partitions(&[&[9000, 1000, 1000, 1000]], 2).await, [9000, 3000]);
    }

    #[tokio::test]
    async fn there_are_no_more_partitions_than_row_groups() {
        assert_eq!(partitions(&[&[20_000]], 4).await, [20_000]);
        assert_eq!(partitions(&[&[20_000, 100], &[50]], 16).await, [20_000, 100, 50]);
    }

    #[tokio::test]
    async fn many_small_files_stay_whole() {
        let files = [&[300_usize, 200][..]; 64];
        assert_eq!(partitions(&files, 4).await, [8000; 4]);
    }
}
