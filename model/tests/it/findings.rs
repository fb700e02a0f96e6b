//! Each rule fires where it should, and just not where it should not.

use weir_model::findings::{Evidence, Finding, FindingCode, Severity, findings};
use weir_model::{
    AttemptCounts, Conservation, FunctionProfile, InputProfile, ModuleLoads, OperatorProfile, PhaseDurations,
    Quantiles, RunProfile, SinkProfile, SlotUse, StageId, StageProfile, StageQuantiles, Usage, Verdict, WorkerMemory,
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// In MiB times milliseconds.
const GIB_SECOND: u64 = 1_024_000;
const SECOND: u64 = 1_000_000;

/// Most tasks have `usual`, the last one has `largest`.
fn quantiles(tasks: u64, usual: u64, largest: u64) -> Quantiles {
    let numbers = (0..tasks as u32).map(|task| (task, if u64::from(task) + 1 == tasks { largest } else { usual }));
    Quantiles::of(numbers)
}

fn stage(id: u32, tasks: u32) -> StageProfile {
    let of = |usual: u64, largest: u64| quantiles(tasks.into(), usual, largest);
    StageProfile {
        id: StageId(id),
        name: ["read orders", "join customers", "write totals"][id as usize].to_owned(),
        tasks,
        done: tasks,
        attempts: AttemptCounts {
            dispatched: tasks,
            succeeded: tasks,
            ..AttemptCounts::default()
        },
        time_share: 0.33,
        quantiles: StageQuantiles {
            elapsed_us: of(20 * SECOND, 31 * SECOND),
            rows_in: of(1_000_000, 1_400_000),
            rows_out: of(900_000, 1_200_000),
            bytes_in: of(64 * MIB, 90 * MIB),
            bytes_out: of(40 * MIB, 60 * MIB),
            peak_memory_bytes: of(200 * MIB, 300 * MIB),
            ..StageQuantiles::default()
        },
        conservation: Conservation {
            rows_in: 64_000_000,
            exchange: Verdict::Holds,
            ..Conservation::default()
        },
        ..StageProfile::default()
    }
}

/// A run of some minutes that nobody has to look at.
fn healthy() -> RunProfile {
    let mut reader = stage(1, 32);
    reader.inputs = vec![InputProfile {
        stage: StageId(0),
        broadcast: false,
        rows: 57_600_000,
        bytes: 40 * 64 * MIB,
    }];
    let mut writer = stage(2, 32);
    writer.inputs = vec![InputProfile {
        stage: StageId(1),
        broadcast: true,
        rows: 1_000,
        bytes: 100 * MIB,
    }];
    writer.sink = Some(SinkProfile {
        transform: "Totals".to_owned(),
        format: "parquet".to_owned(),
        files: 32,
        small_files: 0,
        bytes: 32 * 40 * MIB,
        rows_committed: None,
    });
    writer.operators = vec![OperatorProfile {
        id: 0,
        name: "SortExec".to_owned(),
        ..OperatorProfile::default()
    }];
    RunProfile {
        phases: PhaseDurations {
            queued_ms: Some(0),
            planning_ms: Some(300),
            cold_start_ms: Some(900),
            running_ms: Some(180_000),
            committing_ms: Some(400),
            total_ms: Some(181_600),
        },
        slots: SlotUse {
            slots: 16,
            available_us: 2_880 * SECOND,
            busy_us: 2_500 * SECOND,
        },
        memory: WorkerMemory {
            limit_bytes: 4 * GIB,
            peak_bytes: 3 * GIB,
        },
        usage: Usage {
            task_us: 2_500 * SECOND,
            memory_mib_ms: 5_000 * GIB_SECOND,
            ..Usage::default()
        },
        functions: vec![FunctionProfile {
            name: "normalise".to_owned(),
            calls: 1_000,
            wasm_us: 300 * SECOND,
            time_share: 0.12,
        }],
        stages: vec![stage(0, 64), reader, writer],
        ..RunProfile::default()
    }
}

fn found(change: impl FnOnce(&mut RunProfile)) -> Vec<Finding> {
    let mut profile = healthy();
    change(&mut profile);
    findings(&profile)
}

/// `fires` leads to this finding and no other, `holds` to none.
#[track_caller]
fn check(code: FindingCode, fires: impl FnOnce(&mut RunProfile), holds: impl FnOnce(&mut RunProfile)) -> Finding {
    let fired = found(fires);
    let codes: Vec<FindingCode> = fired.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [code], "{fired:#?}");
    let held = found(holds);
    assert!(held.is_empty(), "{held:#?}");
    let finding = fired.into_iter().next().unwrap();
    assert!(
        finding.fix.ends_with('.') && finding.detail.ends_with('.'),
        "{finding:#?}"
    );
    let Evidence { value, threshold, .. } = finding.evidence;
    assert_ne!(value, threshold, "{finding:#?}");
    finding
}

#[test]
fn a_healthy_run_has_none() {
    assert_eq!(found(|_| {}), []);
    assert_eq!(findings(&RunProfile::default()), []);
}

#[test]
fn skewed_duration() {
    let with =
        |largest: u64| move |run: &mut RunProfile| run.stages[1].quantiles.elapsed_us = quantiles(32, SECOND, largest);
    let finding = check(FindingCode::SkewedDuration, with(11 * SECOND), with(10 * SECOND));
    assert_eq!(
        (finding.evidence.stage, finding.evidence.task),
        (Some(StageId(1)), Some(31))
    );
    assert!(finding.detail.contains("Task 1.31 took 11.0 s"), "{finding:?}");
    // As skewed, and too short to matter.
    let short = |run: &mut RunProfile| run.stages[1].quantiles.elapsed_us = quantiles(32, SECOND / 10, 5 * SECOND);
    check(FindingCode::SkewedDuration, with(60 * SECOND), short);
}

#[test]
fn skewed_bytes() {
    let with =
        |largest: u64| move |run: &mut RunProfile| run.stages[1].quantiles.bytes_in = quantiles(32, 2 * MIB, largest);
    check(FindingCode::SkewedBytes, with(21 * MIB), with(20 * MIB));
    let small = |run: &mut RunProfile| run.stages[1].quantiles.bytes_in = quantiles(32, MIB / 4, 15 * MIB);
    let empty = |run: &mut RunProfile| run.stages[1].quantiles.bytes_in = quantiles(32, 0, 16 * MIB);
    check(FindingCode::SkewedBytes, empty, small);
    let few = |run: &mut RunProfile| {
        run.stages[1].done = 3;
        run.stages[1].quantiles.bytes_in = quantiles(3, MIB, 100 * MIB);
    };
    check(FindingCode::SkewedBytes, with(100 * MIB), few);
}

#[test]
fn small_tasks() {
    let with = |tasks: u32, us: u64| {
        move |run: &mut RunProfile| {
            run.stages[0].tasks = tasks;
            run.stages[0].quantiles.elapsed_us = quantiles(tasks.into(), us, us);
        }
    };
    check(FindingCode::SmallTasks, with(5_001, 499_999), with(5_000, 1_000));
    check(FindingCode::SmallTasks, with(9_000, 1_000), with(9_000, 500_000));
}

#[test]
fn idle_slots() {
    let with = |available: u64, busy: u64| {
        move |run: &mut RunProfile| {
            run.slots.available_us = available * SECOND;
            run.slots.busy_us = busy * SECOND;
        }
    };
    check(FindingCode::IdleSlots, with(1_000, 499), with(1_000, 500));
    check(FindingCode::IdleSlots, with(301, 1), with(300, 1));
}

#[test]
fn memory_nearly_full() {
    let with = |peak_bytes: u64| move |run: &mut RunProfile| run.memory.peak_bytes = peak_bytes;
    let limit = 4 * GIB;
    check(
        FindingCode::MemoryNearlyFull,
        with(limit * 96 / 100),
        with(limit * 95 / 100),
    );
}

#[test]
fn memory_unused() {
    let with = |share: u64, gib_seconds: u64| {
        move |run: &mut RunProfile| {
            run.memory.peak_bytes = 4 * GIB * share / 100;
            run.usage.memory_mib_ms = gib_seconds * GIB_SECOND;
        }
    };
    check(FindingCode::MemoryUnused, with(69, 3_600), with(71, 36_000));
    check(FindingCode::MemoryUnused, with(1, 3_600), with(1, 3_599));
}

#[test]
fn small_files() {
    let with = |small_files: u64| {
        move |run: &mut RunProfile| {
            let sink = run.stages[2].sink.as_mut().unwrap();
            (sink.files, sink.small_files, sink.bytes) = (small_files + 7, small_files, small_files * MIB);
        }
    };
    let finding = check(FindingCode::SmallFiles, with(101), with(100));
    assert!(finding.title.contains("`Totals` writes 101 small files"), "{finding:?}");
}

#[test]
fn large_partition() {
    let with = |bytes: u64| move |run: &mut RunProfile| run.stages[1].quantiles.bytes_in = quantiles(32, GIB, bytes);
    check(FindingCode::LargePartition, with(5 * GIB + 1), with(5 * GIB));
}

#[test]
fn large_broadcast() {
    let with = |bytes: u64, broadcast: bool| {
        move |run: &mut RunProfile| {
            let input = &mut run.stages[2].inputs[0];
            (input.bytes, input.broadcast) = (bytes, broadcast);
        }
    };
    check(FindingCode::LargeBroadcast, with(GIB + 1, true), with(GIB, true));
    check(FindingCode::LargeBroadcast, with(9 * GIB, true), with(9 * GIB, false));
}

#[test]
fn spill() {
    let with = |bytes: u64| {
        move |run: &mut RunProfile| {
            run.stages[2].quantiles.spilled_bytes = quantiles(32, 0, bytes);
            run.stages[2].operators[0].spilled_bytes = bytes;
        }
    };
    let finding = check(FindingCode::Spill, with(1), with(0));
    assert_eq!((finding.severity, finding.evidence.operator), (Severity::Info, Some(0)));
    assert!(finding.detail.contains("`SortExec`"), "{finding:?}");
    let much = healthy().stages[2].quantiles.bytes_in.sum + 1;
    assert_eq!(found(with(much))[0].severity, Severity::Warning);
}

#[test]
fn hot_function() {
    let with = |time_share: f64, wasm_us: u64| {
        move |run: &mut RunProfile| {
            let function = &mut run.functions[0];
            (function.time_share, function.wasm_us) = (time_share, wasm_us);
            run.stages[2].functions = vec![function.clone()];
            run.stages[2].operators[0].functions = vec![function.name.clone()];
        }
    };
    let finding = check(
        FindingCode::HotFunction,
        with(0.51, 10 * SECOND),
        with(0.5, 100 * SECOND),
    );
    assert_eq!(finding.evidence.function.as_deref(), Some("normalise"));
    assert_eq!(
        (finding.evidence.stage, finding.evidence.operator),
        (Some(StageId(2)), Some(0))
    );
    check(
        FindingCode::HotFunction,
        with(0.9, 10 * SECOND),
        with(0.9, 10 * SECOND - 1),
    );
}

#[test]
fn dead_letters() {
    let with = |code: &'static str| {
        move |run: &mut RunProfile| {
            let attempts = &mut run.stages[0].attempts;
            attempts.failed = 1;
            attempts.failures.insert(code.to_owned(), 1);
        }
    };
    let finding = check(FindingCode::DeadLetters, with("poison_task"), with("wasm_trap"));
    assert_eq!(finding.severity, Severity::Error);
}

#[test]
fn retries() {
    let with = |failed: u32, retries: u32| {
        move |run: &mut RunProfile| {
            let attempts = &mut run.stages[0].attempts;
            attempts.dispatched += retries;
            (attempts.failed, attempts.retries) = (failed, retries);
            attempts.failures.insert("attempt_lost".to_owned(), failed);
        }
    };
    // A failure that ends the run is its reason.
    let finding = check(FindingCode::Retries, with(1, 1), with(1, 0));
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.fix.contains("Workers went away"), "{finding:?}");
    assert_eq!(found(with(20, 20))[0].severity, Severity::Warning);
    let lost = |run: &mut RunProfile| (run.stages[0].reopened, run.stages[0].attempts.retries) = (2, 2);
    check(FindingCode::Retries, lost, |_| {});
}

#[test]
fn refused_rows() {
    let with = |rows: u64| move |run: &mut RunProfile| run.stages[0].conservation.rows_refused = rows;
    check(FindingCode::RefusedRows, with(640_001), with(640_000));
}

#[test]
fn cold_starts() {
    let with = |waited: u64, total: u64| {
        move |run: &mut RunProfile| {
            run.phases.cold_start_ms = Some(waited);
            run.phases.total_ms = Some(total);
        }
    };
    check(FindingCode::ColdStart, with(20_001, 100_000), with(20_000, 100_000));
    check(FindingCode::ColdStart, with(10_000, 20_000), with(9_999, 20_000));

    let loading = |compiled: u64, load_us: u64, task_us: u64| {
        move |run: &mut RunProfile| {
            run.usage.task_us = task_us;
            run.usage.modules = ModuleLoads {
                compiled,
                cached: 2,
                warm: 7,
                load_us,
            };
        }
    };
    let second = 1_000_000;
    let finding = check(
        FindingCode::ColdStart,
        loading(3, 20 * second + 1, 100 * second),
        loading(3, 20 * second, 100 * second),
    );
    assert!(
        finding.detail.contains("compiled 3 modules, read 2"),
        "{}",
        finding.detail
    );
    check(
        FindingCode::ColdStart,
        loading(3, 10 * second, 20 * second),
        loading(3, 10 * second - 1, 20 * second),
    );
    // Nothing was cold: they waited for each other.
    check(FindingCode::ColdStart, loading(1, 20 * second, 20 * second), |run| {
        run.usage.modules.load_us = 20 * second;
    });
}

#[test]
fn rows_not_conserved() {
    let broken: [fn(&mut Conservation); 3] = [
        |rows| (rows.exchange, rows.rows_offered, rows.rows_taken) = (Verdict::Broken, 10, 9),
        |rows| (rows.inside, rows.rows_in, rows.rows_out) = (Verdict::Broken, 10, 11),
        |rows| (rows.commit, rows.rows_out, rows.rows_committed) = (Verdict::Broken, 10, Some(9)),
    ];
    for change in broken {
        let finding = check(
            FindingCode::RowsNotConserved,
            |run| change(&mut run.stages[2].conservation),
            |_| {},
        );
        assert_eq!(finding.severity, Severity::Error);
    }
}

#[test]
fn the_most_serious_come_first_and_the_worst_stages_only() {
    let all = found(|run| {
        run.stages[2].conservation.exchange = Verdict::Broken;
        run.phases.cold_start_ms = Some(100_000);
        run.stages = run.stages.iter().cycle().take(30).cloned().collect();
        for (place, stage) in (1..).zip(&mut run.stages) {
            stage.id = StageId(place);
            stage.conservation.exchange = Verdict::Holds;
            stage.quantiles.bytes_in = quantiles(32, MIB, 20 * MIB + u64::from(place));
        }
        run.stages[3].conservation.exchange = Verdict::Broken;
    });
    let codes: Vec<FindingCode> = all.iter().map(|finding| finding.code).collect();
    let mut expected = vec![FindingCode::RowsNotConserved];
    expected.extend([FindingCode::SkewedBytes; 5]);
    expected.push(FindingCode::ColdStart);
    assert_eq!(codes, expected);
    assert_eq!(all[1].evidence.stage, Some(StageId(30)), "{:?}", all[1]);
}
