//! Pipelines and schedules.

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite as Db, SqliteConnection as Connection, SqliteRow as Row};
use weir_model::{Namespace, Timestamp};

use super::writing::{Op, Reply, Result};
use super::{SqliteStore, database as failed};
use crate::store::pipelines::{PipelineRow, PipelineStore, PipelineVersionRow, PipelineWrite, ScheduleRow, Written};

#[path = "../pipelines/queries.rs"]
#[expect(clippy::duplicate_mod, reason = "its names are those of this database")]
mod queries;

/// Writes in the transaction of the store's writer.
pub(super) async fn write(connection: &mut Connection, write: &PipelineWrite) -> Result<Written> {
    queries::write(connection, write).await
}

impl SqliteStore {
    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<Db>> {
        self.readers.acquire().await.map_err(failed("read the database"))
    }
}

#[async_trait]
impl PipelineStore for SqliteStore {
    async fn pipelines_write(&self, write: PipelineWrite) -> Result<Written> {
        match self.writer.submit(Op::Pipelines { write }).await? {
            Reply::Written(written) => Ok(written),
            _ => unreachable!("it is answered by what came of it"),
        }
    }

    async fn pipeline_get(&self, namespace: &Namespace, name: &str) -> Result<Option<PipelineRow>> {
        queries::pipeline_get(&mut *self.reader().await?, namespace, name).await
    }

    async fn pipeline_list(&self, namespace: &Namespace, after: Option<&str>, limit: u32) -> Result<Vec<PipelineRow>> {
        queries::pipeline_list(&mut *self.reader().await?, namespace, after, limit).await
    }

    async fn pipeline_versions(
        &self,
        namespace: &Namespace,
        name: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>> {
        queries::pipeline_versions(&mut *self.reader().await?, namespace, name, before, limit).await
    }

    async fn pipeline_versions_all(
        &self,
        after: Option<&PipelineVersionRow>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>> {
        queries::pipeline_versions_all(&mut *self.reader().await?, after, limit).await
    }

    async fn schedule_get(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleRow>> {
        queries::schedule_get(&mut *self.reader().await?, namespace, name).await
    }

    async fn schedule_list(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>> {
        queries::schedule_list(&mut *self.reader().await?, namespace, pipeline, after, limit).await
    }

    async fn schedules_all(&self, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>> {
        queries::schedules_all(&mut *self.reader().await?, after, limit).await
    }

    async fn schedules_due(&self, now: Timestamp, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>> {
        queries::schedules_due(&mut *self.reader().await?, now, after, limit).await
    }
}
