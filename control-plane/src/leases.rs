//! Keeping what is owned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_model::RunId;
use weir_model::machine::Input;
use weir_platform::telemetry::metrics::metrics;

use crate::shared::{Mail, Shared};
use crate::store::{Lease, Renewal};

/// The shortest sleep between two looks at what has expired.
const MIN_SLEEP: Duration = Duration::from_millis(5);
/// The wait before the store is asked again whether a lease is ours.
const AGAIN: Duration = Duration::from_millis(100);

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
        // What one write of the store waits for, as a large append, is no reason to give up the runs of the others.
        let parts = shared.store.lease_parts(leases);
        futures::future::join_all(parts.iter().map(|part| renew_part(&shared, part))).await;
    }
}

async fn renew_part(shared: &Shared, leases: &[Lease]) {
    let asked = Instant::now();
    let call = shared.store.lease_renew(leases, shared.options.lease());
    match tokio::time::timeout(shared.options.lease() / 2, call).await {
        Ok(Ok(renewals)) => settle(shared, asked, leases.iter().map(|lease| lease.run).zip(renewals)),
        Ok(Err(error)) => {
            metrics().store_error();
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot renew leases");
        }
        Err(_) => tracing::warn!("the store does not answer in time to renew leases"),
    }
}

/// Ends, at once, what is done for runs whose lease may be another's by now. The store fences appends anyway; this ends
/// effects.
pub(crate) async fn give_up_expired(shared: Arc<Shared>) {
    let lease = shared.options.lease();
    loop {
        // Runs may come meanwhile whose lease began a moment before.
        let mut next = lease / 4;
        for driven in shared.runs().values() {
            let left = lease.saturating_sub(driven.renewed.elapsed());
            if left.is_zero() {
                driven.lost.cancel();
            } else {
                next = next.min(left);
            }
        }
        tokio::time::sleep(next.max(MIN_SLEEP)).await;
    }
}

/// Asks the store whether a run is still ours, for what must not be begun late: a process may have slept for longer
/// than its lease, and not know. Waits while the store cannot be asked.
pub(crate) async fn confirm(shared: &Shared, lease: &Lease) -> bool {
    loop {
        let call = shared
            .store
            .lease_renew(std::slice::from_ref(lease), shared.options.lease());
        match call.await {
            Ok(renewals) => return matches!(renewals[..], [Some(_)]),
            Err(error) => {
                tracing::warn!(run = %lease.run, error = &error as &dyn std::error::Error, "cannot confirm a lease");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// What the driver of a run is to be told that somebody asked to be held up, or not.
pub(crate) fn pause_input(requested_by: Option<String>, paused: bool) -> Option<Input> {
    match (requested_by, paused) {
        (Some(by), false) => Some(Input::Pause { by }),
        (None, true) => Some(Input::Resume {
            by: "somebody".to_owned(),
        }),
        _ => None,
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
                let news = pause_input(renewal.pause_requested_by, driven.snapshot.borrow().paused_at.is_some());
                // The store may have been asked before somebody changed their mind: only what stays so is news.
                let differs = news.is_some();
                if let Some(news) = news.filter(|_| driven.pause_differs) {
                    let _ = driven.mailbox.try_send(Mail::Input(news));
                }
                driven.pause_differs = differs;
            }
        }
    }
}
