//! Reading requests, with problems for what cannot be read.

use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use weir_model::{Digest, RunId};

use super::caller::Caller;
use super::{Api, Problem};

/// A JSON body, and the digest of its bytes.
pub(super) struct JsonBody<T> {
    pub(super) value: T,
    pub(super) digest: Digest,
}

impl<T: DeserializeOwned> FromRequest<Api> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send JSON, with `Content-Type: application/json`",
            ));
        }
        let limit = api.options().max_body_bytes;
        let bytes = whole(request.into_body(), limit).await?;
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            // It would be read as the values of the fields, in the order that they happen to have.
            return Err(Problem::invalid(
                "the body does not fit: it is a list, and must be an object",
            ));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::invalid(format!("the body does not fit: {error}")),
            _ => Problem::malformed(format!("the body is not JSON: {error}")),
        })?;
        Ok(Self {
            value,
            digest: Digest::of(&bytes),
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The whole body, up to `limit` bytes.
pub(super) async fn whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let too_large = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        match too_large {
            true => too_large_problem(limit),
            false => Problem::malformed("the body ended early"),
        }
    })
}

/// The problem of a body beyond `limit` bytes.
pub(super) fn too_large_problem(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is larger than {limit} bytes"),
    )
}

/// The parameters of a query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|error| {
                let text = error.body_text();
                let text = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                Problem::invalid_query(format!("the query does not fit: {text}"))
            })
    }
}

/// The run that the path names; it is one of the caller's namespace.
pub(super) struct RunPath(pub(super) RunId);

impl FromRequestParts<Api> for RunPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = segment(parts, api).await?;
        let run = RunId::from_str(&text).map_err(|_| Problem::run_not_found(&text))?;
        let caller = Caller::from_request_parts(parts, api).await?;
        api.namespaces().check(api, &caller, run).await?;
        Ok(Self(run))
    }
}

/// The module that the path names.
pub(super) struct ModulePath(pub(super) Digest);

impl FromRequestParts<Api> for ModulePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let text = segment(parts, api).await?;
        // One spelling per module, as in the answers.
        let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
        match Digest::from_str(&text) {
            Ok(digest) if lower => Ok(Self(digest)),
            _ => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_digest",
                "a module is named by the SHA-256 of its bytes: 64 lower-case hexadecimal digits",
            )),
        }
    }
}

/// The pipeline or schedule that the path names.
pub(super) struct NamePath(pub(super) String);

impl FromRequestParts<Api> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        segment(parts, api).await.map(Self)
    }
}

/// The pipeline and the version that the path names.
pub(super) struct VersionPath {
    pub(super) pipeline: String,
    pub(super) version: String,
}

impl FromRequestParts<Api> for VersionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Path::<(String, String)>::from_request_parts(parts, api)
            .await
            .map(|Path((pipeline, version))| Self { pipeline, version })
            .map_err(|error| Problem::malformed(error.body_text()))
    }
}

/// The first segment of the path that its route has a name for.
async fn segment(parts: &mut Parts, api: &Api) -> Result<String, Problem> {
    let named = RawPathParams::from_request_parts(parts, api).await;
    let named = named.map_err(|error| Problem::malformed(error.body_text()))?;
    let first = named.iter().next().map(|(_, text)| text.to_owned());
    first.ok_or_else(Problem::internal)
}

/// Letters of a text that is searched for.
const MAX_SEARCH: usize = 200;

/// A text that is searched for in whatever case, in lower case.
pub(super) fn check_search(text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.is_empty() || text.chars().count() > MAX_SEARCH => Err(Problem::invalid_query(format!(
            "`search` must have between 1 and {MAX_SEARCH} characters"
        ))),
        text => Ok(text.map(|text| text.to_lowercase())),
    }
}

/// Things to leave out, in a number that every program can write.
pub(super) fn offset(asked: Option<u64>) -> Result<Option<u64>, Problem> {
    match asked {
        Some(offset) if i64::try_from(offset).is_err() => {
            Err(Problem::invalid_query("`offset` must be less than 2^63"))
        }
        asked => Ok(asked),
    }
}

/// A page's size, within bounds.
pub(super) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid_query(format!("`limit` must lie between 1 and {max}"))),
    }
}
