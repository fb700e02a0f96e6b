//! Looks at what is followed, once for all streams of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_model::{Namespace, RunId};

use super::super::follow::Follower;
use super::super::resources::{ListedRun, Worker};
use super::super::{Api, Problem};
use super::frame::{Frame, Row};
use super::topic::Topic;
use crate::store::{Change, RunFilter};

/// Runs of a list that are followed: the latest.
const RUNS: u32 = 200;
/// Workers that are followed.
const WORKERS: u32 = 1_000;
/// The shortest time between two looks at a run.
const RUN_PAUSE: Duration = Duration::from_millis(250);
/// The shortest time between two looks at a list, and the longest: what moves counts is not told by the store.
const LIST_PAUSE: Duration = Duration::from_millis(400);
const LIST_LOOK: Duration = Duration::from_secs(1);
/// How often workers are looked at: they say how they are every few seconds.
const WORKERS_LOOK: Duration = Duration::from_secs(2);
/// How long a run is waited for before it is looked at nevertheless.
const RUN_LOOK: Duration = Duration::from_secs(10);
/// The wait after a look that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// The latest state of a topic; `None` until the first look.
pub(super) type Latest = watch::Receiver<Option<Arc<Frame>>>;
type Told = Arc<watch::Sender<Option<Arc<Frame>>>>;

/// What is followed at the moment.
#[derive(Clone, Default)]
pub(in super::super) struct Feeds(Arc<Mutex<HashMap<Topic, Told>>>);

impl Feeds {
    /// Follows a topic; looking at it ends when nobody does. A receiver is closed when the server shuts down.
    pub(super) fn follow(&self, api: &Api, topic: &Topic) -> Latest {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = feeds.get(topic) {
            return told.subscribe();
        }
        let (told, latest) = watch::channel(None);
        let told = Arc::new(told);
        feeds.insert(topic.clone(), Arc::clone(&told));
        let feed = Feed {
            feeds: self.clone(),
            topic: topic.clone(),
            told,
        };
        tokio::spawn(feed.run(api.clone()));
        latest
    }
}

/// One topic that is looked at.
struct Feed {
    feeds: Feeds,
    topic: Topic,
    told: Told,
}

impl Feed {
    async fn run(self, api: Api) {
        let looking = async {
            match &self.topic {
                Topic::Runs(namespace) => self.runs(&api, namespace).await,
                Topic::Run(run) => self.one_run(&api, *run).await,
                Topic::Workers => self.workers(&api).await,
            }
        };
        tokio::select! {
            () = looking => {}
            () = api.closing() => {}
            () = self.abandoned() => {}
        }
    }

    /// Until nobody follows the topic any more. Whoever follows it from then on begins anew.
    async fn abandoned(&self) {
        loop {
            self.told.closed().await;
            let mut feeds = self.feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
            if self.told.receiver_count() == 0 {
                self.forget(&mut feeds);
                return;
            }
        }
    }

    fn forget(&self, feeds: &mut HashMap<Topic, Told>) {
        if feeds.get(&self.topic).is_some_and(|told| Arc::ptr_eq(told, &self.told)) {
            feeds.remove(&self.topic);
        }
    }

    fn tell(&self, frame: Frame) {
        self.told.send_if_modified(|latest| {
            let differs = latest.as_ref().is_none_or(|latest| latest.version != frame.version);
            if differs {
                *latest = Some(Arc::new(frame));
            }
            differs
        });
    }

    async fn one_run(&self, api: &Api, run: RunId) {
        let mut follower = None;
        loop {
            match self.look_at_run(api, run, &mut follower).await {
                Ok(frame) => {
                    let over = frame.end().is_some();
                    self.tell(frame);
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

    async fn look_at_run(&self, api: &Api, run: RunId, follower: &mut Option<Follower>) -> Result<Frame, Problem> {
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

    async fn runs(&self, api: &Api, namespace: &Namespace) {
        let filter = RunFilter {
            namespace: Some(namespace.clone()),
            ..RunFilter::default()
        };
        let mut changes = api.control_plane().changes();
        loop {
            match api.control_plane().run_list(&filter, None, RUNS).await {
                Ok(rows) => {
                    let rows = rows.iter().map(ListedRun::from);
                    self.tell(Frame::rows(rows.map(|run| row(run.id.to_string(), &run)).collect()));
                }
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

    async fn workers(&self, api: &Api) {
        loop {
            match api.control_plane().workers(WORKERS).await {
                Ok(rows) => {
                    let mut rows: Vec<Row> = rows
                        .iter()
                        .map(|found| row(found.worker.to_string(), &Worker::from(found)))
                        .collect();
                    rows.sort_by(|a, b| a.id.cmp(&b.id));
                    self.tell(Frame::rows(rows));
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot list the workers");
                }
            }
            tokio::time::sleep(WORKERS_LOOK).await;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut feeds = self.feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut feeds);
    }
}

fn row(id: String, resource: &impl serde::Serialize) -> Row {
    Row {
        id,
        value: Arc::new(serde_json::to_value(resource).unwrap_or(Value::Null)),
    }
}
