//! `/api/v1/sessions`: the sessions of browsers, one's own and, for admins of the whole service, everybody's.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use weir_model::{Digest, Timestamp};
use weir_platform::clock;

use super::authenticate::{Authenticated, Means};
use super::caller::Caller;
use super::extract::{Params, limit};
use super::journal::Target;
use super::peer::Source;
use super::resources::{EndedSessions, ListedSession, SessionPage};
use super::session::no_cookie;
use super::{Api, Problem};
use crate::identity::Role;
use crate::store::SessionPlace;

/// Bytes of a principal's name.
const MAX_PRINCIPAL: usize = 512;

/// Whose sessions to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionScope {
    /// The caller's own.
    #[default]
    Own,
    /// Everybody's; for admins of the whole service.
    Service,
}

/// Which sessions to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Whose sessions.
    #[param(inline)]
    scope: Option<SessionScope>,
    /// Of everybody's, only those of this principal, as the audit log names them.
    #[param(min_length = 1, max_length = 512)]
    principal: Option<String>,
    /// At most this many, from 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Sessions of browsers that are good, the youngest first: those of the caller, or everybody's.
///
/// Those of an API key are the ones that began with it.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "identity", operation_id = "sessions_list",
    params(ListParams),
    responses((status = 200, body = SessionPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    authenticated: Authenticated,
    Params(params): Params<ListParams>,
) -> Result<Json<SessionPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)?;
    let principal = match params.scope.unwrap_or_default() {
        SessionScope::Own if params.principal.is_some() => {
            return Err(Problem::invalid_query("`principal` needs `scope=service`"));
        }
        SessionScope::Own => Some(caller.principal().to_owned()),
        SessionScope::Service => {
            require_admin_of_service(&caller)?;
            params.principal.as_deref().map(check_principal).transpose()?;
            params.principal
        }
    };
    let after = params
        .cursor
        .map(|text| place(&text).ok_or_else(Problem::invalid_cursor));
    let rows = api
        .authenticator()
        .sessions(principal, after.transpose()?, limit)
        .await?;
    let last = rows.last().filter(|_| rows.len() >= limit as usize);
    let next_cursor = last.map(|row| format!("{}.{}", row.created_at.0, row.hash));
    let current = current(&authenticated);
    let items = rows.into_iter().map(|row| ListedSession::new(row, current)).collect();
    Ok(Json(SessionPage { items, next_cursor }))
}

/// Whose sessions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfPrincipal {
    /// Who logged in, as the audit log and `GET /api/v1/session` name them; the caller when it is left out. Those of others
    /// are for admins of the whole service.
    #[param(min_length = 1, max_length = 512)]
    principal: Option<String>,
}

/// Ends all sessions of somebody: their browsers are refused here from now on, and by every server within five seconds.
/// Whoever may still log in can do so again, so take their rights away first. Without a `principal` they are the caller's
/// own, the one that the request is sent in included.
#[utoipa::path(
    delete, path = "/api/v1/sessions", tag = "identity", operation_id = "sessions_end",
    params(OfPrincipal),
    responses((status = 200, body = EndedSessions), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn end_all(
    State(api): State<Api>,
    Extension(source): Extension<Source>,
    caller: Caller,
    authenticated: Authenticated,
    Params(of): Params<OfPrincipal>,
) -> Result<Response, Problem> {
    let principal = of.principal.unwrap_or_else(|| caller.principal().to_owned());
    let is_own = principal == caller.principal();
    if !is_own {
        require_admin_of_service(&caller)?;
        check_principal(&principal)?;
    }
    let ended = api.authenticator().sessions_end(&principal).await?;
    let mut response = Json(EndedSessions { ended }).into_response();
    if is_own && current(&authenticated).is_some() {
        response.headers_mut().insert(header::SET_COOKIE, no_cookie(source));
    }
    response
        .extensions_mut()
        .insert(Target(format!("sessions/{principal}")));
    Ok(response)
}

/// Ends one session: its browser is refused here from now on, and by every server within five seconds. Everybody may end
/// their own, admins of the whole service all.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{session}", tag = "identity", operation_id = "sessions_end_one",
    params(("session" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "There is no such session any more"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn end(
    State(api): State<Api>,
    Extension(source): Extension<Source>,
    caller: Caller,
    authenticated: Authenticated,
    Path(session): Path<String>,
) -> Result<Response, Problem> {
    let hash: Digest = session.parse().map_err(|_| not_found(&session))?;
    let identities = api.control_plane().identities();
    let row = identities.session_find(hash, clock::now()).await?;
    let may_end = |principal: &str| principal == caller.principal() || require_admin_of_service(&caller).is_ok();
    let row = row.filter(|row| may_end(&row.principal));
    let row = row.ok_or_else(|| not_found(&session))?;
    api.authenticator().session_end(hash).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if current(&authenticated) == Some(hash) {
        response.headers_mut().insert(header::SET_COOKIE, no_cookie(source));
    }
    response
        .extensions_mut()
        .insert(Target(format!("sessions/{}/{hash}", row.principal)));
    Ok(response)
}

fn require_admin_of_service(caller: &Caller) -> Result<(), Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole_service()
}

fn check_principal(principal: &str) -> Result<(), Problem> {
    match principal.len() {
        1..=MAX_PRINCIPAL => Ok(()),
        _ => Err(Problem::invalid_query(format!(
            "`principal` must have from 1 to {MAX_PRINCIPAL} bytes"
        ))),
    }
}

/// The digest of the cookie that a request came with.
fn current(authenticated: &Authenticated) -> Option<Digest> {
    match &authenticated.means {
        Means::Session(token) => Some(Digest::of(token.as_bytes())),
        Means::Anonymous | Means::Bearer => None,
    }
}

/// Reads a cursor.
fn place(text: &str) -> Option<SessionPlace> {
    let (created_at, hash) = text.split_once('.')?;
    Some((Timestamp(created_at.parse().ok()?), hash.parse().ok()?))
}

fn not_found(session: &str) -> Problem {
    let detail = format!("there is no session `{session}`; `GET /api/v1/sessions` lists those that are");
    Problem::new(StatusCode::NOT_FOUND, "session_not_found", detail)
}
