//! Who sends a request, by what it carries: an API key, a token, the cookie of a session, or nothing where nothing is
//! asked for.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use weir_model::Namespace;

use super::caller::{Caller, NAMESPACE_HEADER};
use super::{Api, Problem, session};
use crate::identity::{Credential, Identity, Principal, Refusal};

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
pub(super) async fn authenticate(api: &Api, request: &Parts) -> Result<Option<(Authenticated, Caller)>, Problem> {
    let headers = &request.headers;
    let authenticated = match (api.options().open, bearer(headers), session::cookie(headers)) {
        (true, _, _) => Authenticated {
            principal: Principal::anonymous(),
            means: Means::Anonymous,
        },
        _ if is_login(request) => return Ok(None),
        (false, Some(text), _) => Authenticated {
            principal: api.authenticator().authenticate(Credential::Bearer(text)).await?,
            means: Means::Bearer,
        },
        (false, None, Some(token)) => Authenticated {
            principal: api.authenticator().authenticate(Credential::Session(token)).await?,
            means: Means::Session(token.to_owned()),
        },
        (false, None, None) => {
            return Err(Problem::unauthorized(
                "send the API key as `Authorization: Bearer KEY` (`WEIR_API_KEY` for the command line)",
            ));
        }
    };
    if let Means::Session(token) = &authenticated.means {
        session::check_origin(&request.method, headers, token)?;
    }
    let identity = identity(api, &authenticated.principal, headers).await?;
    Ok(Some((authenticated, Caller(identity))))
}

/// The one request that comes before anybody is known.
fn is_login(request: &Parts) -> bool {
    request.method == Method::POST && request.uri.path() == session::PATH
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
            Refusal::Store(error) => error.into(),
            Refusal::Random(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot make a secret");
                Self::internal()
            }
        }
    }
}
