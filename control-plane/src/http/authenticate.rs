//! Who sends a request, by what it carries: an API key, a token, the cookie of a session, or nothing where nothing is
//! asked for.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use weir_model::Namespace;

use super::caller::{Caller, NAMESPACE_HEADER};
use super::journal::{self, Asked};
use super::peer::Source;
use super::{Api, Problem, session};
use crate::identity::{Credential, Identity, Principal, Refusal, Role};

/// How somebody showed who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Nobody asked.
    Anonymous,
    /// By a key or a token.
    Bearer,
    /// By the cookie of a session, which is this.
    Session(String),
}

/// Who sends a request, with all that they may do.
#[derive(Clone, Debug)]
pub(super) struct Authenticated {
    pub(super) principal: Principal,
    pub(super) means: Means,
}

/// Finds out who sends a request, and which namespace it is about; `None` for one that may come from anybody.
pub(super) async fn authenticate(
    api: &Api,
    request: &Parts,
    source: Source,
    asked: &mut Asked,
) -> Result<Option<(Authenticated, Caller)>, Problem> {
    let headers = &request.headers;
    let authenticated = match (
        api.options().open,
        bearer(headers),
        session::cookie(headers, source.secure),
    ) {
        (true, _, _) => {
            check_local(headers, source)?;
            Authenticated {
                principal: Principal::anonymous(),
                means: Means::Anonymous,
            }
        }
        _ if session::is_login(&request.method, request.uri.path()) => return Ok(None),
        (false, Some(text), _) => Authenticated {
            principal: known(api, Credential::Bearer(text), source).await?,
            means: Means::Bearer,
        },
        (false, None, Some(token)) => Authenticated {
            principal: known(api, Credential::Session(token), source).await?,
            means: Means::Session(token.to_owned()),
        },
        (false, None, None) => {
            api.rates().failed(source.network())?;
            return Err(Problem::unauthorized(
                "send the API key as `Authorization: Bearer KEY` (`WEIR_API_KEY` for the command line)",
            ));
        }
    };
    asked.principal = Some(authenticated.principal.name.clone());
    if authenticated.means != Means::Anonymous {
        api.rates().principal(&authenticated.principal.name)?;
    }
    if let Means::Session(token) = &authenticated.means {
        session::check_origin(&request.method, headers, token)?;
    }
    let identity = identity(api, &authenticated.principal, headers).await?;
    // What those of the whole service do to it is noted in no namespace, not even in that which a request falls back to.
    let of_service = authenticated.principal.service_role().is_some() && journal::is_of_service(&asked.route);
    asked.namespace = (!of_service).then(|| identity.namespace.clone());
    let caller = Caller(identity);
    if !request.method.is_safe() && !session::is_about_sessions(request.uri.path()) {
        // Each handler asks for what it needs; none changes anything for somebody who may only look.
        caller.require(Role::Submitter)?;
    }
    Ok(Some((authenticated, caller)))
}

/// Whose credential this is. Many from one address may share it with others, behind a proxy say: so only what people
/// could guess waits when an address has made too many mistakes.
pub(super) async fn known(api: &Api, credential: Credential<'_>, source: Source) -> Result<Principal, Problem> {
    if credential.is_guessable() {
        api.rates().guess(source.network())?;
    }
    let known = api.authenticator().authenticate(credential).await;
    if let Err(Refusal::Unauthorized(_)) = &known {
        api.rates().failed(source.network())?;
    }
    Ok(known?)
}

/// Refuses, where nothing is asked for, what pages of other sites make a browser of this machine send: as a request of
/// theirs, or under a name of theirs that they have pointed here.
fn check_local(headers: &HeaderMap, source: Source) -> Result<(), Problem> {
    let refused = |detail: &str| Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail);
    if session::comes_from_here(headers) == Some(false) {
        return Err(refused("pages of other sites may not use this server"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if source.address.is_loopback() && !host.is_none_or(is_loopback_name) {
        return Err(refused(
            "a server that asks for no key answers on this machine to `localhost` and loopback addresses only",
        ));
    }
    Ok(())
}

/// Whether a `Host` can only be this machine.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// Who they are in the namespace that the request is about.
async fn identity(api: &Api, principal: &Principal, headers: &HeaderMap) -> Result<Identity, Problem> {
    let asked = match headers.get(NAMESPACE_HEADER) {
        Some(named) => {
            let named = named.to_str().ok().and_then(|text| text.parse::<Namespace>().ok());
            Some(named.ok_or_else(|| {
                Problem::malformed("`Weir-Namespace` must be 1 to 63 lower-case letters, digits and hyphens")
            })?)
        }
        None => None,
    };
    let namespace = asked.or_else(|| principal.home()).ok_or_else(|| {
        let detail = "you may use no namespace of this service; ask an admin of one to let you in";
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    })?;
    // The same answer for one that is not there and for one that is not theirs.
    let absent = || Problem::namespace_not_found(namespace.as_str());
    let identity = principal.identity_in(namespace.clone()).ok_or_else(absent)?;
    match api.authenticator().namespace_exists(&namespace).await? {
        true => Ok(identity),
        false => Err(absent()),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized(detail) => Self::unauthorized(detail),
            Refusal::Provider => Self::unavailable("the identity provider does not answer; try again"),
            Refusal::Store(error) => error.into(),
            Refusal::Random(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot make a secret");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_told_from_others() {
        for name in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "",
            "localhost.example.com",
            "example.com:8080",
            "10.0.0.1",
            "127.0.0.1.example.com",
            "[::2]:1",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }
}
