//! What load balancers, orchestrators and Prometheus ask a worker.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use weir_platform::telemetry;

use crate::WorkerStatus;

/// `/healthz` says that the process is alive, `/readyz` whether it takes tasks and reaches what it needs, and
/// `/metrics` has the metrics of the process in Prometheus' text format.
pub fn router(status: WorkerStatus) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(status)
}

async fn healthz() -> impl IntoResponse {
    Json(serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn readyz(State(status): State<WorkerStatus>) -> impl IntoResponse {
    let mut readiness = status.readiness().await;
    // Why a part does not answer goes to the log alone: anybody who reaches the address may ask.
    for check in readiness.checks.iter_mut().filter(|check| check.name != "worker") {
        if let Some(error) = &mut check.error {
            tracing::warn!(part = check.name, error, "a part that the worker needs is not ready");
            *error = "it does not answer as it should; the worker's log says more".to_owned();
        }
    }
    let code = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(readiness))
}

async fn metrics() -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], telemetry::prometheus_text())
}
