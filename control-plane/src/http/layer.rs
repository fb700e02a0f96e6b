//! What every request passes: its id, its time limit, who sends it, and what is counted of it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use super::{Api, Problem};

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
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let span = tracing::info_span!("request", request_id = %id, %method, %route);
    let started = Instant::now();
    let answer = REQUEST_ID.scope(id.clone(), async {
        let (mut parts, body) = request.into_parts();
        match api.admit(&mut parts).await {
            Ok(_room) => match tokio::time::timeout(
                api.options().request_timeout(),
                next.run(Request::from_parts(parts, body)),
            )
            .await
            {
                Ok(response) => response,
                Err(_) => Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "timeout",
                    "the request took too long; send it again, with an `Idempotency-Key` if it makes something",
                )
                .retry_after(1)
                .into_response(),
            },
            Err(problem) => problem.into_response(),
        }
    });
    let mut response = answer.instrument(span.clone()).await;
    let took = started.elapsed();
    let status = response.status().as_u16();
    metrics().http_request(&route, status, took);
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
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
