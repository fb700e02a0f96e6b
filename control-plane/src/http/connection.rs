//! What a connection may keep a server waiting for.
//!
//! hyper limits the time for the head of a request, once it knows which HTTP is spoken. Before that, and while a client
//! leaves unread what is written to it, nothing but this looks at the clock.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes that a connection must take to be in use although no request comes: more than what HTTP/2 asks and answers to
/// find out whether somebody is there.
const LEAST_WRITTEN: u64 = 16 << 10;

/// How long a client may do nothing.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until it has said which HTTP it speaks.
    pub(super) opening: Duration,
    /// While something is written to it.
    pub(super) stalled: Duration,
}

/// What has happened on a connection.
#[derive(Default)]
pub(super) struct Activity {
    requests: AtomicU64,
    written: AtomicU64,
}

impl Activity {
    /// A request has come.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is to compare with later.
    pub(super) fn seen(&self) -> (u64, u64) {
        (
            self.requests.load(Ordering::Relaxed),
            self.written.load(Ordering::Relaxed),
        )
    }

    /// Whether anybody has used the connection since.
    pub(super) fn is_used_since(&self, (requests, written): (u64, u64)) -> bool {
        let now = self.seen();
        now.0 != requests || now.1.saturating_sub(written) >= LEAST_WRITTEN
    }
}

/// A connection that fails when its client says nothing at its beginning, or takes nothing later.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    patience: Patience,
    /// Bytes of the preface that have come, while what has come is the beginning of it.
    preface: Option<usize>,
    opening: Pin<Box<Sleep>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, patience: Patience) -> Self {
        Self {
            stream,
            activity,
            patience,
            preface: Some(0),
            opening: Box::pin(sleep(patience.opening)),
            stalled: None,
        }
    }

    /// Looks at the clock while a write waits.
    fn written<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let patience = self.patience.stalled;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(late("the client takes nothing")))
    }

    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// How much of the preface has come with these bytes; `None` when it is known which HTTP it is.
fn still_open(matched: usize, bytes: &[u8]) -> Option<usize> {
    let rest = &PREFACE[matched..];
    let common = rest.len().min(bytes.len());
    (rest[..common] == bytes[..common] && common < rest.len()).then_some(matched + common)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(matched) = this.preface else { return polled };
        if polled.is_ready() {
            this.preface = still_open(matched, &buf.filled()[before..]);
            return polled;
        }
        let opening = this.opening.as_mut().poll(cx);
        opening.map(|()| Err(late("the client does not say which HTTP it speaks")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(&polled);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.count(&polled);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Patience = Patience {
        opening: Duration::from_millis(50),
        // Who takes something has the time to, on a busy machine too.
        stalled: Duration::from_secs(2),
    };

    /// How reading ends after these bytes; `None` when it waits for more.
    async fn end_after(bytes: &[u8]) -> Option<io::ErrorKind> {
        let (mut client, server) = tokio::io::duplex(1_024);
        let mut server = Watched::new(server, Arc::default(), SHORT);
        client.write_all(bytes).await.unwrap();
        let mut buffer = [0; 7];
        let reading = async {
            loop {
                if let Err(error) = server.read(&mut buffer).await {
                    break error.kind();
                }
            }
        };
        tokio::time::timeout(SHORT.opening * 10, reading).await.ok()
    }

    #[tokio::test]
    async fn whoever_does_not_say_what_they_speak_is_left() {
        for unclear in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert_eq!(end_after(unclear).await, Some(io::ErrorKind::TimedOut), "{unclear:?}");
        }
        // hyper looks at the clock from here on.
        for clear in [&b"G"[..], b"PO", b"GET / HTTP/1.0\r\n\r\n", PREFACE] {
            assert_eq!(end_after(clear).await, None, "{clear:?}");
        }
    }

    #[tokio::test]
    async fn whoever_takes_nothing_is_left() {
        let (mut client, server) = tokio::io::duplex(16);
        let activity = Arc::new(Activity::default());
        let mut server = Watched::new(server, Arc::clone(&activity), SHORT);
        let taking = tokio::spawn(async move {
            let mut buffer = [0; 16];
            client.read_exact(&mut buffer).await.unwrap();
            client
        });
        let error = server.write_all(&[0; 1_024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(activity.seen(), (0, 2 * 16));
        drop(taking.await);
    }

    #[test]
    fn signs_of_life_are_no_use() {
        let activity = Activity::default();
        let seen = activity.seen();
        activity.written.fetch_add(1_000, Ordering::Relaxed);
        assert!(!activity.is_used_since(seen));
        activity.written.fetch_add(LEAST_WRITTEN, Ordering::Relaxed);
        assert!(activity.is_used_since(seen));
        let seen = activity.seen();
        activity.request();
        assert!(activity.is_used_since(seen));
    }
}
