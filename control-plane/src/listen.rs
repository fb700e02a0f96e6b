//! Acting on what others wrote to the store.

use std::sync::Arc;

use weir_model::RunId;
use weir_model::machine::Input;

use crate::leases;
use crate::shared::{Mail, Shared};
use crate::store::Change;

/// Listens for as long as the control plane lives.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    loop {
        match changes.next().await {
            Change::Reports { owner } if *owner == *shared.owner => shared.inbox.wake(),
            Change::Reports { .. } => {}
            Change::Cancel(run) | Change::Pause(run) => hear_request(&shared, run).await,
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
async fn hear_request(shared: &Shared, run: RunId) {
    let driven = shared.runs().get(&run).map(|driven| {
        let paused = driven.snapshot.borrow().paused_at.is_some();
        (driven.mailbox.clone(), paused)
    });
    let Some((mailbox, paused)) = driven else { return };
    match shared.store.run_get(run).await {
        Ok(row) => {
            let (cancel, pause) = row.map_or((None, None), |row| (row.cancel_requested_by, row.pause_requested_by));
            let cancel = cancel.map(|by| Input::Cancel { by });
            for input in cancel.into_iter().chain(leases::pause_input(pause, paused)) {
                // When the mailbox is full, the next renewals say it again.
                let _ = mailbox.try_send(Mail::Input(input));
            }
        }
        Err(error) => {
            tracing::debug!(%run, error = &error as &dyn std::error::Error, "cannot see what was asked for a run");
        }
    }
}
