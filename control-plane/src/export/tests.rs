use weir_model::machine::{RunState, apply};
use weir_model::{
    Event, EventRecord, Failure, FailureKind, Job, PriceTable, Reason, RunId, RunOutcome, RunSettings, StageId,
    Submission, TaskId, TaskMetrics, TaskOutput, Timestamp, findings::findings,
};
use weir_platform::clock;

use super::*;

const HOSTILE: &str = "'\"></script><script>alert(1)</script><img src=http://example.com/x>";

fn submission() -> Submission {
    Submission {
        namespace: Default::default(),
        name: HOSTILE.into(),
        job: Job::Sql {
            statement: "SELECT 1".into(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: [(HOSTILE.to_owned(), weir_model::Digest::of(b"m"))].into(),
        base: "/".into(),
        settings: RunSettings::default(),
        metadata: weir_model::Metadata {
            labels: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(),
            created_by: Some(HOSTILE.into()),
            ..Default::default()
        },
    }
}

/// A run of one stage with so many tasks, of which the first failed once and the last did for good.
fn export(tasks: u32) -> Export {
    let run: RunId = clock::new_run_id();
    let (execution, worker) = (clock::new_execution_id(), clock::new_worker_id());
    let stage = weir_model::Stage {
        id: StageId(0),
        name: HOSTILE.into(),
        transforms: vec![HOSTILE.into()],
        plan: weir_model::PlanRef {
            digest: weir_model::Digest::of(b"p"),
            bytes: 1,
        },
        partitions: tasks,
        scan_bytes: Vec::new(),
        inputs: Vec::new(),
        output: weir_model::StageOutput::Discard,
    };
    let graph = weir_model::StageGraph {
        stages: vec![stage],
        build: "test".into(),
    };
    let mut events = vec![
        Event::Submitted {
            submission: Box::new(submission()),
        },
        Event::Planned { graph: Box::new(graph) },
        Event::StageStarted {
            stage: StageId(0),
            tasks: (0..tasks).map(|index| index..index + 1).collect(),
        },
    ];
    let failure = Failure::new(FailureKind::User, HOSTILE, HOSTILE);
    for index in 0..tasks {
        let task = TaskId {
            stage: StageId(0),
            index,
        };
        let (stage_attempt, attempt) = (0, 0);
        events.push(Event::TaskDispatched {
            task,
            stage_attempt,
            attempt,
            not_before: None,
            speculative: false,
        });
        events.push(Event::AttemptStarted {
            task,
            attempt,
            execution,
            worker,
        });
        let metrics = TaskMetrics {
            elapsed_us: u64::from(index) * 1_000,
            ..Default::default()
        };
        events.push(if index + 1 == tasks {
            Event::AttemptFailed {
                task,
                attempt,
                execution: Some(execution),
                failure: failure.clone(),
                metrics: Box::new(metrics),
            }
        } else {
            let output = TaskOutput {
                metrics,
                ..Default::default()
            };
            Event::TaskAccepted {
                task,
                stage_attempt,
                attempt,
                execution,
                worker,
                output: Box::new(output),
            }
        });
    }
    events.push(Event::Finished {
        outcome: RunOutcome::Failed,
        reason: Some(Reason {
            code: HOSTILE.into(),
            message: HOSTILE.into(),
            retryable: false,
            task: None,
        }),
    });
    let mut state = RunState::new(run);
    let mut table = AttemptTable::default();
    for (seq, event) in (1..).zip(events) {
        let record = EventRecord {
            run,
            seq,
            at: Timestamp(1_000 + seq),
            event,
        };
        apply(&mut state, &record);
        table.apply(&record);
    }
    let shown = Run::new(&state.snapshot(), &submission(), None, &PriceTable::default());
    let profile = state.profile();
    let found = FindingList::new(run, true, findings(&profile));
    let stages = shown.stages.clone().into_iter().zip(profile.stages);
    let stages = stages
        .map(|(stage, profile)| StageProfile::new(stage, profile))
        .collect();
    Export::new(shown, stages, found, &table)
}

#[test]
fn nothing_that_users_chose_becomes_markup() {
    let html = export(4).to_html();
    // The run, its attempts, and the page's own script.
    assert_eq!(html.matches("<script").count(), 3, "{html}");
    assert_eq!(html.matches("</script").count(), 3);
    assert!(!html.contains("<img"));
    assert!(html.contains("&lt;script&gt;alert(1)"), "it is shown as text");
    let text = html.matches("&lt;img src=").count() + html.matches("\\u003cimg src=").count();
    assert_eq!(html.matches("src=").count(), text, "it refers to nothing");
    assert!(!html.contains("href="));
    // Inline handlers and styles would not be allowed by the policy.
    assert!(!html.contains(" style=") && !html.contains("onclick"));
}

#[test]
fn the_policy_allows_the_style_sheet_of_the_file() {
    use base64::Engine as _;
    let html = export(1).to_html();
    let (_, style) = html.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    let digest = weir_model::Digest::of(style.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest.as_bytes());
    assert!(html.contains(&format!("style-src 'sha256-{hash}'")));
    let (_, script) = html.rsplit_once("<script>").unwrap();
    let (script, _) = script.split_once("</script>").unwrap();
    let digest = weir_model::Digest::of(script.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest.as_bytes());
    assert!(html.contains(&format!("script-src 'sha256-{hash}'")));
    assert!(!script.contains("innerHTML") && !script.contains("eval("));
}

/// A column of numbers as the file has it.
fn column(attempts: &serde_json::Value, name: &str) -> Vec<i64> {
    let deltas = attempts["numbers"][name].as_array().unwrap().iter();
    let mut sum = 0;
    deltas
        .map(|delta| {
            sum += delta.as_i64().unwrap();
            sum
        })
        .collect()
}

#[test]
fn all_attempts_are_in_the_file() {
    use base64::Engine as _;
    use std::io::Read as _;
    let html = export(5_000).to_html();
    let (_, attempts) = html.split_once("id=\"weir-attempts\">").unwrap();
    let (attempts, _) = attempts.split_once("</script>").unwrap();
    let zipped = base64::engine::general_purpose::STANDARD.decode(attempts).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*zipped)
        .read_to_string(&mut text)
        .unwrap();
    let attempts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(attempts["rows"], 5_000);
    assert_eq!(column(&attempts, "task"), (0..5_000).collect::<Vec<_>>());
    assert_eq!(
        column(&attempts, "elapsed_us"),
        (0..5_000).map(|n| n * 1_000).collect::<Vec<_>>()
    );
    assert_eq!(column(&attempts, "attempts"), [1; 5_000]);
    let failures = &attempts["words"]["failure"];
    assert_eq!(failures["list"], serde_json::json!([HOSTILE]));
    assert_eq!(
        (&failures["places"][0], &failures["places"][4_999]),
        (&0.into(), &1.into())
    );
    assert_eq!(
        attempts["words"]["state"]["list"],
        serde_json::json!(["succeeded", "failed"])
    );
}

#[test]
fn what_is_left_out_is_the_shortest_and_is_said() {
    let small = export(10);
    assert!(!small.to_html().contains("that took longest, of"));
    let large = export(5_000);
    assert_eq!((large.tasks.len(), large.tasks_total), (MAX_TASKS, 5_000));
    assert_eq!((large.attempts.len(), large.attempts_total), (MAX_ATTEMPTS, 5_000));
    assert!(large.tasks.iter().all(|task| task.task >= 4_000));
    let html = large.to_html();
    assert!(html.contains("the 1000 tasks that took longest, of 5\u{202f}000"));
    assert!(!html.contains("This file has the first"), "the columns have all");
    assert!(html.contains("the 3000 attempts that took longest, of 5\u{202f}000"));
}

#[test]
fn the_data_can_be_read_back() {
    let export = export(3);
    let html = export.to_html();
    let (_, data) = html.split_once("id=\"weir-run\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["run"]["name"], HOSTILE);
    assert_eq!(data["stages"][0]["tasks"], 3);
}
