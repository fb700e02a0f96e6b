//! A worker as others see it: control planes, load balancers, Amazon ECS.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use weir_model::TaskOutput;
use weir_worker::{WorkerOptions, health};

use crate::kit::{Kit, message};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_worker_says_that_it_starts_lives_drains_and_ends() {
    let kit = Kit::new(|_, _| async {
        tokio::time::sleep(Duration::from_secs(35)).await;
        Ok(TaskOutput::default())
    });
    let worker = kit.start(WorkerOptions {
        slots: 3,
        drain_ms: 60_000,
        host: Some("somewhere".into()),
        ..WorkerOptions::default()
    });
    let first = kit.heartbeats(1).await.remove(0);
    assert_eq!((first.worker, first.slots, first.running), (worker.id, 3, 0));
    assert_eq!(
        (first.draining, first.ended, first.host.as_str()),
        (false, false, "somewhere")
    );
    kit.send(&[message(1), message(2)]).await;
    let [second, third] = kit.heartbeats(2).await.try_into().unwrap();
    assert_eq!((second.running, third.running), (2, 2));
    worker.shutdown().await;
    let [drains, lives, ends] = kit.heartbeats(3).await.try_into().unwrap();
    assert_eq!((drains.running, drains.draining, drains.ended), (2, true, false));
    assert_eq!(
        (lives.draining, lives.ended),
        (true, false),
        "it lives until its tasks are done"
    );
    assert_eq!((ends.running, ends.draining, ends.ended), (0, true, true));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_nobody_counts_says_nothing() {
    let kit = Kit::new(|_, _| async { Ok(TaskOutput::default()) });
    let worker = kit.start(WorkerOptions {
        presence_ms: 0,
        ..WorkerOptions::default()
    });
    kit.send(&[message(1)]).await;
    kit.reports(2).await;
    worker.shutdown().await;
    assert!(kit.is_silent().await);
}

/// Serves on a free port.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn client() -> reqwest::Client {
    weir_platform::aws::install_crypto();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

#[tokio::test]
async fn a_worker_is_ready_until_it_drains_and_healthy_all_the_time() {
    let kit = Kit::new(|_, _| async { Ok(TaskOutput::default()) });
    let worker = kit.start(WorkerOptions::default());
    let address = serve(health::router(worker.status.clone())).await;
    let client = client();
    let ask = async |path: &str| {
        let answer = client.get(format!("{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask("/healthz").await.0, 200);
    let (code, body) = ask("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let parts = body["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap());
    assert_eq!(
        parts.collect::<Vec<_>>(),
        ["worker", "task_queue", "report_queue", "storage"]
    );
    assert_eq!((code, &body["ready"]), (200, &json!(true)), "{body}");
    kit.send(&[message(1)]).await;
    kit.reports(2).await;
    let (code, metrics) = ask("/metrics").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("weir_task_duration_seconds_count"), "{metrics}");
    worker.shutdown().await;
    let (code, body) = ask("/readyz").await;
    assert!(code == 503 && body.contains("it is shutting down"), "{code} {body}");
    assert_eq!(ask("/healthz").await.0, 200);
}

/// An agent of ECS that tells what it is asked.
async fn agent() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (asked, questions) = mpsc::unbounded_channel();
    let handle = async |State(asked): State<mpsc::UnboundedSender<Value>>, Json(body): Json<Value>| {
        let enabled = body["ProtectionEnabled"].clone();
        asked.send(body).unwrap();
        Json(json!({"protection": {"ProtectionEnabled": enabled, "TaskArn": "arn", "ExpirationDate": "later"}}))
    };
    let task = async || Json(json!({"TaskARN": "arn:aws:ecs:eu-central-1:123456789012:task/weir/1", "Family": "weir"}));
    let router = Router::new()
        .route("/api/task-protection/v1/state", put(handle))
        .route("/v4/task", get(task))
        .with_state(asked);
    (serve(router).await, questions)
}

#[tokio::test]
async fn ecs_protects_a_worker_while_it_runs_tasks() {
    let (agent, mut asked) = agent().await;
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let kit = Kit::new(move |_, _| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok(TaskOutput::default())
        }
    });
    let _worker = kit.start(WorkerOptions {
        ecs_agent_uri: Some(format!("{agent}/api")),
        ..WorkerOptions::default()
    });
    let mut next = async || tokio::time::timeout(PATIENCE, asked.recv()).await.unwrap().unwrap();
    for _ in 0..2 {
        kit.send(&[message(1)]).await;
        let on = next().await;
        assert_eq!(on["ProtectionEnabled"], true);
        assert!(
            on["ExpiresInMinutes"].as_u64().is_some_and(|minutes| minutes >= 15),
            "{on}"
        );
        go.notify_one();
        assert_eq!(next().await, json!({"ProtectionEnabled": false}));
    }
}

#[tokio::test]
async fn ecs_says_which_task_this_is() {
    let (agent, _) = agent().await;
    let arn = weir_worker::ecs_task_arn(&format!("{agent}/v4")).await.unwrap();
    assert_eq!(arn, "arn:aws:ecs:eu-central-1:123456789012:task/weir/1");
    weir_worker::ecs_task_arn(&format!("{agent}/v3")).await.unwrap_err();
}
