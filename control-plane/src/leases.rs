//! Keeping what is owned.

use std::sync::Arc;
use std::time::Instant;

use weir_model::RunId;
use weir_model::machine::Input;

use crate::shared::{Mail, Shared};
use crate::store::{Lease, Renewal};

/// Renews the leases of all driven runs for as long as the control plane lives.
pub(crate) async fn renew(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.options.lease() / 3);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let leases: Vec<Lease> = shared.runs().values().map(|driven| driven.lease.clone()).collect();
        if leases.is_empty() {
            continue;
        }
        let asked = Instant::now();
        let call = shared.store.lease_renew(&leases, shared.options.lease());
        match tokio::time::timeout(shared.options.lease() / 2, call).await {
            Ok(Ok(renewals)) => settle(&shared, asked, leases.iter().map(|lease| lease.run).zip(renewals)),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot renew leases");
            }
            Err(_) => tracing::warn!("the store does not answer in time to renew leases"),
        }
        give_up_expired(&shared);
    }
}

fn settle(shared: &Shared, asked: Instant, renewals: impl Iterator<Item = (RunId, Option<Renewal>)>) {
    let mut runs = shared.runs();
    for (run, renewal) in renewals {
        let Some(driven) = runs.get_mut(&run) else { continue };
        match renewal {
            None => driven.lost.cancel(),
            Some(renewal) => {
                driven.renewed = asked;
                if let Some(by) = renewal.cancel_requested_by {
                    // When the mailbox is full, the next renewal says it again.
                    let _ = driven.mailbox.try_send(Mail::Input(Input::Cancel { by }));
                }
            }
        }
    }
}

/// Stops driving runs whose lease may be another's by now. The store fences appends anyway; this ends effects.
fn give_up_expired(shared: &Shared) {
    let lease = shared.options.lease();
    for driven in shared.runs().values() {
        if driven.renewed.elapsed() >= lease {
            driven.lost.cancel();
        }
    }
}
