//! Answering health checks.

use std::net::SocketAddr;

use axum::Router;

use crate::error::Error;

/// Answers for as long as the process lives.
pub(crate) async fn serve(address: SocketAddr, router: Router) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(Error::io(format!("listen on {address}")))?;
    let address = listener.local_addr().map_err(Error::io("find the address"))?;
    tracing::info!(%address, "answering health checks");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "health checks are not answered any more");
        }
    });
    Ok(())
}
