//! Which task messages are sent now, and which wait until there is room for them with the workers.
//!
//! Drivers keep the messages themselves: the gate knows only how many wait and how many tasks are under way, run by run.
//! The queue gets as many messages as the fleet has slots, and what it needs so that no slot is idle until the next
//! message comes. So a queue that hands out messages in whatever order keeps nobody waiting for long, and what waits is
//! here, where namespaces [share](shares) the slots.
//!
//! Several control planes know of each other's tasks from the store, as they were a moment ago: within that moment they
//! may together send as much as each could alone.

mod shares;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weir_model::{Allowance, Namespace, RunId};

use crate::quotas::{Own, Quota, Quotas};
use crate::shared::Shared;
use crate::store::{self, NamespaceLoad};
use crate::vitals;
use shares::{Capacity, Elsewhere, Limits, Shares};

/// How often the fleet, the quotas and what others have under way are looked at.
const REFRESH: Duration = Duration::from_millis(500);
/// Workers whose slots are counted.
const WORKERS: u32 = 10_000;
/// The time over which the rate of tasks is averaged.
const AVERAGED: Duration = Duration::from_millis(200);

/// Lets messages through.
pub(crate) struct Gate {
    options: Options,
    state: Mutex<State>,
    /// Has the fleet looked at.
    wake: Notify,
}

/// What an operator can tune about the gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Slots of all workers, where they are known beforehand; otherwise what workers say counts.
    pub(crate) slots: Option<u32>,
    /// For how long the messages that are sent ahead of need last the fleet.
    pub(crate) ahead: Duration,
    /// Messages that are sent ahead while one namespace alone has any; none for half as many as there are slots.
    pub(crate) ahead_alone: Option<u32>,
}

struct State {
    shares: Shares,
    /// Of each run, what was let through and not yet fetched, and who is told.
    runs: HashMap<RunId, (u64, Arc<Notify>)>,
    slots: Option<u64>,
    rate: Rate,
    /// The quotas that the shares go by.
    quotas: Arc<Own>,
    /// What a slot has of its worker's memory, in bytes, as far as tasks have said; zero for no bound.
    slot_memory: Option<u64>,
}

/// A run's place at the gate; it is given up with this.
pub(crate) struct Place {
    shared: Arc<Shared>,
    run: RunId,
    namespace: Namespace,
    told: Arc<Notify>,
    /// What the gate was told last.
    allowance: Allowance,
}

impl Gate {
    pub(crate) fn new(options: Options) -> Self {
        let slots = options.slots.map(u64::from);
        Self {
            options,
            state: Mutex::new(State {
                shares: Shares::default(),
                runs: HashMap::new(),
                slots,
                rate: Rate::default(),
                quotas: Arc::default(),
                slot_memory: None,
            }),
            wake: Notify::new(),
        }
    }

    /// Messages that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.lock().shares.waiting()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets through what may go; tells the runs but for `caller`.
    fn let_through(&self, state: &mut State, caller: Option<RunId>) {
        let per_second = state.rate.per_second();
        let ahead = (per_second * self.options.ahead.as_secs_f64()) as u64;
        let half = state.slots.unwrap_or(0).div_ceil(2);
        state.shares.set_capacity(Capacity {
            slots: state.slots,
            ahead,
            ahead_alone: self.options.ahead_alone.map_or(half, u64::from),
        });
        while let Some(run) = state.shares.next() {
            if let Some((granted, told)) = state.runs.get_mut(&run) {
                *granted += 1;
                if caller != Some(run) && *granted == 1 {
                    told.notify_one();
                }
            }
        }
    }

    fn refresh(&self, shared: &Shared, slots: Option<u64>, loads: &[NamespaceLoad]) {
        let mut state = self.lock();
        state.slots = self.options.slots.map(u64::from).or(slots);
        state.go_by(&shared.quotas);
        let mut elsewhere: HashMap<Namespace, Elsewhere> = HashMap::new();
        let of_others = |load: &&NamespaceLoad| load.working > 0 && load.owner.as_deref() != Some(&*shared.owner);
        for load in loads.iter().filter(of_others) {
            let sum = elsewhere.entry(load.namespace.clone()).or_default();
            sum.in_flight = sum.in_flight.saturating_add(load.sent);
            sum.runs = sum.runs.saturating_add(load.working);
        }
        state.shares.set_elsewhere(elsewhere);
        self.let_through(&mut state, None);
    }
}

impl State {
    /// Has the shares go by the quotas as they are known now.
    fn go_by(&mut self, quotas: &Quotas) {
        let own = quotas.own();
        if Arc::ptr_eq(&own, &self.quotas) {
            return;
        }
        let slot_memory = self.slot_memory;
        let own_limits = own
            .iter()
            .map(|(namespace, quota)| (namespace.clone(), limits(quota, slot_memory)));
        self.shares
            .set_limits(limits(&quotas.default(), slot_memory), own_limits.collect());
        self.quotas = own;
    }

    /// Learns what a slot has of its worker's memory; of several kinds of workers the largest counts.
    fn learn(&mut self, allowance: &Allowance, quotas: &Quotas) {
        let slots = u64::from(allowance.worker_slots);
        let Some(memory) = allowance.worker_memory_bytes.checked_div(slots) else {
            return;
        };
        if self.slot_memory.is_none_or(|known| known < memory) {
            self.slot_memory = Some(memory);
            self.quotas = Arc::default();
            self.go_by(quotas);
        }
    }
}

fn limits(quota: &Quota, slot_memory: Option<u64>) -> Limits {
    let of_memory = |bytes: u64| match slot_memory {
        Some(0) => u64::MAX,
        Some(of_slot) => bytes / of_slot,
        // One task tells.
        None => 1,
    };
    let of_memory = quota.max_memory_bytes.map_or(u64::MAX, of_memory);
    let tasks = quota.max_tasks.map_or(u64::MAX, u64::from);
    Limits {
        weight: u64::from(quota.weight.max(1)),
        min_share: u64::from(quota.min_share),
        max_tasks: tasks.min(of_memory).max(1),
    }
}

impl Place {
    pub(crate) fn new(shared: Arc<Shared>, run: RunId, namespace: Namespace) -> Self {
        let told = Arc::new(Notify::new());
        let was_idle = {
            let mut state = shared.gate.lock();
            let was_idle = state.runs.is_empty();
            state.runs.insert(run, (0, told.clone()));
            was_idle
        };
        if was_idle {
            shared.gate.wake.notify_one();
        }
        Self {
            shared,
            run,
            namespace,
            told,
            allowance: Allowance::default(),
        }
    }

    /// Says how many messages wait and how many tasks are under way; gives how many of the messages are to be sent now.
    pub(crate) fn pass(&self, waiting: usize, in_flight: usize) -> usize {
        let gate = &self.shared.gate;
        let mut state = gate.lock();
        let state = &mut *state;
        state.go_by(&self.shared.quotas);
        // What was let through and not fetched still waits, as far as the caller knows.
        let granted = state.runs.get(&self.run).map_or(0, |(granted, _)| *granted);
        let (waiting, in_flight) = (waiting as u64, in_flight as u64);
        let granted = granted.min(waiting);
        if let Some((known, _)) = state.runs.get_mut(&self.run) {
            *known = granted;
        }
        let ended = state
            .shares
            .set_run(self.run, &self.namespace, waiting - granted, in_flight + granted);
        state.rate.add(ended);
        gate.let_through(state, Some(self.run));
        let granted = state
            .runs
            .get_mut(&self.run)
            .map(|(granted, _)| std::mem::take(granted));
        usize::try_from(granted.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Says what an attempt was allowed of its worker.
    pub(crate) fn learn(&mut self, allowance: Allowance) {
        if allowance != self.allowance {
            self.allowance = allowance;
            self.shared.gate.lock().learn(&allowance, &self.shared.quotas);
        }
    }

    /// Waits until something is let through.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.shared.gate.lock();
        let ours = |(_, told): &(u64, Arc<Notify>)| Arc::ptr_eq(told, &self.told);
        // This process may have taken the run over from itself.
        if state.runs.get(&self.run).is_some_and(ours) {
            state.runs.remove(&self.run);
            state.shares.remove_run(self.run);
            self.shared.gate.let_through(&mut state, None);
        }
    }
}

/// Looks at the fleet, the quotas and the other control planes for as long as the control plane lives.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if shared.gate.lock().runs.is_empty() {
            shared.gate.wake.notified().await;
        }
        if let Err(error) = look(&shared).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot see what there is to share; going on with what was known"
            );
        }
    }
}

async fn look(shared: &Shared) -> Result<(), store::Error> {
    let is_shared = shared.options.takes_over;
    shared.quotas.read(&*shared.store).await?;
    let workers = shared.store.worker_list(WORKERS).await?;
    let since = vitals::alive_since();
    let alive = workers
        .iter()
        .filter(|worker| worker.seen_at >= since && !worker.draining);
    let slots = alive.map(|worker| u64::from(worker.slots)).sum::<u64>();
    let loads = match is_shared {
        true => shared.store.namespace_loads(None).await?,
        false => Vec::new(),
    };
    shared
        .gate
        .refresh(shared, Some(slots).filter(|slots| *slots > 0), &loads);
    Ok(())
}

/// How many tasks end in a second, averaged over the last moments.
#[derive(Default)]
struct Rate {
    per_second: f64,
    at: Option<Instant>,
}

impl Rate {
    fn add(&mut self, tasks: u64) {
        self.per_second = self.per_second() + tasks as f64 / AVERAGED.as_secs_f64();
        self.at = Some(Instant::now());
    }

    fn per_second(&self) -> f64 {
        let Some(at) = self.at else { return 0.0 };
        self.per_second * (-at.elapsed().as_secs_f64() / AVERAGED.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limits_tasks_by_what_a_slot_has() {
        let tasks = |max_tasks, slot_memory| {
            let quota = Quota {
                max_tasks,
                max_memory_bytes: Some(10),
                ..Quota::default()
            };
            limits(&quota, slot_memory).max_tasks
        };
        assert_eq!(tasks(None, None), 1, "until a task has said");
        assert_eq!(tasks(None, Some(3)), 3);
        assert_eq!(tasks(Some(2), Some(3)), 2);
        assert_eq!(tasks(None, Some(11)), 1, "one in any case");
        assert_eq!(tasks(None, Some(0)), u64::MAX, "workers without a bound");
        assert_eq!(limits(&Quota::default(), None).max_tasks, u64::MAX);
    }

    #[test]
    fn rates_fade() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(), 0.0);
        rate.add(100);
        let first = rate.per_second();
        assert!(first > 0.0, "{first}");
        std::thread::sleep(Duration::from_millis(20));
        assert!(rate.per_second() < first);
    }
}
