//! A worker's `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use weir_control_plane::http::Check;
use weir_control_plane::http::resources::Readiness;
use weir_platform::telemetry;

use crate::error::Error;

/// Answers until `stop` is cancelled; while it drains, the worker is not ready.
pub(crate) async fn serve(address: SocketAddr, checks: Vec<Check>, stop: CancellationToken) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(Error::io(format!("listen on {address}")))?;
    let address = listener.local_addr().map_err(Error::io("find the address"))?;
    tracing::info!(%address, "answering health checks");
    let checks = Arc::new(checks);
    let ready = move || {
        let (checks, stop) = (Arc::clone(&checks), stop.clone());
        async move {
            let checks = futures::future::join_all(checks.iter().map(Check::run)).await;
            let ready = checks.iter().all(|check| check.ok) && !stop.is_cancelled();
            let status = match ready {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, Json(Readiness { ready, checks }))
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "health checks are not answered any more");
        }
    });
    Ok(())
}

async fn metrics() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, telemetry::prometheus_text())
}
