//! Rows on stdout.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;

use crate::args::RowFormat;
use crate::csv::CsvWriter;

/// Rows of a table that are held to align its columns; more are printed as further tables.
const TABLE_ROWS: usize = 10_000;

/// Prints batches of one schema as they come.
pub(crate) struct RowPrinter<W: Write> {
    kind: Kind<W>,
    rows: u64,
}

enum Kind<W: Write> {
    Table {
        out: W,
        held: Vec<RecordBatch>,
        held_rows: usize,
    },
    Json(arrow::json::ArrayWriter<W>),
    Jsonl(arrow::json::LineDelimitedWriter<W>),
    Csv(Box<CsvWriter<W>>),
}

impl<W: Write> RowPrinter<W> {
    pub(crate) fn new(out: W, format: RowFormat) -> Self {
        let kind = match format {
            RowFormat::Table => Kind::Table {
                out,
                held: Vec::new(),
                held_rows: 0,
            },
            RowFormat::Json => Kind::Json(
                arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, arrow::json::writer::JsonArray>(out),
            ),
            RowFormat::Jsonl => Kind::Jsonl(
                arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, arrow::json::writer::LineDelimited>(out),
            ),
            RowFormat::Csv => Kind::Csv(Box::new(CsvWriter::new(out))),
        };
        Self { kind, rows: 0 }
    }

    pub(crate) fn print(&mut self, batch: &RecordBatch) -> Result<(), io::Error> {
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Table { out, held, held_rows } => {
                held.push(batch.clone());
                *held_rows += batch.num_rows();
                if *held_rows >= TABLE_ROWS {
                    print_table(out, held)?;
                    held.clear();
                    *held_rows = 0;
                }
                Ok(())
            }
            Kind::Json(writer) => writer.write(batch).map_err(into_io),
            Kind::Jsonl(writer) => writer.write(batch).map_err(into_io),
            Kind::Csv(writer) => writer.write(batch).map_err(into_io),
        }
    }

    /// Ends the output; `empty` gives the columns of a result without batches. Gives the number of rows.
    pub(crate) fn finish(mut self, empty: RecordBatch) -> Result<u64, io::Error> {
        if self.rows == 0 {
            self.print(&empty)?;
        }
        match self.kind {
            Kind::Table { mut out, held, .. } => {
                if !held.is_empty() {
                    print_table(&mut out, &held)?;
                }
                out.flush()?;
            }
            Kind::Json(mut writer) => {
                writer.finish().map_err(into_io)?;
                let mut out = writer.into_inner();
                writeln!(out)?;
                out.flush()?;
            }
            Kind::Jsonl(mut writer) => {
                writer.finish().map_err(into_io)?;
                writer.into_inner().flush()?;
            }
            Kind::Csv(writer) => writer.into_inner().flush()?,
        }
        Ok(self.rows)
    }
}

fn print_table(out: &mut impl Write, batches: &[RecordBatch]) -> io::Result<()> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let text = pretty_format_batches_with_options(batches, &options).map_err(into_io)?;
    writeln!(out, "{text}")
}

/// Arrow's writers wrap the IO error that a closed pipe gives.
fn into_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        ArrowError::CsvError(text) if text.contains("Broken pipe") => io::Error::new(io::ErrorKind::BrokenPipe, text),
        other => io::Error::other(other),
    }
}
