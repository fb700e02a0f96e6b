//! The first rows of an output that was just committed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weir_control_plane::http::resources::Output;
use weir_model::SinkInfo;

/// Bytes of a line beyond which it is cut.
const LINE_BYTES: u64 = 200;

/// Prints up to `rows` rows of the output's first file that has any: lines as they are, Parquet as a table.
pub(crate) fn print(out: &mut dyn Write, sink: &SinkInfo, written: &Output, rows: usize) -> io::Result<()> {
    let folder = Path::new(&sink.target).parent().unwrap_or(Path::new(""));
    let files = written.files.iter().map(|name| folder.join(name));
    for file in files {
        let printed = match sink.format.as_str() {
            "parquet" => print_parquet(out, &file, rows)?,
            _ => print_lines(out, &file, rows)?,
        };
        if printed {
            break;
        }
    }
    Ok(())
}

fn print_parquet(out: &mut dyn Write, file: &PathBuf, rows: usize) -> io::Result<bool> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let batches = builder
        .with_limit(rows)
        .build()?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(false);
    }
    writeln!(out, "{}", pretty_format_batches(&batches).map_err(io::Error::other)?)?;
    Ok(true)
}

fn print_lines(out: &mut dyn Write, file: &PathBuf, rows: usize) -> io::Result<bool> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut printed = false;
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
        printed = true;
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_short_ones_kept() {
        let file = std::env::temp_dir().join(format!("weir-preview-{}", std::process::id()));
        std::fs::write(&file, format!("{}\nshort\nthird\n", "x".repeat(1_000))).unwrap();
        let mut out = Vec::new();
        assert!(print_lines(&mut out, &file, 2).unwrap());
        std::fs::remove_file(&file).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!("  {}…\n  short\n", "x".repeat(200)));
    }
}
