//! Pipelines and schedules. Whoever writes them is in no hurry: each write is a transaction on a reader's connection.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection as Connection, PgRow as Row, Postgres as Db};
use weir_model::{Namespace, Timestamp};

use super::PostgresStore;
use super::connect::{CALL_TIMEOUT, failed, unavailable};
use crate::store::Error;
use crate::store::pipelines::{PipelineRow, PipelineStore, PipelineVersionRow, PipelineWrite, ScheduleRow, Written};

#[path = "../pipelines/queries.rs"]
mod queries;

type Result<T> = std::result::Result<T, Error>;

impl PostgresStore {
    /// Does something with a connection, within the time of a call.
    async fn with_connection<T>(
        &self,
        action: &'static str,
        call: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        let pool = self.shared.readers.pool().await?;
        let calling = async {
            let mut connection = pool.acquire().await.map_err(failed(action))?;
            call(&mut connection).await
        };
        let called = tokio::time::timeout(CALL_TIMEOUT, calling).await;
        called.unwrap_or_else(|elapsed| Err(unavailable(action, elapsed)))
    }
}

#[async_trait]
impl PipelineStore for PostgresStore {
    async fn pipelines_write(&self, write: PipelineWrite) -> Result<Written> {
        let action = "change pipelines";
        let pool = self.shared.readers.pool().await?;
        let writing = async {
            // Rolled back when it is dropped.
            let mut transaction = pool.begin().await.map_err(failed(action))?;
            let written = queries::write(&mut transaction, &write).await?;
            transaction.commit().await.map_err(failed(action))?;
            Ok(written)
        };
        let written = tokio::time::timeout(CALL_TIMEOUT, writing).await;
        written.unwrap_or_else(|elapsed| Err(unavailable(action, elapsed)))
    }

    async fn pipeline_get(&self, namespace: &Namespace, name: &str) -> Result<Option<PipelineRow>> {
        self.with_connection("read a pipeline", async |connection| {
            queries::pipeline_get(connection, namespace, name).await
        })
        .await
    }

    async fn pipeline_list(&self, namespace: &Namespace, after: Option<&str>, limit: u32) -> Result<Vec<PipelineRow>> {
        self.with_connection("list pipelines", async |connection| {
            queries::pipeline_list(connection, namespace, after, limit).await
        })
        .await
    }

    async fn pipeline_versions(
        &self,
        namespace: &Namespace,
        name: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>> {
        self.with_connection("list versions of a pipeline", async |connection| {
            queries::pipeline_versions(connection, namespace, name, before, limit).await
        })
        .await
    }

    async fn pipeline_versions_all(
        &self,
        after: Option<&PipelineVersionRow>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>> {
        self.with_connection("list versions of pipelines", async |connection| {
            queries::pipeline_versions_all(connection, after, limit).await
        })
        .await
    }

    async fn schedule_get(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleRow>> {
        self.with_connection("read a schedule", async |connection| {
            queries::schedule_get(connection, namespace, name).await
        })
        .await
    }

    async fn schedule_list(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>> {
        self.with_connection("list schedules", async |connection| {
            queries::schedule_list(connection, namespace, pipeline, after, limit).await
        })
        .await
    }

    async fn schedules_all(&self, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>> {
        self.with_connection("list all schedules", async |connection| {
            queries::schedules_all(connection, after, limit).await
        })
        .await
    }

    async fn schedules_due(&self, now: Timestamp, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>> {
        self.with_connection("list schedules that are due", async |connection| {
            queries::schedules_due(connection, now, after, limit).await
        })
        .await
    }
}
