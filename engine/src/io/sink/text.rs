//! Text and JSON lines.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};

use crate::io::render::PythonText;

/// Appends one line per row, of the only column.
pub(super) fn write_lines(out: &mut Vec<u8>, line: &mut String, batch: &RecordBatch) -> Result<(), ArrowError> {
    let column = batch.column(0);
    for row in 0..batch.num_rows() {
        line.clear();
        PythonText::write(line, column, row)?;
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    Ok(())
}

/// Appends one object per row; null fields are written.
pub(super) fn write_json(out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(&mut *out);
    writer.write(batch)?;
    writer.finish()
}
