//! What every request passes: its id, its time limit, who sends it, and what is counted of it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use super::journal::{self, Asked};
use super::peer::Source;
use super::{Api, Problem, headers};

tokio::task_local! {
    static REQUEST_ID: String;
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of an id that a client may choose.
const MAX_REQUEST_ID: usize = 64;

/// The id of the request that is being answered.
pub(super) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// Frames the answer to one request.
pub(super) async fn frame(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = chosen_id(&request).unwrap_or_else(clock::new_request_id);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| journal::NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let source = api.source(&request);
    let mut asked = Asked {
        method: request.method().clone(),
        route,
        path: request.uri().path().to_owned(),
        request_id: id.clone(),
        source: source.address.to_string(),
        principal: None,
        namespace: None,
    };
    let span = tracing::info_span!("request", request_id = %id, method = %asked.method, route = %asked.route);
    let started = Instant::now();
    let answer = REQUEST_ID.scope(id.clone(), answer(&api, &mut asked, source, request, next));
    let mut response = answer.instrument(span.clone()).await;
    let took = started.elapsed();
    let status = response.status().as_u16();
    metrics().http_request(&asked.route, status, took);
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers::complete(headers, source.secure);
    response
}

/// Answers a request, and notes what is to be in the audit log.
async fn answer(api: &Api, asked: &mut Asked, source: Source, request: Request, next: Next) -> Response {
    if !asked.path.starts_with("/api/") {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let admitted = match api.admit(&mut parts, source, asked).await {
        // What may change something has its place in the audit log before it does.
        Ok(room) if journal::is_change(asked) => api.journal().place().await.map(|place| (room, Some(place))),
        Ok(room) => Ok((room, None)),
        Err(problem) => Err(problem),
    };
    let (response, place) = match admitted {
        Ok((_room, place)) => {
            let running = next.run(Request::from_parts(parts, body));
            let response = match tokio::time::timeout(api.options().request_timeout(), running).await {
                Ok(response) => response,
                Err(_) => Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "timeout",
                    "the request took too long; send it again, with an `Idempotency-Key` if it makes something",
                )
                .retry_after(1)
                .into_response(),
            };
            (response, place)
        }
        Err(problem) => (problem.into_response(), None),
    };
    let is_noted = place.is_none() && is_denial_to_note(api, asked, source, &response);
    let place = match is_noted {
        true => journal::place_of_denial(api).await,
        false => place,
    };
    if let Some(place) = place {
        journal::note(place, asked, &response);
    }
    response
}

/// Whether an answer refuses something and is to be noted: a flood of requests must not become one of notes.
fn is_denial_to_note(api: &Api, asked: &Asked, source: Source, response: &Response) -> bool {
    let is_flood = || response.status() == StatusCode::TOO_MANY_REQUESTS && !api.rates().is_noted(source.network());
    journal::is_denial(asked, response) && !is_flood()
}

fn chosen_id(request: &Request) -> Option<String> {
    let id = request.headers().get(&X_REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

/// The answer when a handler panicked. The panic itself is in the log.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}
