//! Acting on what others wrote to the store.

use std::sync::Arc;

use weir_model::RunId;
use weir_model::machine::Input;

use crate::shared::{Mail, Shared};
use crate::store::Change;

/// Listens for as long as the control plane lives.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    loop {
        match changes.next().await {
            Change::Reports { owner } if *owner == *shared.owner => shared.inbox.wake(),
            Change::Reports { .. } => {}
            Change::Cancel(run) => hear_cancel(&shared, run).await,
            Change::Run(run) => {
                // It may have been given up.
                if !shared.runs().contains_key(&run) {
                    shared.sweep.notify_one();
                }
            }
            Change::Anything => {
                shared.inbox.wake();
                shared.sweep.notify_one();
            }
        }
    }
}

/// Tells a driver at once what it would learn when its lease is renewed.
async fn hear_cancel(shared: &Shared, run: RunId) {
    let mailbox = shared.runs().get(&run).map(|driven| driven.mailbox.clone());
    let Some(mailbox) = mailbox else { return };
    match shared.store.run_get(run).await {
        Ok(row) => {
            let by = row.and_then(|row| row.cancel_requested_by);
            if let Some(by) = by {
                // When the mailbox is full, the next renewal says it again.
                let _ = mailbox.try_send(Mail::Input(Input::Cancel { by }));
            }
        }
        Err(error) => {
            tracing::debug!(%run, error = &error as &dyn std::error::Error, "cannot see who cancelled a run");
        }
    }
}
