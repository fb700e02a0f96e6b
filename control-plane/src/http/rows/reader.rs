//! Reading rows, which needs the engine.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;
use weir_model::{Namespace, RunId, SinkInfo};

use crate::RunResult;
use crate::http::resources::Column;

/// Reads what runs wrote.
#[async_trait]
pub trait RowReader: Send + Sync + 'static {
    /// The rows of a result after the first `skip`.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn result(
        &self,
        namespace: &Namespace,
        run: RunId,
        result: RunResult,
        skip: u64,
    ) -> Result<Box<dyn Rows>, RowsError>;

    /// The rows of a file of a sink after the first `skip`.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn output(&self, sink: &SinkInfo, file: &str, skip: u64) -> Result<Box<dyn Rows>, RowsError>;

    /// The bytes of a file of a sink.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn file(&self, sink: &SinkInfo, file: &str) -> Result<FileBytes, RowsError>;
}

/// Rows as they are read.
#[async_trait]
pub trait Rows: Send {
    /// Their columns.
    fn columns(&self) -> Vec<Column>;

    /// The next rows as [`RowPage`](crate::http::resources::RowPage) has them: at most `most`; none when there are no
    /// more.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn next(&mut self, most: usize) -> Result<Vec<Vec<Value>>, RowsError>;

    /// All rows that are left, as a document.
    fn encode(self: Box<Self>, format: RowFormat) -> BoxStream<'static, Result<Bytes, RowsError>>;
}

/// A document of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line; numbers are numbers, however large.
    JsonLines,
    /// An Arrow IPC stream.
    Arrow,
}

/// A file that is read.
pub struct FileBytes {
    /// Bytes in it.
    pub size: u64,
    /// All of them.
    pub bytes: BoxStream<'static, Result<Bytes, RowsError>>,
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// They were deleted.
    #[error("{message}")]
    Gone {
        /// What is not there, and what to do.
        message: String,
    },
    /// This server may not read them.
    #[error("{message}")]
    Refused {
        /// Why, and what to do.
        message: String,
    },
    /// They cannot be understood.
    #[error("{message}")]
    Unreadable {
        /// What is wrong with them.
        message: String,
    },
    /// The platform failed.
    #[error("cannot read rows")]
    Platform {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
