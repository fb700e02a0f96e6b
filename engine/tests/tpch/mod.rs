//! TPC-H: its data, by the `tpchgen` generators, and its queries with the validation parameters of the specification.
//! Where the specification leaves ties open, the order is completed so that results can be compared.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Rows of a generated batch.
const BATCH_ROWS: usize = 8192;

/// The tables.
pub(crate) const TABLES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// The queries, the first at zero.
pub(crate) const QUERIES: [&str; 22] = [
    include_str!("q01.sql"),
    include_str!("q02.sql"),
    include_str!("q03.sql"),
    include_str!("q04.sql"),
    include_str!("q05.sql"),
    include_str!("q06.sql"),
    include_str!("q07.sql"),
    include_str!("q08.sql"),
    include_str!("q09.sql"),
    include_str!("q10.sql"),
    include_str!("q11.sql"),
    include_str!("q12.sql"),
    include_str!("q13.sql"),
    include_str!("q14.sql"),
    include_str!("q15.sql"),
    include_str!("q16.sql"),
    include_str!("q17.sql"),
    include_str!("q18.sql"),
    include_str!("q19.sql"),
    include_str!("q20.sql"),
    include_str!("q21.sql"),
    include_str!("q22.sql"),
];

/// Writes every table as Parquet files `TABLE/PART.parquet` below `folder`, the large ones in `parts` files.
pub(crate) fn generate(folder: &Path, scale: f64, parts: i32) -> parquet::errors::Result<()> {
    for part in 1..=parts {
        write(folder, "customer", part, CustomerArrow::new(CustomerGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
        write(folder, "lineitem", part, LineItemArrow::new(LineItemGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
        write(folder, "orders", part, OrderArrow::new(OrderGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
        write(folder, "part", part, PartArrow::new(PartGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
        write(folder, "partsupp", part, PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
        write(folder, "supplier", part, SupplierArrow::new(SupplierGenerator::new(scale, part, parts)).with_batch_size(BATCH_ROWS))?;
    }
    write(folder, "nation", 1, NationArrow::new(NationGenerator::new(scale, 1, 1)))?;
    write(folder, "region", 1, RegionArrow::new(RegionGenerator::new(scale, 1, 1)))
}

fn write(
    folder: &Path,
    table: &str,
    part: i32,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> parquet::errors::Result<()> {
    let folder = folder.join(table);
    std::fs::create_dir_all(&folder)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer: Option<ArrowWriter<File>> = None;
    for batch in batches {
        let batch = batch?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => {
                let file = File::create(folder.join(format!("{part:03}.parquet")))?;
                none.insert(ArrowWriter::try_new(file, batch.schema(), Some(properties.clone()))?)
            }
        };
        writer.write(&batch)?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}
