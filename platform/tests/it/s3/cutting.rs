//! A proxy that cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes bytes on, and resets each connection when the server has sent so many over it. It ends when this is dropped.
pub(super) struct CuttingProxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl CuttingProxy {
    pub(super) async fn start(upstream: &str, after: usize) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&upstream).await.unwrap();
                tokio::spawn(pass(client, server, after));
            }
        });
        Self {
            address,
            connections,
            serving,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, after: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let down = async {
        let (mut buffer, mut left) = (vec![0; 16 << 10], after);
        while left > 0 {
            let wanted = left.min(buffer.len());
            let read = from_server.read(&mut buffer[..wanted]).await?;
            if read == 0 {
                break;
            }
            to_client.write_all(&buffer[..read]).await?;
            left -= read;
        }
        std::io::Result::Ok(())
    };
    // Both halves are dropped at the end, whichever comes first.
    tokio::select! {
        _ = up => {}
        _ = down => {}
    }
}
