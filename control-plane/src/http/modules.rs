//! `/api/v1/modules`: Wasm components by content, each namespace its own.

use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use weir_model::{Digest, Event, Namespace, RunId, RunPhase, layout};
use weir_platform::clock;

use super::caller::Caller;
use super::extract::{JsonBody, ModulePath, Params, limit, too_large_problem};
use super::pool::Room;
use super::resources::{ListedModule, Module, ModuleFunction, ModulePage, Time, Upload, UploadRequest};
use super::{Api, Problem};
use crate::identity::Role;
use crate::pipelines::Template;
use crate::store::RunRow;

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

/// Notes and logs that are read at once for one answer.
const READS_AT_ONCE: usize = 16;
/// Runs and pipelines that are listed at once in search of those that use a module.
const RUNS_AT_ONCE: u32 = 500;
/// How long a module waits for others of the namespace.
const QUEUE: Duration = Duration::from_secs(20);
/// How long an upload past the server may take.
const UPLOAD_TTL: Duration = Duration::from_secs(900);

/// Whether a request to a route carries a module, which its handler reads itself: it is larger than other bodies.
pub(super) fn takes_body(method: &Method, route: &str) -> bool {
    method == Method::PUT && route == "/api/v1/modules/{digest}"
}

/// Room for one more module.
async fn room(api: &Api, caller: &Caller) -> Result<Room, Problem> {
    let room = api.rooms().uploads.wait(caller.namespace(), QUEUE).await;
    room.map_err(|full| full.problem("too_many_uploads", "modules"))
}

/// What is kept beside a module, so that nobody has to look into it again.
#[derive(Serialize, Deserialize)]
struct Notes {
    uploaded_at: Time,
    uploaded_by: String,
    bytes: u64,
    functions: Vec<ModuleFunction>,
}

impl Notes {
    /// Those of a module; none when there are none, or when they are of another version.
    async fn read(api: &Api, namespace: &Namespace, digest: &Digest) -> Result<Option<Self>, Problem> {
        match api.storage().get(&layout::module_notes_key(namespace, digest)).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The functions of a module. The room is taken until it is compiled, whoever still waits for that.
async fn inspect(api: &Api, room: Room, digest: Digest, bytes: Bytes) -> Result<Vec<ModuleFunction>, Problem> {
    let inspector = api.inspector();
    let inspecting = tokio::spawn(async move {
        let _room = room;
        inspector.inspect(bytes).await
    });
    match inspecting.await.map_err(|_| Problem::internal())? {
        Ok(functions) => Ok(functions),
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
pub(super) async fn head(
    State(api): State<Api>,
    caller: Caller,
    ModulePath(digest): ModulePath,
) -> Result<StatusCode, Problem> {
    match api
        .storage()
        .exists(&layout::module_key(caller.namespace(), &digest))
        .await?
    {
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
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    ModulePath(digest): ModulePath,
) -> Result<Json<Module>, Problem> {
    let namespace = caller.namespace();
    let key = layout::module_key(namespace, &digest);
    if let Some(notes) = Notes::read(&api, namespace, &digest).await?
        && api.storage().exists(&key).await?
    {
        return Ok(Json(Module {
            digest,
            bytes: notes.bytes,
            uploaded_at: Some(notes.uploaded_at),
            uploaded_by: Some(notes.uploaded_by),
            functions: notes.functions,
        }));
    }
    let room = room(&api, &caller).await?;
    let bytes = match api.storage().get(&key).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(not_found(digest)),
        Err(error) => return Err(error.into()),
    };
    if Digest::of(&bytes) != digest {
        // Nobody can have used it: workers check the same.
        return Err(not_found(digest));
    }
    Ok(Json(Module {
        digest,
        bytes: bytes.len() as u64,
        uploaded_at: None,
        uploaded_by: None,
        functions: inspect(&api, room, digest, bytes).await?,
    }))
}

/// Which modules to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// At most this many, from 1 to 500; 50 when it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The modules of the namespace, in the order of their digests.
#[utoipa::path(
    get, path = "/api/v1/modules", tag = "modules", operation_id = "modules_list",
    params(ListParams),
    responses((status = 200, body = ModulePage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<ModulePage>, Problem> {
    let limit = limit(params.limit, 50, 500)? as usize;
    let namespace = caller.namespace();
    let after = params.cursor.as_deref().map(str::parse::<Digest>).transpose();
    let after = after.map_err(|_| Problem::invalid_cursor())?;
    let after = after.map(|digest| format!("{digest}.wasm"));
    let prefix = layout::module_prefix(namespace);
    let is_module = |name: &str| name.ends_with(".wasm");
    // One more tells whether there are more.
    let mut found = api
        .storage()
        .list_objects(&prefix, after.as_deref(), limit + 1, is_module)
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let digest = |name: &str| name.strip_suffix(".wasm")?.parse::<Digest>().ok();
    let (api, namespace) = (&api, &namespace);
    let items: Vec<Option<ListedModule>> = stream::iter(found)
        .map(|object| async move {
            // Whatever is not named after a digest is none of ours.
            let Some(digest) = digest(&object.name) else {
                return Ok(None);
            };
            let notes = Notes::read(api, namespace, &digest).await?;
            Ok::<_, Problem>(Some(ListedModule {
                digest,
                bytes: object.bytes,
                uploaded_at: notes
                    .as_ref()
                    .map_or(Time(object.written_at), |notes| notes.uploaded_at),
                uploaded_by: notes.as_ref().map(|notes| notes.uploaded_by.clone()),
                functions: notes.map(|notes| notes.functions.into_iter().map(|function| function.name).collect()),
            }))
        })
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    let items: Vec<ListedModule> = items.into_iter().flatten().collect();
    let last = items.last().filter(|_| more);
    Ok(Json(ModulePage {
        next_cursor: last.map(|last| last.digest.to_string()),
        items,
    }))
}

/// Deletes a module that neither a run needs which is not over, nor the latest version of a pipeline. Runs that used it
/// cannot be retried then.
#[utoipa::path(
    delete, path = "/api/v1/modules/{digest}", tag = "modules", operation_id = "modules_delete",
    params(("digest" = String, Path, description = "The SHA-256 of its bytes, in hexadecimal")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 409, body = Problem, description = "It is needed"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    ModulePath(digest): ModulePath,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Operator)?;
    let namespace = caller.namespace();
    let key = layout::module_key(namespace, &digest);
    if !api.storage().exists(&key).await? {
        return Err(not_found(digest));
    }
    let in_use = |detail: String| Problem::new(StatusCode::CONFLICT, "module_in_use", detail);
    if let Some(run) = run_that_needs(&api, namespace, digest).await? {
        let detail = format!("run {run} needs the module {digest}; wait for its end, or cancel it");
        return Err(in_use(detail));
    }
    if let Some(pipeline) = pipeline_that_needs(&api, namespace, digest).await? {
        let detail = format!("the pipeline `{pipeline}` needs the module {digest}; change or delete it first");
        return Err(in_use(detail));
    }
    let notes = layout::module_notes_key(namespace, &digest);
    api.storage().delete(vec![key, notes]).await?;
    api.control_plane().modules().module_forget(namespace, digest).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A pipeline of the namespace whose latest version uses a module.
async fn pipeline_that_needs(api: &Api, namespace: &Namespace, digest: Digest) -> Result<Option<String>, Problem> {
    let store = api.control_plane().pipelines();
    let mut after: Option<String> = None;
    loop {
        let page = store.pipeline_list(namespace, after.as_deref(), RUNS_AT_ONCE).await?;
        for row in &page {
            let latest = store.pipeline_versions(namespace, &row.name, None, 1).await?;
            let uses = latest.iter().any(|version| {
                // Of what a newer version of weir wrote, nobody knows what it needs.
                let template = serde_json::from_str::<Template>(&version.template);
                template.map_or(true, |template| template.modules.values().any(|used| *used == digest))
            });
            if uses {
                return Ok(Some(row.name.clone()));
            }
        }
        if page.len() < RUNS_AT_ONCE as usize {
            return Ok(None);
        }
        after = page.into_iter().next_back().map(|row| row.name);
    }
}

/// A run of the namespace that is not over and uses a module.
async fn run_that_needs(api: &Api, namespace: &Namespace, digest: Digest) -> Result<Option<RunId>, Problem> {
    let mut after = None;
    loop {
        let rows = api.control_plane().unfinished(after, RUNS_AT_ONCE).await?;
        let is_user = |row: &RunRow| row.namespace == *namespace && row.summary.phase != RunPhase::Finished;
        let runs: Vec<RunId> = rows.iter().filter(|row| is_user(row)).map(|row| row.run).collect();
        let mut users = stream::iter(runs)
            .map(|run| async move {
                let first = api.control_plane().run_events(run, 0, 1).await?;
                let uses = first.iter().any(|record| match &record.event {
                    Event::Submitted { submission } => submission.modules.values().any(|used| *used == digest),
                    _ => false,
                });
                Ok::<_, Problem>(uses.then_some(run))
            })
            .buffered(READS_AT_ONCE);
        while let Some(user) = users.next().await {
            if let Some(run) = user? {
                return Ok(Some(run));
            }
        }
        drop(users);
        if rows.len() < RUNS_AT_ONCE as usize {
            return Ok(None);
        }
        after = rows.last().map(|row| row.run);
    }
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
    caller: Caller,
    ModulePath(digest): ModulePath,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let room = room(&api, &caller).await?;
    let bytes = read(body, api.options().max_module_bytes).await?;
    keep(&api, &caller, room, digest, bytes).await
}

/// Keeps a module that is what it is said to be.
async fn keep(api: &Api, caller: &Caller, room: Room, digest: Digest, bytes: Bytes) -> Result<Response, Problem> {
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "digest_mismatch",
            format!("the bytes have the digest {found}, not that of the path"),
        ));
    }
    let notes = Notes {
        uploaded_at: Time(clock::now()),
        uploaded_by: caller.principal().to_owned(),
        bytes: bytes.len() as u64,
        functions: inspect(api, room, digest, bytes.clone()).await?,
    };
    let namespace = caller.namespace();
    let key = layout::module_key(namespace, &digest);
    if !api.storage().exists(&key).await? {
        api.control_plane().check_storage(namespace, notes.bytes).await?;
    }
    let created = api.storage().put_if_absent(&key, bytes.clone()).await?;
    if !created {
        // It is as young as its latest upload, so that it is not deleted as unused before whatever is to use it comes.
        api.storage().put(&key, bytes).await?;
    }
    // Those of the first upload stay; nobody misses them if this fails.
    let text = serde_json::to_vec(&notes).map_err(|_| Problem::internal())?;
    let key = layout::module_notes_key(namespace, &digest);
    let written = api.storage().put_if_absent(&key, text.into()).await?;
    // Whoever follows the modules finds it whole.
    let sizes = [(digest, notes.bytes)];
    let modules = api.control_plane().modules();
    modules.modules_note(namespace, &sizes, clock::now()).await?;
    let notes = match written {
        true => notes,
        false => Notes::read(api, namespace, &digest).await?.unwrap_or(notes),
    };
    let module = Module {
        digest,
        bytes: notes.bytes,
        uploaded_at: Some(notes.uploaded_at),
        uploaded_by: Some(notes.uploaded_by),
        functions: notes.functions,
    };
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
    request_body = UploadRequest,
    responses(
        (status = 200, body = Upload),
        (status = 409, body = Problem, description = "The storage has no such URLs: `PUT` the module instead"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn upload(
    State(api): State<Api>,
    caller: Caller,
    ModulePath(digest): ModulePath,
    body: JsonBody<UploadRequest>,
) -> Result<Json<Upload>, Problem> {
    caller.require(Role::Submitter)?;
    let (bytes, limit) = (body.value.bytes, api.options().max_module_bytes);
    if i64::try_from(bytes).is_err() {
        return Err(Problem::invalid("`bytes` must be less than 2^63"));
    }
    if bytes > limit as u64 {
        return Err(too_large_problem(limit));
    }
    let url = api
        .storage()
        .presign_put(&layout::upload_key(caller.namespace(), &digest), bytes, UPLOAD_TTL)
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
pub(super) async fn complete(
    State(api): State<Api>,
    caller: Caller,
    ModulePath(digest): ModulePath,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let room = room(&api, &caller).await?;
    let (key, limit) = (
        layout::upload_key(caller.namespace(), &digest),
        api.options().max_module_bytes,
    );
    // One byte more than is allowed tells whether it is too large, without reading all of it.
    let bytes = match api.storage().get_range(&key, 0..limit as u64 + 1).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(not_found(digest)),
        Err(error) => return Err(error.into()),
    };
    let kept = match bytes.len() > limit {
        true => Err(too_large_problem(limit)),
        false => keep(&api, &caller, room, digest, bytes).await,
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
