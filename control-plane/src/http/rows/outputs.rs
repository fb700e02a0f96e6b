//! `/api/v1/runs/{run}/outputs`.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use weir_model::{OutputManifest, RunId, SinkInfo, StageGraph, StageOutput};
use weir_platform::clock;
use weir_platform::s3::S3Url;

use super::super::caller::Caller;
use super::super::extract::{Params, RunPath, limit};
use super::super::resources::{Column, OutputLink, OutputLinkPage, RowPage, RunOutput, RunOutputs, Time};
use super::super::source::Source;
use super::super::{Api, Problem, follow};
use super::page::{Collected, in_time};
use super::result::RowParams;
use super::{RowsError, room_for_download, room_for_page, send};

/// How long a link to a file can be used.
const LINK_TTL: Duration = Duration::from_secs(900);
/// Links that are made at once.
const AT_ONCE: usize = 16;
/// Files without rows that are passed over for one page.
const EMPTY_FILES: usize = 64;

/// An output of a run that succeeded.
struct Committed {
    sink: SinkInfo,
    manifest: OutputManifest,
}

impl Committed {
    /// The outputs of a run, in the order of its stages; from its history when it is over.
    async fn all(api: &Api, run: RunId) -> Result<Vec<Self>, Problem> {
        match Source::of(api, run).await? {
            Source::History(summary) => Ok(Self::of(summary.graph.as_ref(), &summary.snapshot.outputs)),
            Source::Log(_) => follow::look(api, run, |state| Self::of(state.graph(), state.outputs())).await,
        }
    }

    fn of(graph: Option<&StageGraph>, manifests: &[OutputManifest]) -> Vec<Self> {
        let stages = graph.map_or(&[][..], |graph| &graph.stages);
        let sinks = stages.iter().filter_map(|stage| match &stage.output {
            StageOutput::Sink(sink) => Some(sink),
            _ => None,
        });
        // Each sink has its manifest; those of several statements may share a name, in the same order.
        let mut left: Vec<&OutputManifest> = manifests.iter().collect();
        sinks
            .filter_map(|sink| {
                let at = left.iter().position(|manifest| manifest.transform == sink.transform)?;
                Some(Self {
                    sink: sink.clone(),
                    manifest: left.remove(at).clone(),
                })
            })
            .collect()
    }

    fn resource(&self, id: usize) -> RunOutput {
        RunOutput {
            id: u32::try_from(id).unwrap_or(u32::MAX),
            transform: self.manifest.transform.clone(),
            location: self.sink.target.clone(),
            format: self.sink.format.clone(),
            files: self.manifest.files.len() as u64,
            rows: self.manifest.rows,
            bytes: self.manifest.bytes,
        }
    }

    /// The URL of a file in a bucket; `None` when it is not in one.
    fn bucket_url(&self, file: &str) -> Result<Option<S3Url>, Problem> {
        let folder = self.sink.target.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !folder.starts_with("s3://") {
            return Ok(None);
        }
        let url = format!("{folder}/{file}").parse();
        url.map(Some).map_err(|_| Problem::internal())
    }
}

/// The output that a path names, and the file if it names one.
pub(in super::super) struct OutputPath {
    run: RunId,
    number: usize,
    output: Committed,
    file: Option<usize>,
}

impl FromRequestParts<Api> for OutputPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, api).await;
        let params = params.map_err(|error| Problem::malformed(error.body_text()))?;
        let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        let text = param("run").unwrap_or_default();
        let run = text.parse::<RunId>().map_err(|_| Problem::run_not_found(text))?;
        let caller = Caller::from_request_parts(parts, api).await?;
        api.namespaces().check(api, &caller, run).await?;
        let number = param("output").unwrap_or_default();
        let mut outputs = Committed::all(api, run).await?;
        let at = number.parse::<usize>().ok().filter(|at| *at < outputs.len());
        let at = at.ok_or_else(|| {
            let detail = format!(
                "run {run} has no output `{number}`; `GET /api/v1/runs/{run}/outputs` lists those that it has, once \
                 it has succeeded"
            );
            Problem::new(StatusCode::NOT_FOUND, "output_not_found", detail)
        })?;
        let output = outputs.swap_remove(at);
        let file = match param("file") {
            None => None,
            Some(number) => {
                let file = number.parse::<usize>().ok();
                let file = file.filter(|file| *file < output.manifest.files.len());
                let missing = || {
                    let detail = format!("output {at} of run {run} has no file `{number}`");
                    Problem::new(StatusCode::NOT_FOUND, "file_not_found", detail)
                };
                Some(file.ok_or_else(missing)?)
            }
        };
        Ok(Self {
            run,
            number: at,
            output,
            file,
        })
    }
}

/// What the sinks of a run wrote; none before it has succeeded.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/outputs", tag = "runs", operation_id = "runs_outputs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunOutputs), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(in super::super) async fn list(State(api): State<Api>, RunPath(run): RunPath) -> Result<Json<RunOutputs>, Problem> {
    let outputs = Committed::all(&api, run).await?;
    let items = outputs.iter().enumerate().map(|(at, output)| output.resource(at));
    Ok(Json(RunOutputs { items: items.collect() }))
}

/// Rows of an output, in the order of its files.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/outputs/{output}/rows", tag = "runs", operation_id = "runs_output_rows",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("output" = u32, Path, description = "The output's id in the run"),
        RowParams,
    ),
    responses(
        (status = 200, body = RowPage),
        (status = 409, body = Problem, description = "This server cannot read the files"),
        (status = 410, body = Problem, description = "The files are not there any more"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(in super::super) async fn rows(
    State(api): State<Api>,
    caller: Caller,
    OutputPath { output, .. }: OutputPath,
    Params(params): Params<RowParams>,
) -> Result<Json<RowPage>, Problem> {
    let limit = limit(params.limit, 100, 10_000)? as usize;
    let place = params.cursor.as_deref().map_or(Some((0, 0)), |cursor| {
        let (file, row) = cursor.split_once('.')?;
        Some((file.parse().ok()?, row.parse().ok()?))
    });
    let place = place.ok_or_else(Problem::invalid_cursor)?;
    let _room = room_for_page(&api, &caller).await?;
    Ok(Json(in_time(&api, page(&api, &output, place, limit)).await?))
}

/// Rows from a row of a file on. Files whose columns differ are not in one page.
async fn page(
    api: &Api,
    output: &Committed,
    (mut file, mut row): (usize, u64),
    limit: usize,
) -> Result<RowPage, RowsError> {
    let files = &output.manifest.files;
    let mut collected = Collected::default();
    let mut columns: Option<Vec<Column>> = None;
    let mut looked_at = 0;
    let cursor = |file: usize, row: u64| Some(format!("{file}.{row}"));
    let next_cursor = loop {
        let Some(name) = files.get(file) else { break None };
        if looked_at >= EMPTY_FILES || collected.is_full(limit) {
            break cursor(file, row);
        }
        looked_at += 1;
        let mut rows = api.rows().output(&output.sink, name, row).await?;
        let found = rows.columns();
        if columns.as_ref().is_some_and(|known| *known != found) && !collected.rows.is_empty() {
            break cursor(file, row);
        }
        let (taken, more) = collected.take(&mut *rows, limit).await?;
        if taken > 0 || columns.as_ref().is_none_or(Vec::is_empty) {
            columns = Some(found);
        }
        if more {
            break cursor(file, row.saturating_add(taken));
        }
        (file, row) = (file + 1, 0);
    };
    Ok(RowPage {
        columns: columns.unwrap_or_default(),
        rows: collected.rows,
        next_cursor,
    })
}

/// Which links.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct LinkParams {
    /// At most this many, from 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Where to read the files of an output.
///
/// Files in a bucket have URLs that need no key and can be used for 15 minutes. Others are read through this server.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/outputs/{output}/links", tag = "runs", operation_id = "runs_output_links",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("output" = u32, Path, description = "The output's id in the run"),
        LinkParams,
    ),
    responses((status = 200, body = OutputLinkPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(in super::super) async fn links(
    State(api): State<Api>,
    path: OutputPath,
    Params(params): Params<LinkParams>,
) -> Result<Json<OutputLinkPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)? as usize;
    let first = params.cursor.as_deref().map_or(Ok(0), str::parse::<usize>);
    let first = first.map_err(|_| Problem::invalid_cursor())?;
    let files = &path.output.manifest.files;
    let numbers = (0..files.len()).skip(first).take(limit);
    let (api, path) = (&api, &path);
    let items: Vec<OutputLink> = stream::iter(numbers)
        .map(|number| link(api, path, number))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let next = first.saturating_add(items.len());
    Ok(Json(OutputLinkPage {
        items,
        next_cursor: (next < files.len()).then(|| next.to_string()),
    }))
}

async fn link(api: &Api, path: &OutputPath, file: usize) -> Result<OutputLink, Problem> {
    let OutputPath {
        run, number, output, ..
    } = path;
    let name = output.manifest.files[file].clone();
    let expires_at = Time(clock::now().plus_ms(LINK_TTL.as_millis() as u64));
    Ok(match presigned(api, output, &name).await? {
        Some(url) => OutputLink {
            file: name,
            url,
            expires_at: Some(expires_at),
        },
        None => OutputLink {
            file: name,
            url: format!("/api/v1/runs/{run}/outputs/{number}/files/{file}"),
            expires_at: None,
        },
    })
}

/// A URL of the storage by which anybody may read a file for a while; `None` when it is in no bucket.
async fn presigned(api: &Api, output: &Committed, file: &str) -> Result<Option<String>, Problem> {
    let Some(place) = output.bucket_url(file)? else {
        return Ok(None);
    };
    let bucket = api.storage().s3().bucket(place.bucket);
    let signed = bucket.presign_get(&place.path, LINK_TTL).await;
    signed.map(Some).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot sign a link");
        Problem::unavailable("links cannot be signed at the moment; try again")
    })
}

/// A file of an output: its bytes, or, when it is in a bucket, where they are for the next 15 minutes.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/outputs/{output}/files/{file}", tag = "runs", operation_id = "runs_output_file",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("output" = u32, Path, description = "The output's id in the run"),
        ("file" = u64, Path, description = "The number of the file in the output, from zero"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 307, description = "The file is there", headers(("Location" = String, description = "Where it is"))),
        (status = 409, body = Problem, description = "This server cannot read the files"),
        (status = 410, body = Problem, description = "The file is not there any more"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(in super::super) async fn file(
    State(api): State<Api>,
    caller: Caller,
    path: OutputPath,
) -> Result<Response, Problem> {
    let output = &path.output;
    let name = path.file.and_then(|file| output.manifest.files.get(file));
    let name = name.ok_or_else(Problem::internal)?;
    if let Some(url) = presigned(&api, output, name).await? {
        let location = HeaderValue::from_str(&url).map_err(|_| Problem::internal())?;
        return Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response());
    }
    let room = room_for_download(&api, &caller).await?;
    let found = in_time(&api, api.rows().file(&output.sink, name)).await?;
    let mut response = send::body(found.bytes, room).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(found.size));
    // Never shown as a page of this server's, whatever is in it.
    let attachment = HeaderValue::from_str(&attachment(name));
    headers.insert(
        header::CONTENT_DISPOSITION,
        attachment.unwrap_or(HeaderValue::from_static("attachment")),
    );
    Ok(response)
}

/// What a file is to be saved as: its name, after one that needs no escapes for those that do not read them.
fn attachment(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut header = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        header.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match is_plain(char::from(byte)) {
                true => header.push(char::from(byte)),
                false => header.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    header
}
