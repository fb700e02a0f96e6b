//! `/api/v1/sql/check`.

use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use weir_model::{Namespace, RunSettings};

use super::caller::Caller;
use super::extract::JsonBody;
use super::resources::{SqlCheck, SqlCheckRequest};
use super::{Api, Problem, submit};
use crate::identity::Role;

/// Scripts that are looked at at once, or wait for their turn at the [`SqlChecker`].
pub(super) const CONCURRENT_CHECKS: usize = 32;
/// Bytes of a script.
const MAX_SCRIPT: usize = 256 << 10;
/// Tables of a script.
const MAX_TABLES: usize = 256;
/// How long an answer may take: to wait for a turn, and to plan.
const PATIENCE: Duration = Duration::from_secs(40);

/// Why a script was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Others are, and its turn did not come in time.
    #[error("this server looks at as many scripts as it can; try again")]
    Busy,
    /// The platform failed.
    #[error("cannot look at a script")]
    Platform(#[source] Box<dyn std::error::Error + Send + Sync>),
}
/// How long a script waits for others of the namespace.
const QUEUE: Duration = Duration::from_secs(10);

/// Looks at SQL, which needs the engine.
#[async_trait]
pub trait SqlChecker: Send + Sync + 'static {
    /// What a script means. Relative paths start from `base`.
    ///
    /// # Errors
    /// When nobody can do it now, or the platform failed; what is wrong with the script is in the answer.
    async fn check(
        &self,
        namespace: &Namespace,
        request: SqlCheckRequest,
        base: String,
        settings: &RunSettings,
    ) -> Result<SqlCheck, CheckError>;
}

/// Looks at a script without running it: what is wrong and where, its statements, and for the last one the columns and
/// stages. A run takes one statement with those of the role `setup` before it.
#[utoipa::path(
    post, path = "/api/v1/sql/check", tag = "runs", operation_id = "sql_check",
    request_body = SqlCheckRequest,
    responses((status = 200, body = SqlCheck), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn check(
    State(api): State<Api>,
    caller: Caller,
    body: JsonBody<SqlCheckRequest>,
) -> Result<Json<SqlCheck>, Problem> {
    // Planning reads files by the rights of the service.
    caller.require(Role::Submitter)?;
    let mut request = body.value;
    if request.script.len() > MAX_SCRIPT || request.tables.len() > MAX_TABLES {
        return Err(Problem::invalid(format!(
            "a script has at most {MAX_SCRIPT} bytes, and {MAX_TABLES} tables"
        )));
    }
    submit::check_modules(&api, caller.namespace(), &[], &request.modules).await?;
    let busy = || {
        let detail = CheckError::Busy.to_string();
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_checks", detail).retry_after(1)
    };
    let room = api.rooms().checks_of_sql.wait(caller.namespace(), QUEUE).await;
    let _room = room.map_err(|full| full.problem("too_many_checks", "checks of scripts"))?;
    let base = request.base.take().unwrap_or_else(|| api.options().base.clone());
    let settings = RunSettings {
        allowed_locations: api.control_plane().allowed_locations(caller.namespace()).await?,
        ..api.options().default_settings.clone()
    };
    let checked = api.sql().check(caller.namespace(), request, base, &settings);
    match tokio::time::timeout(PATIENCE, checked).await {
        Ok(Ok(checked)) => Ok(Json(checked)),
        Ok(Err(CheckError::Busy)) => Err(busy()),
        Ok(Err(CheckError::Platform(error))) => {
            tracing::error!(error = &*error as &dyn std::error::Error, "cannot look at a script");
            Err(Problem::unavailable(
                "the script cannot be looked at at the moment; try again",
            ))
        }
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "planning the script takes too long; look at fewer files, or submit it",
        )),
    }
}
