//! Reading what runs wrote, for the API.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use axum::body::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use weir_control_plane::RunResult;
use weir_control_plane::http::resources::Column;
use weir_control_plane::http::{FileBytes, RowFormat, RowReader, Rows, RowsError};
use weir_engine::{Engine, PlanError};
use weir_model::{Namespace, RunId, SinkInfo};

use crate::cells;
use crate::csv::CsvWriter;

/// Reads by the engine of this process.
pub(crate) struct EngineReader(pub(crate) Engine);

#[async_trait]
impl RowReader for EngineReader {
    async fn result(
        &self,
        namespace: &Namespace,
        run: RunId,
        result: RunResult,
        skip: u64,
    ) -> Result<Box<dyn Rows>, RowsError> {
        let RunResult { graph, objects } = result;
        let rows = self.0.read_result(namespace, run, &graph, objects, skip).await;
        let rows = rows.map_err(|error| match error {
            PlanError::Platform(source) => RowsError::Platform { source },
            error => RowsError::Gone {
                message: error.to_string(),
            },
        })?;
        let schema = rows.schema();
        Ok(Batches::boxed(
            schema,
            rows.map_err(|error| translate(error.into())).boxed(),
        ))
    }

    async fn output(&self, sink: &SinkInfo, file: &str, skip: u64) -> Result<Box<dyn Rows>, RowsError> {
        let rows = self.0.read_output(sink, file, skip).await.map_err(translate)?;
        let schema = rows.schema();
        Ok(Batches::boxed(
            schema,
            rows.map_err(|error| translate(error.into())).boxed(),
        ))
    }

    async fn file(&self, sink: &SinkInfo, file: &str) -> Result<FileBytes, RowsError> {
        let (size, bytes) = self.0.open_output(sink, file).await.map_err(translate)?;
        Ok(FileBytes {
            size,
            bytes: bytes.map_err(translate).boxed(),
        })
    }
}

fn translate(error: weir_engine::RowsError) -> RowsError {
    use weir_engine::RowsError as Engine;
    match error {
        // Where a result lies is the service's own affair.
        Engine::Gone(place) if place.starts_with("runs/") => RowsError::Gone {
            message: "the result was deleted; run the statement again".to_owned(),
        },
        Engine::Gone(_) => RowsError::Gone {
            message: error.to_string(),
        },
        Engine::Refused(message) => RowsError::Refused { message },
        Engine::Unreadable(message) => RowsError::Unreadable { message },
        Engine::Platform(source) => RowsError::Platform { source },
    }
}

fn unreadable(error: ArrowError) -> RowsError {
    RowsError::Unreadable {
        message: error.to_string(),
    }
}

/// Rows that come as batches.
struct Batches {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, RowsError>>,
    /// What is left of the last batch.
    left: Option<RecordBatch>,
}

impl Batches {
    fn boxed(schema: SchemaRef, batches: BoxStream<'static, Result<RecordBatch, RowsError>>) -> Box<dyn Rows> {
        Box::new(Self {
            schema,
            batches,
            left: None,
        })
    }
}

#[async_trait]
impl Rows for Batches {
    fn columns(&self) -> Vec<Column> {
        cells::columns(self.schema.fields())
    }

    async fn next(&mut self, most: usize) -> Result<Vec<Vec<Value>>, RowsError> {
        let batch = loop {
            let batch = match self.left.take() {
                Some(batch) => batch,
                None => match self.batches.try_next().await? {
                    Some(batch) => batch,
                    None => return Ok(Vec::new()),
                },
            };
            if batch.num_rows() > 0 {
                break batch;
            }
        };
        let count = batch.num_rows().min(most);
        let rows = cells::rows(&batch.slice(0, count)).map_err(unreadable)?;
        if count < batch.num_rows() {
            self.left = Some(batch.slice(count, batch.num_rows() - count));
        }
        Ok(rows)
    }

    fn encode(self: Box<Self>, format: RowFormat) -> BoxStream<'static, Result<Bytes, RowsError>> {
        let Self { schema, batches, left } = *self;
        let encoder = match Encoder::new(format, &schema) {
            Ok(encoder) => encoder,
            Err(error) => return stream::once(async { Err(unreadable(error)) }).boxed(),
        };
        // A document without rows has its head nevertheless.
        let first = left.unwrap_or_else(|| RecordBatch::new_empty(schema));
        let all = stream::once(async { Ok(first) }).chain(batches);
        let pieces = all.map(Some).chain(stream::once(async { None }));
        pieces
            .scan(encoder, |encoder, batch| {
                let piece = match batch {
                    Some(Ok(batch)) => encoder.write(&batch).map_err(unreadable),
                    Some(Err(error)) => Err(error),
                    None => encoder.finish().map_err(unreadable),
                };
                std::future::ready(Some(piece))
            })
            .try_filter(|piece| std::future::ready(!piece.is_empty()))
            .boxed()
    }
}

/// Where a writer puts what it wrote until it is taken.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Shelf {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl io::Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a document batch by batch.
struct Encoder {
    shelf: Shelf,
    writer: Writer,
}

enum Writer {
    Csv(Box<CsvWriter<Shelf>>),
    JsonLines(Box<arrow::json::LineDelimitedWriter<Shelf>>),
    Arrow(Box<StreamWriter<Shelf>>),
}

impl Encoder {
    fn new(format: RowFormat, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let shelf = Shelf::default();
        let writer = match format {
            RowFormat::Csv => Writer::Csv(Box::new(CsvWriter::new(shelf.clone()))),
            RowFormat::JsonLines => Writer::JsonLines(Box::new(
                arrow::json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, arrow::json::writer::LineDelimited>(shelf.clone()),
            )),
            RowFormat::Arrow => Writer::Arrow(Box::new(StreamWriter::try_new(shelf.clone(), schema)?)),
        };
        Ok(Self { shelf, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        match &mut self.writer {
            Writer::Csv(writer) => writer.write(batch)?,
            Writer::JsonLines(writer) => writer.write(batch)?,
            Writer::Arrow(writer) => writer.write(batch)?,
        }
        Ok(self.shelf.take())
    }

    fn finish(&mut self) -> Result<Bytes, ArrowError> {
        match &mut self.writer {
            Writer::Csv(_) => {}
            Writer::JsonLines(writer) => writer.finish()?,
            Writer::Arrow(writer) => writer.finish()?,
        }
        Ok(self.shelf.take())
    }
}
