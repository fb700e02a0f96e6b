//! `/api/v1/session`: who am I, login and logout of browsers.
//!
//! The cookie is a random token of which the store keeps the digest. A request with it that changes something must carry
//! a second token, which follows from the first and which only scripts of this origin can read, and must say that it
//! comes from this origin.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use weir_model::Digest;

use super::authenticate::{Authenticated, Means, known};
use super::caller::Caller;
use super::extract::JsonBody;
use super::journal::LoggedIn;
use super::peer::Source;
use super::resources::{Authentication, NamespaceAccess, Session, SessionRequest};
use super::{Api, Problem};
use crate::identity::{Credential, Identity, Principal};

pub(super) const PATH: &str = "/api/v1/session";
/// Where all sessions are, of the caller and of others.
const ALL: &str = "/api/v1/sessions";
/// The cookie over TLS: browsers take one of this name from this host alone, and over TLS alone.
pub(super) const STRICT_COOKIE: &str = "__Host-weir_session";
/// The cookie without TLS. Over TLS it is none: a page of a sibling domain could have set it.
const PLAIN_COOKIE: &str = "weir_session";
/// Logins that are looked at at once; those of one network have an eighth.
pub(super) const CONCURRENT_LOGINS: usize = 64;
/// Bytes of a login. A token of an identity provider has a few thousand.
pub(super) const MAX_LOGIN: usize = 32 << 10;
/// How long a login may take to come.
pub(super) const LOGIN: Duration = Duration::from_secs(10);
const CSRF_HEADER: &str = "x-csrf-token";
/// Namespaces that are listed.
const NAMESPACES: u32 = 1_000;

/// Whether a request is the one that comes before anybody is known.
pub(super) fn is_login(method: &Method, path: &str) -> bool {
    method == Method::POST && path == PATH
}

/// Whether a request is about sessions, which everybody may end that are their own.
pub(super) fn is_about_sessions(path: &str) -> bool {
    let rest = path.strip_prefix(ALL);
    path == PATH || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the cookie is called, by how the request came.
fn cookie_name(secure: bool) -> &'static str {
    if secure { STRICT_COOKIE } else { PLAIN_COOKIE }
}

/// The token of a session, if the request carries one.
pub(super) fn cookie(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == cookie_name(secure)).then_some(value))
}

/// What a request with this cookie must carry to change something.
pub(super) fn csrf_token(token: &str) -> String {
    Digest::of(format!("weir csrf {token}").as_bytes()).to_string()
}

/// Refuses a request that changes something unless a script of this origin has sent it.
pub(super) fn check_origin(method: &Method, headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let refused = |detail: &str| Problem::new(StatusCode::FORBIDDEN, "csrf", detail);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text(CSRF_HEADER) {
        // Digests are compared, so that the time says nothing of the token.
        Some(given) if Digest::of(given.as_bytes()) == Digest::of(csrf_token(token).as_bytes()) => {}
        _ => {
            return Err(refused(
                "`X-CSRF-Token` must be the `csrf_token` of `GET /api/v1/session`",
            ));
        }
    }
    if comes_from_here(headers) == Some(true) {
        return Ok(());
    }
    Err(refused(
        "a session is for pages of this server; programs use an API key",
    ))
}

/// Whether a browser sent the request for a page of this server; `None` when no browser says anything of it.
pub(super) fn comes_from_here(headers: &HeaderMap) -> Option<bool> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = headers.get("sec-fetch-site") {
        // `none` is the person: an address that was typed, or a bookmark.
        return Some(site == "same-origin" || site == "none");
    }
    let origin = text(header::ORIGIN)?;
    let host = text(header::HOST).unwrap_or_default();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    Some(authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}

/// Who sends the request, and what they may do.
#[utoipa::path(
    get, path = "/api/v1/session", tag = "identity", operation_id = "session_get",
    responses((status = 200, body = Session), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    authenticated: Authenticated,
) -> Result<Json<Session>, Problem> {
    let session = describe(&api, &caller.0, &authenticated).await?;
    Ok(Json(session))
}

/// Begins a session of a browser: sets a cookie that no script can read. Needs no key but that in its body.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "identity", operation_id = "session_create",
    request_body = SessionRequest,
    responses(
        (status = 200, body = Session, headers(("Set-Cookie" = Option<String>, description = "The session"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    body: JsonBody<SessionRequest>,
) -> Result<Response, Problem> {
    if comes_from_here(&headers) == Some(false) {
        let detail = "a session begins on a page of this server";
        return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail));
    }
    let text = match (body.value.api_key, body.value.token) {
        (Some(text), None) | (None, Some(text)) => text,
        _ => return Err(Problem::invalid("give either `api_key` or `token`")),
    };
    if api.options().open {
        let authenticated = Authenticated {
            principal: Principal::anonymous(),
            means: Means::Anonymous,
        };
        let identity = home(&authenticated.principal)?;
        return Ok(Json(describe(&api, &identity, &authenticated).await?).into_response());
    }
    let credential = Credential::Bearer(text.trim());
    let principal = known(&api, credential, source).await?;
    let identity = home(&principal)?;
    let (token, row) = api.authenticator().session_begin(&principal).await?;
    let seconds = row.expires_at.ms_since(row.created_at) / 1_000;
    let cookie = set_cookie(source.secure, &token, seconds);
    let means = Means::Session(token);
    let session = describe(&api, &identity, &Authenticated { principal, means }).await?;
    let mut response = ([(header::SET_COOKIE, cookie)], Json(session)).into_response();
    response.extensions_mut().insert(LoggedIn(identity.principal));
    Ok(response)
}

/// Ends the session that the request's cookie names.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "identity", operation_id = "session_delete",
    responses(
        (status = 204, description = "There is no session any more"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(source): Extension<Source>,
    authenticated: Authenticated,
) -> Result<Response, Problem> {
    let Means::Session(token) = &authenticated.means else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    api.authenticator().session_end(Digest::of(token.as_bytes())).await?;
    let cookie = no_cookie(source);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Has the browser forget its cookie.
pub(super) fn no_cookie(source: Source) -> HeaderValue {
    set_cookie(source.secure, "", 0)
}

fn set_cookie(secure: bool, token: &str, seconds: u64) -> HeaderValue {
    let (name, secure) = (cookie_name(secure), if secure { "; Secure" } else { "" });
    let text = format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // Tokens are base 64.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn home(principal: &Principal) -> Result<Identity, Problem> {
    let identity = principal.home().and_then(|namespace| principal.identity_in(namespace));
    identity.ok_or_else(|| {
        let detail = "you may use no namespace of this service; ask an admin of one to let you in";
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    })
}

async fn describe(api: &Api, identity: &Identity, authenticated: &Authenticated) -> Result<Session, Problem> {
    let principal = &authenticated.principal;
    let known = match principal.service_role() {
        Some(_) => {
            api.control_plane()
                .identities()
                .namespace_list(None, NAMESPACES)
                .await?
        }
        None => {
            let mut granted: Vec<_> = principal
                .grants
                .iter()
                .filter_map(|grant| grant.namespace.clone())
                .collect();
            granted.sort();
            granted.dedup();
            let mut known = Vec::new();
            for namespace in granted.iter().take(NAMESPACES as usize) {
                known.extend(api.control_plane().identities().namespace_get(namespace).await?);
            }
            known
        }
    };
    let access = known.into_iter().filter_map(|row| {
        Some(NamespaceAccess {
            role: principal.role_in(&row.name)?,
            name: row.name.to_string(),
            display_name: row.display_name,
        })
    });
    let (authentication, token) = match &authenticated.means {
        Means::Anonymous => (Authentication::Anonymous, None),
        Means::Bearer => (Authentication::Bearer, None),
        Means::Session(token) => (Authentication::Session, Some(token)),
    };
    let expires_at = match token {
        Some(token) => Some(api.authenticator().session(token).await?.expires_at.into()),
        None => None,
    };
    Ok(Session {
        principal: identity.principal.clone(),
        authentication,
        namespace: identity.namespace.to_string(),
        role: identity.role,
        whole_service: identity.whole_service,
        namespaces: access.collect(),
        csrf_token: token.map(|token| csrf_token(token)),
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let plain = headers(&[("cookie", "a=b; weir_session=t; c=d")]);
        assert_eq!(cookie(&plain, false), Some("t"));
        for none in ["weir_sessions=t", "a=weir_session", ""] {
            assert_eq!(cookie(&headers(&[("cookie", none)]), false), None, "{none}");
        }
    }

    #[test]
    fn a_cookie_that_others_may_have_set_is_none_over_tls() {
        let both = headers(&[("cookie", "weir_session=planted; __Host-weir_session=own")]);
        assert_eq!(
            (cookie(&both, true), cookie(&both, false)),
            (Some("own"), Some("planted"))
        );
        assert_eq!(cookie(&headers(&[("cookie", "weir_session=planted")]), true), None);
        assert_eq!(cookie(&headers(&[("cookie", "__Host-weir_session=own")]), false), None);
    }

    #[test]
    fn only_scripts_of_this_origin_change_something() {
        let csrf = csrf_token("t");
        let check =
            |method: Method, pairs: &[(&'static str, &str)]| check_origin(&method, &headers(pairs), "t").is_ok();
        let (token, host, origin) = (("x-csrf-token", &*csrf), ("host", "h:1"), ("origin", "https://h:1"));
        assert!(check(Method::GET, &[]));
        assert!(check(Method::POST, &[token, host, origin]));
        assert!(check(Method::DELETE, &[token, ("sec-fetch-site", "same-origin")]));
        for refused in [
            &[host, origin][..],
            &[token],
            &[token, host],
            &[("x-csrf-token", "t"), host, origin],
            &[token, host, ("origin", "https://h:2")],
            &[token, host, ("origin", "null")],
            &[token, host, origin, ("sec-fetch-site", "cross-site")],
            &[token, host, origin, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!check(Method::POST, refused), "{refused:?}");
        }
    }

    #[test]
    fn cookies_are_for_this_server_alone() {
        let secure = set_cookie(true, "t", 60);
        let text = secure.to_str().unwrap();
        assert!(text.starts_with("__Host-weir_session=t; Path=/;"), "{text}");
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Max-Age=60"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!set_cookie(false, "t", 60).to_str().unwrap().contains("Secure"));
    }
}
