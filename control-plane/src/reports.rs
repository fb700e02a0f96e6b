//! From the report queue into the mailboxes of the runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_model::TaskReport;
use weir_platform::{Delivery, Receipt};

use crate::shared::{Mail, Shared};

/// Reports taken at once.
const BATCH: usize = 1_000;
/// How long a receive waits for the first report.
const WAIT: Duration = Duration::from_secs(20);
/// How long reports stay hidden while a driver has them: longer than any append takes.
const VISIBILITY: Duration = Duration::from_secs(60);
/// How long a report waits when its driver is behind.
const BEHIND: Duration = Duration::from_millis(100);
/// How long a report waits for the owner of its run, when that is another control plane or none.
const NOT_OURS: Duration = Duration::from_secs(1);
/// Deliveries after which a report of a run that nobody owns is given up.
const MAX_RECEIVES: u32 = 10;
/// The wait after an error of the queue.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Routes reports for as long as the control plane lives.
pub(crate) async fn route(shared: Arc<Shared>) {
    loop {
        let deliveries = match shared.reports.receive(BATCH, WAIT, VISIBILITY).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot receive reports");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let mut sorted = Sorted::default();
        {
            let runs = shared.runs();
            for delivery in deliveries {
                sorted.deliver(&runs, delivery);
            }
        }
        sorted.settle(&shared).await;
    }
}

/// Reports that no driver took.
#[derive(Default)]
struct Sorted {
    useless: Vec<Receipt>,
    behind: Vec<Receipt>,
    not_ours: Vec<Receipt>,
}

impl Sorted {
    fn deliver(
        &mut self,
        runs: &std::collections::HashMap<weir_model::RunId, crate::shared::Driven>,
        delivery: Delivery,
    ) {
        let receipt = delivery.receipt;
        let report: Box<TaskReport> = match serde_json::from_str(&delivery.body) {
            Ok(report) => Box::new(report),
            Err(error) => {
                tracing::error!(%error, "dropped a report that cannot be read");
                return self.useless.push(receipt);
            }
        };
        match runs.get(&report.run) {
            None if delivery.receive_count >= MAX_RECEIVES => self.useless.push(receipt),
            None => self.not_ours.push(receipt),
            Some(driven) => match driven.mailbox.try_send(Mail::Report { report, receipt }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(Mail::Report { receipt, .. })) => self.behind.push(receipt),
                Err(mpsc::error::TrySendError::Closed(Mail::Report { receipt, .. })) => self.not_ours.push(receipt),
                Err(_) => unreachable!("what was sent is a report"),
            },
        }
    }

    async fn settle(self, shared: &Shared) {
        let queue = &shared.reports;
        let give_back = async |receipts: Vec<Receipt>, after| match receipts.is_empty() {
            true => Ok(()),
            false => queue.extend(receipts, after).await,
        };
        let settled = async {
            delete(shared, self.useless).await;
            give_back(self.behind, BEHIND).await?;
            give_back(self.not_ours, NOT_OURS).await
        };
        if let Err(error) = settled.await {
            // They come back by themselves when their visibility timeout is over.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot give reports back");
        }
    }
}

/// Deletes reports that were handled. One that comes back nevertheless changes nothing.
pub(crate) async fn delete(shared: &Shared, receipts: Vec<Receipt>) {
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = shared.reports.delete(receipts).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete reports");
    }
}
