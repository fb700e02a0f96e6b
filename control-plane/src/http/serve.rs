//! Listening.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt as _;

use super::connection::{Activity, Patience, Watched};
use super::peer::{Network, Peer, network};
use super::pool::Pool;
use super::tls::Certificate;
use super::{Api, router};

/// How long requests that are under way at a shutdown may take.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request, also of the next one on the same connection.
const HEAD: Duration = Duration::from_secs(30);
/// How often a client with HTTP/2 is asked for a sign of life.
const PING: Duration = Duration::from_secs(20);
/// How long a client may do nothing at the beginning of a connection, and while something is written to it.
const PATIENCE: Patience = Patience {
    opening: Duration::from_secs(10),
    stalled: Duration::from_secs(60),
};
/// How long nobody may use a connection, longer than any request takes: then it takes no more requests, and is closed when
/// nothing comes of those that it has for as long again. HTTP/1 closes sooner.
const IDLE: Duration = Duration::from_secs(180);
/// Requests of one connection with HTTP/2 that are answered at once.
const STREAMS: u32 = 256;
/// Bytes of the head of a request.
const HEAD_BYTES: u32 = 64 << 10;
/// The wait when no more connections can be taken, as when the process has too many files.
const FULL: Duration = Duration::from_millis(200);

/// Answers requests until `shutdown` is cancelled; then long polls are answered at once, and others that are under way
/// have some seconds.
///
/// # Errors
/// When the certificate cannot be used.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken) -> io::Result<()> {
    let certificate = match &api.options().tls {
        Some(options) => Some(Certificate::open(options)?),
        None => None,
    };
    let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
    let _fresh = certificate.map(|certificate| AbortOnDropHandle::new(tokio::spawn(certificate.keep_fresh())));
    let server = Server {
        router: router(api.clone()),
        tls,
        places: Arc::new(Semaphore::new(api.options().max_connections.max(1))),
        networks: Pool::new(api.options().max_connections, 4),
        proxies: api.options().trusted_proxies.clone(),
        stop: shutdown.clone(),
    };
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            taken = server.accept(&listener, &connections) => if let Err(error) = taken {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(FULL).await;
            }
        }
    }
    drop(listener);
    api.0.closing.cancel();
    connections.close();
    api.changes().close();
    let drained = async {
        connections.wait().await;
        api.changes().wait().await;
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests were cut off by the shutdown");
    }
    api.journal().finish().await;
    Ok(())
}

/// What connections share.
struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    /// The part of the places that one network may have.
    networks: Pool<IpAddr>,
    /// Everybody's connections come from these.
    proxies: Vec<Network>,
    stop: CancellationToken,
}

impl Server {
    /// Takes one connection, and serves it beside the others.
    async fn accept(&self, listener: &TcpListener, connections: &TaskTracker) -> io::Result<()> {
        // Whoever comes when there is no place waits in the system's queue.
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, address) = listener.accept().await?;
        let of_network = match self
            .proxies
            .iter()
            .any(|proxy| proxy.contains(address.ip().to_canonical()))
        {
            true => None,
            false => match self.networks.enter(&network(address.ip().to_canonical())) {
                Ok(room) => Some(room),
                Err(_) => {
                    tracing::debug!(%address, "closed a connection of a network that has too many");
                    return Ok(());
                }
            },
        };
        let (router, tls, stop) = (self.router.clone(), self.tls.clone(), self.stop.clone());
        connections.spawn(async move {
            let _places = (place, of_network);
            if let Err(error) = connection(stream, address, router, tls, stop).await {
                tracing::debug!(%error, %address, "a connection has failed");
            }
        });
        Ok(())
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let peer = Peer {
        address: address.ip(),
        tls: tls.is_some(),
    };
    match tls {
        None => answer(stream, peer, router, stop).await,
        Some(tls) => {
            let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
            answer(stream, peer, router, stop).await
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let activity = Arc::new(Activity::default());
    let counting = Arc::clone(&activity);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        counting.request();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES);
    let connection = builder.serve_connection(
        TokioIo::new(Watched::new(stream, Arc::clone(&activity), PATIENCE)),
        service,
    );
    tokio::pin!(connection);
    let mut ending = false;
    loop {
        let seen = activity.seen();
        tokio::select! {
            served = connection.as_mut() => return served,
            () = stop.cancelled(), if !ending => {}
            () = tokio::time::sleep(IDLE) => match activity.is_used_since(seen) {
                true => continue,
                false if ending => return Ok(()),
                false => {}
            },
        }
        connection.as_mut().graceful_shutdown();
        ending = true;
    }
}
