//! CSV to rows, as pandas reads it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Schema};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{BATCH_BYTES, CsvOptions, ReadError};

/// What pandas takes for a missing value.
const NULLS: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Bytes of a row above which a quote is taken for unclosed.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Whether a field is a missing value.
pub(super) fn is_null(text: &str) -> bool {
    // Most fields are told by their first byte.
    matches!(
        text.as_bytes().first(),
        None | Some(b'#' | b'-' | b'1' | b'<' | b'N' | b'n')
    ) && NULLS.contains(&text)
}

/// A field as a boolean.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "True" | "TRUE" | "true" => Some(true),
        "False" | "FALSE" | "false" => Some(false),
        _ => None,
    }
}

/// A field as an integer.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    text.trim_ascii().parse().ok()
}

/// A field as a number.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    text.trim_ascii().parse().ok()
}

/// The fields of a row.
pub(super) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
    /// The line on which it begins, from one.
    pub(super) line: u64,
}

impl<'a> Record<'a> {
    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field, if the row has so many.
    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.text.get(start..*self.ends.get(index)?)
    }

    /// All fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// Cuts bytes into rows.
pub(super) struct Records {
    file: String,
    reader: Reader,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// Bytes seen, up to the length of a byte order mark.
    seen: usize,
    /// The line on which the next row begins.
    line: u64,
}

impl Records {
    pub(super) fn new(file: String, options: &CsvOptions) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(options.delimiter)
            .quote(options.quote)
            .escape(options.escape)
            .comment(options.comment)
            .build();
        Self {
            file,
            reader,
            text: vec![0; 1024],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            seen: 0,
            line: 1,
        }
    }

    /// Takes bytes, until `row` asks to stop. Gives the number of bytes that were taken. No bytes mean the end.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut row: impl FnMut(Record<'_>) -> Result<bool, ReadError>,
    ) -> Result<usize, ReadError> {
        let mut rest = bytes;
        while self.seen < 3 && rest.first() == Some(&[0xef, 0xbb, 0xbf][self.seen]) {
            rest = &rest[1..];
            self.seen += 1;
        }
        if !rest.is_empty() {
            self.seen = 3;
        } else if !bytes.is_empty() {
            return Ok(bytes.len());
        }
        loop {
            let (result, read, written, ends) =
                self.reader
                    .read_record(rest, &mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
            rest = &rest[read..];
            self.text_len += written;
            self.ends_len += ends;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(bytes.len() - rest.len()),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::OutputFull if self.text.len() >= MAX_ROW_BYTES => {
                    let message = "a row is longer than 64 MiB; is a quote not closed?";
                    return Err(ReadError::content(&self.file, message));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::Record => {
                    let line = std::mem::replace(&mut self.line, self.reader.line());
                    let (text, ends) = (&self.text[..self.text_len], &self.ends[..self.ends_len]);
                    let text = std::str::from_utf8(text).map_err(|_| {
                        ReadError::content(&self.file, format!("line {line} is not UTF-8; convert the file"))
                    })?;
                    let stop = row(Record { text, ends, line })?;
                    (self.text_len, self.ends_len) = (0, 0);
                    // An empty input would be taken for the end.
                    if stop || rest.is_empty() {
                        return Ok(bytes.len() - rest.len());
                    }
                }
            }
        }
    }
}

/// Turns one file into columns.
pub(super) struct CsvDecoder {
    file: String,
    options: CsvOptions,
    records: Option<Records>,
    rows: Rows,
}

/// Rows that are waiting, and where their fields come from.
struct Rows {
    columns: Vec<Column>,
    /// For each column its name, for messages.
    names: Vec<String>,
    /// For each column the file's field; known once the header was read.
    fields: Option<Vec<usize>>,
    /// Fields that a row may have; known once the first row was read.
    width: usize,
    count: usize,
    /// Bytes of the rows' text.
    bytes: usize,
}

enum Column {
    Boolean(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl CsvDecoder {
    /// Decodes the columns `columns` of `schema`, which is the schema of all of the file's kept columns.
    pub(super) fn new(file: String, options: &CsvOptions, schema: &Schema, columns: &[usize]) -> Self {
        let fields = columns.iter().map(|&index| schema.field(index));
        let rows = Rows {
            names: fields.clone().map(|field| field.name().clone()).collect(),
            columns: fields.map(|field| Column::new(field.data_type())).collect(),
            fields: None,
            width: 0,
            count: 0,
            bytes: 0,
        };
        Self {
            records: Some(Records::new(file.clone(), options)),
            file,
            options: options.clone(),
            rows,
        }
    }

    /// Takes bytes, until there is a batch of `rows` rows. Gives the number of bytes that were taken; none mean the end.
    pub(super) fn decode(&mut self, bytes: &[u8], rows: usize) -> Result<usize, ReadError> {
        let Some(mut records) = self.records.take() else {
            return Ok(bytes.len());
        };
        let taken = records.read(bytes, |record| {
            if self.rows.fields.is_none() && self.rows.begin(&self.file, &self.options, &record)? {
                return Ok(false);
            }
            self.rows.push(&self.file, &record)?;
            Ok(self.rows.is_full(rows))
        });
        self.records = Some(records);
        taken
    }

    /// Whether there is a batch.
    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.rows.is_full(rows)
    }

    /// Rows that are waiting.
    pub(super) fn rows(&self) -> usize {
        self.rows.count
    }

    /// Takes the rows out.
    pub(super) fn flush(&mut self) -> Vec<ArrayRef> {
        (self.rows.count, self.rows.bytes) = (0, 0);
        self.rows.columns.iter_mut().map(Column::finish).collect()
    }
}

/// The names of a file's fields, given its first row; and whether that row is the header.
pub(super) fn header(options: &CsvOptions, first: &Record<'_>) -> (Vec<String>, bool) {
    let names = match &options.names {
        Some(names) => names.clone(),
        None if options.header => unique(first.iter()),
        None => (0..first.len()).map(|index| index.to_string()).collect(),
    };
    (names, options.header)
}

/// As pandas makes names unique: `a`, `a.1`, `a.2`; a field without a name is called by its position.
fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (index, name) in names.enumerate() {
        let name = if name.is_empty() {
            format!("Unnamed: {index}")
        } else {
            name.to_owned()
        };
        let candidates = std::iter::once(name.clone()).chain((1..).map(|n| format!("{name}.{n}")));
        found.extend(candidates.into_iter().find(|candidate| !found.contains(candidate)));
    }
    found
}

impl Rows {
    /// Looks at the first row. True when it is the header.
    fn begin(&mut self, file: &str, options: &CsvOptions, first: &Record<'_>) -> Result<bool, ReadError> {
        let (names, is_header) = header(options, first);
        let find = |wanted: &String| {
            names.iter().position(|name| name == wanted).ok_or_else(|| {
                let message = format!(
                    "it has no column `{wanted}`, which the first file has; its columns are {}",
                    names
                        .iter()
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                );
                ReadError::content(file, message)
            })
        };
        self.fields = Some(self.names.iter().map(find).collect::<Result<_, _>>()?);
        self.width = names.len().max(if is_header { first.len() } else { 0 });
        Ok(is_header)
    }

    fn is_full(&self, rows: usize) -> bool {
        self.count >= rows || self.bytes >= BATCH_BYTES
    }

    fn push(&mut self, file: &str, record: &Record<'_>) -> Result<(), ReadError> {
        if record.len() > self.width {
            let message = format!("line {} has {} fields, not {}", record.line, record.len(), self.width);
            return Err(ReadError::content(file, message));
        }
        let fields = self.fields.as_deref().unwrap_or_default();
        for ((column, name), &field) in self.columns.iter_mut().zip(&self.names).zip(fields) {
            let text = record.get(field).filter(|text| !is_null(text));
            if let Err(expected) = column.push(text) {
                let message = format!(
                    "line {}: `{}` is not {expected}, as everything was in column `{name}` of the rows that its type \
                     was taken from",
                    record.line,
                    text.unwrap_or_default(),
                );
                return Err(ReadError::content(file, message));
            }
        }
        self.count += 1;
        self.bytes += record.text.len();
        Ok(())
    }
}

impl Column {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Adds a value, or says what it ought to be.
    fn push(&mut self, text: Option<&str>) -> Result<(), &'static str> {
        match self {
            Self::Boolean(builder) => builder.append_option(parsed(text, parse_bool).ok_or("a boolean")?),
            Self::Int(builder) => builder.append_option(parsed(text, parse_int).ok_or("an integer")?),
            Self::Float(builder) => builder.append_option(parsed(text, parse_float).ok_or("a number")?),
            Self::Text(builder) => builder.append_option(text),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// `None` when there is text that cannot be parsed.
fn parsed<T>(text: Option<&str>, parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => parse(text).map(Some),
    }
}
