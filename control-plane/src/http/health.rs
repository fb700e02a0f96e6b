//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};

use super::resources::{Health, Readiness, ReadinessCheck};
use super::{Api, Problem};

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an answer is good for others who ask: whoever asks often asks the parts no more often for it.
const GOOD: Duration = Duration::from_secs(1);

/// What the parts said last, and when.
#[derive(Default)]
pub(super) struct Known(tokio::sync::Mutex<Option<(Instant, Vec<ReadinessCheck>)>>);

impl Known {
    /// Asks the parts, unless somebody did just now. Why one does not answer goes to the log alone: anybody may ask.
    async fn look(&self, checks: &[Check]) -> Vec<ReadinessCheck> {
        let mut known = self.0.lock().await;
        if let Some((at, said)) = &*known
            && at.elapsed() < GOOD
        {
            return said.clone();
        }
        let mut said = join_all(checks.iter().map(Check::run)).await;
        for check in &mut said {
            if let Some(error) = &mut check.error {
                tracing::warn!(part = check.name, error, "a part of the service is not ready");
                *error = "it does not answer as it should; the server's log says more".to_owned();
            }
        }
        *known = Some((Instant::now(), said.clone()));
        said
    }
}

/// Asks one part of the service whether it is there.
pub struct Check {
    name: &'static str,
    ask: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Check {
    /// A check of the part `name`. `ask` says why it is not there, for people; it may be dropped after some seconds.
    pub fn new<F>(name: &'static str, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self {
            name,
            ask: Box::new(move || Box::pin(ask())),
        }
    }

    /// Asks, within some seconds.
    pub async fn run(&self) -> ReadinessCheck {
        let started = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, (self.ask)()).await;
        let error = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        ReadinessCheck {
            name: self.name.to_owned(),
            ok: error.is_none(),
            took_ms: started.elapsed().as_millis() as u64,
            error,
        }
    }
}

/// Whether the process is alive. Asks nothing.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "healthz",
    responses((status = 200, body = Health), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Whether the server can do its work: asks its store, its queues and its storage, at most once a second.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses(
        (status = 200, body = Readiness), (status = 503, body = Readiness, description = "Something is missing"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let mut checks = api.readiness().look(api.checks()).await;
    if api.is_closing() {
        checks.push(ReadinessCheck {
            name: "server".to_owned(),
            ok: false,
            took_ms: 0,
            error: Some("it is shutting down".to_owned()),
        });
    }
    let ready = checks.iter().all(|check| check.ok);
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Readiness { ready, checks })).into_response()
}

/// Metrics, in Prometheus' text format, unless the server answers them at another address.
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    match api.options().metrics_elsewhere {
        true => Err(Problem::route_not_found("/metrics")),
        false => Ok(exposition(api.metrics_text())),
    }
}

/// `/metrics` and `/healthz` alone, for an address that only those reach who may see them.
pub fn metrics_router(text: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    let metrics = move || {
        let text = Arc::clone(&text);
        async move { exposition(text()) }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
}

fn exposition(text: String) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn whoever_asks_often_learns_no_more_and_costs_no_more() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let check = Check::new("store", move || {
            counting.fetch_add(1, Ordering::Relaxed);
            async { Err("the password of weir@10.0.0.7 is wrong".to_owned()) }
        });
        let (known, checks) = (Known::default(), [check]);
        let looks = join_all((0..100).map(|_| known.look(&checks))).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        for said in looks {
            let [said] = &said[..] else { panic!("one part") };
            assert_eq!((said.name.as_str(), said.ok), ("store", false));
            assert!(!said.error.as_deref().unwrap().contains("10.0.0.7"), "{said:?}");
        }
    }
}
