//! Sending what is read while it is read.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::RowsError;

/// Pieces that are read ahead of what the network takes.
const AHEAD: usize = 2;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body of pieces; it ends early, so that the client notices, when one cannot be read, or when the client takes
/// nothing for long. The room is given back at its end.
pub(super) fn body(mut pieces: BoxStream<'static, Result<Bytes, RowsError>>, room: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let _room = room;
        while let Some(piece) = pieces.next().await {
            let failed = piece.is_err();
            if let Err(error) = &piece {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "rows that are sent cannot be read"
                );
            }
            let sent = tokio::time::timeout(PATIENCE, sender.send(piece)).await;
            if failed || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        // Tells an end from an abandoned send.
        let _ = tokio::time::timeout(PATIENCE, sender.send(Ok(Bytes::new()))).await;
    });
    let received = stream::unfold((receiver, false), |(mut receiver, ended)| async move {
        match receiver.recv().await {
            Some(Ok(piece)) => {
                let ended = piece.is_empty();
                Some((Ok(piece), (receiver, ended)))
            }
            Some(Err(error)) => Some((Err(std::io::Error::other(error)), (receiver, true))),
            None if ended => None,
            None => {
                let error = std::io::Error::other("the client took nothing for too long");
                Some((Err(error), (receiver, true)))
            }
        }
    });
    let pieces = received.filter(|piece| {
        let empty = matches!(piece, Ok(piece) if piece.is_empty());
        std::future::ready(!empty)
    });
    // What compresses a body asks once more after its end.
    Body::from_stream(pieces.fuse())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_body_that_has_ended_can_be_asked_again() {
        let room = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let pieces = stream::iter([Ok(Bytes::from_static(b"rows"))]).boxed();
        let mut body = body(pieces, room).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "rows");
        assert!(body.next().await.is_none());
        assert!(body.next().await.is_none());
    }
}
