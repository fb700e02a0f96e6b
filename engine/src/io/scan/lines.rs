//! Text to rows with one field.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

use super::{BATCH_BYTES, ReadError};

/// Collects lines. A line ends with `\n` or `\r\n`; the last one needs no end.
pub(super) struct LineDecoder {
    file: String,
    lines: StringBuilder,
    rows: usize,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

/// Bytes of a line above which a file is not taken for text.
const MAX_LINE_BYTES: usize = 256 << 20;

impl LineDecoder {
    pub(super) fn new(file: String) -> Self {
        Self {
            file,
            lines: StringBuilder::new(),
            rows: 0,
            partial: Vec::new(),
        }
    }

    /// Takes bytes, until there is a batch of `rows` lines. Gives the number of bytes that were taken.
    pub(super) fn decode(&mut self, bytes: &[u8], rows: usize) -> Result<usize, ReadError> {
        let mut rest = bytes;
        while !self.is_full(rows)
            && let Some(newline) = memchr::memchr(b'\n', rest)
        {
            let (line, behind) = (&rest[..newline], &rest[newline + 1..]);
            if self.partial.is_empty() {
                self.push(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.push(&whole)?;
                whole.clear();
                self.partial = whole;
            }
            rest = behind;
        }
        if self.is_full(rows) {
            return Ok(bytes.len() - rest.len());
        }
        if self.partial.len() + rest.len() > MAX_LINE_BYTES {
            return Err(ReadError::content(
                &self.file,
                "a line is longer than 256 MiB; is this a text file?",
            ));
        }
        self.partial.extend_from_slice(rest);
        Ok(bytes.len())
    }

    /// There are no more bytes.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.partial);
        self.push(&line)
    }

    /// Whether there is a batch.
    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.rows >= rows || self.lines.values_slice().len() >= BATCH_BYTES
    }

    /// Complete lines that are waiting.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the complete lines out.
    pub(super) fn flush(&mut self) -> ArrayRef {
        self.rows = 0;
        Arc::new(self.lines.finish())
    }

    fn push(&mut self, line: &[u8]) -> Result<(), ReadError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(text) = std::str::from_utf8(line) else {
            let shown = String::from_utf8_lossy(&line[..line.len().min(60)]);
            return Err(ReadError::content(
                &self.file,
                format!("a line is not UTF-8: `{shown}`; convert the file"),
            ));
        };
        self.lines.append_value(text);
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    #[test]
    fn lines_as_beam_reads_them() {
        for piece in 1..20 {
            let mut decoder = LineDecoder::new("f".to_owned());
            let mut batches = Vec::new();
            for chunk in "l1\nl2\r\n\n lé ".as_bytes().chunks(piece) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    rest = &rest[decoder.decode(rest, 2).unwrap()..];
                    if decoder.rows() == 2 {
                        batches.push(decoder.flush());
                    }
                }
            }
            decoder.end().unwrap();
            batches.push(decoder.flush());
            let lines: Vec<_> = batches
                .iter()
                .flat_map(|lines| lines.as_string::<i32>())
                .flatten()
                .collect();
            assert_eq!(lines, ["l1", "l2", "", " lé "]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut decoder = LineDecoder::new("f.bin".to_owned());
        let error = decoder.decode(b"ok\n\xff\xfe\n", 9).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`f.bin`: a line is not UTF-8: `\u{fffd}\u{fffd}`; convert the file"
        );
    }
}
