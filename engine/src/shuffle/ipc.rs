//! Batches to IPC messages without a schema, and back.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message};

/// A continuation marker and a message of no length.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

fn write_options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))
}

/// The message that tells a decoder the schema; it is derived on both sides and never stored.
fn schema_message(schema: &Schema, tracker: &mut DictionaryTracker) -> Result<Vec<u8>, ArrowError> {
    let options = write_options()?;
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, tracker, &options);
    let mut message = Vec::new();
    write_message(&mut message, encoded, &options)?;
    Ok(message)
}

/// Encodes the batches of one shuffle partition. What one encoder gave out, in order, is readable on its own.
pub struct BatchEncoder {
    generator: IpcDataGenerator,
    options: IpcWriteOptions,
    tracker: DictionaryTracker,
}

impl BatchEncoder {
    /// An encoder for batches of `schema`.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let mut tracker = DictionaryTracker::new(false);
        // Numbers the dictionaries as the reader's decoder will.
        schema_message(schema, &mut tracker)?;
        Ok(Self {
            generator: IpcDataGenerator::default(),
            options: write_options()?,
            tracker,
        })
    }

    /// Appends the messages of `batch` to `out`. `scratch` is reused between calls, also of other encoders.
    pub fn encode(
        &mut self,
        batch: &RecordBatch,
        scratch: &mut IpcWriteContext,
        out: &mut Vec<u8>,
    ) -> Result<(), ArrowError> {
        let (dictionaries, batch) = self
            .generator
            .encode(batch, &mut self.tracker, &self.options, scratch)?;
        for dictionary in dictionaries {
            write_message(&mut *out, dictionary, &self.options)?;
        }
        write_message(&mut *out, batch, &self.options)?;
        Ok(())
    }
}

/// Decodes what one [`BatchEncoder`] wrote, fed in pieces of any size.
pub struct BatchDecoder {
    decoder: StreamDecoder,
}

impl BatchDecoder {
    /// A decoder for batches of `schema`.
    pub fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let mut decoder = StreamDecoder::new();
        let message = schema_message(schema, &mut DictionaryTracker::new(false))?;
        decoder.decode(&mut Buffer::from_vec(message))?;
        Ok(Self { decoder })
    }

    /// The next batch in `bytes`, which loses what was consumed; nothing when more bytes are needed.
    pub fn decode(&mut self, bytes: &mut Buffer) -> Result<Option<RecordBatch>, ArrowError> {
        self.decoder.decode(bytes)
    }

    /// Ends the input: a last batch, when its message has no body (it has no columns) and so nothing followed that
    /// would have shown it; an error when a message was cut short.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut end = Buffer::from_vec(END_OF_STREAM.to_vec());
        let last = self.decoder.decode(&mut end)?;
        if last.is_some() {
            self.decoder.decode(&mut end)?;
        }
        self.decoder.finish()?;
        Ok(last)
    }
}
