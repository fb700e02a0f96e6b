//! How each topic is looked at, and how often: while somebody follows it, and at a bounded rate however much changes.

use std::time::Duration;

use tokio::time::Instant;
use weir_model::{Namespace, RunId};

use super::super::follow::Follower;
use super::super::resources::{ListedRun, Worker};
use super::super::{Api, Problem, quotas, workers};
use super::frame::{Frame, Row};
use super::topic::Topic;
use crate::store::{AuditFilter, Change, RunFilter, Subject};

/// Runs of a list that are followed: the latest.
const RUNS: u32 = 200;
/// Workers that are followed.
const WORKERS: u32 = 1_000;
/// The shortest time between two looks at a run.
const RUN_PAUSE: Duration = Duration::from_millis(250);
/// The shortest time between two looks at a list, and the longest: what moves counts is not told by the store.
const LIST_PAUSE: Duration = Duration::from_millis(400);
const LIST_LOOK: Duration = Duration::from_secs(1);
/// How often the list of a storage is read, of which nothing tells when it changes.
const HISTORY_LOOK: Duration = Duration::from_secs(10);
/// How often the version of something is asked for, which takes one row.
const VERSION_LOOK: Duration = Duration::from_secs(1);
/// How often totals are counted, and workers looked at: they say how they are every few seconds.
const TOTALS_LOOK: Duration = Duration::from_secs(2);
/// How long a run is waited for before it is looked at nevertheless.
const RUN_LOOK: Duration = Duration::from_secs(10);
/// The wait after a look that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes what a look found.
pub(super) type Tell<'a> = &'a (dyn Fn(Frame) + Send + Sync);

/// Looks at a topic, again and again.
pub(super) async fn look(api: &Api, topic: &Topic, tell: Tell<'_>) {
    match topic {
        Topic::Run(id) => run(api, *id, tell).await,
        Topic::Runs(namespace) if !api.options().read_only => runs(api, namespace, tell).await,
        _ => loop {
            match present(api, topic).await {
                Ok(frame) => tell(frame),
                Err(problem) => tracing::debug!(%topic, code = %problem.code, "cannot look at what is followed"),
            }
            tokio::time::sleep(pause(topic)).await;
        },
    }
}

/// The time between two looks at what the store tells nothing of.
fn pause(topic: &Topic) -> Duration {
    match topic {
        Topic::Run(_) => RUN_PAUSE,
        Topic::Runs(_) => HISTORY_LOOK,
        Topic::Workers(_) | Topic::Scaling | Topic::Quota(_) => TOTALS_LOOK,
        Topic::Pipelines(_)
        | Topic::Schedules(_)
        | Topic::Modules(_)
        | Topic::Keys(_)
        | Topic::Namespaces
        | Topic::Audit(_) => VERSION_LOOK,
    }
}

/// A topic as it is now.
async fn present(api: &Api, topic: &Topic) -> Result<Frame, Problem> {
    match topic {
        Topic::Run(run) => look_at_run(api, *run, &mut None).await,
        Topic::Runs(namespace) => stored_runs(api, namespace).await,
        Topic::Workers(namespace) => worker_rows(api, namespace).await,
        Topic::Scaling => Ok(Frame::resource(&workers::look_at_scaling(api).await?)),
        Topic::Quota(namespace) => Ok(Frame::resource(&quotas::look(api, namespace).await?)),
        Topic::Pipelines(namespace) => revision(api, Some(namespace), Subject::Pipelines).await,
        Topic::Schedules(namespace) => revision(api, Some(namespace), Subject::Schedules).await,
        Topic::Modules(namespace) => revision(api, Some(namespace), Subject::Modules).await,
        Topic::Keys(namespace) => revision(api, namespace.as_ref(), Subject::Keys).await,
        Topic::Namespaces => revision(api, None, Subject::Namespaces).await,
        Topic::Audit(namespace) => latest_entry(api, namespace.clone()).await,
    }
}

/// What is counted when it changes.
async fn revision(api: &Api, namespace: Option<&Namespace>, subject: Subject) -> Result<Frame, Problem> {
    let revisions = api.control_plane().revisions();
    Ok(Frame::announced(revisions.revision(namespace, subject).await?))
}

/// The audit log only grows: its latest entry is its version.
async fn latest_entry(api: &Api, namespace: Option<Namespace>) -> Result<Frame, Problem> {
    let filter = AuditFilter {
        namespace,
        ..AuditFilter::default()
    };
    let latest = api.control_plane().identities().audit_list(&filter, None, 1).await?;
    let latest = latest.first().map(|entry| entry.id.to_string());
    Ok(Frame::announced(latest.as_deref().unwrap_or("none")))
}

async fn worker_rows(api: &Api, namespace: &Namespace) -> Result<Frame, Problem> {
    let found = api.control_plane().workers(WORKERS).await?;
    let mut rows: Vec<Row> = found
        .iter()
        .map(|found| Row::new(found.worker.to_string(), &Worker::new(found, namespace)))
        .collect();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Frame::rows(rows))
}

async fn run(api: &Api, run: RunId, tell: Tell<'_>) {
    let mut follower = None;
    loop {
        match look_at_run(api, run, &mut follower).await {
            Ok(frame) => {
                let over = frame.end().is_some();
                tell(frame);
                if over {
                    // Until nobody wants to know it.
                    std::future::pending::<()>().await;
                }
            }
            Err(problem) => {
                tracing::debug!(%run, code = %problem.code, "cannot look at a run that is followed");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        }
        tokio::time::sleep(RUN_PAUSE).await;
        if let Some(follower) = &mut follower {
            follower.changed(api, Instant::now() + RUN_LOOK).await;
        }
    }
}

async fn look_at_run(api: &Api, run: RunId, follower: &mut Option<Follower>) -> Result<Frame, Problem> {
    let looked = async {
        let follower = match follower {
            Some(follower) => follower,
            None => follower.insert(Follower::open(api, run).await?),
        };
        follower.present(api).await
    };
    match looked.await {
        Ok(present) => Ok(Frame::run(&present)),
        Err(problem) if problem.status == 404 => Ok(Frame::deleted()),
        Err(problem) => Err(problem),
    }
}

fn latest(namespace: &Namespace) -> RunFilter {
    RunFilter {
        namespace: Some(namespace.clone()),
        ..RunFilter::default()
    }
}

fn run_rows<'a>(rows: impl Iterator<Item = &'a crate::store::RunRow>) -> Frame {
    let rows = rows.map(ListedRun::from);
    Frame::rows(rows.map(|run| Row::new(run.id.to_string(), &run)).collect())
}

async fn stored_runs(api: &Api, namespace: &Namespace) -> Result<Frame, Problem> {
    let listed = api
        .history()
        .list(namespace, &latest(namespace), None, RUNS as usize)
        .await?;
    Ok(run_rows(listed.rows.iter()))
}

async fn runs(api: &Api, namespace: &Namespace, tell: Tell<'_>) {
    let filter = latest(namespace);
    let mut changes = api.control_plane().changes();
    loop {
        match api.control_plane().run_list(&filter, None, RUNS).await {
            Ok(listed) => tell(run_rows(listed.rows.iter())),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot list the runs that are followed"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
        let look = Instant::now() + LIST_LOOK;
        tokio::time::sleep(LIST_PAUSE).await;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Change::Reports { .. } => {}
                    Change::Run(_) | Change::Cancel(_) | Change::Pause(_) | Change::Anything => break,
                },
                () = tokio::time::sleep_until(look) => break,
            }
        }
    }
}
