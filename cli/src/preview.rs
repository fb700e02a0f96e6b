//! The first rows of an output that was just committed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use weir_control_plane::http::resources::Output;
use weir_model::SinkInfo;
use weir_platform::s3::S3;

/// Bytes of a line beyond which it is cut.
const LINE_BYTES: u64 = 200;
/// Bytes that are read of a file with lines in a bucket.
const LINES_BYTES: u64 = 64 << 10;
/// The largest Parquet file that is shown from a bucket.
const PARQUET_BYTES: u64 = 16 << 20;

/// Up to `rows` rows of the output's first file that has any, as text: lines as they are, Parquet as a table.
pub(crate) async fn text(s3: &S3, sink: &SinkInfo, written: &Output, rows: usize) -> io::Result<Vec<u8>> {
    let folder = sink.target.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut out = Vec::new();
    for name in &written.files {
        match sink.target.starts_with("s3://") {
            true => print_object(&mut out, s3, &format!("{folder}/{name}"), &sink.format, rows).await?,
            false => print_file(&mut out, &Path::new(folder).join(name), &sink.format, rows)?,
        }
        if !out.is_empty() {
            break;
        }
    }
    Ok(out)
}

fn print_file(out: &mut dyn Write, file: &Path, format: &str, rows: usize) -> io::Result<()> {
    let file = File::open(file)?;
    match format {
        "parquet" => print_parquet(out, file, rows),
        _ => print_lines(out, BufReader::new(file), rows),
    }
}

async fn print_object(out: &mut dyn Write, s3: &S3, url: &str, format: &str, rows: usize) -> io::Result<()> {
    let read = async |bytes| s3.read_start(url, bytes).await.map_err(io::Error::other);
    match format {
        "parquet" => {
            // One more, which tells a file that is too large.
            let bytes = read(PARQUET_BYTES + 1).await?;
            match bytes.len() as u64 {
                ..=PARQUET_BYTES => print_parquet(out, bytes, rows),
                _ => writeln!(out, "  (the file is too large to be shown)"),
            }
        }
        _ => print_lines(out, read(LINES_BYTES).await?.as_ref(), rows),
    }
}

fn print_parquet(out: &mut dyn Write, file: impl ChunkReader + 'static, rows: usize) -> io::Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let batches = builder
        .with_limit(rows)
        .build()?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(());
    }
    writeln!(out, "{}", pretty_format_batches(&batches).map_err(io::Error::other)?)
}

fn print_lines(out: &mut dyn Write, mut reader: impl BufRead, rows: usize) -> io::Result<()> {
    for _ in 0..rows {
        let mut line = Vec::new();
        if (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == LINE_BYTES {
            reader.skip_until(b'\n')?;
            line.extend_from_slice("…".as_bytes());
        }
        writeln!(out, "  {}", String::from_utf8_lossy(&line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_short_ones_kept() {
        let lines = format!("{}\nshort\nthird\n", "x".repeat(1_000));
        let mut out = Vec::new();
        print_lines(&mut out, lines.as_bytes(), 2).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!("  {}…\n  short\n", "x".repeat(200)));
    }
}
