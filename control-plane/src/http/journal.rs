//! The audit log: what was changed, by whom, and what was refused.
//!
//! Entries are written in batches beside the requests. Their queue is bounded: a request that is about to change
//! something has its place in it before it is handled, so that nothing is changed that could not be written down.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, Response, StatusCode, header};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_model::Namespace;
use weir_platform::clock;

use super::{Api, Problem, routes};
use crate::ControlPlane;
use crate::store::{AuditOutcome, AuditRow};

/// Entries that wait to be written.
const QUEUE: usize = 1_024;
/// Entries that are written at once.
const BATCH: usize = 256;
/// How long a request waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first wait after a write that failed; each further one doubles it, up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// Bytes of what an entry says of a target.
const MAX_TARGET: usize = 256;
/// Who sent a request of which that is not known.
const UNKNOWN: &str = "unknown";

/// The route of a request that comes to none.
pub(super) const NO_ROUTE: &str = "none";

/// The code of the problem that an answer is, for its entry.
#[derive(Clone)]
pub(super) struct ProblemCode(pub(super) String);

/// Who is known from now on: the answer to a login.
#[derive(Clone)]
pub(super) struct LoggedIn(pub(super) String);

/// What an answer is about, for its entry, where the path does not say it.
#[derive(Clone)]
pub(super) struct Target(pub(super) String);

/// Where what was done is noted, if not in the namespace that the request is about: in that of the thing that was changed,
/// or in none when it is the service's.
#[derive(Clone)]
pub(super) struct NotedIn(pub(super) Option<Namespace>);

/// Whether a route is about the service, and no namespace.
pub(super) fn is_of_service(route: &str) -> bool {
    let collection = route.strip_prefix("/api/v1/").and_then(|path| path.split('/').next());
    matches!(
        collection,
        Some("namespaces" | "workers" | "scaling" | "session" | "sessions")
    )
}

/// What is known of a request when it is answered.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The route, or what stands for none.
    pub(super) route: String,
    pub(super) path: String,
    pub(super) request_id: String,
    pub(super) source: String,
    pub(super) principal: Option<String>,
    pub(super) namespace: Option<Namespace>,
}

/// A place in the queue.
pub(super) type Place = mpsc::OwnedPermit<AuditRow>;

/// The queue of entries.
pub(super) struct Journal {
    entries: Mutex<Option<mpsc::Sender<AuditRow>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Starts to write what comes.
    pub(super) fn start(control_plane: ControlPlane) -> Self {
        let (entries, receiver) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(write(control_plane, receiver));
        Self {
            entries: Mutex::new(Some(entries)),
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Waits for room for one more entry.
    pub(super) async fn place(&self) -> Result<Place, Problem> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unavailable = || Problem::unavailable("the audit log cannot be written; try again");
        let waiting = entries.ok_or_else(unavailable)?.reserve_owned();
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(unavailable()),
        }
    }

    /// Takes no more entries, and waits until those that are there are written.
    pub(super) async fn finish(&self) {
        drop(self.entries.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && tokio::time::timeout(LAST_BACKOFF, writer).await.is_err()
        {
            tracing::error!("the last entries of the audit log could not be written");
        }
    }
}

async fn write(control_plane: ControlPlane, mut entries: mpsc::Receiver<AuditRow>) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let mut backoff = FIRST_BACKOFF;
        while let Err(error) = control_plane.identities().audit_append(&batch).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                entries = batch.len(),
                "cannot write the audit log; trying again"
            );
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
        batch.clear();
    }
}

/// Operations that have a body to look at and change nothing. Of these only refusals are noted.
const LOOKS: &[(Method, &str)] = &[(Method::POST, "/api/v1/sql/check")];

/// Whether the answer to a request is noted, whatever it is: when the request may have changed something.
pub(super) fn is_change(asked: &Asked) -> bool {
    let is_look = |(method, route): &(Method, &str)| *method == asked.method && *route == asked.route;
    !asked.method.is_safe() && !LOOKS.iter().any(is_look)
}

/// Whether an answer refuses something for who asked for it. One that something is not there does, too: it may be there
/// for others, and the log must not tell the two apart.
pub(super) fn is_denial<B>(asked: &Asked, response: &Response<B>) -> bool {
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => true,
        // Whether a module is there is asked before it is uploaded; and that there is no such route is news to nobody.
        StatusCode::NOT_FOUND => asked.method != Method::HEAD && asked.route != NO_ROUTE,
        _ => false,
    }
}

/// Notes an answer.
pub(super) fn note<B>(place: Place, asked: &Asked, response: &Response<B>) {
    let status = response.status();
    let outcome = match is_denial(asked, response) {
        true => AuditOutcome::Denied,
        false => AuditOutcome::Allowed,
    };
    let made = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    let said = response.extensions().get::<Target>().map(|Target(target)| &**target);
    let target = said.or(made).unwrap_or(&asked.path);
    let mut target = target.strip_prefix("/api/v1/").unwrap_or(target).to_owned();
    if target.len() > MAX_TARGET {
        let end = (0..=MAX_TARGET)
            .rev()
            .find(|end| target.is_char_boundary(*end))
            .unwrap_or(0);
        target.truncate(end);
    }
    let logged_in = response
        .extensions()
        .get::<LoggedIn>()
        .map(|LoggedIn(name)| name.clone());
    place.send(AuditRow {
        id: clock::new_audit_id(),
        at: clock::now(),
        principal: asked
            .principal
            .clone()
            .or(logged_in)
            .unwrap_or_else(|| UNKNOWN.to_owned()),
        namespace: match response.extensions().get::<NotedIn>() {
            Some(NotedIn(namespace)) => namespace.clone(),
            None => asked.namespace.clone(),
        },
        action: operation(&asked.method, &asked.route),
        target,
        outcome,
        status: status.as_u16(),
        request_id: asked.request_id.clone(),
        source: asked.source.clone(),
        detail: response
            .extensions()
            .get::<ProblemCode>()
            .map(|ProblemCode(code)| code.clone()),
    });
}

/// What the API's description calls an operation.
fn operation(method: &Method, route: &str) -> String {
    type Operations = std::collections::HashMap<(String, String), String>;
    static OPERATIONS: LazyLock<Operations> = LazyLock::new(|| {
        let document = serde_json::to_value(routes().into_openapi()).unwrap_or_default();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        let operations = paths.into_iter().flat_map(|(path, item)| {
            let item = item.as_object().cloned().unwrap_or_default();
            item.into_iter().filter_map(move |(method, operation)| {
                let id = operation["operationId"].as_str()?.to_owned();
                Some(((method.to_uppercase(), path.clone()), id))
            })
        });
        operations.collect()
    });
    let known = OPERATIONS.get(&(method.to_string(), route.to_owned()));
    known.cloned().unwrap_or_else(|| NO_ROUTE.to_owned())
}

/// Waits for room for an answer that must be noted although nothing was changed. Under a flood of denials that cannot be
/// written the answer comes all the same.
pub(super) async fn place_of_denial(api: &Api) -> Option<Place> {
    match api.journal().place().await {
        Ok(place) => Some(place),
        Err(_) => {
            tracing::error!("a denial is not in the audit log, which cannot be written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_document() {
        assert_eq!(operation(&Method::POST, "/api/v1/runs"), "runs_submit");
        assert_eq!(operation(&Method::DELETE, "/api/v1/keys/{key}"), "keys_revoke");
        assert_eq!(operation(&Method::POST, "/nowhere"), NO_ROUTE);
        for (method, route) in LOOKS {
            assert_ne!(operation(method, route), NO_ROUTE, "{route}");
        }
    }
}
