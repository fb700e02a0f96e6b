//! Types of columns, from the beginnings of files.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use object_store::ObjectStore;

use super::csv::{Records, header, is_null, parse_bool, parse_float, parse_int};
use super::json::Shape;
use super::lines::LineDecoder;
use super::{CsvOptions, ReadError, source};
use crate::io::FileSet;

/// Bytes that are looked at in all.
const SAMPLE_BYTES: usize = 16 << 20;
/// Files that are looked at.
const SAMPLE_FILES: usize = 16;

/// The schema of CSV files: the columns of the first, in its order, with types that the samples of all files fit.
pub(super) async fn csv(
    context: &SessionContext,
    files: &FileSet,
    options: &CsvOptions,
) -> Result<SchemaRef, ReadError> {
    let store = store(context, files)?;
    let mut columns: Vec<(String, Guess)> = Vec::new();
    for (index, file) in files.files.iter().take(SAMPLE_FILES).enumerate() {
        let path = file.location.as_ref();
        let mut records = Records::new(path.to_owned(), options);
        // Where this file's fields are among the columns.
        let mut fields: Option<Vec<Option<usize>>> = None;
        let mut observe = |record: super::csv::Record<'_>| {
            let places = match &fields {
                Some(places) => places,
                None => {
                    let (names, is_header) = header(options, &record);
                    if index == 0 {
                        let keep = |name: &String| options.columns.as_ref().is_none_or(|keep| keep.contains(name));
                        columns = names
                            .iter()
                            .filter(|name| keep(name))
                            .map(|name| (name.clone(), Guess::default()))
                            .collect();
                    }
                    let place = |name: &String| columns.iter().position(|(column, _)| column == name);
                    let places = fields.insert(names.iter().map(place).collect());
                    if is_header {
                        return Ok(false);
                    }
                    places
                }
            };
            for (field, place) in places.iter().enumerate() {
                if let Some(place) = *place {
                    columns[place].1.observe(record.get(field));
                }
            }
            Ok(false)
        };
        let complete = sample(&*store, files, path, |piece| {
            records.read(piece, &mut observe).map(drop)
        })
        .await?;
        if complete {
            records.read(&[], &mut observe)?;
        }
        if fields.is_none() && options.names.is_none() {
            return Err(ReadError::content(
                path,
                "it is empty; a CSV file has at least a header",
            ));
        }
    }
    if let Some(names) = options.names.as_ref().filter(|_| columns.is_empty()) {
        columns = names.iter().map(|name| (name.clone(), Guess::default())).collect();
    }
    if let Some(wanted) = &options.columns
        && let Some(missing) = wanted
            .iter()
            .find(|wanted| !columns.iter().any(|(name, _)| name == *wanted))
    {
        let path = files.files[0].location.as_ref();
        return Err(ReadError::content(path, format!("it has no column `{missing}`")));
    }
    let field = |(name, guess): &(String, Guess)| Field::new(name, guess.data_type(), true);
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
}

/// The schema of JSON files: all fields that the samples have, in the order of their appearance.
pub(super) async fn json(context: &SessionContext, files: &FileSet) -> Result<SchemaRef, ReadError> {
    let store = store(context, files)?;
    let mut shape = Shape::default();
    for file in files.files.iter().take(SAMPLE_FILES) {
        let path = file.location.as_ref();
        let mut decoder = LineDecoder::new(path.to_owned());
        let mut number = 0;
        let mut observe = |decoder: &mut LineDecoder| {
            for line in decoder.flush().as_string::<i32>().iter().flatten() {
                number += 1;
                if !line.trim_ascii().is_empty() {
                    let observed = shape.observe(line);
                    observed.map_err(|error| ReadError::content(path, format!("line {number}: {error}")))?;
                }
            }
            Ok(())
        };
        let complete = sample(&*store, files, path, |piece| {
            decoder.decode(piece, usize::MAX)?;
            observe(&mut decoder)
        })
        .await?;
        if complete {
            decoder.end()?;
            observe(&mut decoder)?;
        }
    }
    let fields = shape.fields();
    if fields.is_empty() {
        let path = files.files[0].location.as_ref();
        return Err(ReadError::content(path, "no field can be found in it; is it empty?"));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn store(context: &SessionContext, files: &FileSet) -> Result<Arc<dyn ObjectStore>, ReadError> {
    let found = context.runtime_env().object_store(&files.store);
    found.map_err(|source| ReadError::Storage {
        file: files.store.as_str().to_owned(),
        source,
    })
}

/// Gives the beginning of a file to `take`. True when that was all of it.
async fn sample(
    store: &dyn ObjectStore,
    files: &FileSet,
    path: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<bool, ReadError> {
    let failed = |source: DataFusionError| ReadError::Storage {
        file: path.to_owned(),
        source,
    };
    let mut left = SAMPLE_BYTES / files.files.len().clamp(1, SAMPLE_FILES);
    let mut stream = source::whole(store, path).await.map_err(failed)?;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(failed)?;
        if piece.len() > left {
            take(&piece[..left])?;
            return Ok(false);
        }
        left -= piece.len();
        if !piece.is_empty() {
            take(&piece)?;
        }
    }
    Ok(true)
}

fn is_digits(text: &str) -> bool {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the fields of a CSV column have in common.
#[derive(Debug)]
struct Guess {
    null: bool,
    bool: bool,
    int: bool,
    float: bool,
    some: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            null: false,
            bool: true,
            int: true,
            float: true,
            some: false,
        }
    }
}

impl Guess {
    fn observe(&mut self, text: Option<&str>) {
        let Some(text) = text.filter(|text| !is_null(text)) else {
            self.null = true;
            return;
        };
        self.some = true;
        self.bool = self.bool && parse_bool(text).is_some();
        self.int = self.int && parse_int(text).is_some();
        // An integer that is too large would lose digits as a float; pandas leaves such columns as text.
        self.float = self.float && (parse_int(text).is_some() || (!is_digits(text) && parse_float(text).is_some()));
    }

    /// As in pandas: integers with missing values are floats, and so is a column without any value.
    fn data_type(&self) -> DataType {
        match self {
            Self { some: false, .. } => DataType::Float64,
            Self { bool: true, .. } => DataType::Boolean,
            Self {
                int: true, null: false, ..
            } => DataType::Int64,
            Self { float: true, .. } => DataType::Float64,
            _ => DataType::Utf8,
        }
    }
}
