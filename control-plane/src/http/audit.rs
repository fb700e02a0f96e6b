//! `/api/v1/audit`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weir_model::AuditId;

use super::caller::Caller;
use super::extract::{Params, limit};
use super::resources::{AuditEntry, AuditPage};
use super::{Api, Problem};
use crate::identity::Role;
use crate::store::{AuditFilter, AuditOutcome};

/// Whose entries to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuditScope {
    /// Those of the namespace that the request is about.
    #[default]
    Namespace,
    /// Those of every namespace, and those that came to none; for admins of the whole service.
    Service,
}

/// Which entries to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Whose entries.
    #[param(inline)]
    scope: Option<AuditScope>,
    /// Only those of this principal.
    principal: Option<String>,
    /// Only those of this operation, such as `runs_submit`.
    action: Option<String>,
    /// Only those with this outcome.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// At most this many, from 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What was changed, by whom, and what was refused; the youngest first. For admins.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "identity", operation_id = "audit_list",
    params(ListParams),
    responses((status = 200, body = AuditPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<AuditPage>, Problem> {
    let namespace = match params.scope.unwrap_or_default() {
        AuditScope::Namespace => {
            caller.require(Role::Admin)?;
            Some(caller.namespace().clone())
        }
        AuditScope::Service => {
            caller.require_whole_service()?;
            None
        }
    };
    let limit = limit(params.limit, 100, 1000)?;
    let before = params.cursor.map(|cursor| cursor.parse::<AuditId>()).transpose();
    let before = before.map_err(|_| Problem::invalid_cursor())?;
    let identities = api.control_plane().identities();
    // What was done in one of the same name before is not for whoever has it now.
    let since = match &namespace {
        Some(namespace) => identities.namespace_get(namespace).await?.map(|row| row.created_at),
        None => None,
    };
    let filter = AuditFilter {
        namespace,
        since,
        principal: params.principal,
        action: params.action,
        outcome: params.outcome,
    };
    let rows = identities.audit_list(&filter, before, limit).await?;
    let next_cursor = match rows.len() < limit as usize {
        true => None,
        false => rows.last().map(|row| row.id.to_string()),
    };
    let items = rows.into_iter().map(AuditEntry::from).collect();
    Ok(Json(AuditPage { items, next_cursor }))
}
