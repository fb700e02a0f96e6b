//! A simulated world around a run: a store, a queue, workers and storage, each of which can fail.
//!
//! What goes wrong, and when, is read from a tape: one throw of dice for each step. When the tape is at its end nothing
//! goes wrong any more, and the run has to come to its end as well. Every step checks what must hold at all times.

mod checks;
mod owner;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use weir_model::machine::{Effect, Input, RunState, apply};
use weir_model::{
    Event, EventRecord, ExecutionId, OutputFile, RunId, ShuffleObject, StageGraph, StageId, Staged, Submission,
    TaskMessage, TaskOutput, TaskReport, Timestamp, WorkerId,
};

const DICE: usize = 6;

/// One throw of dice for each step.
#[derive(Clone)]
pub(super) struct Tape(pub(super) Vec<[u16; DICE]>);

/// The trace says more than the numbers.
impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} throws", self.0.len())
    }
}

/// What is wrong, with the trace that led to it.
pub(super) type Checked<T = ()> = Result<T, String>;

/// What may happen beside what happens in every world: messages and reports that are lost, late, doubled or out of
/// order, workers and owners that die.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) platform: bool,
    pub(super) user: bool,
    pub(super) lost_objects: bool,
    pub(super) cancel: bool,
    pub(super) effects: bool,
}

/// An execution of a task on a worker.
struct Execution {
    message: TaskMessage,
    id: ExecutionId,
    worker: WorkerId,
}

/// An effect that its owner has still to carry out.
struct Due {
    effect: Effect,
    /// With [`Effect::WriteManifest`]: the outputs, and with [`Effect::Commit`]: the files, as of the decision.
    outputs: Vec<(StageId, TaskOutput)>,
}

pub(super) struct World {
    graph: StageGraph,
    /// What is left of the present step's throw.
    dice: std::array::IntoIter<u16, DICE>,
    faults: Faults,

    log: Vec<EventRecord>,
    state: RunState,
    now: Timestamp,
    ids: u64,

    due: Vec<Due>,
    answers: Vec<Input>,
    queue: Vec<(TaskMessage, Timestamp)>,
    executions: Vec<Execution>,
    reports: Vec<TaskReport>,

    objects: BTreeSet<String>,
    manifests: BTreeMap<(StageId, u32), Vec<ShuffleObject>>,
    /// Manifests as they were first written, present or lost.
    written: BTreeMap<(StageId, u32), Vec<ShuffleObject>>,
    visible: Option<BTreeMap<StageId, Vec<OutputFile>>>,
    /// Keys that were deleted since nobody had accepted them.
    discarded: HashSet<String>,
    /// Keys that were accepted at some time.
    accepted: HashSet<String>,
    /// The clean-up after the end was done, or its owner died before.
    cleaned: bool,
    /// Things that the log does not show, by how often they happened.
    seen: BTreeMap<&'static str, u32>,

    trace: Vec<(Timestamp, Note)>,
}

/// A line of the trace.
enum Note {
    Happened(String),
    /// The event at this position in the log.
    Appended(usize),
}

macro_rules! ensure {
    ($world:expr, $holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($world.wrong(&format!($($message)+)));
        }
    };
}
use ensure;

impl World {
    pub(super) fn new(submission: Submission, graph: StageGraph, faults: Faults) -> Checked<Self> {
        let run = RunId::from_parts(Timestamp(1), 1);
        let mut world = Self {
            graph,
            dice: [0; DICE].into_iter(),
            faults,
            log: Vec::new(),
            state: RunState::new(run),
            now: Timestamp(1_000_000),
            ids: 0,
            due: Vec::new(),
            answers: Vec::new(),
            queue: Vec::new(),
            executions: Vec::new(),
            reports: Vec::new(),
            objects: BTreeSet::new(),
            manifests: BTreeMap::new(),
            written: BTreeMap::new(),
            visible: None,
            discarded: HashSet::new(),
            accepted: HashSet::new(),
            cleaned: false,
            seen: BTreeMap::new(),
            trace: Vec::new(),
        };
        world.feed(Input::Submit(Box::new(submission)))?;
        Ok(world)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.log.iter().map(|record| &record.event)
    }

    /// How often the world did what the log does not show.
    pub(super) fn seen(&self) -> &BTreeMap<&'static str, u32> {
        &self.seen
    }

    pub(super) fn state(&self) -> &RunState {
        &self.state
    }

    /// Lives through the tape, then through a time of peace until the run is over, then hears what is left to hear.
    pub(super) fn run(&mut self, tape: &Tape) -> Checked {
        for throw in tape.0.iter().copied() {
            self.dice = throw.into_iter();
            self.turmoil()?;
        }
        self.note("peace".to_owned());
        let mut steps = 0;
        while !self.is_quiet() {
            self.peace()?;
            steps += 1;
            ensure!(self, steps < 10_000, "the run does not come to its end");
        }
        ensure!(self, self.cleaned, "nobody cleaned up");
        ensure!(
            self,
            self.replay(self.log.len()) == self.state,
            "the log does not say the same as the state"
        );
        self.check_end()
    }

    /// Whether the run is over and nobody has anything left to do or say about it.
    fn is_quiet(&self) -> bool {
        self.state.is_finished() && self.due.is_empty() && self.reports.is_empty() && self.executions.is_empty()
    }

    pub(super) fn wrong(&self, what: &str) -> String {
        let mut text = format!("{what}\n");
        for (at, note) in &self.trace {
            let at = at.0;
            let _ = match note {
                Note::Happened(what) => writeln!(text, "{at} {what}"),
                Note::Appended(position) => {
                    let record = &self.log[*position];
                    writeln!(text, "{at} #{} {}", record.seq, brief(&record.event))
                }
            };
        }
        text
    }

    fn note(&mut self, what: String) {
        self.trace.push((self.now, Note::Happened(what)));
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn next(&mut self) -> usize {
        self.dice.next().unwrap_or(0).into()
    }

    /// A number below `below`, which is not zero.
    fn pick(&mut self, below: usize) -> usize {
        self.next() % below
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.pick(100) >= 100 - percent
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        self.ids.into()
    }

    fn replay(&self, events: usize) -> RunState {
        let mut state = RunState::new(self.state.run());
        self.log[..events].iter().for_each(|record| apply(&mut state, record));
        state
    }

    fn turmoil(&mut self) -> Checked {
        match self.pick(50) {
            0..=10 => self.take_message(),
            11..=20 => self.step_execution(),
            21..=31 => self.hear_report(),
            32..=38 => self.carry_out_any(),
            39..=41 => self.hear_answer_any(),
            42..=43 => self.pass_time(),
            44 if self.chance(50) => self.crash(),
            45 => self.hear_as_former_owner(),
            46 if self.faults.cancel && self.chance(5) => self.feed(Input::Cancel {
                by: "somebody".to_owned(),
            }),
            47..=49 if self.faults.lost_objects => {
                for _ in 0..=self.pick(3) {
                    self.lose_object();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What happens next when everything works.
    fn peace(&mut self) -> Checked {
        if !self.due.is_empty() {
            let due = self.due.remove(0);
            return self.carry_out(&due);
        }
        if !self.answers.is_empty() {
            let answer = self.answers.remove(0);
            return self.feed(answer);
        }
        if !self.reports.is_empty() {
            let report = self.reports.remove(0);
            return self.hear(report);
        }
        if let Some(execution) = self.executions.pop() {
            return self.finish(execution);
        }
        if let Some(position) = self.queue.iter().position(|(_, from)| *from <= self.now) {
            let (message, _) = self.queue.remove(position);
            return self.execute(message, true);
        }
        let visible = self.queue.iter().map(|(_, from)| *from).min();
        let wake = self.state.next_wake(self.now);
        let Some(next) = visible.into_iter().chain(wake).min() else {
            return Err(self.wrong("the run is stuck: nobody will do anything any more"));
        };
        self.pass_time_until(next)
    }
}

/// The keys of everything that an output has in storage.
fn keys(output: &TaskOutput) -> impl Iterator<Item = String> {
    let staged = output.files.iter().map(|file| {
        let Staged::File { path } = &file.staged;
        path.clone()
    });
    output.shuffle.iter().map(|object| object.key.clone()).chain(staged)
}

/// An event in a few words.
fn brief(event: &Event) -> String {
    match event {
        Event::Planned { .. } => "Planned".to_owned(),
        Event::Submitted { .. } => "Submitted".to_owned(),
        Event::TaskAccepted {
            task,
            stage_attempt,
            attempt,
            execution,
            ..
        } => {
            format!("TaskAccepted {task} attempt {stage_attempt}/{attempt} by {execution}")
        }
        Event::AttemptFailed {
            task, attempt, failure, ..
        } => {
            format!(
                "AttemptFailed {task} attempt {attempt}: {:?} {} {:?}",
                failure.kind, failure.code, failure.lost
            )
        }
        event => format!("{event:?}"),
    }
}
