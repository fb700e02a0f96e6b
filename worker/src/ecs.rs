//! Workers as tasks of Amazon ECS, which leaves one alone while it runs tasks of ours: scale-in protection, through the
//! agent of its host.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::worker::Shared;

/// Protection ends by itself after this, should the worker hang.
const EXPIRES_IN_MINUTES: u32 = 30;
/// Protection is asked for again after this.
const RENEW: Duration = Duration::from_secs(10 * 60);
/// How long a worker is idle before it gives protection up. Calls are limited, and the next task may come at once.
const IDLE: Duration = Duration::from_secs(2);
/// The wait after an error; the agent may not know a task that was just started.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Time of one call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What ECS says no to.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// The agent did not answer, or not as it should.
    #[error("the agent of ECS does not answer")]
    Call(#[from] reqwest::Error),
    /// The agent said no.
    #[error("the agent of ECS refuses: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    protection_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_minutes: Option<u32>,
}

#[derive(Deserialize)]
struct Answer {
    protection: Option<Protection>,
    failure: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Protection {
    protection_enabled: bool,
}

/// The ARN of the ECS task that this process runs in. `metadata_uri` is what ECS gives in the variable
/// `ECS_CONTAINER_METADATA_URI_V4`.
pub async fn ecs_task_arn(metadata_uri: &str) -> Result<String, EcsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Task {
        #[serde(rename = "TaskARN")]
        arn: String,
    }
    let url = format!("{}/task", metadata_uri.trim_end_matches('/'));
    let task: Task = client()?.get(url).send().await?.error_for_status()?.json().await?;
    Ok(task.arn)
}

/// Protects the worker while it runs tasks, for as long as it lives.
pub(crate) async fn protect(shared: Arc<Shared>) {
    let Some(agent) = &shared.options.ecs_agent_uri else {
        return;
    };
    let url = format!("{}/task-protection/v1/state", agent.trim_end_matches('/'));
    let client = match client() {
        Ok(client) => client,
        Err(error) => return warn(&error),
    };
    let mut running = shared.status.0.running.watch();
    let mut protected_at: Option<Instant> = None;
    loop {
        let busy = *running.borrow_and_update() > 0;
        let due = match (busy, protected_at) {
            (true, None) => Some(Instant::now()),
            (true, Some(at)) => Some(at + RENEW),
            (false, Some(_)) => Some(Instant::now() + IDLE),
            (false, None) => None,
        };
        let changed = match due {
            Some(due) => timeout_at(due, running.changed()).await.ok(),
            None => Some(running.changed().await),
        };
        match changed {
            Some(Ok(())) => continue,
            Some(Err(_)) => return,
            None => {}
        }
        match put(&client, &url, busy).await {
            Ok(()) => protected_at = busy.then(Instant::now),
            Err(error) => {
                warn(&error);
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn client() -> Result<Client, EcsError> {
    // Clients are not made without, even though the agent speaks plain HTTP.
    weir_platform::aws::install_crypto();
    Ok(Client::builder().timeout(TIMEOUT).no_proxy().build()?)
}

fn warn(error: &EcsError) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "cannot change the protection of this ECS task"
    );
}

async fn put(client: &Client, url: &str, enabled: bool) -> Result<(), EcsError> {
    let state = State {
        protection_enabled: enabled,
        expires_in_minutes: enabled.then_some(EXPIRES_IN_MINUTES),
    };
    let answer = client.put(url).json(&state).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    let answer: Option<Answer> = serde_json::from_str(&text).ok();
    let reason = match answer {
        Some(Answer {
            protection: Some(protection),
            ..
        }) if protection.protection_enabled == enabled => return Ok(()),
        Some(Answer { failure, error, .. }) => failure.or(error).map(|reason| reason.to_string()),
        None => None,
    };
    Err(EcsError::Refused {
        reason: reason.unwrap_or_else(|| status.to_string()),
    })
}
