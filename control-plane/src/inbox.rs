//! Reports that other control planes received for runs of this one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use weir_model::RunId;

use crate::receipts::Origin;
use crate::shared::{Mail, Shared};
use crate::store::InboxReport;

/// Reports taken at once.
const BATCH: u32 = 1_000;
/// Reports that drivers have at once; further ones wait in the store.
const MAX_HELD: usize = 10_000;
/// The wait before the store is asked again for reports that no driver had room for, or after an error.
const AGAIN: Duration = Duration::from_millis(200);

/// What is known of the inbox.
#[derive(Default)]
pub(crate) struct Inbox {
    wake: Notify,
    /// Reports that a driver has; they are still in the store.
    held: Mutex<BTreeSet<u64>>,
}

impl Inbox {
    /// Has the inbox looked at.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Lets go of reports: they are done with, or are to be taken again.
    pub(crate) fn put_back(&self, ids: &[u64]) {
        if ids.is_empty() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let was_full = held.len() >= MAX_HELD;
        for id in ids {
            held.remove(id);
        }
        if was_full {
            self.wake();
        }
    }

    fn held(&self) -> Vec<u64> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().copied().collect()
    }

    fn hold(&self, id: u64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }
}

/// Takes reports out of the inbox for as long as the control plane lives.
pub(crate) async fn take(shared: Arc<Shared>) {
    loop {
        shared.inbox.wake.notified().await;
        while !take_all(&shared).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Takes what is there; says whether none of it is to be tried again soon.
async fn take_all(shared: &Shared) -> bool {
    // Left in the store, and passed over so that they do not keep others from being seen.
    let mut left = Vec::new();
    loop {
        let passed_over = [shared.inbox.held(), left.clone()].concat();
        if passed_over.len() >= MAX_HELD || shared.runs().is_empty() {
            break;
        }
        let reports = match shared.store.reports_take(&shared.owner, &passed_over, BATCH).await {
            Ok(reports) => reports,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot take forwarded reports"
                );
                return false;
            }
        };
        let (taken, mut unreadable) = (reports.len(), Vec::new());
        for report in reports {
            let id = report.id;
            match deliver(shared, report) {
                Delivered::ToDriver => {}
                Delivered::Unreadable => unreadable.push(Origin::Inbox(id)),
                Delivered::NoRoom => left.push(id),
            }
        }
        shared.receipts.handled(unreadable).await;
        if taken < BATCH as usize {
            break;
        }
    }
    left.is_empty()
}

enum Delivered {
    ToDriver,
    Unreadable,
    NoRoom,
}

fn deliver(shared: &Shared, InboxReport { id, run, body }: InboxReport) -> Delivered {
    let report = match serde_json::from_str(&body) {
        Ok(report) => Box::new(report),
        Err(error) => {
            tracing::error!(%run, %error, "dropped a report that cannot be read");
            return Delivered::Unreadable;
        }
    };
    let Some(mailbox) = mailbox(shared, run) else {
        // The run is ours by its lease, but its driver is about to begin or to end.
        return Delivered::NoRoom;
    };
    let origin = Origin::Inbox(id);
    // Before it is sent: the driver may be done with it a moment later.
    shared.inbox.hold(id);
    match mailbox.try_send(Mail::Report { report, origin }) {
        Ok(()) => Delivered::ToDriver,
        Err(_) => {
            shared.inbox.put_back(&[id]);
            Delivered::NoRoom
        }
    }
}

fn mailbox(shared: &Shared, run: RunId) -> Option<mpsc::Sender<Mail>> {
    shared.runs().get(&run).map(|driven| driven.mailbox.clone())
}
