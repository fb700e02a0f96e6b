//! `/api/v1/modules`: Wasm components by content.

use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::sync::SemaphorePermit;
use weir_model::{Digest, layout};

use super::extract::{ModulePath, too_large_problem};
use super::resources::{Module, ModuleFunction, Upload};
use super::{Api, Problem};

/// Looks into Wasm components, which needs the sandbox.
#[async_trait]
pub trait ModuleInspector: Send + Sync + 'static {
    /// The functions of a component; compiles it, which takes up to seconds when it is new.
    ///
    /// # Errors
    /// Whether the component or the machine is at fault.
    async fn inspect(&self, bytes: Bytes) -> Result<Vec<ModuleFunction>, InspectError>;
}

/// A component could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is not a component that jobs can use.
    #[error("{message}")]
    Invalid {
        /// What is wrong with it, and what to do about it.
        message: String,
    },
    /// The sandbox failed.
    #[error("cannot look into the component")]
    Platform {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How long an upload past the server may take.
const UPLOAD_TTL: Duration = Duration::from_secs(900);

/// Room for one more module, each of which is held in memory while it is checked.
fn room(api: &Api) -> Result<SemaphorePermit<'_>, Problem> {
    api.uploads().try_acquire().map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_uploads",
            "this server takes other modules at the moment; try again",
        )
        .retry_after(1)
    })
}

async fn inspect(api: &Api, digest: Digest, bytes: Bytes) -> Result<Module, Problem> {
    let size = bytes.len() as u64;
    match api.inspector().inspect(bytes).await {
        Ok(functions) => Ok(Module {
            digest,
            bytes: size,
            functions,
        }),
        Err(InspectError::Invalid { message }) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_module",
            message,
        )),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, module = %digest, "cannot inspect a module");
            Err(Problem::internal())
        }
    }
}

fn not_found(digest: Digest) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "module_not_found",
        format!("there is no module {digest}; `PUT` it first"),
    )
}

/// Whether a module is there.
#[utoipa::path(
    head, path = "/api/v1/modules/{digest}", tag = "modules", operation_id = "modules_head",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    responses((status = 200, description = "It is there"), (status = 404, description = "It is not"),
        (status = "4XX", description = "The request was refused"), (status = "5XX", description = "Try again")),
)]
pub(super) async fn head(State(api): State<Api>, ModulePath(digest): ModulePath) -> Result<StatusCode, Problem> {
    match api.storage().exists(&layout::module_key(&digest)).await? {
        true => Ok(StatusCode::OK),
        false => Err(not_found(digest)),
    }
}

/// What a module offers.
#[utoipa::path(
    get, path = "/api/v1/modules/{digest}", tag = "modules", operation_id = "modules_get",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    responses((status = 200, body = Module), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(State(api): State<Api>, ModulePath(digest): ModulePath) -> Result<Json<Module>, Problem> {
    let bytes = match api.storage().get(&layout::module_key(&digest)).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(not_found(digest)),
        Err(error) => return Err(error.into()),
    };
    if Digest::of(&bytes) != digest {
        // Nobody can have used it: workers check the same.
        return Err(not_found(digest));
    }
    Ok(Json(inspect(&api, digest, bytes).await?))
}

/// Uploads a module. It must be a Wasm component with at least one function, and its bytes must have the digest.
#[utoipa::path(
    put, path = "/api/v1/modules/{digest}", tag = "modules", operation_id = "modules_put",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 200, body = Module, description = "It was there already"),
        (status = 201, body = Module),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn put(
    State(api): State<Api>,
    ModulePath(digest): ModulePath,
    body: Body,
) -> Result<Response, Problem> {
    let _room = room(&api)?;
    let bytes = read(body, api.options().max_module_bytes).await?;
    keep(&api, digest, bytes).await
}

/// Keeps a module that is what it is said to be.
async fn keep(api: &Api, digest: Digest, bytes: Bytes) -> Result<Response, Problem> {
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "digest_mismatch",
            format!("the bytes have the digest {found}, not that of the path"),
        ));
    }
    let module = inspect(api, digest, bytes.clone()).await?;
    let created = api.storage().put_if_absent(&layout::module_key(&digest), bytes).await?;
    let status = match created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(module)).into_response())
}

/// Asks for a URL to upload a module to, past this server; `/complete` comes after the upload.
#[utoipa::path(
    post, path = "/api/v1/modules/{digest}/upload", tag = "modules", operation_id = "modules_upload",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    responses(
        (status = 200, body = Upload),
        (status = 409, body = Problem, description = "The storage has no such URLs: `PUT` the module instead"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn upload(State(api): State<Api>, ModulePath(digest): ModulePath) -> Result<Json<Upload>, Problem> {
    let url = api
        .storage()
        .presign_put(&layout::upload_key(&digest), UPLOAD_TTL)
        .await?;
    let url = url.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "upload_unsupported",
            format!("this server's storage has no URLs; `PUT /api/v1/modules/{digest}` instead"),
        )
    })?;
    Ok(Json(Upload {
        method: "PUT".to_owned(),
        url,
        headers: Default::default(),
        expires_in_s: UPLOAD_TTL.as_secs(),
    }))
}

/// Takes a module that was uploaded to a URL of `/upload`. It is checked as one that is `PUT`.
#[utoipa::path(
    post, path = "/api/v1/modules/{digest}/complete", tag = "modules", operation_id = "modules_complete",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    responses(
        (status = 200, body = Module, description = "It was there already"),
        (status = 201, body = Module),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn complete(State(api): State<Api>, ModulePath(digest): ModulePath) -> Result<Response, Problem> {
    let _room = room(&api)?;
    let (key, limit) = (layout::upload_key(&digest), api.options().max_module_bytes);
    // One byte more than is allowed tells whether it is too large, without reading all of it.
    let bytes = match api.storage().get_range(&key, 0..limit as u64 + 1).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(not_found(digest)),
        Err(error) => return Err(error.into()),
    };
    let kept = match bytes.len() > limit {
        true => Err(too_large_problem(limit)),
        false => keep(&api, digest, bytes).await,
    };
    // It is in its place, or no good.
    api.storage().delete(vec![key]).await?;
    kept
}

/// The whole body, without holding more than `limit` bytes at any time.
async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body ended early"))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large_problem(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
