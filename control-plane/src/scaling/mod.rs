//! As many workers as there is work.
//!
//! What is wanted follows from the exact backlog in the store, not from metrics of the queue that come a minute late.
//! Of all control planes one leads and tells its provisioner; the others stand by.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use crate::provisioner::{self, Provisioner};
use crate::shared::Shared;
use crate::store::{self, Change, ScalingRow};
use crate::vitals;
use plan::{Scaler, needed};

/// What the leader leads.
const LEADERSHIP: &str = "scaling";
/// Workers whose slots are looked at.
const WORKERS: u32 = 1_000;
/// The shortest time between two looks at the backlog.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the provisioner is told what is wanted though it is what was wanted before: others may have changed it.
const REMIND: Duration = Duration::from_secs(30);

/// Options of scaling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingOptions {
    /// Workers at least.
    pub min_workers: u32,
    /// Workers at most.
    pub max_workers: u32,
    /// Tasks that a worker runs at once, until workers have said so themselves.
    pub slots_per_worker: u32,
    /// How long less must be needed before workers are stopped, in milliseconds.
    pub idle_ms: u64,
    /// How often the backlog is looked at, in milliseconds; it is looked at sooner when a run begins.
    pub interval_ms: u64,
}

impl Default for ScalingOptions {
    fn default() -> Self {
        Self {
            min_workers: 0,
            max_workers: 10,
            slots_per_worker: 4,
            idle_ms: 60_000,
            interval_ms: 1_000,
        }
    }
}

impl ScalingOptions {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms).max(PAUSE)
    }
}

/// What a control plane knows about the number of workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScalingStatus {
    /// Whether this control plane decides.
    pub leads: bool,
    /// Workers that it wants, if it decides.
    pub wanted: u32,
    /// Workers that ran when it last asked, if it decides.
    pub running: u32,
}

/// Scales for as long as the control plane lives, and ends what the provisioner started in this process when it stops.
pub(crate) async fn run(shared: Arc<Shared>, options: ScalingOptions, provisioner: Arc<dyn Provisioner>) {
    let mut scaling = Scaling {
        shared: shared.clone(),
        options,
        provisioner,
        led_until: None,
        scaler: None,
        told: None,
        said: None,
    };
    let mut changes = shared.store.changes();
    let mut look_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            () = tokio::time::sleep_until(look_at) => {
                shared.stop.run_until_cancelled(scaling.look()).await;
                look_at = Instant::now() + scaling.options.interval();
            }
            change = changes.next() => {
                if matches!(change, Change::Run(_)) {
                    look_at = look_at.min(Instant::now() + PAUSE);
                }
            }
        }
    }
    scaling.end().await;
}

struct Scaling {
    shared: Arc<Shared>,
    options: ScalingOptions,
    provisioner: Arc<dyn Provisioner>,
    /// When the leadership is to be renewed, while it is ours.
    led_until: Option<Instant>,
    scaler: Option<Scaler>,
    /// What the provisioner was told last, and when.
    told: Option<(u32, Instant)>,
    /// What all control planes were told last, wanted and provisioned, and when.
    said: Option<((u32, u32), Instant)>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Provisioner(#[from] provisioner::Error),
}

impl Scaling {
    async fn look(&mut self) {
        let looked = match self.lead().await {
            Ok(true) => self.scale().await,
            Ok(false) => {
                self.stand_by().await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = looked {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot scale the workers");
            // It may be another's by now.
            self.led_until = None;
        }
    }

    /// Becomes or stays the leader, if nobody else is.
    async fn lead(&mut self) -> Result<bool, store::Error> {
        if self.led_until.is_some_and(|until| Instant::now() < until) {
            return Ok(true);
        }
        let ttl = self.shared.options.lease().max(3 * self.options.interval());
        let asked = Instant::now();
        let leads = self
            .shared
            .store
            .leader_acquire(LEADERSHIP, &self.shared.owner, ttl)
            .await?;
        self.led_until = leads.then(|| asked + ttl / 3);
        Ok(leads)
    }

    async fn scale(&mut self) -> Result<(), Error> {
        let backlog = self.shared.store.backlog().await?;
        let needed = needed(&backlog, self.slots_per_worker().await?);
        let now = clock::now();
        let scaler = match &mut self.scaler {
            Some(scaler) => scaler,
            None => {
                let ScalingOptions {
                    min_workers,
                    max_workers,
                    idle_ms,
                    ..
                } = self.options;
                let current = self.provisioner.current().await?.wanted;
                self.scaler
                    .insert(Scaler::new(min_workers, max_workers, idle_ms, current, now))
            }
        };
        let wanted = scaler.observe(needed, now);
        let known = self
            .told
            .is_some_and(|(told, at)| told == wanted && at.elapsed() < REMIND);
        if !known {
            if self.told.is_none_or(|(told, _)| told != wanted) {
                tracing::info!(
                    wanted,
                    waiting = backlog.waiting,
                    running = backlog.running,
                    "scaling the workers"
                );
            }
            self.provisioner.set(wanted).await?;
            self.told = Some((wanted, Instant::now()));
        }
        metrics().workers_wanted(u64::from(wanted));
        let running = self.provisioner.current().await?.running;
        self.say(wanted, running).await?;
        self.show(ScalingStatus {
            leads: true,
            wanted,
            running,
        });
        Ok(())
    }

    /// Tells all control planes, when it differs and now and then.
    async fn say(&mut self, wanted: u32, provisioned: u32) -> Result<(), store::Error> {
        let known = self
            .said
            .is_some_and(|(said, at)| said == (wanted, provisioned) && at.elapsed() < REMIND);
        if known {
            return Ok(());
        }
        let scaling = ScalingRow {
            wanted,
            provisioned,
            said_at: clock::now(),
        };
        self.shared.store.scaling_set(&scaling).await?;
        self.said = Some(((wanted, provisioned), Instant::now()));
        Ok(())
    }

    /// What workers say of themselves; on average, where they differ.
    async fn slots_per_worker(&self) -> Result<u32, store::Error> {
        let since = vitals::alive_since();
        let workers = self.shared.store.worker_list(WORKERS).await?;
        let alive = workers
            .iter()
            .filter(|worker| worker.seen_at >= since && !worker.draining);
        let (count, slots) = alive.fold((0_u64, 0_u64), |(count, slots), worker| {
            (count + 1, slots + u64::from(worker.slots))
        });
        let average = slots
            .checked_div(count)
            .map(|slots| u32::try_from(slots).unwrap_or(u32::MAX));
        Ok(average.unwrap_or(self.options.slots_per_worker).max(1))
    }

    /// Somebody else decides.
    async fn stand_by(&mut self) {
        if self.scaler.take().is_some() {
            (self.told, self.said) = (None, None);
            self.provisioner.release().await;
        }
        self.show(ScalingStatus::default());
    }

    fn show(&self, status: ScalingStatus) {
        self.shared.scaling.send_if_modified(|shown| {
            let differs = *shown != status;
            *shown = status;
            differs
        });
    }

    async fn end(self) {
        self.provisioner.shutdown().await;
        if self.led_until.is_some()
            && let Err(error) = self.shared.store.leader_release(LEADERSHIP, &self.shared.owner).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot end the leadership");
        }
    }
}
