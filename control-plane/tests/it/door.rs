//! The door of the service: how much is let in at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, body::Bytes};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use weir_control_plane::RunResult;
use weir_control_plane::http::resources::{ModuleFunction, SqlCheck, SqlCheckRequest};
use weir_control_plane::http::{
    Api, CheckError, Environment, FileBytes, InspectError, ModuleInspector, Options, RateOptions, RowReader, Rows,
    RowsError, SqlChecker, router,
};
use weir_model::{Digest, Namespace, RunId, RunSettings, SinkInfo, layout};

use crate::kit::{Kit, Process, eventually};
use crate::script::{Plan, To};

/// The engine, to which only modules come here. It says when it has begun with one, and waits to be let go on.
#[derive(Clone)]
struct Engine {
    begun: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

#[async_trait]
impl ModuleInspector for Engine {
    async fn inspect(&self, _: Bytes) -> Result<Vec<ModuleFunction>, InspectError> {
        self.begun.add_permits(1);
        self.go.acquire().await.unwrap().forget();
        Ok(Vec::new())
    }
}

#[async_trait]
impl RowReader for Engine {
    async fn result(&self, _: &Namespace, _: RunId, _: RunResult, _: u64) -> Result<Box<dyn Rows>, RowsError> {
        unreachable!()
    }

    async fn output(&self, _: &SinkInfo, _: &str, _: u64) -> Result<Box<dyn Rows>, RowsError> {
        unreachable!()
    }

    async fn file(&self, _: &SinkInfo, _: &str) -> Result<FileBytes, RowsError> {
        unreachable!()
    }
}

#[async_trait]
impl SqlChecker for Engine {
    async fn check(
        &self,
        _: &Namespace,
        _: SqlCheckRequest,
        _: String,
        _: &RunSettings,
    ) -> Result<SqlCheck, CheckError> {
        unreachable!()
    }
}

fn door(kit: &Kit, process: &Process, engine: &Engine, options: Options) -> Router {
    let environment = Environment {
        control_plane: process.control_plane.clone(),
        storage: kit.storage.clone(),
        inspector: Arc::new(engine.clone()),
        rows: Arc::new(engine.clone()),
        sql: Arc::new(engine.clone()),
        checks: Vec::new(),
        templates: weir_platform::templates::Templates::in_process(),
        metrics: Arc::new(String::new),
    };
    router(Api::new(options, environment).unwrap())
}

fn engine() -> Engine {
    Engine {
        begun: Arc::new(Semaphore::new(0)),
        go: Arc::new(Semaphore::new(0)),
    }
}

async fn get(door: &Router, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    door.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn an_address_is_held_up_wherever_it_floods() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    let process = kit.process();
    for path in ["/healthz", "/readyz", "/metrics", "/", "/runs/1", "/api/v1/runs"] {
        let options = Options {
            api_key: Some(Digest::of(b"a key")),
            rates: RateOptions {
                source_requests_per_second: 1e-9,
                source_burst: 3.0,
                ..Default::default()
            },
            ..Default::default()
        };
        let door = door(&kit, &process, &engine(), options);
        for _ in 0..3 {
            assert_ne!(get(&door, path).await, StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
        assert_eq!(get(&door, path).await, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
}

#[tokio::test]
async fn a_module_takes_its_room_until_it_is_compiled() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    let (process, engine) = (kit.process(), engine());
    let options = Options {
        open: true,
        concurrent_uploads: 1,
        ..Default::default()
    };
    let door = door(&kit, &process, &engine, options);
    let digest = Digest::of(b"module");
    let key = layout::module_key(&Namespace::default(), &digest);
    kit.storage.put(&key, Bytes::from_static(b"module")).await.unwrap();
    let asking = || {
        let (door, path) = (door.clone(), format!("/api/v1/modules/{digest}"));
        tokio::spawn(async move { get(&door, &path).await })
    };
    let left = asking();
    engine.begun.acquire().await.unwrap().forget();
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled(), "its client is gone");
    let next = asking();
    let begun = tokio::time::timeout(Duration::from_millis(500), engine.begun.acquire()).await;
    assert!(begun.is_err(), "the first one is still compiled");
    engine.go.add_permits(2);
    assert_eq!(next.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn a_change_that_does_not_end_is_cut_off_and_noted() {
    let kit = Kit::with(|_| To::Submitter, |_| Plan::Graph).await;
    let (process, engine) = (kit.process(), engine());
    let options = Options {
        open: true,
        request_timeout_ms: 300,
        ..Default::default()
    };
    let door = door(&kit, &process, &engine, options);
    let request = Request::put(format!("/api/v1/modules/{}", Digest::of(b"module")));
    let request = request.body(Body::from("module")).unwrap();
    // Nobody lets the engine go on.
    let answer = door.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let entry = eventually("its entry", async || {
        let identities = process.control_plane.identities();
        let entries = identities.audit_list(&Default::default(), None, 10).await.unwrap();
        entries.into_iter().find(|entry| entry.action == "modules_put")
    });
    let entry = entry.await;
    assert_eq!((entry.status, entry.detail.as_deref()), (503, Some("timeout")));
}
