//! `/api/v1/stream`: what changes, as server-sent events.
//!
//! The stream synchronises state: whoever is connected has of each topic what is there now, and of a topic that changes
//! faster than they read, the latest. So nothing is kept for a slow reader, and nothing can be missed by one that comes
//! again: the id of an event names the version of each topic that its receiver has then. A topic whose version is still
//! the present one is not sent again, whichever server is asked; another begins with all of its state.
//!
//! What is looked at (`looks`) is shared by all streams of the process (`feeds`); each stream writes its own differences
//! (`connection`).

mod connection;
mod feeds;
mod frame;
mod looks;
mod topic;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use weir_model::Namespace;

use super::authenticate::{Authenticated, Means};
use super::caller::Caller;
use super::extract::Params;
use super::{Api, Problem, quotas};
use crate::identity::Role;
use connection::{Connection, Followed};
pub(super) use feeds::Feeds;
use topic::{Topic, Versions};

/// Topics of one stream.
const MAX_TOPICS: usize = 16;
/// How often it is asked whether whoever opened a stream would still be let in.
const RECHECK: Duration = Duration::from_secs(5);
/// Streams of one caller in a namespace: tabs, and programs with the same key.
const MAX_STREAMS_OF_CALLER: usize = 32;
/// Pieces that are written ahead of what the network takes.
const AHEAD: usize = 4;
/// How long the first look at topics may take that a stream begins with.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// What to follow.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// What to follow, at most 16, separated by commas: `runs` (the latest 200 of the namespace), `run:ID`, `pipelines`,
    /// `schedules`, `modules`, `quota:NAMESPACE`, `keys` and `audit` (for admins); for admins of the whole service
    /// `keys:service`, `namespaces`, `audit:service`, `workers`, `scaling`.
    topics: String,
    /// As the header `Last-Event-ID`, for clients that cannot set it.
    last_event_id: Option<String>,
}

/// Follows what changes, as server-sent events.
///
/// The events are `rows`, `run`, `run_patch`, `resource`, `changed` and `end`; the schemas `StreamRows`, `StreamRun`,
/// `StreamRunPatch`, `StreamResource`, `StreamChanged` and `StreamEnd` say what their data is. A topic begins with its present state, unless the `Last-Event-ID` says that the
/// client has that. Lines that begin with `:` come every 15 seconds when nothing else does. The server may close the
/// stream at any time, and does from time to time: connect again with the id of the last event. The answer is 204 when
/// all topics have ended and the client knows how.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "runs", operation_id = "stream",
    params(
        StreamParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 204, description = "All topics have ended, and the client knows how"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn stream(
    State(api): State<Api>,
    caller: Caller,
    authenticated: Authenticated,
    Params(params): Params<StreamParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let topics = topics(&api, &caller, &params.topics).await?;
    let room = api.rooms().streams.enter(caller.namespace());
    let room = room.map_err(|full| full.problem("too_many_streams", "streams").retry_after(5))?;
    let place = api.streams().enter(&caller)?;
    let given = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let versions = Versions::parse(given.or(params.last_event_id.as_deref()).unwrap_or_default());
    let mut followed = Vec::with_capacity(topics.len());
    for topic in topics {
        let known = versions.of(&topic).map(str::to_owned);
        followed.push(Followed::new(topic.clone(), known, api.feeds().follow(&api, &topic)));
    }
    if all_known_to_end(&mut followed).await {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (pieces, received) = mpsc::channel(AHEAD);
    let checking = api.clone();
    let connection = Connection::new(api, followed, pieces);
    tokio::spawn(async move {
        let _places = (room, place);
        tokio::select! {
            () = connection.run() => {}
            () = revoked(&checking, &authenticated) => {}
        }
    });
    let body = Body::from_stream(stream::unfold(received, |mut received| async move {
        let piece = received.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), received))
    }));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies are not to hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Returns when whoever opened a stream would no longer be let in.
async fn revoked(api: &Api, authenticated: &Authenticated) {
    let session = match &authenticated.means {
        Means::Session(token) => Some(&**token),
        _ => None,
    };
    loop {
        tokio::time::sleep(RECHECK).await;
        if !api.authenticator().is_good(&authenticated.principal, session).await {
            return;
        }
    }
}

/// The topics that a caller may follow.
async fn topics(api: &Api, caller: &Caller, list: &str) -> Result<Vec<Topic>, Problem> {
    let mut topics = Vec::new();
    for word in list.split(',').filter(|word| !word.is_empty()) {
        let topic = Topic::parse(word, caller.namespace())?;
        match &topic {
            Topic::Run(run) => api.namespaces().check(api, caller, *run).await?,
            Topic::Workers(_) | Topic::Scaling | Topic::Namespaces | Topic::Keys(None) | Topic::Audit(None) => {
                caller.require_whole_service()?;
            }
            Topic::Keys(Some(_)) | Topic::Audit(Some(_)) => caller.require(Role::Admin)?,
            Topic::Quota(namespace) => quotas::check(api, caller, namespace).await?,
            Topic::Runs(_) | Topic::Pipelines(_) | Topic::Schedules(_) | Topic::Modules(_) => {}
        }
        if !topics.contains(&topic) {
            topics.push(topic);
        }
        if topics.len() > MAX_TOPICS {
            return Err(Problem::invalid_query(format!(
                "a stream has at most {MAX_TOPICS} topics"
            )));
        }
    }
    match topics.is_empty() {
        true => Err(Problem::invalid_query("`topics` names nothing to follow")),
        false => Ok(topics),
    }
}

/// Whether nothing is to be told: all topics have ended, and the client has the end of each.
async fn all_known_to_end(followed: &mut [Followed]) -> bool {
    if followed.iter().any(|followed| !followed.may_be_over()) {
        return false;
    }
    let looks = futures::future::join_all(followed.iter_mut().map(Followed::is_known_to_end));
    match tokio::time::timeout(FIRST_LOOK, looks).await {
        Ok(known) => known.into_iter().all(|known| known),
        Err(_) => false,
    }
}

/// Counts streams by caller.
#[derive(Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<(Namespace, String), usize>>>);

impl Streams {
    fn enter(&self, caller: &Caller) -> Result<Place, Problem> {
        let key = (caller.namespace().clone(), caller.principal().to_owned());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(&key).copied().unwrap_or(0);
        if own >= MAX_STREAMS_OF_CALLER {
            let detail = "too many streams are open; close some, or follow several topics with one";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail).retry_after(5));
        }
        counts.insert(key.clone(), own + 1);
        Ok(Place {
            counts: Arc::clone(&self.0),
            key,
        })
    }
}

/// The place of a stream, until it is dropped.
struct Place {
    counts: Arc<Mutex<HashMap<(Namespace, String), usize>>>,
    key: (Namespace, String),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn streams_are_counted_by_caller() {
        let streams = Streams::default();
        let caller = |principal: &str| {
            Caller(Identity {
                principal: principal.to_owned(),
                namespace: Namespace::default(),
                role: Role::Viewer,
                whole_service: false,
            })
        };
        let (one, other) = (caller("one"), caller("other"));
        let mut places: Vec<_> = (0..MAX_STREAMS_OF_CALLER)
            .map(|_| streams.enter(&one).unwrap())
            .collect();
        assert_eq!(streams.enter(&one).err().unwrap().code, "too_many_streams");
        assert!(streams.enter(&other).is_ok(), "others have room");
        places.pop();
        assert!(streams.enter(&one).is_ok(), "a stream that ends makes room");
        places.clear();
        assert!(
            streams.0.lock().unwrap().is_empty(),
            "nothing is remembered of callers that are gone"
        );
    }
}
