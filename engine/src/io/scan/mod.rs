//! Reading text, CSV and JSON files.
//!
//! These are read as Beam reads them, that is as pandas does: null markers, the types that are inferred, columns
//! matched by name in every file. Parquet files, which have types of their own, are left to DataFusion.

mod csv;
mod exec;
mod infer;
mod json;
mod lines;
mod source;
mod split;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};

use weir_model::{Failure, FailureKind};

use super::FileSet;
use crate::task::OperatorError;
pub use exec::{ScanExec, ScanSpec};
pub use split::FilePart;

/// Bytes of text that a batch holds, about, however many rows that is.
const BATCH_BYTES: usize = 8 << 20;

/// How bytes become rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ScanFormat {
    /// Lines, as rows with the one field `line`.
    Text,
    /// CSV.
    Csv(CsvOptions),
    /// One JSON object a line.
    Json,
}

/// How a CSV file is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvOptions {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields.
    pub quote: u8,
    /// Makes the next character an ordinary one.
    pub escape: Option<u8>,
    /// Starts a line that is no row.
    pub comment: Option<u8>,
    /// Whether the first row has the names.
    pub header: bool,
    /// The names, in place of the header's; without a header and without these, columns are numbered.
    pub names: Option<Vec<String>>,
    /// The columns to keep; all when absent.
    pub columns: Option<Vec<String>>,
}

/// Why files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage failed.
    #[error("cannot read `{file}`")]
    Storage {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: DataFusionError,
    },
    /// The file is not what it was taken for.
    #[error("`{file}`: {message}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong, and what to do about it.
        message: String,
    },
}

impl ReadError {
    fn content(file: &str, message: impl Into<String>) -> Self {
        Self::Content {
            file: file.to_owned(),
            message: message.into(),
        }
    }
}

impl From<ReadError> for DataFusionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage { source, .. } => source,
            error => OperatorError(Failure::new(FailureKind::User, "invalid_input", error.to_string())).into(),
        }
    }
}

/// Files as a table.
#[derive(Debug)]
pub struct FileTable {
    files: FileSet,
    format: ScanFormat,
    /// What the files have.
    file_schema: SchemaRef,
    /// What the table has: the files' columns, and the name column if there is one.
    schema: SchemaRef,
}

impl FileTable {
    /// A table of `files`. Types are inferred from their beginnings. With `filename_column` rows have their file's
    /// path in a column of that name.
    pub async fn open(
        context: &SessionContext,
        files: FileSet,
        format: ScanFormat,
        filename_column: Option<&str>,
    ) -> Result<Self, ReadError> {
        let file_schema = match &format {
            ScanFormat::Text => Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)])),
            ScanFormat::Csv(options) => infer::csv(context, &files, options).await?,
            ScanFormat::Json => infer::json(context, &files).await?,
        };
        let mut fields = file_schema.fields().to_vec();
        if let Some(name) = filename_column {
            fields.push(Arc::new(Field::new(name, DataType::Utf8, false)));
        }
        Ok(Self {
            files,
            format,
            file_schema,
            schema: Arc::new(Schema::new(fields)),
        })
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let splittable = !matches!(self.format, ScanFormat::Csv(_));
        let partitions = split::split(&self.files.files, splittable, state.config().target_partitions());
        let columns = projection
            .cloned()
            .unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let file_columns = self.file_schema.fields().len();
        Ok(Arc::new(ScanExec::new(ScanSpec {
            store: self.files.store.as_str().to_owned(),
            format: self.format.clone(),
            file_schema: Arc::clone(&self.file_schema),
            filename: (self.schema.fields().len() > file_columns)
                .then(|| self.schema.field(file_columns).name().clone()),
            columns,
            partitions,
        })?))
    }
}
