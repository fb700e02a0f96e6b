//! `/api/v1/keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weir_model::{KeyId, Timestamp};
use weir_platform::clock;

use super::authenticate::Authenticated;
use super::caller::Caller;
use super::extract::{JsonBody, Params, limit};
use super::journal::NotedIn;
use super::resources::{CreatedKey, Key, KeyPage, KeyRequest, Time};
use super::{Api, Problem};
use crate::identity::{Refusal, Role, Secret};
use crate::store::{KeyFilter, KeyRow};

/// Characters of a key's name.
const MAX_NAME: usize = 100;

/// Whose keys to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyScope {
    /// Those of the namespace that the request is about.
    #[default]
    Namespace,
    /// Those of every namespace and of the whole service; for admins of that.
    Service,
}

/// Which keys to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Whose keys.
    #[param(inline)]
    scope: Option<KeyScope>,
    /// At most this many, from 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Keys, the youngest first, without their secrets. For admins.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "identity", operation_id = "keys_list",
    params(ListParams),
    responses((status = 200, body = KeyPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<KeyPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)?;
    let filter = match params.scope.unwrap_or_default() {
        KeyScope::Namespace => {
            caller.require(Role::Admin)?;
            KeyFilter {
                namespace: Some(caller.namespace().clone()),
            }
        }
        KeyScope::Service => {
            caller.require_whole_service()?;
            KeyFilter::default()
        }
    };
    let before = params.cursor.map(|cursor| cursor.parse::<KeyId>()).transpose();
    let before = before.map_err(|_| Problem::invalid_cursor())?;
    let rows = api
        .control_plane()
        .identities()
        .key_list(&filter, before, limit)
        .await?;
    let next_cursor = match rows.len() < limit as usize {
        true => None,
        false => rows.last().map(|row| row.id.to_string()),
    };
    let now = clock::now();
    let items = rows.into_iter().map(|row| Key::at(row, now)).collect();
    Ok(Json(KeyPage { items, next_cursor }))
}

/// Makes a key. The answer has its secret, which is shown this once. For admins.
///
/// A key that is made with one that ends does not end after it; without `expires_at` it ends with it.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "identity", operation_id = "keys_create",
    request_body = KeyRequest,
    responses(
        (status = 201, body = CreatedKey, headers(("Location" = String, description = "The key"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    authenticated: Authenticated,
    body: JsonBody<KeyRequest>,
) -> Response {
    let is_of_service = body.value.whole_service && caller.0.whole_service;
    let mut response = make(&api, &caller, &authenticated, body.value).await.into_response();
    if is_of_service {
        response.extensions_mut().insert(NotedIn(None));
    }
    response
}

async fn make(
    api: &Api,
    caller: &Caller,
    authenticated: &Authenticated,
    request: KeyRequest,
) -> Result<Response, Problem> {
    caller.require(Role::Admin)?;
    if request.whole_service {
        caller.require_whole_service()?;
    }
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("`name` has 1 to {MAX_NAME} characters, and says what the key is for");
        return Err(Problem::invalid(detail));
    }
    let now = clock::now();
    if request.expires_at.is_some_and(|end| end.0 <= now) {
        return Err(Problem::invalid("`expires_at` is over already"));
    }
    let expires_at = end(api, authenticated, request.expires_at.map(|end| end.0)).await?;
    let secret = Secret::new().map_err(Refusal::Random)?;
    let row = KeyRow {
        id: clock::new_key_id(),
        namespace: (!request.whole_service).then(|| caller.namespace().clone()),
        role: request.role,
        name: name.to_owned(),
        prefix: secret.prefix().to_owned(),
        created_by: caller.principal().to_owned(),
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    if !api
        .control_plane()
        .identities()
        .key_create(&row, secret.digest())
        .await?
    {
        return Err(Problem::namespace_not_found(caller.namespace().as_str()));
    }
    let location = HeaderValue::from_str(&format!("/api/v1/keys/{}", row.id));
    let created = CreatedKey {
        key: Key::at(row, now),
        secret: secret.reveal().to_owned(),
    };
    let mut response = (StatusCode::CREATED, Json(created)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// When a key ends that was asked to end then: not after that which it is made with, whose holder could stay in by it.
async fn end(api: &Api, maker: &Authenticated, asked: Option<Timestamp>) -> Result<Option<Timestamp>, Problem> {
    let own = match maker.principal.key {
        Some(key) => api.control_plane().identities().key_get(key).await?,
        None => None,
    };
    match (asked, own.and_then(|own| own.expires_at)) {
        (Some(asked), Some(own)) if asked > own => {
            let detail = format!(
                "your own key ends at {}, and a key that it makes cannot end later",
                Time(own)
            );
            Err(Problem::invalid(detail))
        }
        (asked, own) => Ok(asked.or(own)),
    }
}

/// A key, without its secret. For admins.
#[utoipa::path(
    get, path = "/api/v1/keys/{key}", tag = "identity", operation_id = "keys_get",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = Key), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(State(api): State<Api>, caller: Caller, Path(key): Path<String>) -> Result<Json<Key>, Problem> {
    let row = find(&api, &caller, &key).await?;
    Ok(Json(Key::at(row, clock::now())))
}

/// Revokes a key: it is refused here from now on, and by every server within five seconds. Sessions that began with it
/// end too. For admins.
#[utoipa::path(
    delete, path = "/api/v1/keys/{key}", tag = "identity", operation_id = "keys_revoke",
    params(("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = Key), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn revoke(State(api): State<Api>, caller: Caller, Path(key): Path<String>) -> Response {
    let found = find(&api, &caller, &key).await;
    let noted_in = match &found {
        Ok(row) => Some(NotedIn(row.namespace.clone())),
        // It may be one of any namespace.
        Err(_) => caller.0.whole_service.then_some(NotedIn(None)),
    };
    let revoked = match found {
        Ok(row) => end_now(&api, row).await,
        Err(problem) => Err(problem),
    };
    let mut response = revoked.into_response();
    if let Some(noted_in) = noted_in {
        response.extensions_mut().insert(noted_in);
    }
    response
}

async fn end_now(api: &Api, row: KeyRow) -> Result<Json<Key>, Problem> {
    let now = clock::now();
    let identities = api.control_plane().identities();
    identities.key_revoke(row.id, now).await?;
    api.authenticator().forget();
    let id = row.id;
    let row = identities
        .key_get(id)
        .await?
        .ok_or_else(|| not_found(&id.to_string()))?;
    Ok(Json(Key::at(row, now)))
}

/// A key that the caller may look at and revoke.
async fn find(api: &Api, caller: &Caller, key: &str) -> Result<KeyRow, Problem> {
    caller.require(Role::Admin)?;
    let id = key.parse::<KeyId>().map_err(|_| not_found(key))?;
    let row = api.control_plane().identities().key_get(id).await?;
    let theirs = |row: &KeyRow| caller.0.whole_service || row.namespace.as_ref() == Some(caller.namespace());
    row.filter(theirs).ok_or_else(|| not_found(key))
}

fn not_found(key: &str) -> Problem {
    let detail = format!("there is no key `{key}`; `GET /api/v1/keys` lists those that are");
    Problem::new(StatusCode::NOT_FOUND, "key_not_found", detail)
}
