//! Putting away reports whose consequences are in the log.
//!
//! Drivers do not wait for it: one task puts away what all of them have handled, in few calls. A report that was not
//! put away, since this process died or a call failed, comes again and changes nothing.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use weir_platform::Receipt;

use crate::shared::Shared;

/// Batches that wait to be put away; drivers wait for room.
const QUEUE: usize = 1_024;

/// Where a report came from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The report queue.
    Queue(Receipt),
    /// Another control plane, through the store: its id there.
    Inbox(u64),
}

enum Request {
    PutAway(Vec<Origin>),
    /// To be answered when everything before it is put away.
    Flush(oneshot::Sender<()>),
}

/// Takes reports that were handled.
pub(crate) struct Receipts {
    requests: mpsc::Sender<Request>,
}

/// The other end of [`Receipts`], for [`put_away`].
pub(crate) struct Handled(mpsc::Receiver<Request>);

impl Receipts {
    pub(crate) fn new() -> (Self, Handled) {
        let (requests, handled) = mpsc::channel(QUEUE);
        (Self { requests }, Handled(handled))
    }

    /// Has reports put away soon.
    pub(crate) async fn handled(&self, origins: Vec<Origin>) {
        if !origins.is_empty() {
            // The other end lives until the control plane is killed.
            let _ = self.requests.send(Request::PutAway(origins)).await;
        }
    }

    /// Waits until everything that was handled is put away.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.requests.send(Request::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// Puts reports away for as long as the control plane lives.
pub(crate) async fn put_away(shared: Arc<Shared>, Handled(mut requests): Handled) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, QUEUE).await > 0 {
        let (mut receipts, mut ids, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for request in batch.drain(..) {
            match request {
                Request::PutAway(origins) => split(origins, &mut receipts, &mut ids),
                Request::Flush(done) => flushes.push(done),
            }
        }
        tokio::join!(delete(&shared, receipts), done(&shared, ids));
        for flush in flushes {
            let _ = flush.send(());
        }
    }
}

pub(crate) fn split(origins: Vec<Origin>, receipts: &mut Vec<Receipt>, ids: &mut Vec<u64>) {
    for origin in origins {
        match origin {
            Origin::Queue(receipt) => receipts.push(receipt),
            Origin::Inbox(id) => ids.push(id),
        }
    }
}

async fn delete(shared: &Shared, receipts: Vec<Receipt>) {
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = shared.reports.delete(receipts).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete reports");
    }
}

async fn done(shared: &Shared, ids: Vec<u64>) {
    if ids.is_empty() {
        return;
    }
    if let Err(error) = shared.store.reports_done(&ids).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot delete forwarded reports"
        );
    }
    shared.inbox.put_back(&ids);
}
