//! The profile of a run, from its events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_model::{
    Allowance, Digest, Event, EventRecord, Exchange, ExecutionId, Failure, FailureKind, FunctionMetrics, Job,
    ModuleLoads, OperatorMetrics, OutputFile, OutputManifest, PlanRef, PriceTable, Profiler, RowEffect, RunId,
    RunOutcome, RunProfile, SinkInfo, Stage, StageGraph, StageId, StageInput, StageOutput, Staged, StorageRequests,
    Submission, TaskId, TaskMetrics, TaskOutput, Timestamp, Verdict, WorkerId,
};

/// A log that is written by hand; each event is 100 ms after the one before.
#[derive(Default)]
struct Log {
    records: Vec<EventRecord>,
}

fn worker(number: u128) -> WorkerId {
    WorkerId::from_parts(Timestamp(1), number)
}

fn execution() -> ExecutionId {
    ExecutionId::from_parts(Timestamp(1), 1)
}

fn task(stage: u32, index: u32) -> TaskId {
    TaskId {
        stage: StageId(stage),
        index,
    }
}

fn stage(id: u32, inputs: Vec<StageInput>, output: StageOutput) -> Stage {
    Stage {
        id: StageId(id),
        name: format!("stage {id}"),
        transforms: vec![],
        plan: PlanRef {
            digest: Digest::of(b"plan"),
            bytes: 4,
        },
        partitions: 8,
        scan_bytes: vec![],
        inputs,
        output,
    }
}

/// A scan and shuffle, then a sink.
fn graph() -> StageGraph {
    let input = StageInput {
        stage: StageId(0),
        exchange: Exchange::Aligned { readers: 0..8 },
    };
    let sink = SinkInfo {
        transform: "Write".to_owned(),
        target: "/out/a".to_owned(),
        manifest: "/out/a.manifest".to_owned(),
        staging: "/out/.staging".to_owned(),
        format: "csv".to_owned(),
        csv: None,
    };
    StageGraph {
        stages: vec![
            stage(0, vec![], StageOutput::Shuffle { partitions: 8 }),
            stage(1, vec![input], StageOutput::Sink(sink)),
        ],
        build: "test".to_owned(),
    }
}

impl Log {
    fn planned() -> Self {
        let mut log = Self::default();
        let submission = Submission {
            namespace: Default::default(),
            name: "job".to_owned(),
            job: Job::Sql {
                statement: "SELECT 1".to_owned(),
                setup: vec![],
                tables: vec![],
            },
            modules: BTreeMap::new(),
            base: "/".to_owned(),
            settings: Default::default(),
            metadata: Default::default(),
        };
        log.push(Event::Submitted {
            submission: Box::new(submission),
        });
        log.push(Event::Planned {
            graph: Box::new(graph()),
        });
        log
    }

    fn push(&mut self, event: Event) {
        let seq = self.records.len() as u64 + 1;
        self.records.push(EventRecord {
            run: RunId::from_parts(Timestamp(1), 1),
            seq,
            at: Timestamp(seq * 100),
            event,
        });
    }

    fn start(&mut self, stage: u32, tasks: u32) {
        self.push(Event::StageStarted {
            stage: StageId(stage),
            tasks: (0..tasks).map(|task| task..task + 1).collect(),
        });
    }

    fn dispatch(&mut self, task: TaskId, attempt: u32, speculative: bool) {
        self.push(Event::TaskDispatched {
            task,
            stage_attempt: 0,
            attempt,
            not_before: None,
            speculative,
        });
    }

    fn begin(&mut self, task: TaskId, attempt: u32) {
        self.push(Event::AttemptStarted {
            task,
            attempt,
            execution: execution(),
            worker: worker(1),
        });
    }

    fn accept(&mut self, task: TaskId, attempt: u32, metrics: TaskMetrics) {
        self.push(Event::TaskAccepted {
            task,
            stage_attempt: 0,
            attempt,
            execution: execution(),
            worker: worker(1),
            output: Box::new(TaskOutput {
                metrics,
                ..TaskOutput::default()
            }),
        });
    }

    fn fail(&mut self, task: TaskId, attempt: u32, metrics: TaskMetrics) {
        self.push(Event::AttemptFailed {
            task,
            attempt,
            execution: Some(execution()),
            failure: Failure::new(FailureKind::Platform, "attempt_lost", "it is gone"),
            metrics: Box::new(metrics),
        });
    }

    fn complete(&mut self, stage: u32) {
        self.push(Event::StageCompleted {
            stage: StageId(stage),
            stage_attempt: 0,
        });
    }

    /// All tasks of a stage at once, each with these metrics.
    fn whole_stage(&mut self, stage: u32, metrics: impl IntoIterator<Item = TaskMetrics>) {
        let metrics: Vec<TaskMetrics> = metrics.into_iter().collect();
        self.start(stage, metrics.len() as u32);
        for (index, metrics) in (0..).zip(metrics) {
            self.dispatch(task(stage, index), 0, false);
            self.begin(task(stage, index), 0);
            self.accept(task(stage, index), 0, metrics);
        }
        self.complete(stage);
    }

    fn finish(&mut self, committed: u64) {
        self.push(Event::CommitStarted);
        self.push(Event::Committed {
            outputs: vec![OutputManifest {
                run: RunId::from_parts(Timestamp(1), 1),
                transform: "Write".to_owned(),
                files: vec![],
                rows: committed,
                bytes: 1,
            }],
        });
        self.push(Event::Finished {
            outcome: RunOutcome::Succeeded,
            reason: None,
        });
    }

    fn profile(&self) -> RunProfile {
        let mut profiler = Profiler::default();
        for record in &self.records {
            profiler.apply(record);
            profiler.apply(record);
        }
        profiler.profile()
    }
}

fn rows(taken: u64, given: u64) -> TaskMetrics {
    TaskMetrics {
        rows_in: taken,
        rows_out: given,
        shuffle_rows_in: taken,
        elapsed_us: 1_000,
        ..TaskMetrics::default()
    }
}

fn operator(id: u32, depth: u32, effect: RowEffect, rows: u64) -> OperatorMetrics {
    OperatorMetrics {
        id,
        name: format!("Operator{id}"),
        depth,
        effect,
        rows,
        cpu_us: 10,
        ..OperatorMetrics::default()
    }
}

#[test]
fn phases_follow_each_other() {
    let mut log = Log::planned();
    log.start(0, 1);
    log.dispatch(task(0, 0), 0, false);
    log.begin(task(0, 0), 0);
    let phases = log.profile().phases;
    assert_eq!(
        (
            phases.queued_ms,
            phases.planning_ms,
            phases.cold_start_ms,
            phases.running_ms
        ),
        (Some(0), Some(100), Some(300), None)
    );
    log.accept(task(0, 0), 0, rows(0, 4));
    log.complete(0);
    log.whole_stage(1, [rows(4, 4)]);
    log.finish(4);
    let phases = log.profile().phases;
    let parts = [
        phases.queued_ms,
        phases.planning_ms,
        phases.cold_start_ms,
        phases.running_ms,
        phases.committing_ms,
    ];
    let sum: Option<u64> = parts.into_iter().sum();
    assert_eq!(sum, phases.total_ms, "{phases:?}");
    assert!(parts.iter().all(Option::is_some));
}

#[test]
fn rows_that_were_written_were_read_and_became_visible() {
    let verdicts = |read: [TaskMetrics; 2], committed: u64| {
        let mut log = Log::planned();
        log.whole_stage(0, [rows(0, 60), rows(0, 40)]);
        log.whole_stage(1, read);
        log.finish(committed);
        let stage = log.profile().stages.remove(1).conservation;
        (stage.exchange, stage.commit, stage.rows_offered, stage.rows_taken)
    };
    use Verdict::{Broken, Holds};
    assert_eq!(verdicts([rows(50, 50), rows(50, 50)], 100), (Holds, Holds, 100, 100));
    // A row was lost, or read twice.
    assert_eq!(verdicts([rows(50, 50), rows(49, 49)], 99), (Broken, Holds, 100, 99));
    assert_eq!(verdicts([rows(50, 50), rows(51, 51)], 101), (Broken, Holds, 100, 101));
    assert_eq!(verdicts([rows(50, 50), rows(50, 50)], 99), (Holds, Broken, 100, 100));
    // Nobody asked for the others.
    let limited = TaskMetrics {
        unread_rows: 40,
        ..rows(10, 10)
    };
    assert_eq!(verdicts([rows(50, 50), limited.clone()], 60), (Holds, Holds, 100, 60));
    let unopened = TaskMetrics {
        unopened_inputs: 1,
        ..rows(0, 0)
    };
    assert_eq!(verdicts([rows(50, 50), unopened.clone()], 50), (Holds, Holds, 100, 50));
    // What was not opened cannot have been read.
    let doubled = TaskMetrics {
        shuffle_rows_in: 60,
        ..unopened
    };
    assert_eq!(verdicts([rows(50, 50), doubled], 50), (Broken, Holds, 100, 110));
}

#[test]
fn what_a_stage_reads_is_what_it_writes_and_drops() {
    let inside = |middle: RowEffect, given: u64| {
        let mut log = Log::planned();
        let metrics = TaskMetrics {
            operators: vec![
                operator(0, 0, RowEffect::Keeps, given),
                operator(1, 1, middle, given),
                operator(4, 2, RowEffect::Keeps, 10),
            ],
            ..rows(10, given)
        };
        log.whole_stage(0, [metrics]);
        log.profile().stages.remove(0)
    };
    use Verdict::{Broken, Holds, NotApplicable};
    let filtered = inside(RowEffect::Filters, 4);
    assert_eq!(
        (filtered.conservation.inside, filtered.conservation.rows_dropped),
        (Holds, 6)
    );
    let linked: Vec<_> = filtered
        .operators
        .iter()
        .map(|operator| (operator.id, operator.parent, operator.rows_in, operator.rows))
        .collect();
    assert_eq!(linked, [(0, None, 4, 4), (1, Some(0), 10, 4), (4, Some(1), 10, 10)]);
    assert_eq!(inside(RowEffect::Keeps, 10).conservation.inside, Holds);
    assert_eq!(inside(RowEffect::Keeps, 9).conservation.inside, Broken);
    assert_eq!(inside(RowEffect::Limits, 9).conservation.inside, Holds);
    assert_eq!(inside(RowEffect::Changes, 30).conservation.inside, NotApplicable);
}

#[test]
fn a_pause_makes_no_attempt_again_and_no_slot_idle() {
    let elapsed = |elapsed_us| TaskMetrics {
        elapsed_us,
        allowance: Allowance {
            worker_slots: 2,
            ..Allowance::default()
        },
        ..rows(0, 4)
    };
    let mut log = Log::planned();
    log.start(0, 3);
    for index in 0..3 {
        log.dispatch(task(0, index), 0, false);
    }
    // One runs, one has failed and waits for its next attempt, and one waits for its first.
    log.begin(task(0, 0), 0);
    log.begin(task(0, 1), 0);
    log.fail(task(0, 1), 0, elapsed(100_000));
    log.dispatch(task(0, 1), 1, false);
    log.push(Event::Paused { by: "ada".to_owned() });
    log.accept(task(0, 0), 0, elapsed(500_000));
    // A night.
    for _ in 0..1_000 {
        log.push(Event::OwnerChanged { queue_lost: false });
    }
    log.push(Event::Resumed { by: "ada".to_owned() });
    log.dispatch(task(0, 1), 2, false);
    log.dispatch(task(0, 2), 1, false);
    for (index, attempt) in [(1, 2), (2, 1)] {
        log.begin(task(0, index), attempt);
        log.accept(task(0, index), attempt, elapsed(100_000));
    }
    let profile = log.profile();
    let attempts = &profile.stages[0].attempts;
    assert_eq!(attempts.retries, 1, "that of the one that failed");
    assert_eq!((attempts.dispatched, attempts.succeeded, attempts.failed), (6, 3, 1));
    assert_eq!(profile.slots.busy_us, 800_000);
    // From the first start to the pause, and from its end to that of the last attempt: ten events.
    assert_eq!(profile.slots.available_us, 2 * 1_000_000);
}

#[test]
fn attempts_are_counted_by_how_they_went() {
    let mut log = Log::planned();
    log.start(0, 2);
    log.dispatch(task(0, 0), 0, false);
    log.dispatch(task(0, 1), 0, false);
    log.begin(task(0, 0), 0);
    log.fail(task(0, 0), 0, TaskMetrics::default());
    log.dispatch(task(0, 0), 1, false);
    log.begin(task(0, 0), 1);
    log.dispatch(task(0, 0), 2, true);
    log.begin(task(0, 0), 2);
    log.accept(task(0, 0), 2, rows(0, 1));
    let attempts = log.profile().attempts;
    assert_eq!(
        (
            attempts.dispatched,
            attempts.queued,
            attempts.running,
            attempts.given_up
        ),
        (4, 1, 0, 1)
    );
    assert_eq!((attempts.succeeded, attempts.failed, attempts.retries), (1, 1, 1));
    assert_eq!((attempts.speculative, attempts.speculative_wins), (1, 1));
    assert_eq!(attempts.failures, BTreeMap::from([("attempt_lost".to_owned(), 1)]));
    // It was not as lost as it seemed.
    let mut late = Log::planned();
    late.start(0, 1);
    late.dispatch(task(0, 0), 0, false);
    late.dispatch(task(0, 0), 1, false);
    late.accept(task(0, 0), 0, rows(0, 1));
    let attempts = late.profile().attempts;
    assert_eq!((attempts.succeeded, attempts.given_up, attempts.dispatched), (1, 1, 2));
}

#[test]
fn tasks_that_run_again_count_once_among_the_rows_and_twice_in_the_bill() {
    let mut log = Log::planned();
    log.whole_stage(0, [rows(0, 60), rows(0, 40)]);
    log.push(Event::StageReopened {
        stage: StageId(0),
        stage_attempt: 1,
        tasks: vec![1],
    });
    let open = log.profile();
    assert_eq!((open.stages[0].done, open.stages[0].quantiles.rows_out.sum), (1, 60));
    assert_eq!(open.phases.running_ms, None);
    log.push(Event::TaskDispatched {
        task: task(0, 1),
        stage_attempt: 1,
        attempt: 1,
        not_before: None,
        speculative: false,
    });
    log.push(Event::TaskAccepted {
        task: task(0, 1),
        stage_attempt: 1,
        attempt: 1,
        execution: execution(),
        worker: worker(2),
        output: Box::new(TaskOutput {
            metrics: rows(0, 40),
            ..TaskOutput::default()
        }),
    });
    let again = log.profile();
    assert_eq!((again.stages[0].done, again.stages[0].reopened), (2, 1));
    assert_eq!(again.stages[0].quantiles.rows_out.sum, 100);
    assert_eq!((again.usage.rows_written, again.usage.workers), (140, 2));
}

#[test]
fn small_files_and_slots_and_functions_are_counted() {
    let mut log = Log::planned();
    let allowance = Allowance {
        worker_slots: 4,
        worker_millicpus: 4_000,
        worker_memory_bytes: 1 << 30,
    };
    let function = |name: &str, wasm_us| FunctionMetrics {
        name: name.to_owned(),
        calls: 2,
        wasm_us,
    };
    log.whole_stage(
        0,
        (0..2).map(|_| TaskMetrics {
            elapsed_us: 100_000,
            allowance,
            functions: vec![function("a", 50_000), function("b", 60_000)],
            ..TaskMetrics::default()
        }),
    );
    log.start(1, 1);
    log.dispatch(task(1, 0), 0, false);
    let file = |bytes| OutputFile {
        target: "/out/a".to_owned(),
        staged: Staged::File {
            path: "/out/x".to_owned(),
        },
        rows: 1,
        bytes,
    };
    log.push(Event::TaskAccepted {
        task: task(1, 0),
        stage_attempt: 0,
        attempt: 0,
        execution: execution(),
        worker: worker(1),
        output: Box::new(TaskOutput {
            files: vec![file(3 << 20), file((3 << 20) - 1)],
            ..TaskOutput::default()
        }),
    });
    let profile = log.profile();
    let sink = profile.stages[1].sink.as_ref().unwrap();
    assert_eq!((sink.files, sink.small_files, sink.bytes), (2, 1, (6 << 20) - 1));
    assert_eq!((profile.slots.slots, profile.slots.busy_us), (4, 200_000));
    // From the first start until the last end.
    assert_eq!(profile.slots.available_us, 4 * 800_000);
    let functions: Vec<_> = profile
        .functions
        .iter()
        .map(|f| (f.name.as_str(), f.calls, f.time_share))
        .collect();
    assert_eq!(functions, [("b", 4, 0.6), ("a", 4, 0.5)]);
    assert_eq!(profile.usage.vcpu_us, 200_000);
}

#[test]
fn the_built_in_prices_are_those_of_the_stack() {
    let costs: serde_json::Value = serde_json::from_str(include_str!("../../../docs/cost.json")).expect("JSON");
    let price = |name: &str| costs["prices"][name].as_f64().expect(name);
    let table = PriceTable::default();
    let built_in = [
        (table.vcpu_hour, price("fargate_arm_vcpu_hour")),
        (table.memory_gib_hour, price("fargate_arm_gb_hour")),
        (table.storage_thousand_puts, price("s3_thousand_puts")),
        (table.storage_thousand_gets, price("s3_thousand_gets")),
        (table.queue_million_requests, price("sqs_million_requests")),
    ];
    for (ours, theirs) in built_in {
        assert_eq!(ours, theirs);
    }
    assert!(table.version.contains(costs["region"].as_str().expect("a region")));
}

/// What happens to a task: attempts that fail, whether one is doubled, and what the accepted one measured.
#[derive(Clone, Debug)]
struct Story {
    failures: u32,
    doubled: bool,
    unheard: bool,
    metrics: TaskMetrics,
}

fn story() -> impl Strategy<Value = Story> {
    let numbers = (0..1_000_000_u64, 1..10_000_000_u64, 0..1_u64 << 40, 0..5_u64);
    (0..3_u32, any::<bool>(), any::<bool>(), numbers).prop_map(
        |(failures, doubled, unheard, (rows, us, bytes, puts))| Story {
            failures,
            doubled,
            unheard,
            metrics: TaskMetrics {
                rows_out: rows,
                elapsed_us: us,
                bytes_out: bytes,
                shuffle_bytes_out: bytes,
                storage: StorageRequests {
                    put: puts,
                    ..StorageRequests::default()
                },
                modules: ModuleLoads {
                    compiled: puts % 2,
                    warm: 1,
                    load_us: us / 2,
                    ..ModuleLoads::default()
                },
                ..TaskMetrics::default()
            },
        },
    )
}

proptest! {
    #[test]
    fn it_adds_up_at_every_moment(stories in prop::collection::vec(story(), 1..20)) {
        let mut log = Log::planned();
        log.start(0, stories.len() as u32);
        let mut slot_us = 0;
        for (index, story) in (0..).zip(&stories) {
            let of = task(0, index);
            for attempt in 0..story.failures {
                log.dispatch(of, attempt, false);
                log.fail(of, attempt, TaskMetrics { elapsed_us: 7, ..TaskMetrics::default() });
                slot_us += 7;
            }
            log.dispatch(of, story.failures, false);
            if !story.unheard {
                log.begin(of, story.failures);
            }
            if story.doubled {
                log.dispatch(of, story.failures + 1, true);
            }
            // What its owner asked of the storage meanwhile, whoever that was.
            let requests = StorageRequests { list: 1, ..story.metrics.storage };
            log.push(Event::StorageUsed { requests });
            log.accept(of, story.failures, story.metrics.clone());
            slot_us += story.metrics.elapsed_us;
        }
        log.complete(0);
        let mut profiler = Profiler::default();
        for record in &log.records {
            profiler.apply(record);
            let attempts = profiler.profile().attempts;
            prop_assert_eq!(
                attempts.dispatched,
                attempts.queued + attempts.running + attempts.succeeded + attempts.failed + attempts.given_up
            );
        }
        let profile = profiler.profile();
        let stage = &profile.stages[0];
        let sum = |of: fn(&TaskMetrics) -> u64| stories.iter().map(|story| of(&story.metrics)).sum::<u64>();
        prop_assert_eq!(stage.done as usize, stories.len());
        prop_assert_eq!(stage.quantiles.rows_out.sum, sum(|metrics| metrics.rows_out));
        prop_assert_eq!(stage.quantiles.bytes_out.sum, profile.usage.shuffle_bytes);
        prop_assert_eq!(profile.usage.storage_requests.put, sum(|metrics| metrics.storage.put));
        let of_owners = profile.usage.control_storage_requests;
        prop_assert_eq!(of_owners.put, profile.usage.storage_requests.put);
        prop_assert_eq!(of_owners.list, stories.len() as u64);
        prop_assert_eq!(profile.usage.all_storage_requests().put, 2 * of_owners.put);
        prop_assert_eq!(profile.usage.modules.warm, stories.len() as u64);
        prop_assert_eq!(profile.usage.modules.cold(), sum(|metrics| metrics.modules.compiled));
        prop_assert_eq!(profile.usage.task_us, slot_us);
        prop_assert_eq!(stage.attempts.failed, stories.iter().map(|story| story.failures).sum::<u32>());
        let json = serde_json::to_string(&profile).unwrap();
        prop_assert_eq!(serde_json::from_str::<RunProfile>(&json).unwrap(), profile);
    }
}
