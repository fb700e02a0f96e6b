//! The statements over pipelines and schedules. They are the same in both databases, so this file is a module of both
//! stores: `Connection`, `Row` and `failed` are those of the store around it.
//!
//! Writes are made in a transaction, and one that is refused leaves nothing behind.

use sqlx::{QueryBuilder, Row as _};
use weir_model::{Namespace, Timestamp};

use super::{Connection, Db, Row, failed};
use crate::store::Error;
use crate::store::encoding::{to_i64, to_u32, to_u64};
use crate::store::pipelines::{
    PipelineChange, PipelineRow, PipelineVersionRow, PipelineWrite, ScheduleChange, ScheduleProgress, ScheduleRow,
    Written,
};
use crate::store::revisions::raising;

type Result<T> = std::result::Result<T, Error>;

const PIPELINE: &str = "SELECT namespace, name, description, labels, version, generation, created_at, created_by, \
    updated_at, updated_by FROM pipelines";
const VERSION: &str =
    "SELECT namespace, name, version, template, digest, note, created_at, created_by FROM pipeline_versions";
const SCHEDULE: &str = "SELECT namespace, name, pipeline, definition, status, next_at, generation, created_at, \
    created_by, updated_at, updated_by FROM schedules";

pub(super) async fn write(connection: &mut Connection, write: &PipelineWrite) -> Result<Written> {
    let written = change(connection, write).await?;
    if written == Written::Done {
        let (namespace, subject) = write.subject();
        let counting = raising(Some(namespace), subject).query::<Db>().execute(connection);
        counting.await.map_err(failed("note a change"))?;
    }
    Ok(written)
}

async fn change(connection: &mut Connection, write: &PipelineWrite) -> Result<Written> {
    match write {
        PipelineWrite::PipelineCreate(change) => pipeline_create(connection, change).await,
        PipelineWrite::PipelineUpdate(change, generation) => pipeline_update(connection, change, *generation).await,
        PipelineWrite::PipelineDelete {
            namespace,
            name,
            generation,
            at,
            by,
        } => pipeline_delete(connection, namespace, name, *generation, *at, by).await,
        PipelineWrite::ScheduleCreate(change) => schedule_create(connection, change).await,
        PipelineWrite::ScheduleUpdate(change, generation) => schedule_update(connection, change, *generation).await,
        PipelineWrite::ScheduleDelete {
            namespace,
            name,
            generation,
        } => schedule_delete(connection, namespace, name, *generation).await,
        PipelineWrite::ScheduleProgress(progress) => schedule_progress(connection, progress).await,
    }
}

async fn pipeline_create(connection: &mut Connection, change: &PipelineChange) -> Result<Written> {
    let action = "make a pipeline";
    let version: Option<i64> = sqlx::query_scalar(
        "INSERT INTO pipelines AS known (namespace, name, description, labels, version, generation, created_at,
            created_by, updated_at, updated_by)
        VALUES ($1, $2, $3, $4, 1, 1, $5, $6, $5, $6)
        ON CONFLICT (namespace, name) DO UPDATE SET description = excluded.description, labels = excluded.labels,
            version = known.version + 1, generation = known.generation + 1, created_at = excluded.created_at,
            created_by = excluded.created_by, updated_at = excluded.updated_at, updated_by = excluded.updated_by,
            deleted_at = NULL
        WHERE known.deleted_at IS NOT NULL
        RETURNING version",
    )
    .bind(change.namespace.to_string())
    .bind(change.name.clone())
    .bind(change.description.clone())
    .bind(json(action, &change.labels)?)
    .bind(to_i64(change.at.0))
    .bind(change.by.clone())
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed(action))?;
    match version {
        None => Ok(Written::Exists),
        Some(version) => {
            insert_version(connection, change, version).await?;
            Ok(Written::Done)
        }
    }
}

async fn insert_version(connection: &mut Connection, change: &PipelineChange, version: i64) -> Result<()> {
    let Some(new) = &change.version else { return Ok(()) };
    sqlx::query(
        "INSERT INTO pipeline_versions (namespace, name, version, template, digest, note, created_at, created_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(change.namespace.to_string())
    .bind(change.name.clone())
    .bind(version)
    .bind(new.template.clone())
    .bind(new.digest.to_string())
    .bind(new.note.clone())
    .bind(to_i64(change.at.0))
    .bind(change.by.clone())
    .execute(connection)
    .await
    .map_err(failed("make a version of a pipeline"))?;
    Ok(())
}

async fn pipeline_update(connection: &mut Connection, change: &PipelineChange, generation: u64) -> Result<Written> {
    let action = "change a pipeline";
    let version: Option<i64> = sqlx::query_scalar(
        "UPDATE pipelines SET description = $4, labels = $5, version = version + $6, generation = generation + 1,
            updated_at = $7, updated_by = $8
        WHERE namespace = $1 AND name = $2 AND generation = $3 AND deleted_at IS NULL
        RETURNING version",
    )
    .bind(change.namespace.to_string())
    .bind(change.name.clone())
    .bind(to_i64(generation))
    .bind(change.description.clone())
    .bind(json(action, &change.labels)?)
    .bind(i64::from(change.version.is_some()))
    .bind(to_i64(change.at.0))
    .bind(change.by.clone())
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed(action))?;
    match version {
        Some(version) => {
            insert_version(connection, change, version).await?;
            Ok(Written::Done)
        }
        None => match pipeline_get(connection, &change.namespace, &change.name).await? {
            Some(_) => Ok(Written::Changed),
            None => Ok(Written::Absent),
        },
    }
}

/// Keeps a pipeline as it is until the end of the transaction; gives its generation and latest version.
async fn pipeline_lock(connection: &mut Connection, namespace: &Namespace, name: &str) -> Result<Option<(u64, i64)>> {
    let action = "look at a pipeline";
    let row = sqlx::query(
        "UPDATE pipelines SET generation = generation WHERE namespace = $1 AND name = $2 AND deleted_at IS NULL
        RETURNING generation, version",
    )
    .bind(namespace.to_string())
    .bind(name.to_owned())
    .fetch_optional(connection)
    .await
    .map_err(failed(action))?;
    let Some(row) = row else { return Ok(None) };
    let generation: i64 = row.try_get(0).map_err(failed(action))?;
    Ok(Some((to_u64(generation), row.try_get(1).map_err(failed(action))?)))
}

async fn pipeline_delete(
    connection: &mut Connection,
    namespace: &Namespace,
    name: &str,
    generation: Option<u64>,
    at: Timestamp,
    by: &str,
) -> Result<Written> {
    let action = "delete a pipeline";
    let Some((present, _)) = pipeline_lock(connection, namespace, name).await? else {
        return Ok(Written::Absent);
    };
    if generation.is_some_and(|wanted| wanted != present) {
        return Ok(Written::Changed);
    }
    if !schedule_list(connection, namespace, Some(name), None, 1)
        .await?
        .is_empty()
    {
        return Ok(Written::Refused);
    }
    sqlx::query("DELETE FROM pipeline_versions WHERE namespace = $1 AND name = $2")
        .bind(namespace.to_string())
        .bind(name.to_owned())
        .execute(&mut *connection)
        .await
        .map_err(failed(action))?;
    sqlx::query(
        "UPDATE pipelines SET deleted_at = $3, updated_at = $3, updated_by = $4, generation = generation + 1
        WHERE namespace = $1 AND name = $2",
    )
    .bind(namespace.to_string())
    .bind(name.to_owned())
    .bind(to_i64(at.0))
    .bind(by.to_owned())
    .execute(connection)
    .await
    .map_err(failed(action))?;
    Ok(Written::Done)
}

/// Whether the pipeline that a schedule wants, and the version, are there; they stay until the end of the transaction.
async fn has_pipeline(connection: &mut Connection, change: &ScheduleChange) -> Result<bool> {
    if pipeline_lock(connection, &change.namespace, &change.pipeline)
        .await?
        .is_none()
    {
        return Ok(false);
    }
    let Some(version) = change.definition.version else {
        return Ok(true);
    };
    let before = version.checked_add(1);
    let found = pipeline_versions(connection, &change.namespace, &change.pipeline, before, 1).await?;
    Ok(found.first().is_some_and(|found| found.version == version))
}

async fn schedule_create(connection: &mut Connection, change: &ScheduleChange) -> Result<Written> {
    let action = "make a schedule";
    if !has_pipeline(connection, change).await? {
        return Ok(Written::Refused);
    }
    let made = sqlx::query(
        "INSERT INTO schedules (namespace, name, pipeline, definition, status, next_at, generation, created_at,
            created_by, updated_at, updated_by)
        VALUES ($1, $2, $3, $4, '{}', $5, 1, $6, $7, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(change.namespace.to_string())
    .bind(change.name.clone())
    .bind(change.pipeline.clone())
    .bind(json(action, &change.definition)?)
    .bind(change.next_at.map(|at| to_i64(at.0)))
    .bind(to_i64(change.at.0))
    .bind(change.by.clone())
    .execute(connection)
    .await
    .map_err(failed(action))?;
    Ok(match made.rows_affected() {
        0 => Written::Exists,
        _ => Written::Done,
    })
}

async fn schedule_update(connection: &mut Connection, change: &ScheduleChange, generation: u64) -> Result<Written> {
    let action = "change a schedule";
    if !has_pipeline(connection, change).await? {
        return Ok(Written::Refused);
    }
    let changed = sqlx::query(
        "UPDATE schedules SET pipeline = $4, definition = $5, next_at = $6, generation = generation + 1,
            updated_at = $7, updated_by = $8
        WHERE namespace = $1 AND name = $2 AND generation = $3",
    )
    .bind(change.namespace.to_string())
    .bind(change.name.clone())
    .bind(to_i64(generation))
    .bind(change.pipeline.clone())
    .bind(json(action, &change.definition)?)
    .bind(change.next_at.map(|at| to_i64(at.0)))
    .bind(to_i64(change.at.0))
    .bind(change.by.clone())
    .execute(&mut *connection)
    .await
    .map_err(failed(action))?;
    if changed.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    missed(connection, &change.namespace, &change.name).await
}

async fn schedule_delete(
    connection: &mut Connection,
    namespace: &Namespace,
    name: &str,
    generation: Option<u64>,
) -> Result<Written> {
    let deleted = sqlx::query(
        "DELETE FROM schedules WHERE namespace = $1 AND name = $2 AND generation = coalesce($3, generation)",
    )
    .bind(namespace.to_string())
    .bind(name.to_owned())
    .bind(generation.map(to_i64))
    .execute(&mut *connection)
    .await
    .map_err(failed("delete a schedule"))?;
    match deleted.rows_affected() {
        0 => missed(connection, namespace, name).await,
        _ => Ok(Written::Done),
    }
}

async fn schedule_progress(connection: &mut Connection, progress: &ScheduleProgress) -> Result<Written> {
    let action = "note what a schedule did";
    let noted = sqlx::query(
        "UPDATE schedules SET next_at = $5, status = $6
        WHERE namespace = $1 AND name = $2 AND generation = $3 AND next_at = $4",
    )
    .bind(progress.namespace.to_string())
    .bind(progress.name.clone())
    .bind(to_i64(progress.generation))
    .bind(to_i64(progress.due_at.0))
    .bind(progress.next_at.map(|at| to_i64(at.0)))
    .bind(json(action, &progress.status)?)
    .execute(&mut *connection)
    .await
    .map_err(failed(action))?;
    match noted.rows_affected() {
        0 => missed(connection, &progress.namespace, &progress.name).await,
        _ => Ok(Written::Done),
    }
}

/// Why a conditional write to a schedule did nothing.
async fn missed(connection: &mut Connection, namespace: &Namespace, name: &str) -> Result<Written> {
    Ok(match schedule_get(connection, namespace, name).await? {
        Some(_) => Written::Changed,
        None => Written::Absent,
    })
}

pub(super) async fn pipeline_get(
    connection: &mut Connection,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<PipelineRow>> {
    let mut query = QueryBuilder::<Db>::new(PIPELINE);
    query
        .push(" WHERE deleted_at IS NULL AND namespace = ")
        .push_bind(namespace.to_string());
    query.push(" AND name = ").push_bind(name.to_owned());
    let row = query
        .build()
        .fetch_optional(connection)
        .await
        .map_err(failed("read a pipeline"))?;
    row.as_ref().map(pipeline).transpose()
}

pub(super) async fn pipeline_list(
    connection: &mut Connection,
    namespace: &Namespace,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<PipelineRow>> {
    let mut query = QueryBuilder::<Db>::new(PIPELINE);
    query
        .push(" WHERE deleted_at IS NULL AND namespace = ")
        .push_bind(namespace.to_string());
    if let Some(after) = after {
        query.push(" AND name > ").push_bind(after.to_owned());
    }
    query.push(" ORDER BY name LIMIT ").push_bind(i64::from(limit));
    let rows = query
        .build()
        .fetch_all(connection)
        .await
        .map_err(failed("list pipelines"))?;
    rows.iter().map(pipeline).collect()
}

pub(super) async fn pipeline_versions(
    connection: &mut Connection,
    namespace: &Namespace,
    name: &str,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<PipelineVersionRow>> {
    let mut query = QueryBuilder::<Db>::new(VERSION);
    query.push(" WHERE namespace = ").push_bind(namespace.to_string());
    query.push(" AND name = ").push_bind(name.to_owned());
    if let Some(before) = before {
        query.push(" AND version < ").push_bind(i64::from(before));
    }
    query.push(" ORDER BY version DESC LIMIT ").push_bind(i64::from(limit));
    versions(connection, query).await
}

pub(super) async fn pipeline_versions_all(
    connection: &mut Connection,
    after: Option<&PipelineVersionRow>,
    limit: u32,
) -> Result<Vec<PipelineVersionRow>> {
    let mut query = QueryBuilder::<Db>::new(VERSION);
    if let Some(after) = after {
        query
            .push(" WHERE (namespace, name, version) > (")
            .push_bind(after.namespace.to_string());
        query.push(", ").push_bind(after.pipeline.clone());
        query.push(", ").push_bind(i64::from(after.version)).push(")");
    }
    query
        .push(" ORDER BY namespace, name, version LIMIT ")
        .push_bind(i64::from(limit));
    versions(connection, query).await
}

async fn versions(connection: &mut Connection, mut query: QueryBuilder<Db>) -> Result<Vec<PipelineVersionRow>> {
    let rows = query
        .build()
        .fetch_all(connection)
        .await
        .map_err(failed("list versions of pipelines"))?;
    rows.iter().map(version).collect()
}

pub(super) async fn schedule_get(
    connection: &mut Connection,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<ScheduleRow>> {
    let mut query = QueryBuilder::<Db>::new(SCHEDULE);
    query.push(" WHERE namespace = ").push_bind(namespace.to_string());
    query.push(" AND name = ").push_bind(name.to_owned());
    Ok(schedules(connection, query).await?.pop())
}

pub(super) async fn schedule_list(
    connection: &mut Connection,
    namespace: &Namespace,
    pipeline: Option<&str>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<ScheduleRow>> {
    let mut query = QueryBuilder::<Db>::new(SCHEDULE);
    query.push(" WHERE namespace = ").push_bind(namespace.to_string());
    if let Some(pipeline) = pipeline {
        query.push(" AND pipeline = ").push_bind(pipeline.to_owned());
    }
    if let Some(after) = after {
        query.push(" AND name > ").push_bind(after.to_owned());
    }
    query.push(" ORDER BY name LIMIT ").push_bind(i64::from(limit));
    schedules(connection, query).await
}

pub(super) async fn schedules_due(
    connection: &mut Connection,
    now: Timestamp,
    after: Option<&ScheduleRow>,
    limit: u32,
) -> Result<Vec<ScheduleRow>> {
    let mut query = QueryBuilder::<Db>::new(SCHEDULE);
    query.push(" WHERE next_at <= ").push_bind(to_i64(now.0));
    if let Some(after) = after {
        query.push(" AND (next_at, namespace, name) > (");
        query.push_bind(after.next_at.map_or(0, |at| to_i64(at.0)));
        query.push(", ").push_bind(after.namespace.to_string());
        query.push(", ").push_bind(after.name.clone()).push(")");
    }
    query
        .push(" ORDER BY next_at, namespace, name LIMIT ")
        .push_bind(i64::from(limit));
    schedules(connection, query).await
}

pub(super) async fn schedules_all(
    connection: &mut Connection,
    after: Option<&ScheduleRow>,
    limit: u32,
) -> Result<Vec<ScheduleRow>> {
    let mut query = QueryBuilder::<Db>::new(SCHEDULE);
    if let Some(after) = after {
        query.push(" WHERE (namespace, name) > (");
        query.push_bind(after.namespace.to_string());
        query.push(", ").push_bind(after.name.clone()).push(")");
    }
    query
        .push(" ORDER BY namespace, name LIMIT ")
        .push_bind(i64::from(limit));
    schedules(connection, query).await
}

async fn schedules(connection: &mut Connection, mut query: QueryBuilder<Db>) -> Result<Vec<ScheduleRow>> {
    let rows = query
        .build()
        .fetch_all(connection)
        .await
        .map_err(failed("list schedules"))?;
    rows.iter().map(schedule).collect()
}

fn json(action: &'static str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Database {
        action,
        source: source.into(),
    })
}

type Reading<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn read<T>(action: &'static str, reading: Reading<T>) -> Result<T> {
    reading.map_err(|source| Error::Database { action, source })
}

fn number(row: &Row, column: &str) -> Reading<i64> {
    Ok(row.try_get::<i64, _>(column)?)
}

fn time(row: &Row, column: &str) -> Reading<Timestamp> {
    Ok(Timestamp(to_u64(number(row, column)?)))
}

fn text(row: &Row, column: &str) -> Reading<String> {
    Ok(row.try_get::<String, _>(column)?)
}

fn pipeline(row: &Row) -> Result<PipelineRow> {
    let reading = || -> Reading<_> {
        Ok(PipelineRow {
            namespace: text(row, "namespace")?.parse()?,
            name: text(row, "name")?,
            description: row.try_get("description")?,
            labels: serde_json::from_str(&text(row, "labels")?)?,
            version: to_u32(number(row, "version")?),
            generation: to_u64(number(row, "generation")?),
            created_at: time(row, "created_at")?,
            created_by: text(row, "created_by")?,
            updated_at: time(row, "updated_at")?,
            updated_by: text(row, "updated_by")?,
        })
    };
    read("read the row of a pipeline", reading())
}

fn version(row: &Row) -> Result<PipelineVersionRow> {
    let reading = || -> Reading<_> {
        Ok(PipelineVersionRow {
            namespace: text(row, "namespace")?.parse()?,
            pipeline: text(row, "name")?,
            version: to_u32(number(row, "version")?),
            template: text(row, "template")?,
            digest: text(row, "digest")?.parse()?,
            note: row.try_get("note")?,
            created_at: time(row, "created_at")?,
            created_by: text(row, "created_by")?,
        })
    };
    read("read the row of a version of a pipeline", reading())
}

fn schedule(row: &Row) -> Result<ScheduleRow> {
    let reading = || -> Reading<_> {
        let next_at: Option<i64> = row.try_get("next_at")?;
        Ok(ScheduleRow {
            namespace: text(row, "namespace")?.parse()?,
            name: text(row, "name")?,
            pipeline: text(row, "pipeline")?,
            definition: serde_json::from_str(&text(row, "definition")?)?,
            status: serde_json::from_str(&text(row, "status")?)?,
            next_at: next_at.map(|at| Timestamp(to_u64(at))),
            generation: to_u64(number(row, "generation")?),
            created_at: time(row, "created_at")?,
            created_by: text(row, "created_by")?,
            updated_at: time(row, "updated_at")?,
            updated_by: text(row, "updated_by")?,
        })
    };
    read("read the row of a schedule", reading())
}
