//! One stream: writes what its client does not have.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::Api;
use super::feeds::Latest;
use super::frame::{Event, Frame};
use super::topic::Topic;

/// How often something is written when nothing happens, so that whoever is gone is noticed on both sides.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may leave everything unread.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream lasts: then its client comes again, and who it is is asked anew.
const LIFE: Duration = Duration::from_secs(300);
/// How long a client waits before it comes again, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// One topic of a stream.
pub(super) struct Followed {
    topic: Topic,
    latest: Latest,
    /// The version that the client has, at first as it said itself.
    known: Option<String>,
    /// What the client has, if it was sent by this stream.
    sent: Option<Arc<Frame>>,
    over: bool,
}

impl Followed {
    pub(super) fn new(topic: Topic, known: Option<String>, latest: Latest) -> Self {
        Self {
            topic,
            latest,
            known,
            sent: None,
            over: false,
        }
    }

    /// Whether the client may have all of it.
    pub(super) fn may_be_over(&self) -> bool {
        matches!(self.topic, Topic::Run(_)) && self.known.is_some()
    }

    /// Whether it has ended as the client knows.
    pub(super) async fn is_known_to_end(&mut self) -> bool {
        let known = self.known.clone();
        let first = self.latest.wait_for(Option::is_some).await;
        let first = first.ok().and_then(|first| first.clone());
        // It is still to be told, if it is not known.
        self.latest.mark_changed();
        first.is_some_and(|first| first.end().is_some() && Some(first.last_version()) == known)
    }

    /// What the client is to be told now.
    fn news(&mut self) -> Vec<Event> {
        if self.over {
            return Vec::new();
        }
        let Some(latest) = self.latest.borrow_and_update().clone() else {
            return Vec::new();
        };
        self.over = latest.end().is_some();
        let events = latest.since(&self.topic, self.known.as_deref(), self.sent.as_deref());
        self.sent = Some(latest);
        events
    }
}

/// A stream that is open.
pub(super) struct Connection {
    api: Api,
    followed: Vec<Followed>,
    pieces: mpsc::Sender<Bytes>,
}

/// The client is gone, or reads nothing.
struct Gone;

impl Connection {
    pub(super) fn new(api: Api, followed: Vec<Followed>, pieces: mpsc::Sender<Bytes>) -> Self {
        Self { api, followed, pieces }
    }

    /// Until the client is gone, the server shuts down, or nothing more will come.
    pub(super) async fn run(mut self) {
        // All of these end the same way: the client comes again if it wants more.
        let _ = self.write_all().await;
    }

    async fn write_all(&mut self) -> Result<(), Gone> {
        let end = Instant::now() + LIFE;
        self.write(format!("retry: {RETRY_MS}\n\n")).await?;
        loop {
            for at in 0..self.followed.len() {
                for event in self.followed[at].news() {
                    self.followed[at].known = Some(event.reached);
                    let text = format!("event: {}\nid: {}\ndata: {}\n\n", event.name, self.id(), event.data);
                    self.write(text).await?;
                }
            }
            if self.followed.iter().all(|followed| followed.over) {
                return Ok(());
            }
            let (api, pieces) = (self.api.clone(), self.pieces.clone());
            tokio::select! {
                lasting = changed(&mut self.followed) => if !lasting { return Ok(()) },
                () = tokio::time::sleep(HEARTBEAT) => self.write(":\n\n".to_owned()).await?,
                () = tokio::time::sleep_until(end) => return Ok(()),
                () = pieces.closed() => return Err(Gone),
                () = api.closing() => return Ok(()),
            }
        }
    }

    /// What the client has, once it has this event.
    fn id(&self) -> String {
        let mut id = String::new();
        for followed in &self.followed {
            if let Some(version) = &followed.known {
                let separator = if id.is_empty() { "" } else { ";" };
                // Writing to a string cannot fail.
                let _ = write!(id, "{separator}{}={version}", followed.topic);
            }
        }
        id
    }

    async fn write(&self, text: String) -> Result<(), Gone> {
        match tokio::time::timeout(PATIENCE, self.pieces.send(text.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// Waits for a topic to change; `false` when it is followed no more.
async fn changed(followed: &mut [Followed]) -> bool {
    let waits = followed
        .iter_mut()
        .filter(|followed| !followed.over)
        .map(|followed| followed.latest.changed().boxed());
    let (changed, _, _) = futures::future::select_all(waits).await;
    changed.is_ok()
}
