//! Sending what is read while it is read.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::pool::Room;
use super::RowsError;

/// Pieces that are read ahead of what the network takes.
const AHEAD: usize = 2;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes a second that a client must take in the long run, with [`PATIENCE`] to begin with.
const LEAST_RATE: u64 = 16 << 10;

/// How long a client has held up what is sent to it.
#[derive(Default)]
struct Pace {
    sent: u64,
    waited: Duration,
}

impl Pace {
    /// How long it may take for the next piece.
    fn patience(&self) -> Duration {
        let earned = Duration::from_millis(self.sent.saturating_mul(1_000) / LEAST_RATE);
        (PATIENCE + earned).saturating_sub(self.waited).min(PATIENCE)
    }

    /// It has taken a piece.
    fn took(&mut self, bytes: usize, waited: Duration) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.waited += waited;
    }
}

/// A body of pieces; it ends early, so that the client notices, when one cannot be read, or when the client takes
/// nothing for long, or too little in the long run. The room is given back at its end.
pub(super) fn body(mut pieces: BoxStream<'static, Result<Bytes, RowsError>>, room: Room) -> Body {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let _room = room;
        let mut pace = Pace::default();
        while let Some(piece) = pieces.next().await {
            let failed = piece.is_err();
            if let Err(error) = &piece {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "rows that are sent cannot be read"
                );
            }
            let (bytes, began) = (piece.as_ref().map_or(0, Bytes::len), Instant::now());
            let sent = tokio::time::timeout(pace.patience(), sender.send(piece)).await;
            if failed || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            pace.took(bytes, began.elapsed());
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
                let error = std::io::Error::other("the client took too little for too long");
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
    use super::super::super::pool::Pool;
    use super::*;

    fn room() -> Room {
        Pool::new(1, 1).enter(&()).unwrap()
    }

    #[tokio::test]
    async fn a_body_that_has_ended_can_be_asked_again() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"rows"))]).boxed();
        let mut body = body(pieces, room()).into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "rows");
        assert!(body.next().await.is_none());
        assert!(body.next().await.is_none());
    }

    #[test]
    fn a_client_that_takes_little_is_left_in_the_end() {
        let mut slow = Pace::default();
        let mut seconds = 0;
        // A byte now and then, each well before its time.
        while !slow.patience().is_zero() {
            slow.took(1, Duration::from_secs(10));
            seconds += 10;
        }
        assert_eq!(seconds, 60, "it cannot go on for ever");
        let mut modest = Pace::default();
        for _ in 0..10_000 {
            modest.took(LEAST_RATE as usize, Duration::from_secs(1));
        }
        assert_eq!(modest.patience(), PATIENCE);
    }
}
