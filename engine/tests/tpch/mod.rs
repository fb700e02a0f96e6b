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
pub(crate) const TABLES: [&str; 8] = [
    "customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier",
];

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

/// Writes every table as Parquet files `TABLE/PART.parquet` below `folder`, the large ones in `parts` files, each by a
/// thread of its own.
pub(crate) fn generate(folder: &Path, scale: f64, parts: i32) -> parquet::errors::Result<()> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=parts)
            .map(|part| scope.spawn(move || generate_part(folder, scale, part, parts)))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().expect("a generator does not panic"))
    })?;
    write(folder, "nation", 1, NationArrow::new(NationGenerator::new(scale, 1, 1)))?;
    write(folder, "region", 1, RegionArrow::new(RegionGenerator::new(scale, 1, 1)))
}

fn generate_part(folder: &Path, scale: f64, part: i32, parts: i32) -> parquet::errors::Result<()> {
    let customers = CustomerArrow::new(CustomerGenerator::new(scale, part, parts));
    write(folder, "customer", part, customers.with_batch_size(BATCH_ROWS))?;
    let items = LineItemArrow::new(LineItemGenerator::new(scale, part, parts));
    write(folder, "lineitem", part, items.with_batch_size(BATCH_ROWS))?;
    let orders = OrderArrow::new(OrderGenerator::new(scale, part, parts));
    write(folder, "orders", part, orders.with_batch_size(BATCH_ROWS))?;
    let products = PartArrow::new(PartGenerator::new(scale, part, parts));
    write(folder, "part", part, products.with_batch_size(BATCH_ROWS))?;
    let offers = PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts));
    write(folder, "partsupp", part, offers.with_batch_size(BATCH_ROWS))?;
    let suppliers = SupplierArrow::new(SupplierGenerator::new(scale, part, parts));
    write(folder, "supplier", part, suppliers.with_batch_size(BATCH_ROWS))
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
