//! Reading what sinks wrote.

use std::sync::Arc;

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{EmptyRecordBatchStream, SendableRecordBatchStream};
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use weir_model::{CsvDialect, RunSettings, SinkInfo};
use weir_platform::StorageError;

use super::scan::{CsvOptions, FileTable, ReadError, ScanFormat};
use super::{FileSet, Location, LocationError};
use crate::session;

/// Why rows that a run left cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// They are not there any more.
    #[error("`{0}` is not there any more")]
    Gone(String),
    /// This process may not read them.
    #[error("{0}")]
    Refused(String),
    /// What is there cannot be understood.
    #[error("{0}")]
    Unreadable(String),
    /// The rows are fine, the platform is not.
    #[error("cannot read the rows")]
    Platform(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RowsError {
    fn storage(what: &str, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Gone(what.to_owned()),
            object_store::Error::PermissionDenied { .. } => {
                Self::Refused(format!("the service may not read `{what}` any more"))
            }
            error => Self::Platform(Box::new(error)),
        }
    }
}

impl From<DataFusionError> for RowsError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ObjectStore(cause) => match &**cause {
                object_store::Error::NotFound { path, .. } => Self::Gone(path.clone()),
                _ => Self::Platform(Box::new(error)),
            },
            DataFusionError::External(cause) => match cause.downcast_ref::<StorageError>() {
                Some(cause) if cause.is_not_found() => Self::Gone(cause.key.clone()),
                _ => Self::Platform(Box::new(error)),
            },
            DataFusionError::IoError(_)
            | DataFusionError::ResourcesExhausted(_)
            | DataFusionError::ExecutionJoin(_) => Self::Platform(Box::new(error)),
            root => Self::Unreadable(root.strip_backtrace()),
        }
    }
}

impl From<LocationError> for RowsError {
    fn from(error: LocationError) -> Self {
        match error {
            LocationError::Refused(message) => Self::Refused(message),
            LocationError::NoMatch(path) => Self::Gone(path),
            LocationError::Storage { path, source } => Self::storage(&path, source),
            error => Self::Unreadable(error.to_string()),
        }
    }
}

/// A file of a sink.
pub(crate) struct OutputFile<'a> {
    context: SessionContext,
    sink: &'a SinkInfo,
    /// Where it is, for messages.
    place: String,
    store: Arc<dyn ObjectStore>,
    set: FileSet,
}

impl<'a> OutputFile<'a> {
    /// The file of a name that the manifest of the sink has.
    pub(crate) async fn find(runtime: &RuntimeEnv, sink: &'a SinkInfo, name: &str) -> Result<Self, RowsError> {
        let settings = RunSettings {
            target_partitions: 1,
            ..RunSettings::default()
        };
        let context = session::planning(runtime, &settings)?;
        let folder = sink.target.rsplit_once('/').map_or("", |(folder, _)| folder);
        if name.contains('/') || matches!(name, "" | "." | "..") {
            return Err(RowsError::Unreadable(format!("`{name}` is no name of a file")));
        }
        let location = Location::resolve("/", &format!("{folder}/{name}"))?;
        let store = location.open(&context)?;
        let place = location.absolute();
        let path = ObjectPath::parse(&location.path).map_err(|error| RowsError::Unreadable(error.to_string()))?;
        let found = store.head(&path).await;
        let found = found.map_err(|error| RowsError::storage(&place, error))?;
        Ok(Self {
            context,
            sink,
            place,
            store,
            set: FileSet {
                store: location.store,
                files: vec![found],
            },
        })
    }

    /// Its rows after the first `skip`.
    pub(crate) async fn rows(self, skip: u64) -> Result<SendableRecordBatchStream, RowsError> {
        if self.set.files.iter().all(|file| file.size == 0) {
            return Ok(Box::pin(EmptyRecordBatchStream::new(Arc::new(Schema::empty()))));
        }
        let context = self.context.clone();
        let table = self.table().await?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let rows = context.read_table(table)?.limit(skip, None)?;
        Ok(rows.execute_stream().await?)
    }

    async fn table(self) -> Result<Arc<dyn TableProvider>, RowsError> {
        let format = match self.sink.format.as_str() {
            "text" => ScanFormat::Text,
            "json" => ScanFormat::Json,
            "csv" => ScanFormat::Csv(csv(self.sink.csv)),
            "parquet" => {
                let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
                let table = ListingTableConfig::new_with_multi_paths(self.set.urls()?).with_listing_options(options);
                let table = table.infer_schema(&self.context.state()).await?;
                return Ok(Arc::new(ListingTable::try_new(table)?));
            }
            other => {
                return Err(RowsError::Unreadable(format!(
                    "files of the format `{other}` are not shown"
                )));
            }
        };
        let place = self.place;
        let table = FileTable::open(&self.context, self.set, format, None).await;
        Ok(Arc::new(table.map_err(|error| match error {
            ReadError::Storage { source, .. } => match RowsError::from(source) {
                RowsError::Gone(_) => RowsError::Gone(place),
                error => error,
            },
            error => RowsError::Unreadable(error.to_string()),
        })?))
    }

    /// How many bytes it has, and all of them.
    pub(crate) async fn bytes(self) -> Result<(u64, BoxStream<'static, Result<Bytes, RowsError>>), RowsError> {
        let Self { store, set, place, .. } = self;
        let Some(file) = set.files.into_iter().next() else {
            return Err(RowsError::Gone(place));
        };
        let found = store.get(&file.location).await;
        let found = found.map_err(|error| RowsError::storage(&place, error))?;
        let size = found.meta.size;
        let bytes = found.into_stream();
        Ok((
            size,
            bytes.map_err(move |error| RowsError::storage(&place, error)).boxed(),
        ))
    }
}

/// How the files of a sink are to be read again.
fn csv(dialect: Option<CsvDialect>) -> CsvOptions {
    let dialect = dialect.unwrap_or(CsvDialect {
        delimiter: b',',
        quote: b'"',
        header: true,
    });
    CsvOptions {
        delimiter: dialect.delimiter,
        quote: dialect.quote,
        escape: None,
        comment: None,
        header: dialect.header,
        names: None,
        columns: None,
    }
}
