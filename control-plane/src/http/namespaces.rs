//! `/api/v1/namespaces`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weir_platform::clock;
use weir_platform::s3::S3Url;

use super::authenticate::Authenticated;
use super::caller::Caller;
use super::extract::{JsonBody, Params, limit};
use super::quotas::NamespacePath;
use super::resources::{Namespace, NamespacePage, NamespaceRequest, NamespaceSettings};
use super::{Api, Problem};
use crate::store::{NamespaceCreation, NamespaceDeletion, NamespaceRow};

/// Characters of a name for people.
const MAX_DISPLAY_NAME: usize = 100;
/// Places in S3 of a namespace.
const MAX_LOCATIONS: usize = 100;
/// Bytes of a place in S3.
const MAX_LOCATION: usize = 1_100;

/// Which namespaces to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// At most this many, from 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The namespaces that the caller may use, in order of name.
#[utoipa::path(
    get, path = "/api/v1/namespaces", tag = "namespaces", operation_id = "namespaces_list",
    params(ListParams),
    responses((status = 200, body = NamespacePage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    authenticated: Authenticated,
    Params(params): Params<ListParams>,
) -> Result<Json<NamespacePage>, Problem> {
    let limit = limit(params.limit, 100, 1000)?;
    let after = params
        .cursor
        .map(|cursor| cursor.parse::<weir_model::Namespace>())
        .transpose();
    let after = after.map_err(|_| Problem::invalid_cursor())?;
    let principal = &authenticated.principal;
    let identities = api.control_plane().identities();
    let rows = match principal.service_role() {
        Some(_) => identities.namespace_list(after.as_ref(), limit).await?,
        None => {
            let mut granted: Vec<_> = principal
                .grants
                .iter()
                .filter_map(|grant| grant.namespace.clone())
                .collect();
            granted.retain(|name| after.as_ref().is_none_or(|after| name > after));
            granted.sort();
            granted.dedup();
            let mut rows = Vec::new();
            for name in granted.iter().take(limit as usize) {
                rows.extend(identities.namespace_get(name).await?);
            }
            rows
        }
    };
    let next_cursor = match rows.len() < limit as usize {
        true => None,
        false => rows.last().map(|row| row.name.to_string()),
    };
    let items = rows.into_iter().map(Namespace::from).collect();
    Ok(Json(NamespacePage { items, next_cursor }))
}

/// Makes a namespace. For admins of the whole service.
#[utoipa::path(
    post, path = "/api/v1/namespaces", tag = "namespaces", operation_id = "namespaces_create",
    request_body = NamespaceRequest,
    responses(
        (status = 201, body = Namespace, headers(("Location" = String, description = "The namespace"))),
        (status = 409, body = Problem, description = "There is one of this name, or was a moment ago"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: JsonBody<NamespaceRequest>,
) -> Result<Response, Problem> {
    caller.require_whole_service()?;
    let NamespaceRequest {
        name,
        display_name,
        allowed_locations,
    } = body.value;
    check_display_name(&display_name)?;
    let row = NamespaceRow {
        name: name
            .parse()
            .map_err(|error: weir_model::InvalidId| Problem::invalid(error.to_string()))?,
        display_name,
        allowed_locations: allowed_locations.map(places).transpose()?,
        created_at: clock::now(),
        created_by: caller.principal().to_owned(),
    };
    let conflict = |code, detail| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    match api.control_plane().namespace_create(&row).await? {
        NamespaceCreation::Created => {}
        NamespaceCreation::Exists => {
            return conflict("namespace_exists", format!("there is a namespace `{name}` already"));
        }
        NamespaceCreation::JustDeleted => {
            let detail = format!(
                "the namespace `{name}` was deleted a moment ago, and what is left of it is still to be deleted; make it \
                 again in five minutes, or choose another name"
            );
            return conflict("namespace_just_deleted", detail);
        }
    }
    let mut response = (StatusCode::CREATED, Json(Namespace::from(row))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/namespaces/{name}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A namespace.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}", tag = "namespaces", operation_id = "namespaces_get",
    params(("namespace" = String, Path, description = "Its name")),
    responses((status = 200, body = Namespace), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    authenticated: Authenticated,
    Path(name): Path<String>,
) -> Result<Json<Namespace>, Problem> {
    let absent = || Problem::namespace_not_found(&name);
    let namespace: weir_model::Namespace = name.parse().map_err(|_| absent())?;
    authenticated.principal.role_in(&namespace).ok_or_else(absent)?;
    let row = api.control_plane().identities().namespace_get(&namespace).await?;
    row.map(|row| Json(row.into())).ok_or_else(absent)
}

/// Changes what people call a namespace, and where the files may lie that its jobs use. Runs that were submitted before
/// go by what was said then, and so may those that other servers take in for one more second. For admins of the whole
/// service.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}", tag = "namespaces", operation_id = "namespaces_put",
    params(("namespace" = String, Path, description = "Its name")),
    request_body = NamespaceSettings,
    responses((status = 200, body = Namespace), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    NamespacePath(name): NamespacePath,
    body: JsonBody<NamespaceSettings>,
) -> Result<Json<Namespace>, Problem> {
    caller.require_whole_service()?;
    let absent = || Problem::namespace_not_found(name.as_str());
    let NamespaceSettings {
        display_name,
        allowed_locations,
    } = body.value;
    check_display_name(&display_name)?;
    let identities = api.control_plane().identities();
    let mut row = identities.namespace_get(&name).await?.ok_or_else(absent)?;
    row.display_name = display_name;
    row.allowed_locations = allowed_locations.map(places).transpose()?;
    match api.control_plane().namespace_update(&row).await? {
        true => Ok(Json(row.into())),
        false => Err(absent()),
    }
}

fn check_display_name(name: &str) -> Result<(), Problem> {
    match name.chars().count() > MAX_DISPLAY_NAME {
        true => Err(Problem::invalid(format!(
            "`display_name` has at most {MAX_DISPLAY_NAME} characters"
        ))),
        false => Ok(()),
    }
}

/// Places in S3 as they are kept.
fn places(given: Vec<String>) -> Result<Vec<String>, Problem> {
    if given.len() > MAX_LOCATIONS {
        return Err(Problem::invalid(format!(
            "`allowed_locations` has at most {MAX_LOCATIONS} places"
        )));
    }
    let places = given.iter().map(|place| match place.parse::<S3Url>() {
        Ok(place) if place.to_string().len() <= MAX_LOCATION => Ok(place.to_string()),
        Ok(_) => Err(Problem::invalid(format!(
            "a place of `allowed_locations` has at most {MAX_LOCATION} bytes"
        ))),
        Err(error) => Err(Problem::invalid(format!("`allowed_locations`: {error}"))),
    });
    places.collect()
}

/// Deletes a namespace that has no runs, pipelines and schedules, and its keys, its quota and its modules with it. The
/// name can be used again after five minutes. For admins of the whole service.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}", tag = "namespaces", operation_id = "namespaces_delete",
    params(("namespace" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, body = Problem, description = "It has runs, pipelines or schedules, or is the default one"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    authenticated: Authenticated,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let absent = || Problem::namespace_not_found(&name);
    let namespace: weir_model::Namespace = name.parse().map_err(|_| absent())?;
    authenticated.principal.role_in(&namespace).ok_or_else(absent)?;
    caller.require_whole_service()?;
    let deletion = api.control_plane().namespace_delete(&namespace).await?;
    api.authenticator().forget();
    match deletion {
        NamespaceDeletion::Deleted => {
            // Whoever makes one of this name again begins anew.
            api.control_plane().set_quota(&namespace, None).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        NamespaceDeletion::Absent => Err(absent()),
        NamespaceDeletion::InUse => {
            let detail = match namespace == weir_model::Namespace::default() {
                true => "the default namespace is always there".to_owned(),
                false => format!(
                    "the namespace `{name}` has runs, pipelines or schedules; it can be deleted when they are gone"
                ),
            };
            Err(Problem::new(StatusCode::CONFLICT, "namespace_in_use", detail))
        }
    }
}
