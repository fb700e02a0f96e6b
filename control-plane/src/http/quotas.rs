//! What namespaces may use.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use weir_model::Namespace;

use super::caller::Caller;
use super::extract::JsonBody;
use super::resources::{Quota, QuotaLimits};
use super::{Api, Problem};

/// The namespace that the path names: the caller's own, or any for whoever may act on all.
pub(super) struct NamespacePath(pub(super) Namespace);

impl FromRequestParts<Api> for NamespacePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        let Path(name) = Path::<String>::from_request_parts(parts, api)
            .await
            .map_err(|error| Problem::malformed(error.body_text()))?;
        let absent = || Problem::namespace_not_found(&name);
        let namespace: Namespace = name.parse().map_err(|_| absent())?;
        check(api, &caller, &namespace).await?;
        Ok(Self(namespace))
    }
}

/// Refuses a namespace that is not there, or not for the caller to know of.
pub(super) async fn check(api: &Api, caller: &Caller, namespace: &Namespace) -> Result<(), Problem> {
    let absent = || Problem::namespace_not_found(namespace.as_str());
    if namespace != caller.namespace() && caller.require_whole_service().is_err() {
        return Err(absent());
    }
    let known = api.control_plane().identities().namespace_get(namespace).await?;
    known.map(|_| ()).ok_or_else(absent)
}

/// What a namespace may use, and what it uses.
pub(super) async fn look(api: &Api, namespace: &Namespace) -> Result<Quota, Problem> {
    let (quota, is_own) = api.control_plane().quota(namespace).await?;
    let usage = api.control_plane().namespace_usage(namespace).await?;
    Ok(Quota {
        namespace: namespace.to_string(),
        is_default: !is_own,
        limits: quota.into(),
        usage: usage.into(),
    })
}

/// What a namespace may use, and what it uses.
#[utoipa::path(
    get, path = "/api/v1/namespaces/{namespace}/quota", tag = "namespaces", operation_id = "quotas_get",
    params(("namespace" = String, Path, description = "The namespace's name")),
    responses((status = 200, body = Quota), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    NamespacePath(namespace): NamespacePath,
) -> Result<Json<Quota>, Problem> {
    look(&api, &namespace).await.map(Json)
}

/// Gives a namespace a quota of its own. All of it is replaced: what is left out is without limit. What is under way is
/// not stopped by it.
#[utoipa::path(
    put, path = "/api/v1/namespaces/{namespace}/quota", tag = "namespaces", operation_id = "quotas_put",
    params(("namespace" = String, Path, description = "The namespace's name")),
    request_body = QuotaLimits,
    responses((status = 200, body = Quota), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    NamespacePath(namespace): NamespacePath,
    JsonBody { value: limits, .. }: JsonBody<QuotaLimits>,
) -> Result<Json<Quota>, Problem> {
    caller.require_whole_service()?;
    api.control_plane().set_quota(&namespace, Some(&limits.into())).await?;
    look(&api, &namespace).await.map(Json)
}

/// Gives a namespace the quota of the service again, which all have that have none of their own.
#[utoipa::path(
    delete, path = "/api/v1/namespaces/{namespace}/quota", tag = "namespaces", operation_id = "quotas_delete",
    params(("namespace" = String, Path, description = "The namespace's name")),
    responses((status = 200, body = Quota), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    NamespacePath(namespace): NamespacePath,
) -> Result<Json<Quota>, Problem> {
    caller.require_whole_service()?;
    api.control_plane().set_quota(&namespace, None).await?;
    look(&api, &namespace).await.map(Json)
}
