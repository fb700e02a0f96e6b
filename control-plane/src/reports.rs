//! From the report queue into the mailboxes of the runs, or to the control planes that own them.
//!
//! All control planes share one report queue, so that half of what one of two receives is for the other: it goes
//! through the store, in one call for a batch, and is deleted from the queue once it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_model::{TaskReport, WorkerHeartbeat, WorkerMessage};
use weir_platform::{Delivery, Receipt, clock};

use crate::receipts::Origin;
use crate::shared::{Mail, Runs, Shared};
use crate::store::{ForwardedReport, WorkerRow};

/// Reports taken at once.
const BATCH: usize = 1_000;
/// How long a receive waits for the first report.
const WAIT: Duration = Duration::from_secs(20);
/// The shortest and the longest time for which reports stay hidden while a driver has them.
const VISIBILITY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a report waits when its driver is behind.
const BEHIND: Duration = Duration::from_millis(100);
/// How long a report waits that could not be left for its owner.
const NOT_FORWARDED: Duration = Duration::from_secs(1);
/// The wait after an error of the queue.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Routes reports for as long as the control plane lives.
pub(crate) async fn route(shared: Arc<Shared>) {
    // Whoever takes the runs of this process over after its death needs the reports that died with it as soon as that.
    // Those that come back while their driver still has them cost the work to see that they change nothing.
    let visibility = shared.options.lease().clamp(VISIBILITY.0, VISIBILITY.1);
    loop {
        let deliveries = match shared.reports.receive(BATCH, WAIT, visibility).await {
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
    /// Done with, or of no use.
    done: Vec<Origin>,
    workers: Vec<WorkerRow>,
    behind: Vec<Receipt>,
    /// Of runs that this control plane does not drive.
    others: Vec<(ForwardedReport, Receipt)>,
}

impl Sorted {
    fn deliver(&mut self, runs: &Runs, delivery: Delivery) {
        let (receipt, body) = (delivery.receipt, delivery.body);
        let report = match WorkerMessage::from_json(&body) {
            Ok(WorkerMessage::Task(report)) => report,
            Ok(WorkerMessage::Worker(heartbeat)) => {
                self.workers.push(worker(*heartbeat));
                return self.done.push(Origin::Queue(receipt));
            }
            Err(error) => {
                tracing::error!(%error, "dropped a report that cannot be read");
                return self.done.push(Origin::Queue(receipt));
            }
        };
        self.report(runs, report, body, receipt);
    }

    fn report(&mut self, runs: &Runs, report: Box<TaskReport>, body: String, receipt: Receipt) {
        let run = report.run;
        let Some(driven) = runs.get(&run) else {
            return self.others.push((ForwardedReport { run, body }, receipt));
        };
        let origin = Origin::Queue(receipt);
        match driven.mailbox.try_send(Mail::Report { report, origin }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(mail)) => self.behind.extend(mail.into_receipt()),
            Err(mpsc::error::TrySendError::Closed(mail)) => {
                // Whoever drives it next gets it from the store; when the run is over, nobody does.
                let receipt = mail.into_receipt();
                self.others
                    .extend(receipt.map(|receipt| (ForwardedReport { run, body }, receipt)));
            }
        }
    }

    async fn settle(self, shared: &Shared) {
        if !self.workers.is_empty()
            && let Err(error) = shared.store.workers_seen(&self.workers).await
        {
            // They say it again soon.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot note signs of life of workers"
            );
        }
        shared.receipts.handled(self.done).await;
        give_back(shared, self.behind, BEHIND).await;
        if self.others.is_empty() {
            return;
        }
        let (reports, receipts): (Vec<_>, Vec<_>) = self.others.into_iter().unzip();
        match shared.store.reports_forward(&reports).await {
            Ok(()) => {
                let origins = receipts.into_iter().map(Origin::Queue).collect();
                shared.receipts.handled(origins).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot forward reports");
                give_back(shared, receipts, NOT_FORWARDED).await;
            }
        }
    }
}

fn worker(heartbeat: WorkerHeartbeat) -> WorkerRow {
    WorkerRow {
        worker: heartbeat.worker,
        // A clock that is ahead must not make it look alive when it is not.
        seen_at: heartbeat.at.min(clock::now()),
        started_at: heartbeat.started_at,
        slots: heartbeat.slots,
        running: heartbeat.running,
        draining: heartbeat.draining || heartbeat.ended,
        version: heartbeat.version,
        host: heartbeat.host,
        tasks: heartbeat.tasks,
    }
}

/// Gives reports back to the queue, for whoever receives them next.
pub(crate) async fn give_back(shared: &Shared, receipts: Vec<Receipt>, after: Duration) {
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = shared.reports.extend(receipts, after).await {
        // They come back by themselves when their visibility timeout is over.
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot give reports back");
    }
}
