//! Errors as RFC 9457 problems.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weir_model::spec::Diagnostics;
use weir_platform::templates;

use super::journal::ProblemCode;
use super::layer;
use crate::pipelines::InvalidCron;
use crate::{Error, history, store};

/// What went wrong. Small enough to be the error of every function here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemBody>);

/// What went wrong, for programs (`code`) and people (`detail`).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// `urn:weir:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// A stable word: it does not change between versions.
    pub code: String,
    /// What happened, and what to do next.
    pub detail: String,
    /// The request, as the server's log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Each thing that is wrong with what was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemDetail>,
    /// When to try again, in seconds.
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemDetail {
    /// The field of the request, or the module, that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line of the pipeline, from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column of the line, in characters, from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Problem {
    /// A problem with a stable code and what to do.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self(Box::new(ProblemBody {
            kind: format!("urn:weir:problem:{code}"),
            title,
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            request_id: None,
            errors: Vec::new(),
            retry_after: None,
        }))
    }

    /// The request is well-formed but makes no sense.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
    }

    /// The request cannot be read.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    /// There is no such run.
    pub(super) fn run_not_found(run: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "run_not_found",
            format!("there is no run `{run}`; `GET /api/v1/runs` lists those that are"),
        )
    }

    /// There is nothing at a path.
    pub(super) fn route_not_found(path: &str) -> Self {
        let detail = format!("there is nothing at `{path}`; see `/api/v1/openapi.json`");
        Self::new(StatusCode::NOT_FOUND, "route_not_found", detail)
    }

    /// There is no such namespace, or none that the caller may know of.
    pub(super) fn namespace_not_found(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "namespace_not_found",
            format!(
                "there is no namespace `{name}` that you may use; `weir namespaces list` shows those that are, and an \
                 admin of the service makes one by `weir namespaces create`"
            ),
        )
    }

    /// Nobody is known to have sent the request.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The parameters of the query make no sense.
    pub(super) fn invalid_query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    }

    /// A page was asked for by a `cursor` that no page gave.
    pub(super) fn invalid_cursor() -> Self {
        Self::invalid_query("`cursor` is not one that this API gave")
    }

    /// What comes `after` a place was asked for, and no page gave that place.
    pub(super) fn invalid_after() -> Self {
        Self::invalid_query("`after` is not a cursor that this API gave")
    }

    /// There is no such pipeline.
    pub(super) fn pipeline_not_found(name: &str) -> Self {
        let detail = format!("there is no pipeline `{name}`; `GET /api/v1/pipelines` lists those that are");
        Self::new(StatusCode::NOT_FOUND, "pipeline_not_found", detail)
    }

    /// There is no such version of a pipeline.
    pub(super) fn pipeline_version_not_found(name: &str, version: &str) -> Self {
        let detail = format!(
            "there is no version {version} of the pipeline `{name}`; `GET /api/v1/pipelines/{name}/versions` lists \
             those that are"
        );
        Self::new(StatusCode::NOT_FOUND, "pipeline_version_not_found", detail)
    }

    /// There is no such schedule.
    pub(super) fn schedule_not_found(name: &str) -> Self {
        let detail = format!("there is no schedule `{name}`; `GET /api/v1/schedules` lists those that are");
        Self::new(StatusCode::NOT_FOUND, "schedule_not_found", detail)
    }

    /// Something that the server needs does not answer.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    }

    /// A fault of this server.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; its log says why, under this request's id",
        )
    }

    /// The same with another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// The same with a time to try again.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The same with details.
    pub(super) fn with_errors(mut self, errors: Vec<ProblemDetail>) -> Self {
        self.0.errors = errors;
        self
    }
}

impl std::ops::Deref for Problem {
    type Target = ProblemBody;

    fn deref(&self) -> &ProblemBody {
        &self.0
    }
}

impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        ProblemBody::schema()
    }
}

impl utoipa::ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        ProblemBody::schemas(schemas);
    }
}

impl From<Diagnostics> for Problem {
    fn from(diagnostics: Diagnostics) -> Self {
        let some = |number: u32| (number > 0).then_some(number);
        let errors: Vec<_> = diagnostics
            .0
            .into_iter()
            .map(|diagnostic| ProblemDetail {
                field: Some("pipeline".to_owned()),
                line: some(diagnostic.line),
                column: some(diagnostic.column),
                transform: diagnostic.transform,
                message: diagnostic.message,
                help: diagnostic.help,
            })
            .collect();
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_pipeline",
            "the pipeline is not valid; `errors` says where",
        )
        .with_errors(errors)
    }
}

impl From<templates::Error> for Problem {
    fn from(error: templates::Error) -> Self {
        let text = error.to_string();
        match error {
            templates::Error::Pipeline(diagnostics) => diagnostics.into(),
            templates::Error::TooLarge => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "template_too_large", text),
            templates::Error::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", text).retry_after(5),
            templates::Error::Process(_) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a template cannot be rendered"
                );
                Self::unavailable("the pipeline's template cannot be rendered at the moment; try again")
            }
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid { .. } | Error::InvalidQuota { .. } => Self::invalid(text),
            Error::Busy { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", text).retry_after(5),
            Error::TooManyQueued { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", text).retry_after(5),
            Error::QuotaExceeded { retry_after, .. } => {
                let seconds = u32::try_from(crate::admission::seconds(retry_after)).unwrap_or(u32::MAX);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", text).retry_after(seconds.max(1))
            }
            Error::IdempotencyKeyReused { .. } => Self::new(StatusCode::CONFLICT, "idempotency_key_reused", text),
            Error::Unfinished { .. } => Self::new(StatusCode::CONFLICT, "run_unfinished", text),
            Error::NotFound { run } => Self::run_not_found(&run.to_string()),
            Error::Finished { .. } => Self::new(StatusCode::CONFLICT, "run_finished", text),
            Error::Owned { .. } => Self::new(StatusCode::CONFLICT, "run_owned", text),
            Error::ShuttingDown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting_down",
                "this server is shutting down; send the request again, another one will answer",
            )
            .retry_after(1),
            Error::Store(error) => error.into(),
            Error::History(error) => error.into(),
        }
    }
}

impl From<InvalidCron> for Problem {
    fn from(error: InvalidCron) -> Self {
        let code = match error {
            InvalidCron::TimeZone { .. } => "invalid_time_zone",
            InvalidCron::Expression { .. } | InvalidCron::Never { .. } => "invalid_cron",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::Fenced { .. } | store::Error::Exists { .. } => {
                Self::new(StatusCode::CONFLICT, "conflict", error.to_string()).retry_after(1)
            }
            store::Error::Unreadable { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "a record cannot be read");
                Self::internal()
            }
            _ => {
                // The cause may name hosts and users: it is for the log.
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Self::unavailable("the run store does not answer; try again")
            }
        }
    }
}

impl From<history::Error> for Problem {
    fn from(error: history::Error) -> Self {
        match error {
            history::Error::Store(error) => error.into(),
            history::Error::Storage(error) => error.into(),
            error => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the history of a run cannot be read"
                );
                Self::internal()
            }
        }
    }
}

impl From<weir_platform::StorageError> for Problem {
    fn from(error: weir_platform::StorageError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "storage failed");
        Self::unavailable("the object storage does not answer; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.0.request_id = layer::request_id();
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.0.retry_after;
        let code = ProblemCode(self.0.code.clone());
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(code);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
