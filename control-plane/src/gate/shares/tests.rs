use proptest::prelude::*;
use weir_model::Timestamp;

use super::*;

fn name(n: usize) -> Namespace {
    format!("n{n}").parse().unwrap()
}

fn run(n: usize) -> RunId {
    RunId::from_parts(Timestamp(1), n as u128)
}

fn weight(weight: u64) -> Limits {
    Limits {
        weight,
        ..Limits::default()
    }
}

/// Namespaces of one run each, and the tasks that they have.
struct Fleet {
    shares: Shares,
    limits: Vec<Limits>,
    waiting: Vec<u64>,
    in_flight: Vec<u64>,
}

impl Fleet {
    fn new(slots: u64, limits: &[Limits]) -> Self {
        let mut shares = Shares::default();
        shares.set_capacity(Capacity {
            slots: Some(slots),
            ahead: 0,
            ahead_alone: 0,
        });
        let own = limits
            .iter()
            .enumerate()
            .map(|(n, limits)| (name(n), *limits))
            .collect();
        shares.set_limits(Limits::default(), own);
        Self {
            shares,
            limits: limits.to_vec(),
            waiting: vec![0; limits.len()],
            in_flight: vec![0; limits.len()],
        }
    }

    fn say(&mut self, n: usize) -> u64 {
        self.shares
            .set_run(run(n), &name(n), self.waiting[n], self.in_flight[n])
    }

    fn submit(&mut self, n: usize, tasks: u64) {
        self.waiting[n] += tasks;
        assert_eq!(self.say(n), 0);
    }

    fn end(&mut self, n: usize, tasks: u64) {
        self.in_flight[n] -= tasks;
        assert_eq!(self.say(n), tasks);
    }

    /// Lets through whatever may go; says which, in order.
    fn let_through(&mut self) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(next) = self.shares.next() {
            let n = (0..self.limits.len()).find(|n| run(*n) == next).unwrap();
            self.waiting[n] -= 1;
            self.in_flight[n] += 1;
            order.push(n);
        }
        order
    }

    fn all_in_flight(&self) -> u64 {
        self.in_flight.iter().sum()
    }
}

#[test]
fn one_alone_has_the_whole_fleet() {
    let mut fleet = Fleet::new(4, &[weight(1)]);
    fleet.submit(0, 100);
    assert_eq!(fleet.let_through().len(), 4);
    fleet.shares.set_capacity(Capacity {
        slots: Some(4),
        ahead: 3,
        ahead_alone: 10,
    });
    fleet.let_through();
    assert_eq!(fleet.in_flight, [14]);
    fleet.end(0, 5);
    assert_eq!(fleet.let_through().len(), 5);
}

#[test]
fn whoever_comes_late_gets_its_share_at_once() {
    let mut fleet = Fleet::new(4, &[weight(1), weight(1), weight(2)]);
    fleet.submit(0, 10_000);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [4, 0, 0]);
    fleet.submit(1, 10);
    assert_eq!(fleet.let_through(), [1, 1], "its half, beside what is running");
    fleet.submit(2, 10);
    assert_eq!(fleet.let_through(), [2, 2], "its half, as it weighs as much as both");
    fleet.end(0, 3);
    assert_eq!(fleet.let_through(), [0_usize; 0], "they come down to their shares");
    fleet.end(1, 1);
    assert_eq!(fleet.let_through(), [0_usize; 0], "so do they");
    fleet.end(2, 1);
    assert_eq!(fleet.let_through(), [2]);
}

#[test]
fn slots_that_are_kept_stay_free_for_their_namespace() {
    let kept = Limits {
        min_share: 2,
        ..Limits::default()
    };
    let mut fleet = Fleet::new(8, &[weight(10), kept, weight(1)]);
    fleet.submit(0, 10_000);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [6, 0, 0]);
    fleet.submit(2, 10);
    assert_eq!(
        fleet.let_through(),
        [0_usize; 0],
        "not even for others that have little"
    );
    fleet.submit(1, 10);
    assert_eq!(fleet.let_through()[..2], [1, 1], "at once");
    // More slots are kept than there are.
    let mut fleet = Fleet::new(2, &[weight(1), kept]);
    fleet.submit(0, 10);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [1, 0], "one is left to the others");
}

#[test]
fn no_namespace_has_more_tasks_than_it_may() {
    let limited = Limits {
        max_tasks: 3,
        ..Limits::default()
    };
    let mut fleet = Fleet::new(8, &[limited, weight(1)]);
    fleet.submit(0, 10);
    assert_eq!(fleet.let_through().len(), 3);
    fleet.submit(1, 10);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [3, 5], "others have what is left");
}

#[test]
fn without_workers_each_namespace_sends_some() {
    let mut fleet = Fleet::new(0, &[weight(1), weight(1)]);
    fleet.submit(0, 10_000);
    fleet.submit(1, 3);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [UNKNOWN, 3]);
}

#[test]
fn runs_of_a_namespace_take_turns() {
    let mut shares = Shares::default();
    shares.set_capacity(Capacity {
        slots: Some(100),
        ..Capacity::default()
    });
    for n in 0..3 {
        shares.set_run(run(n), &name(0), 2, 0);
    }
    let order: Vec<_> = std::iter::from_fn(|| shares.next()).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2].map(run));
    shares.set_run(run(0), &name(0), 5, 2);
    shares.set_run(run(0), &name(0), 0, 2);
    shares.set_run(run(1), &name(0), 1, 2);
    shares.set_run(run(0), &name(0), 1, 2);
    let order: Vec<_> = std::iter::from_fn(|| shares.next()).collect();
    assert_eq!(order, [0, 1].map(run), "one turn for each");
    for n in 0..3 {
        shares.remove_run(run(n));
    }
    assert!(shares.tenants.is_empty() && shares.runs.is_empty(), "nothing is left");
}

#[test]
fn what_others_have_counts() {
    let mut fleet = Fleet::new(10, &[weight(1), weight(1)]);
    let elsewhere = |in_flight, runs| Elsewhere { in_flight, runs };
    // The other one drives a run of the same namespace: each has half of its share.
    fleet.shares.set_elsewhere(HashMap::from([(name(0), elsewhere(10, 1))]));
    fleet.submit(0, 100);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [5, 0]);
    // It has come down to that.
    fleet.shares.set_elsewhere(HashMap::from([(name(0), elsewhere(5, 1))]));
    assert_eq!(fleet.let_through(), [0_usize; 0]);
    fleet.end(0, 1);
    assert_eq!(fleet.let_through(), [0]);
    fleet.shares.set_elsewhere(HashMap::new());
    fleet.let_through();
    assert_eq!(fleet.in_flight, [10, 0], "it has ended");
    // A namespace that only the other one has takes its share too.
    fleet.shares.set_elsewhere(HashMap::from([(name(1), elsewhere(5, 1))]));
    fleet.end(0, 6);
    assert_eq!(fleet.let_through(), [0]);
}

#[test]
fn who_is_first_seen_elsewhere_has_its_own_limits_here_too() {
    let narrow = Limits {
        max_tasks: 3,
        ..Limits::default()
    };
    let mut fleet = Fleet::new(10, &[narrow, weight(1)]);
    let elsewhere = Elsewhere { in_flight: 1, runs: 1 };
    fleet.shares.set_elsewhere(HashMap::from([(name(0), elsewhere)]));
    fleet.submit(0, 10);
    fleet.let_through();
    assert_eq!(fleet.in_flight, [2, 0], "beside the one that the other has");
}

#[derive(Clone, Debug)]
enum Step {
    Submit(usize, u64),
    End(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6_usize, 1..30_u64).prop_map(|(n, tasks)| Step::Submit(n, tasks)),
        (0..6_usize, 1..4_u64).prop_map(|(n, tasks)| Step::End(n, tasks)),
        (0..6_usize, 1..4_u64).prop_map(|(n, tasks)| Step::End(n, tasks)),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// While all have tasks that wait, at any time: of two namespaces, one has at most one task more than its weight gives
    /// it beside the other, and the other at most one less.
    #[test]
    fn shares_follow_weights_within_one_task(
        weights in prop::collection::vec(1_u64..20, 2..8),
        slots in 1_u64..100,
        ends in prop::collection::vec(0_usize..8, 0..200),
    ) {
        let limits: Vec<_> = weights.iter().map(|n| weight(*n)).collect();
        let mut fleet = Fleet::new(slots, &limits);
        for n in 0..weights.len() {
            fleet.submit(n, 1_000);
        }
        fleet.let_through();
        let check = |fleet: &Fleet| {
            prop_assert!((slots..=2 * slots).contains(&fleet.all_in_flight()), "{:?}", fleet.in_flight);
            for (i, of_i) in weights.iter().enumerate() {
                for (j, of_j) in weights.iter().enumerate() {
                    let (n_i, n_j) = (fleet.in_flight[i], fleet.in_flight[j]);
                    prop_assert!(n_i.saturating_sub(1) * of_j <= (n_j + 1) * of_i, "{:?} by {weights:?}", fleet.in_flight);
                }
            }
            Ok(())
        };
        check(&fleet)?;
        for n in ends {
            let n = n % weights.len();
            if fleet.in_flight[n] > 0 {
                fleet.end(n, 1);
                fleet.let_through();
                check(&fleet)?;
            }
        }
    }

    /// With fewer slots than namespaces, each has its turn as often as its weight says.
    #[test]
    fn turns_follow_weights_where_slots_are_few(weights in prop::collection::vec(1_u64..20, 2..8), rounds in 1_u64..20) {
        let limits: Vec<_> = weights.iter().map(|n| weight(*n)).collect();
        let mut fleet = Fleet::new(1, &limits);
        let tasks = rounds * weights.iter().sum::<u64>();
        for n in 0..weights.len() {
            fleet.submit(n, tasks);
        }
        let mut served = vec![0_u64; weights.len()];
        for _ in 0..tasks {
            let next = fleet.let_through();
            prop_assert_eq!(next.len(), 1);
            served[next[0]] += 1;
            fleet.end(next[0], 1);
        }
        for (served, weight) in served.iter().zip(&weights) {
            let fair = rounds * weight;
            prop_assert!(served.abs_diff(fair) <= 2, "{served:?} of {fair}");
        }
    }

    /// Whatever comes and goes: no slot is idle while something waits that may have it, nothing is let through beyond
    /// the bound, and the sums are right.
    #[test]
    fn no_slot_is_idle_and_no_bound_is_broken(
        limits in prop::collection::vec((1_u64..10, 0_u64..4, 1_u64..20), 6),
        slots in 1_u64..30,
        ahead in 0_u64..10,
        steps in steps(),
    ) {
        let limits: Vec<_> = limits
            .into_iter()
            .map(|(weight, min_share, max_tasks)| Limits { weight, min_share, max_tasks })
            .collect();
        let mut fleet = Fleet::new(slots, &limits);
        fleet.shares.set_capacity(Capacity { slots: Some(slots), ahead, ahead_alone: ahead });
        for step in steps {
            match step {
                Step::Submit(n, tasks) => fleet.submit(n, tasks),
                Step::End(n, tasks) => {
                    let tasks = tasks.min(fleet.in_flight[n]);
                    fleet.end(n, tasks);
                }
            }
            fleet.let_through();
            let in_flight = fleet.all_in_flight();
            prop_assert!(in_flight <= 2 * slots + ahead, "{:?}", fleet.in_flight);
            prop_assert_eq!(fleet.shares.waiting(), fleet.waiting.iter().sum::<u64>());
            let reserves = |but: usize| -> u64 {
                let others = (0..limits.len()).filter(|n| *n != but);
                others.map(|n| limits[n].min_share.saturating_sub(fleet.in_flight[n])).sum()
            };
            for (n, of) in limits.iter().enumerate() {
                prop_assert!(fleet.in_flight[n] <= of.max_tasks);
                if fleet.waiting[n] == 0 || fleet.in_flight[n] >= of.max_tasks {
                    continue;
                }
                // It may have had less than its kept slots while all others took theirs.
                let kept = reserves(n).min(slots - 1);
                prop_assert!(in_flight >= slots - kept, "{:?} of {slots}, {kept} kept", fleet.in_flight);
            }
        }
    }
}
