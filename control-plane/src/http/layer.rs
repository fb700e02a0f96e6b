//! What every request passes: its id, its time limit, who sends it, and what is counted of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use tracing::Instrument as _;
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use super::journal::{self, Asked};
use super::peer::Source;
use super::pool::Room;
use super::{Api, Problem, extract, headers, modules, session};

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
    let asked = Asked {
        method: request.method().clone(),
        route,
        path: request.uri().path().to_owned(),
        request_id: id.clone(),
        source: source.address.to_string(),
        principal: None,
        namespace: None,
    };
    let (route, span) = (
        asked.route.clone(),
        tracing::info_span!("request", request_id = %id, method = %asked.method, route = %asked.route),
    );
    let started = Instant::now();
    let answer = REQUEST_ID.scope(id.clone(), answer(&api, asked, source, request, next));
    let mut response = answer.instrument(span.clone()).await;
    let took = started.elapsed();
    let status = response.status().as_u16();
    metrics().http_request(&route, status, took);
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers::complete(headers, source.secure);
    response
}

/// Answers a request, and notes what is to be in the audit log.
async fn answer(api: &Api, mut asked: Asked, source: Source, request: Request, next: Next) -> Response {
    if !api.options().open
        && let Err(problem) = api.rates().source(source.network())
    {
        return refused(api, &asked, source, problem).await;
    }
    if !asked.path.starts_with("/api/") {
        return in_time(api, next.run(request)).await;
    }
    let (mut parts, body) = request.into_parts();
    let room = match api.admit(&mut parts, source, &mut asked).await {
        Ok(room) => room,
        Err(problem) => return refused(api, &asked, source, problem).await,
    };
    if journal::is_change(&asked) {
        return change(api, asked, room, parts, body, next).await;
    }
    let room = RequestRoom::new(room);
    parts.extensions.insert(room.clone());
    let response = in_time(api, next.run(Request::from_parts(parts, body))).await;
    room.leave();
    noted(api, &asked, source, response).await
}

/// Answers a request that may change something. Once it has begun it comes to its end, and its entry into the audit log,
/// whether or not somebody still waits for the answer. Whoever waits is answered when the time of a request is over; the
/// change has as much time again, and is cut off then, as by the death of the process: all of it can be done again.
async fn change(api: &Api, asked: Asked, room: Room, parts: Parts, body: Body, next: Next) -> Response {
    let deadline = Instant::now() + api.options().request_timeout();
    let body = match received(api, &asked, body, deadline).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    // It has its place in the audit log before it changes anything; whoever sends it slowly takes none meanwhile.
    let place = match api.journal().place().await {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let end = deadline + api.options().request_timeout();
    let running = async move {
        let answered = tokio::time::timeout_at(end.into(), next.run(Request::from_parts(parts, body))).await;
        let response = answered.unwrap_or_else(|_| {
            tracing::warn!(route = asked.route, "a change took too long and was cut off");
            timed_out()
        });
        journal::note(place, &asked, &response);
        drop(room);
        response
    };
    let id = request_id().unwrap_or_default();
    let running = REQUEST_ID.scope(id, running).in_current_span();
    match tokio::time::timeout_at(deadline.into(), api.changes().spawn(running)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "a request was cut off");
            Problem::internal().into_response()
        }
        Err(_) => timed_out(),
    }
}

/// The body of a request, whole; that of a module comes while its handler reads it, within the same time.
async fn received(api: &Api, asked: &Asked, body: Body, deadline: Instant) -> Result<Body, Problem> {
    let late = || {
        let detail = "the body of the request did not come in time; send it again";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
    };
    if modules::takes_body(&asked.method, &asked.route) {
        let pieces = stream::unfold(body.into_data_stream(), move |mut pieces| async move {
            let piece = tokio::time::timeout_at(deadline.into(), pieces.next()).await;
            let piece = piece.unwrap_or_else(|_| {
                Some(Err(axum::Error::new(std::io::Error::from(
                    std::io::ErrorKind::TimedOut,
                ))))
            });
            Some((piece?, pieces))
        });
        return Ok(Body::from_stream(pieces));
    }
    let is_login = session::is_login(&asked.method, &asked.path);
    let (limit, patience) = match is_login {
        true => (session::MAX_LOGIN, session::LOGIN),
        false => (api.options().max_body_bytes, api.options().request_timeout()),
    };
    let bytes = tokio::time::timeout(patience, extract::whole(body, limit)).await;
    bytes.map_err(|_| late())?.map(Body::from)
}

/// The answer to a request that was not let in.
async fn refused(api: &Api, asked: &Asked, source: Source, problem: Problem) -> Response {
    noted(api, asked, source, problem.into_response()).await
}

async fn in_time(api: &Api, answer: impl Future<Output = Response>) -> Response {
    let answered = tokio::time::timeout(api.options().request_timeout(), answer).await;
    answered.unwrap_or_else(|_| timed_out())
}

fn timed_out() -> Response {
    let detail = "the request took too long; send it again, with an `Idempotency-Key` if it makes something";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail);
    problem.retry_after(1).into_response()
}

/// An answer, which is noted if it refuses something.
async fn noted(api: &Api, asked: &Asked, source: Source, response: Response) -> Response {
    if is_denial_to_note(api, asked, source, &response)
        && let Some(place) = journal::place_of_denial(api).await
    {
        journal::note(place, asked, &response);
    }
    response
}

/// The room of the request that is being answered.
#[derive(Clone, Debug)]
pub(super) struct RequestRoom(Arc<Mutex<Option<Room>>>);

impl RequestRoom {
    fn new(room: Room) -> Self {
        Self(Arc::new(Mutex::new(Some(room))))
    }

    /// Leaves it to others: from here on the request only waits.
    pub(super) fn leave(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
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
