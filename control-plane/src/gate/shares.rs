//! Who sends next: weighted fair shares of the fleet's slots. Pure: no clock, no locks.
//!
//! As in Spark's fair scheduler, what is shared is slots, not tasks: who has the fewest tasks under way for its weight
//! is next, and before all others who has fewer than the slots that are kept for it. Between equals the order is that of
//! start-time fair queueing, so that weights count also where there are fewer slots than namespaces. Within a namespace
//! runs take turns.

use std::collections::{HashMap, VecDeque};

use weir_model::{Namespace, RunId};

/// Tasks that a namespace may have under way while nobody knows how many slots there are.
const UNKNOWN: u64 = 64;
/// The virtual time that one task takes of a namespace of weight one.
const TASK: u64 = 1_000_000;

/// What there is to share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Capacity {
    /// Slots of all workers, if that is known.
    pub(super) slots: Option<u64>,
    /// Tasks beyond the slots that are to wait with the workers' queue, so that no slot is idle until the next one comes.
    pub(super) ahead: u64,
    /// The same while one namespace alone has tasks and nobody's slots are kept free.
    pub(super) ahead_alone: u64,
}

/// What a namespace may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) weight: u64,
    pub(super) min_share: u64,
    pub(super) max_tasks: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: 1,
            min_share: 0,
            max_tasks: u64::MAX,
        }
    }
}

/// What other control planes have of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Tasks under way.
    pub(super) in_flight: u64,
    /// Runs with tasks that wait or are under way.
    pub(super) runs: u64,
}

/// The shares of all namespaces.
#[derive(Debug, Default)]
pub(super) struct Shares {
    tenants: HashMap<Namespace, Tenant>,
    runs: HashMap<RunId, Run>,
    capacity: Capacity,
    default: Limits,
    /// Of namespaces that do not just have the default.
    own: HashMap<Namespace, Limits>,
    /// The virtual start of the task that was let through last.
    clock: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    limits: Limits,
    elsewhere: Elsewhere,
    waiting: u64,
    in_flight: u64,
    runs: u64,
    /// The virtual time at which its next task may start.
    start: u64,
    /// Runs with messages that wait, the next one first.
    turns: VecDeque<RunId>,
}

#[derive(Debug)]
struct Run {
    namespace: Namespace,
    waiting: u64,
    in_flight: u64,
    /// Whether it has a place among the turns.
    has_turn: bool,
}

impl Tenant {
    /// Tasks under way, of all control planes.
    fn all_in_flight(&self) -> u64 {
        self.in_flight.saturating_add(self.elsewhere.in_flight)
    }

    fn is_active(&self) -> bool {
        self.runs > 0 || self.elsewhere.runs > 0
    }

    /// Slots that are kept for it and that it does not use.
    fn reserve(&self) -> u64 {
        self.limits.min_share.saturating_sub(self.all_in_flight())
    }
}

impl Shares {
    /// Changes what there is to share.
    pub(super) fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// Slots, if their number is known.
    pub(super) fn slots(&self) -> Option<u64> {
        self.capacity.slots.filter(|slots| *slots > 0)
    }

    /// Changes what namespaces may have: those in `own`, and all others.
    pub(super) fn set_limits(&mut self, default: Limits, own: HashMap<Namespace, Limits>) {
        (self.default, self.own) = (default, own);
        for (namespace, tenant) in &mut self.tenants {
            tenant.limits = self.own.get(namespace).copied().unwrap_or(default);
        }
        for (namespace, limits) in self.own.iter().filter(|(_, limits)| limits.min_share > 0) {
            self.tenants.entry(namespace.clone()).or_default().limits = *limits;
        }
        self.forget();
    }

    /// What is known of a namespace, from now on if it is not known yet.
    fn tenant(&mut self, namespace: Namespace) -> &mut Tenant {
        let limits = self.own.get(&namespace).copied().unwrap_or(self.default);
        self.tenants.entry(namespace).or_insert_with(|| Tenant {
            limits,
            ..Tenant::default()
        })
    }

    /// Changes what other control planes have.
    pub(super) fn set_elsewhere(&mut self, mut elsewhere: HashMap<Namespace, Elsewhere>) {
        for (namespace, tenant) in &mut self.tenants {
            tenant.elsewhere = elsewhere.remove(namespace).unwrap_or_default();
        }
        for (namespace, elsewhere) in elsewhere {
            self.tenant(namespace).elsewhere = elsewhere;
        }
        self.forget();
    }

    /// Forgets namespaces of which nothing is left.
    fn forget(&mut self) {
        self.tenants
            .retain(|_, tenant| tenant.is_active() || tenant.limits.min_share > 0);
    }

    /// Says what a run has: messages that wait, and tasks under way. Gives how many of them ended since it last said.
    pub(super) fn set_run(&mut self, run: RunId, namespace: &Namespace, waiting: u64, in_flight: u64) -> u64 {
        if !self.runs.contains_key(&run) {
            self.tenant(namespace.clone()).runs += 1;
        }
        let known = self.runs.entry(run).or_insert_with(|| Run {
            namespace: namespace.clone(),
            waiting: 0,
            in_flight: 0,
            has_turn: false,
        });
        // It is there for as long as a run of it is.
        let tenant = self.tenants.entry(namespace.clone()).or_default();
        let ended = known.in_flight.saturating_sub(in_flight);
        if waiting > 0 && tenant.waiting == 0 {
            // Whoever waits for nothing saves up no time.
            tenant.start = tenant.start.max(self.clock);
        }
        if waiting > 0 && !known.has_turn {
            known.has_turn = true;
            tenant.turns.push_back(run);
        }
        tenant.waiting = tenant.waiting - known.waiting + waiting;
        tenant.in_flight = tenant.in_flight - known.in_flight + in_flight;
        known.waiting = waiting;
        known.in_flight = in_flight;
        ended
    }

    /// Forgets a run.
    pub(super) fn remove_run(&mut self, run: RunId) {
        let Some(known) = self.runs.remove(&run) else { return };
        if let Some(tenant) = self.tenants.get_mut(&known.namespace) {
            tenant.waiting -= known.waiting;
            tenant.in_flight -= known.in_flight;
            tenant.runs -= 1;
            tenant.turns.retain(|waiting| *waiting != run);
            if !tenant.is_active() && tenant.limits.min_share == 0 {
                self.tenants.remove(&known.namespace);
            }
        }
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.tenants.values().map(|tenant| tenant.waiting).sum()
    }

    /// Lets one message through, if any may go now; says of which run.
    pub(super) fn next(&mut self) -> Option<RunId> {
        let namespace = self.pick()?.clone();
        let tenant = self.tenants.get_mut(&namespace)?;
        let run = loop {
            let run = tenant.turns.pop_front()?;
            let Some(known) = self.runs.get_mut(&run) else { continue };
            // A run whose messages were all given up meanwhile has left its turn behind.
            known.has_turn = known.waiting > 1;
            if known.has_turn {
                tenant.turns.push_back(run);
            }
            if known.waiting > 0 {
                known.waiting -= 1;
                known.in_flight += 1;
                break run;
            }
        };
        tenant.waiting -= 1;
        tenant.in_flight += 1;
        self.clock = self.clock.max(tenant.start);
        tenant.start = tenant.start.saturating_add(TASK / tenant.limits.weight.max(1));
        Some(run)
    }

    /// The namespace that is next, if it may send now. When it may not, nobody may: whoever has more for its weight is
    /// further beyond its share.
    fn pick(&self) -> Option<&Namespace> {
        let candidates = self
            .tenants
            .iter()
            .filter(|(_, tenant)| tenant.waiting > 0 && tenant.all_in_flight() < tenant.limits.max_tasks);
        let (namespace, tenant) = candidates.min_by(|(a_name, a), (b_name, b)| {
            let order = order(a).cmp(&order(b));
            order.then(a.start.cmp(&b.start)).then_with(|| a_name.cmp(b_name))
        })?;
        self.may_send(tenant).then_some(namespace)
    }

    fn may_send(&self, tenant: &Tenant) -> bool {
        let Some(slots) = self.slots() else {
            return tenant.in_flight < UNKNOWN.max(self.capacity.ahead);
        };
        let mut in_flight = 0_u64;
        let (mut reserved, mut active, mut weights) = (0_u64, 0_u64, 0_u64);
        for other in self.tenants.values() {
            in_flight = in_flight.saturating_add(other.all_in_flight());
            reserved = reserved.saturating_add(other.reserve());
            if other.is_active() {
                active += 1;
                weights = weights.saturating_add(other.limits.weight);
            }
        }
        // What is kept for others; a slot is left to everybody else in any case.
        let reserved = reserved.saturating_sub(tenant.reserve()).min(slots - 1);
        let base = slots - reserved;
        let window = match (reserved, active) {
            (1.., _) => base,
            (0, 0..=1) => base.saturating_add(self.capacity.ahead.max(self.capacity.ahead_alone)),
            (0, _) => base.saturating_add(self.capacity.ahead),
        };
        if in_flight < window {
            return true;
        }
        // Whoever has less than its share does not wait until those that have more come down to theirs: their tasks are
        // with the workers already, and it would lose the next slot to them.
        let bound = slots
            .saturating_mul(2)
            .saturating_add(self.capacity.ahead_alone.max(self.capacity.ahead));
        if in_flight >= bound {
            return false;
        }
        if tenant.reserve() > 0 {
            return true;
        }
        let runs = tenant.runs.saturating_add(tenant.elsewhere.runs).max(1);
        let share = slots.saturating_mul(tenant.limits.weight).saturating_mul(tenant.runs);
        let share = share / weights.max(1).saturating_mul(runs);
        reserved == 0 && tenant.in_flight < share
    }
}

/// What comes first in the order of namespaces: the share of its kept slots that one uses that has some left, then the
/// tasks under way for its weight, in parts of a million.
fn order(tenant: &Tenant) -> (bool, u64) {
    let in_flight = tenant.all_in_flight().saturating_mul(TASK);
    match tenant.reserve() {
        0 => (true, in_flight / tenant.limits.weight.max(1)),
        _ => (false, in_flight / tenant.limits.min_share),
    }
}

#[cfg(test)]
mod tests;
