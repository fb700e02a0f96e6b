//! What a seed stands for: a job, its settings, and how bad the world is to it.

use weir_model::{CoalesceSettings, RetrySettings, RunSettings, SpeculationSettings, StageGraph, Submission};

use super::Rng;
use crate::machine::graphs;

/// More than any seed can use up.
const UNLIMITED: u32 = 1_000_000;

/// Everything about a world that is fixed before it begins.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) graph: StageGraph,
    pub(super) submission: Submission,
    pub(super) faults: Faults,
    pub(super) planes: u64,
    /// How far the clock of each control plane is off at first, in milliseconds.
    pub(super) skew_ms: u64,
    /// One process is everything, its queues included: they are lost with it.
    pub(super) embedded: bool,
    pub(super) workers: u64,
    /// When the last fault happens, in milliseconds from the beginning.
    pub(super) turmoil_ms: u64,
    /// Until when something has gone wrong out of nowhere for the first time.
    pub(super) sudden_within_ms: u64,
    /// Faults that may happen at all, if there is a limit.
    pub(super) most_faults: Option<u32>,
    pub(super) times: Times,
}

/// How long things take, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// How long a lease lasts.
    pub(super) lease: u64,
    /// How long a message stays hidden without a sign of life.
    pub(super) visibility: u64,
    /// How often an execution gives a sign of life.
    pub(super) heartbeat: u64,
    /// How long a stop waits for executions to end.
    pub(super) grace: u64,
    /// How long a task takes: the least, and the most.
    pub(super) task: (u64, u64),
    /// How long a slow task takes.
    pub(super) slow_task: (u64, u64),
}

/// How likely things go wrong, in thousandths of the occasions that there are for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// A task message is lost.
    pub(super) message_lost: u64,
    /// A report is lost.
    pub(super) report_lost: u64,
    /// A message or report is delivered again while somebody has it.
    pub(super) doubled: u64,
    /// A message or report takes long.
    pub(super) late: u64,
    /// An attempt takes many times as long as others.
    pub(super) slow: u64,
    /// An attempt fails, through the platform's fault.
    pub(super) fails: u64,
    /// An attempt says that an input is gone which is there.
    pub(super) false_alarm: u64,
    /// An effect takes long.
    pub(super) effect_late: u64,
    /// An append fails, before or after it was done.
    pub(super) append: u64,
    /// Weights of what happens now and then: see [`Sudden`].
    pub(super) sudden: Vec<Sudden>,
    /// Of attempts: the user's code fails.
    pub(super) user: u64,
    /// Of commits and manifests: they fail for good.
    pub(super) effect_fails: u64,
    /// Whether somebody cancels the run at some time.
    pub(super) cancel: bool,
    /// How often somebody pauses the run, and lets it go on after a while.
    pub(super) pauses: u64,
}

/// What happens out of nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sudden {
    /// A worker is killed; another comes.
    WorkerDies,
    /// A worker is cut off from the queues for a while, and goes on with what it has.
    WorkerCutOff,
    /// A control plane is killed and started again.
    PlaneDies,
    /// A control plane stands still for longer than its lease, and goes on as if nothing had happened.
    PlaneSleeps,
    /// A control plane shuts down in an orderly way, and is started again.
    PlaneStops,
    /// The clock of a control plane jumps.
    ClockJumps,
    /// Shuffle objects or manifests are gone.
    ObjectsLost,
}

impl Sudden {
    const ALL: [Self; 7] = [
        Self::WorkerDies,
        Self::WorkerCutOff,
        Self::PlaneDies,
        Self::PlaneSleeps,
        Self::PlaneStops,
        Self::ClockJumps,
        Self::ObjectsLost,
    ];
}

impl Scenario {
    /// The scenario of a seed.
    pub(super) fn new(rng: &mut Rng) -> Self {
        // A third of the worlds have only faults that must not show.
        let shows = !rng.permille(333);
        let embedded = rng.permille(150);
        Self {
            graph: graphs::random(rng),
            submission: Submission {
                settings: settings(rng, shows),
                ..graphs::submission()
            },
            faults: faults(rng, shows),
            planes: if embedded { 1 } else { rng.between(1, 3) },
            skew_ms: if rng.permille(300) { 3_600_000 } else { 0 },
            embedded,
            workers: rng.between(1, 4),
            turmoil_ms: rng.between(50, 1_500),
            sudden_within_ms: 100,
            most_faults: None,
            times: Times {
                lease: 150,
                visibility: 200,
                heartbeat: 40,
                grace: 150,
                task: (3, 25),
                slow_task: (100, 1_500),
            },
        }
    }

    /// The scenario of a seed in a world without faults.
    pub(super) fn peaceful(rng: &mut Rng) -> Self {
        let mut scenario = Self::new(rng);
        scenario.faults = Faults::default();
        scenario.submission.settings.timeout_s = None;
        scenario.submission.settings.retry.max_attempts = 1;
        scenario.submission.settings.retry.max_stage_attempts = 0;
        scenario
    }

    /// Whether the run has to succeed, whatever happens.
    pub(super) fn must_succeed(&self) -> bool {
        let Faults {
            user,
            effect_fails,
            cancel,
            ..
        } = self.faults;
        let settings = &self.submission.settings;
        let limited = settings.retry.max_attempts != UNLIMITED || settings.timeout_s.is_some();
        user == 0 && effect_fails == 0 && !cancel && !limited
    }
}

fn settings(rng: &mut Rng, shows: bool) -> RunSettings {
    let limited = shows && rng.permille(600);
    let (max_attempts, max_stage_attempts) = match limited {
        true => (rng.between(1, 4) as u32, rng.between(0, 3) as u32),
        false => (UNLIMITED, UNLIMITED),
    };
    RunSettings {
        coalesce: CoalesceSettings {
            target_bytes: 20,
            min_bytes: rng.between(1, 8),
            parallelism: rng.between(1, 6) as u32,
        },
        retry: RetrySettings {
            max_attempts,
            backoff_ms: rng.pick(&[0, 10]),
            max_backoff_ms: 100,
            max_stage_attempts,
        },
        attempt_timeout_ms: rng.between(150, 600),
        speculation: SpeculationSettings {
            enabled: !rng.permille(200),
            multiplier: rng.pick(&[1.0, 1.5, 3.0]),
            quantile: rng.pick(&[0.0, 0.25, 0.5, 0.75, 0.9]),
            min_ms: rng.between(0, 60),
        },
        timeout_s: (shows && rng.permille(150)).then_some(1),
        ..RunSettings::default()
    }
}

fn faults(rng: &mut Rng, shows: bool) -> Faults {
    let mut often = |most: u64| match rng.below(3) {
        0 => 0,
        1 => most / 5,
        _ => most,
    };
    let mut faults = Faults {
        message_lost: often(120),
        report_lost: often(120),
        doubled: often(200),
        late: often(200),
        slow: often(250),
        fails: often(120),
        false_alarm: often(60),
        effect_late: often(200),
        append: often(150),
        ..Faults::default()
    };
    for sudden in Sudden::ALL {
        for _ in 0..rng.below(4) {
            faults.sudden.push(sudden);
        }
    }
    if rng.permille(250) {
        faults.pauses = rng.between(1, 3);
    }
    if shows {
        faults.user = if rng.permille(300) { 30 } else { 0 };
        faults.effect_fails = if rng.permille(300) { 100 } else { 0 };
        faults.cancel = rng.permille(300);
    }
    faults
}
