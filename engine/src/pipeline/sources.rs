//! `ReadFrom...`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use weir_model::spec::{ReadFromCsv, ReadFromParquet, Spanned, TransformKind};

use super::flow::Flow;
use super::problems::{Place, Problem, Result};
use crate::PlanError;
use crate::io::scan::{CsvOptions, FileTable, ReadError, ScanFormat};
use crate::io::{FileSet, Location, LocationError};

/// The rows that a source reads; none when the transform is no source of files.
pub(super) async fn source(place: Place<'_>, context: &SessionContext, base: &str) -> Result<Option<Flow>> {
    let files = Files { place, context, base };
    let table = match &place.transform.kind {
        TransformKind::ReadFromText(config) => files.table(&config.path, ScanFormat::Text, None).await?,
        TransformKind::ReadFromCsv(config) => {
            let format = ScanFormat::Csv(csv_options(config));
            files
                .table(&config.path, format, config.filename_column.as_ref())
                .await?
        }
        TransformKind::ReadFromJson(config) => {
            files
                .table(&config.path, ScanFormat::Json, config.filename_column.as_ref())
                .await?
        }
        TransformKind::ReadFromParquet(config) => return files.parquet(config).await.map(Some),
        _ => return Ok(None),
    };
    Flow::table(&place.transform.name, table)
        .map(Some)
        .map_err(place.wrong())
}

fn csv_options(config: &ReadFromCsv) -> CsvOptions {
    let names = |names: &Option<Vec<Spanned<String>>>| {
        names
            .as_ref()
            .map(|names| names.iter().map(|name| name.value.clone()).collect())
    };
    CsvOptions {
        delimiter: byte(config.delimiter.value),
        quote: byte(config.quote.value),
        escape: config.escape.as_ref().map(|escape| byte(escape.value)),
        comment: config.comment.as_ref().map(|comment| byte(comment.value)),
        header: config.header,
        names: names(&config.names),
        columns: names(&config.columns),
    }
}

/// An ASCII character, which the specification has checked it to be.
pub(super) fn byte(c: char) -> u8 {
    u8::try_from(c).unwrap_or(b'?')
}

struct Files<'a> {
    place: Place<'a>,
    context: &'a SessionContext,
    base: &'a str,
}

impl Files<'_> {
    async fn find(&self, path: &Spanned<String>) -> Result<FileSet> {
        let found = match Location::resolve(self.base, path) {
            Ok(location) => location.files(self.context).await,
            Err(error) => Err(error),
        };
        found.map_err(|error| match error {
            LocationError::Storage { ref source, .. } => match source {
                object_store::Error::PermissionDenied { .. } | object_store::Error::NotSupported { .. } => {
                    self.place.at(path.span, format!("{error}: {source}"))
                }
                _ => Problem::Other(PlanError::Platform(Box::new(error))),
            },
            error => self.place.at(path.span, error.to_string()),
        })
    }

    async fn table(
        &self,
        path: &Spanned<String>,
        format: ScanFormat,
        filename_column: Option<&Spanned<String>>,
    ) -> Result<Arc<dyn TableProvider>> {
        let files = self.find(path).await?;
        let name = filename_column.map(|name| name.value.as_str());
        let table = FileTable::open(self.context, files, format, name)
            .await
            .map_err(|error| match error {
                ReadError::Storage { source, .. } => Problem::Other(PlanError::from(source)),
                error => self.place.at(path.span, error.to_string()),
            })?;
        if let Some(name) = filename_column
            && table
                .schema()
                .fields()
                .iter()
                .filter(|field| *field.name() == name.value)
                .count()
                > 1
        {
            let message = format!("the files have a column `{name}` already; choose another filename_column");
            return Err(self.place.at(name.span, message));
        }
        Ok(Arc::new(table))
    }

    async fn parquet(&self, config: &ReadFromParquet) -> Result<Flow> {
        let place = self.place;
        let files = self.find(&config.path).await?;
        let unreadable = |error: DataFusionError| match error.find_root() {
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => Problem::Other(PlanError::from(error)),
            _ => place.failed(config.path.span, &error),
        };
        let urls = files.urls().map_err(unreadable)?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
        let table = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
        let table = table.infer_schema(&self.context.state()).await.map_err(unreadable)?;
        let table = ListingTable::try_new(table).map_err(unreadable)?;
        let flow = Flow::table(&place.transform.name, Arc::new(table)).map_err(place.wrong())?;
        let Some(columns) = &config.columns else {
            return Ok(flow);
        };
        let kept = columns.iter().map(|name| {
            let field = flow.field(name);
            field
                .map(|(index, _)| flow.column(index))
                .ok_or_else(|| place.no_field(name.span, name, flow.names()))
        });
        let plan = flow
            .builder()
            .project(kept.collect::<Result<Vec<_>>>()?)
            .and_then(|builder| builder.build());
        Ok(Flow {
            plan: plan.map_err(place.wrong())?,
            ..flow
        })
    }
}
