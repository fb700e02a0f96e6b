//! Listening.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Api, router};

/// How long requests that are under way at a shutdown may take.
const DRAIN: Duration = Duration::from_secs(10);

/// Answers requests until `shutdown` is cancelled; then long polls are answered at once, and others that are under way
/// have some seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken) -> io::Result<()> {
    let closing = api.0.closing.clone();
    let stop = shutdown.clone();
    let serving = axum::serve(listener, router(api)).with_graceful_shutdown(async move {
        stop.cancelled().await;
        closing.cancel();
    });
    let bound = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served,
        () = bound => {
            tracing::warn!("some requests were cut off by the shutdown");
            Ok(())
        }
    }
}
