//! What is kept in storage of runs that are over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use serde_json::Value;
use sqlx::ConnectOptions as _;
use tower::ServiceExt as _;
use weir_control_plane::RunResult;
use weir_control_plane::history::{self, Ended, History};
use weir_control_plane::housekeeping::Retention;
use weir_control_plane::http::resources::{Column, ModuleFunction, SqlCheck, SqlCheckRequest};
use weir_control_plane::http::{
    self, Api, CheckError, FileBytes, InspectError, ModuleInspector, RowFormat, RowReader, Rows, RowsError, SqlChecker,
};
use weir_control_plane::store::{Created, Durability, RunFilter, SqliteStore, Store};
use weir_model::machine::{RunState, apply};
use weir_model::{
    AttemptTable, Event, EventRecord, LogLevel, LogLine, Namespace, RunId, RunOutcome, RunSettings, SinkInfo, StageId,
    TaskMetrics, TaskOutput, TaskRow, Timestamp, layout,
};
use weir_platform::{Storage, clock};

use crate::kit::{Kit, Process, eventually};
use crate::script::{Act, Plan, To, graph, platform, submission, task};

/// Checks that the history of a run says what its log says.
pub(crate) async fn check_history(store: &dyn Store, storage: &Storage, run: RunId) {
    let history = History::new(storage.clone());
    let row = store.run_get(run).await.unwrap().expect("the run is known");
    let log = store.run_events(run, 0, 1_000_000).await.unwrap();
    let mut state = RunState::new(run);
    let mut table = AttemptTable::default();
    for record in &log {
        apply(&mut state, record);
        table.apply(record);
    }
    let other: Namespace = "other".parse().unwrap();
    assert!(history.run(&other, run).await.unwrap().is_none());
    let summary = history
        .run(&row.namespace, run)
        .await
        .unwrap()
        .expect("the history is there");
    assert!(history.run(&other, run).await.unwrap().is_none(), "nor from the cache");
    assert_eq!(summary.snapshot.stages, state.snapshot().stages);
    assert_eq!((&summary.row.summary, summary.row.cleaned), (&row.summary, true));
    assert_eq!(Some(&summary.submission), state.submission());
    assert_eq!(summary.graph.as_ref(), state.graph());

    for (after, limit) in [(0, usize::MAX), (1, 3), (5_003, 7), (log.len() as u64, 5)] {
        let wanted: Vec<_> = log
            .iter()
            .filter(|record| record.seq > after)
            .take(limit)
            .cloned()
            .collect();
        assert_eq!(
            history.events(&summary, after, limit).await.unwrap(),
            wanted,
            "after {after}"
        );
    }

    let lines: Vec<(u64, String)> = log
        .iter()
        .flat_map(|record| {
            let lines = match &record.event {
                Event::TaskAccepted { output, .. } => &output.metrics.logs[..],
                Event::AttemptFailed { metrics, .. } => &metrics.logs[..],
                _ => &[],
            };
            lines.iter().map(|line| (record.seq, line.message.clone()))
        })
        .collect();
    let found = history.logs(&summary, (0, 0), usize::MAX).await.unwrap();
    let texts: Vec<_> = found.iter().map(|line| (line.seq, line.line.message.clone())).collect();
    assert_eq!(texts, lines);
    if let Some(middle) = found.get(found.len() / 2) {
        let rest = history.logs(&summary, (middle.seq, middle.place), 3).await.unwrap();
        assert_eq!(rest[..], found[found.len() / 2..][..rest.len()]);
    }

    let pages: Vec<usize> = (0..summary.attempts.len()).collect();
    let pages = history.attempts(&summary, &pages).await.unwrap();
    let rows: Vec<_> = pages.iter().flat_map(|page| page.rows.iter().cloned()).collect();
    assert_eq!(rows, table.rows());
    let tasks: u64 = summary
        .attempts
        .iter()
        .flat_map(|page| &page.stages)
        .map(|stage| stage.tasks)
        .sum();
    assert_eq!(tasks as usize, TaskRow::of(&rows).len());

    let listed = history
        .list(&row.namespace, &RunFilter::default(), None, 100)
        .await
        .unwrap();
    assert!(listed.rows.contains(&summary.row));
}

async fn cleaned(kit: &Kit, run: RunId) {
    eventually("the run is cleaned up", async || {
        kit.store.run_get(run).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_run_leaves_its_history_however_it_ends() {
    let kit = Kit::new().await;
    kit.runner.script(|id, nth| match (id.stage.0, id.index, nth) {
        (0, 1, 1) => Act::Fail(platform("the network is down")),
        _ => Act::Work,
    });
    let process = kit.process();
    let succeeded = process.control_plane.submit(submission()).await.unwrap();
    process.finished(succeeded).await;
    kit.runner.script(|_, _| Act::Hang);
    let cancelled = process.control_plane.submit(submission()).await.unwrap();
    process
        .until(cancelled, |run| run.stages.iter().any(|stage| stage.running > 0))
        .await;
    process.control_plane.cancel(cancelled, "somebody").await.unwrap();
    for run in [succeeded, cancelled] {
        cleaned(&kit, run).await;
        check_history(&*kit.store, &kit.storage, run).await;
    }

    let history = History::new(kit.storage.clone());
    let list = async |filter: RunFilter, before, limit| {
        let listed = history
            .list(&Namespace::default(), &filter, before, limit)
            .await
            .unwrap();
        let runs: Vec<RunId> = listed.rows.iter().map(|row| row.run).collect();
        (runs, listed.next)
    };
    assert_eq!(
        list(RunFilter::default(), None, 9).await,
        (vec![cancelled, succeeded], None)
    );
    assert_eq!(
        list(RunFilter::default(), None, 1).await,
        (vec![cancelled], Some(cancelled))
    );
    assert_eq!(
        list(RunFilter::default(), Some(cancelled), 9).await,
        (vec![succeeded], None)
    );
    let outcome = Some(RunOutcome::Succeeded);
    let of_outcome = RunFilter {
        outcome,
        ..RunFilter::default()
    };
    assert_eq!(list(of_outcome, None, 9).await, (vec![succeeded], None));

    let retention = Retention {
        keep_ms: Some(0),
        keep_last: 0,
    };
    assert_eq!(process.control_plane.prune(&retention).await.unwrap(), 2);
    let left = kit
        .storage
        .list_older(layout::HISTORY, clock::now().plus_ms(60_000), 9)
        .await
        .unwrap();
    assert_eq!(left, Vec::<String>::new(), "it is forgotten with the run");
}

#[tokio::test]
async fn a_run_is_told_of_by_its_log_until_its_history_can_be_written() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    // Nothing can be written below a file.
    let obstacle = kit.dir.path().join("storage/history");
    std::fs::write(&obstacle, "").unwrap();
    let first = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    first.finished(run).await;
    let result = first.control_plane.result(run).await.unwrap();
    first.control_plane.shutdown().await;
    let row = kit.store.run_get(run).await.unwrap().unwrap();
    assert!(!row.cleaned, "it is not done with");
    assert_eq!(row.summary.outcome, Some(RunOutcome::Succeeded));

    std::fs::remove_file(&obstacle).unwrap();
    let second = kit.process();
    second.control_plane.resume(run).await.unwrap();
    cleaned(&kit, run).await;
    check_history(&*kit.store, &kit.storage, run).await;
    assert_eq!(second.control_plane.result(run).await.unwrap(), result);
}

struct NoEngine;

#[async_trait]
impl ModuleInspector for NoEngine {
    async fn inspect(&self, _: Bytes) -> Result<Vec<ModuleFunction>, InspectError> {
        Ok(Vec::new())
    }
}

fn no_rows() -> RowsError {
    RowsError::Refused {
        message: "there is no engine here".to_owned(),
    }
}

/// The objects of a result instead of their rows.
struct Objects(Vec<Vec<Value>>);

#[async_trait]
impl Rows for Objects {
    fn columns(&self) -> Vec<Column> {
        Vec::new()
    }

    async fn next(&mut self, most: usize) -> Result<Vec<Vec<Value>>, RowsError> {
        let most = most.min(self.0.len());
        Ok(self.0.drain(..most).collect())
    }

    fn encode(self: Box<Self>, _: RowFormat) -> BoxStream<'static, Result<Bytes, RowsError>> {
        stream::empty().boxed()
    }
}

#[async_trait]
impl RowReader for NoEngine {
    async fn result(&self, _: &Namespace, _: RunId, result: RunResult, _: u64) -> Result<Box<dyn Rows>, RowsError> {
        assert_eq!(result.graph.stages.len(), 2);
        let objects = result.objects.iter().map(serde_json::to_value);
        Ok(Box::new(Objects(objects.map(|object| vec![object.unwrap()]).collect())))
    }

    async fn output(&self, _: &SinkInfo, _: &str, _: u64) -> Result<Box<dyn Rows>, RowsError> {
        Err(no_rows())
    }

    async fn file(&self, _: &SinkInfo, _: &str) -> Result<FileBytes, RowsError> {
        Err(no_rows())
    }
}

#[async_trait]
impl SqlChecker for NoEngine {
    async fn check(
        &self,
        _: &Namespace,
        _: SqlCheckRequest,
        _: String,
        _: &RunSettings,
    ) -> Result<SqlCheck, CheckError> {
        Err(CheckError::Platform(no_rows().into()))
    }
}

/// The API over a control plane, asked without a network.
pub(crate) struct Pages(axum::Router);

impl Pages {
    pub(crate) fn of(kit: &Kit, process: &Process, read_only: bool) -> Self {
        let options = http::Options {
            open: true,
            read_only,
            ..http::Options::default()
        };
        let environment = http::Environment {
            control_plane: process.control_plane.clone(),
            storage: kit.storage.clone(),
            inspector: Arc::new(NoEngine),
            rows: Arc::new(NoEngine),
            sql: Arc::new(NoEngine),
            templates: Default::default(),
            checks: Vec::new(),
            metrics: Arc::new(String::new),
        };
        Self(http::router(Api::new(options, environment).unwrap()))
    }

    /// The answer to a request: its status, and its JSON.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        self.send(method, path, Body::empty()).await
    }

    /// The same to a request with a body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Body) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let answer = self.0.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let mut body: Value = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => serde_json::json!({ "text": String::from_utf8(body.into()).unwrap() }),
        };
        // They tell that the history was not written yet, and which request it was.
        for key in ["history", "etag", "request_id"] {
            body.as_object_mut().unwrap().remove(key);
        }
        (status, body)
    }

    async fn all(&self, run: RunId) -> Vec<(String, u16, Value)> {
        let mut answers = Vec::new();
        for path in [
            "",
            "/metrics",
            "/findings",
            "/stages",
            "/stages/1",
            "/stages/9",
            "/attempts",
            "/attempts?stage=0&limit=2&after=1",
            "/attempts?after=100",
            "/tasks",
            "/tasks?limit=3",
            "/tasks?limit=2&cursor=0.1",
            "/tasks?stage=1&cursor=0.1",
            "/tasks?stage=7",
            "/tasks?sort=-rows_out&limit=2",
            "/tasks?sort=attempts&limit=2&cursor=2",
            "/tasks?state=succeeded&stage=0",
            "/tasks?metric=elapsed_us&min=1",
            "/tasks?metric=elapsed_us&max=0&limit=1",
            "/tasks?min=1",
            "/tasks?sort=colour",
            "/tasks?cursor=x",
            "/tasks/0/1",
            "/tasks/0/99",
            "/tasks/x/0",
            "/events",
            "/events?limit=3&after=2",
            "/events?after=1000",
            "/events/3",
            "/events/0",
            "/events/1000",
            "/logs",
            "/logs?limit=1",
            "/logs?limit=2&after=5.0",
            "/result",
            "/outputs",
        ] {
            let (status, body) = self.ask("GET", &format!("/runs/{run}{path}")).await;
            answers.push((path.to_owned(), status, body));
        }
        answers
    }
}

#[tokio::test]
async fn pages_are_the_same_from_the_log_and_from_the_history_with_an_empty_database() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    kit.runner.script(|id, nth| match (id.stage.0, id.index, nth) {
        (0, 1, 1) => Act::Fail(platform("the network is down")),
        _ => Act::Work,
    });
    let obstacle = kit.dir.path().join("storage/history");
    std::fs::write(&obstacle, "").unwrap();
    let first = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    first.finished(run).await;
    let of_log = Pages::of(&kit, &first, false).all(run).await;
    assert_eq!(of_log[0].1, 200, "{}", of_log[0].2);
    let problems: Vec<_> = of_log.iter().filter(|(_, status, _)| *status != 200).collect();
    assert_eq!(problems.len(), 8, "{problems:?}");
    let failed = of_log.iter().find(|(path, ..)| path == "/tasks/0/1").unwrap();
    assert_eq!(failed.2["attempts"][0]["error"]["message"], "the network is down");
    assert_eq!(failed.2["task"]["attempts"], 2);
    let result = of_log.iter().find(|(path, ..)| path == "/result").unwrap();
    assert!(
        result.2["rows"][0][0]["key"].as_str().unwrap().contains("/shuffle/1/"),
        "{}",
        result.2
    );
    let of_log_objects = result.2["rows"].as_array().unwrap().len();
    let listed = Pages::of(&kit, &first, false).ask("GET", "/runs").await;

    std::fs::remove_file(&obstacle).unwrap();
    cleaned(&kit, run).await;
    let of_history = Pages::of(&kit, &first, false).all(run).await;
    let empty = Kit {
        storage: kit.storage.clone(),
        ..Kit::new().await
    };
    let second = empty.process();
    let history = Pages::of(&empty, &second, true);
    let of_storage = history.all(run).await;
    forget_events(&kit).await;
    assert_eq!(kit.store.run_events(run, 0, 9).await.unwrap(), []);
    let of_row = Pages::of(&kit, &first, false).all(run).await;
    let found = of_history.iter().zip(&of_storage).zip(&of_row);
    for (wanted, ((found, alone), without_log)) in of_log.iter().zip(found) {
        assert_eq!(wanted, found);
        assert_eq!(wanted, alone);
        assert_eq!(wanted, without_log);
    }
    let result = first.control_plane.result(run).await.unwrap();
    assert_eq!(result.unwrap().objects.len(), of_log_objects);
    let (status, export) = Pages::of(&kit, &first, false)
        .ask("GET", &format!("/runs/{run}/export"))
        .await;
    assert_eq!(status, 200);
    assert!(export["text"].as_str().unwrap().contains("<td>1.2</td>"));
    assert_eq!(history.ask("GET", "/runs").await, listed);
    assert_eq!(
        history.ask("GET", "/runs?name=other").await.1["items"],
        serde_json::json!([])
    );
    let (status, refused) = history.ask("POST", &format!("/runs/{run}/retry")).await;
    assert_eq!((status, refused["code"].as_str()), (403, Some("read_only")));
    let (status, absent) = history.ask("GET", &format!("/runs/{}", clock::new_run_id())).await;
    assert_eq!((status, absent["code"].as_str()), (404, Some("run_not_found")));
}

/// Deletes the logs of all runs, behind the store's back.
async fn forget_events(kit: &Kit) {
    let path = kit.dir.path().join("runs.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut database = options.connect().await.unwrap();
    let deleted = sqlx::query("DELETE FROM run_events")
        .execute(&mut database)
        .await
        .unwrap();
    assert!(deleted.rows_affected() > 0);
}

/// A log of `tasks` tasks in one stage, each with a line; every hundredth failed once before.
fn long_log(run: RunId, tasks: u32) -> Vec<EventRecord> {
    let mut events = vec![
        Event::Submitted {
            submission: Box::new(submission()),
        },
        Event::Planned {
            graph: Box::new(graph(run, &To::Nothing { tasks })),
        },
        Event::StageStarted {
            stage: StageId(0),
            tasks: (0..tasks).map(|index| index..index + 1).collect(),
        },
    ];
    let line = |index: u32| LogLine {
        level: LogLevel::Info,
        source: "f".into(),
        message: format!("line of task {index}"),
    };
    let (execution, worker) = (clock::new_execution_id(), clock::new_worker_id());
    for index in 0..tasks {
        let id = task(0, index);
        let failed = u32::from(index % 100 == 99);
        for attempt in 0..=failed {
            events.push(Event::TaskDispatched {
                task: id,
                stage_attempt: 0,
                attempt,
                not_before: None,
                speculative: false,
            });
            if attempt < failed {
                events.push(Event::AttemptFailed {
                    task: id,
                    attempt,
                    execution: Some(execution),
                    failure: platform("once"),
                    metrics: Box::default(),
                });
            }
        }
        events.push(Event::TaskAccepted {
            task: id,
            stage_attempt: 0,
            attempt: failed,
            execution,
            worker,
            output: Box::new(TaskOutput {
                metrics: TaskMetrics {
                    rows_in: u64::from(index),
                    logs: vec![line(index), line(index)],
                    ..TaskMetrics::default()
                },
                ..TaskOutput::default()
            }),
        });
    }
    events.push(Event::StageCompleted {
        stage: StageId(0),
        stage_attempt: 0,
    });
    events.push(Event::Finished {
        outcome: RunOutcome::Succeeded,
        reason: None,
    });
    let at = Timestamp(1_700_000_000_000);
    let records = (1..).zip(events);
    records
        .map(|(seq, event)| EventRecord {
            run,
            seq,
            at: at.plus_ms(seq),
            event,
        })
        .collect()
}

#[tokio::test]
async fn a_long_log_is_many_pages_and_the_same_whenever_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("runs.db"), Durability::Process)
        .await
        .unwrap();
    let run = clock::new_run_id();
    let log = long_log(run, 9_000);
    let (first, rest) = log.split_at(1);
    let ttl = Duration::from_secs(600);
    let created = store
        .run_create(run, &submission(), first, "test", ttl, None)
        .await
        .unwrap();
    let Created::Lease(lease) = created else {
        panic!("{created:?}")
    };
    let mut state = RunState::new(run);
    log.iter().for_each(|record| apply(&mut state, record));
    let row = weir_control_plane::store::RunSummary::of(&state.snapshot());
    store.run_append(&lease, rest, Some(&row), None).await.unwrap();
    let ended = Ended::of(&state).unwrap();
    assert_eq!(ended.snapshot.outcome, Some(RunOutcome::Succeeded));

    let mut written = Vec::new();
    for folder in ["a", "b"] {
        let storage = Storage::open(dir.path().join(folder).to_str().unwrap()).unwrap();
        history::write(&store, &storage, ended.clone()).await.unwrap();
        check_history(&store, &storage, run).await;
        let mut keys = storage
            .list_older(layout::HISTORY, Timestamp(u64::MAX), 100)
            .await
            .unwrap();
        keys.sort();
        let mut objects = Vec::new();
        for key in keys {
            let bytes = storage.get(&key).await.unwrap();
            objects.push((key, bytes));
        }
        written.push(objects);
    }
    for kind in ["attempts", "events", "logs"] {
        let pages = written[0].iter().filter(|(key, _)| key.contains(kind)).count();
        assert!(pages > 1, "{pages} pages of {kind}");
    }
    assert!(written[0] == written[1]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_that_names_it() {
    let kit = Kit::with(|_| To::Nothing { tasks: 1 }, |_| Plan::Graph).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    cleaned(&kit, run).await;
    let namespace = Namespace::default();
    let page = layout::history_page_key(&namespace, run, "events", 0);
    let summary = History::new(kit.storage.clone())
        .run(&namespace, run)
        .await
        .unwrap()
        .unwrap();
    for bytes in [&b""[..], b"no frame"] {
        kit.storage.put(&page, bytes.into()).await.unwrap();
        let error = History::new(kit.storage.clone())
            .events(&summary, 0, 9)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("events/000000"), "{error}");
        kit.storage
            .put(&layout::history_summary_key(&namespace, run), bytes.into())
            .await
            .unwrap();
        let error = History::new(kit.storage.clone())
            .run(&namespace, run)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("summary"), "{error}");
    }
}
