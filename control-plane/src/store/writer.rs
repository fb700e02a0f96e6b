//! The writers of a process: they put what all its runs want written into few transactions.
//!
//! A database commits some hundred or thousand times a second, whatever is in a transaction. Committing everything that
//! is waiting at once makes many small runs as cheap as one large one, and a store that is slow makes larger batches.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weir_model::{EventRecord, PipelineRef, RunId, ScheduleRef, Submission, Timestamp};

use super::encoding::{EncodedEvent, encode_events, to_i64, unreadable};
use super::search::{Lines, label, stored};
use super::{Error, Idempotency};

/// Writes that wait at most; more callers wait for room.
const QUEUE: usize = 1_024;

type Result<T> = std::result::Result<T, Error>;

/// A run to be created.
pub(super) struct NewRun {
    pub(super) run: RunId,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) pipeline: Option<PipelineRef>,
    pub(super) schedule: Option<ScheduleRef>,
    pub(super) created_by: Option<String>,
    /// As JSON.
    pub(super) labels: String,
    /// Each label by which the run is found.
    pub(super) found_by: Vec<String>,
    /// What a search looks into.
    pub(super) words: String,
    pub(super) created_at: Timestamp,
    pub(super) events: Vec<EncodedEvent>,
    pub(super) owner: String,
    pub(super) ttl: Duration,
    pub(super) idempotency: Option<Idempotency>,
}

impl NewRun {
    pub(super) fn encode(
        run: RunId,
        submission: &Submission,
        events: &[EventRecord],
        owner: &str,
        ttl: Duration,
        idempotency: Option<&Idempotency>,
    ) -> Result<Self> {
        let metadata = &submission.metadata;
        let lines = Lines {
            name: &submission.name,
            pipeline: metadata.pipeline.as_ref().map(|pipeline| &*pipeline.name),
            schedule: metadata.schedule.as_ref().map(|schedule| &*schedule.name),
            created_by: metadata.created_by.as_deref(),
            labels: &metadata.labels,
        };
        let labels = metadata.labels.iter();
        Ok(Self {
            run,
            namespace: submission.namespace.to_string(),
            name: submission.name.clone(),
            pipeline: metadata.pipeline.clone(),
            schedule: metadata.schedule.clone(),
            created_by: metadata.created_by.clone().map(stored),
            labels: serde_json::to_string(&metadata.labels).map_err(|e| unreadable(run, e))?,
            found_by: labels.map(|(key, value)| label(key, value)).collect(),
            words: lines.searched(),
            created_at: events.first().map_or(Timestamp(0), |event| event.at),
            events: encode_events(events)?,
            owner: owner.to_owned(),
            ttl,
            idempotency: idempotency.cloned(),
        })
    }

    pub(super) fn pipeline_name(&self) -> Option<&str> {
        self.pipeline.as_ref().map(|pipeline| pipeline.name.as_str())
    }

    pub(super) fn pipeline_version(&self) -> Option<i64> {
        self.pipeline.as_ref().map(|pipeline| i64::from(pipeline.version))
    }

    pub(super) fn schedule_name(&self) -> Option<&str> {
        self.schedule.as_ref().map(|schedule| schedule.name.as_str())
    }

    pub(super) fn scheduled_at(&self) -> Option<i64> {
        self.schedule
            .as_ref()
            .and_then(|schedule| schedule.at)
            .map(|at| to_i64(at.0))
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }
}

/// Something that can do several writes in one transaction.
pub(super) trait Backend: Send + 'static {
    /// A write. One that is refused leaves nothing behind, so that it can share a transaction with others.
    type Op: Send + Sync + 'static;
    /// What a write is answered by.
    type Reply: Send + 'static;
    /// Writes in one transaction.
    const BATCH: usize;

    /// Performs writes in one transaction, with an answer for each. An error of the database undoes them all.
    fn perform_all(&mut self, ops: &[Self::Op]) -> impl Future<Output = Result<Vec<Result<Self::Reply>>>> + Send;

    /// Ends in good order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

type Request<B> = (<B as Backend>::Op, oneshot::Sender<Result<<B as Backend>::Reply>>);

/// A task that owns a backend. It ends when this is dropped.
pub(super) struct Writer<B: Backend> {
    requests: mpsc::Sender<Request<B>>,
}

impl<B: Backend> Writer<B> {
    pub(super) fn start(backend: B) -> Self {
        let (requests, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(serve(backend, receiver));
        Self { requests }
    }

    pub(super) async fn submit(&self, op: B::Op) -> Result<B::Reply> {
        let gone = || Error::Unavailable {
            action: "write to the database",
            source: "its writer has ended".into(),
        };
        let (reply, answer) = oneshot::channel();
        self.requests.send((op, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn serve<B: Backend>(mut backend: B, mut requests: mpsc::Receiver<Request<B>>) {
    let mut batch = Vec::with_capacity(B::BATCH);
    while requests.recv_many(&mut batch, B::BATCH).await > 0 {
        let (ops, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        match backend.perform_all(&ops).await {
            Ok(results) => {
                for (result, reply) in results.into_iter().zip(replies) {
                    // Whoever asked may be gone.
                    let _ = reply.send(result);
                }
            }
            // Each alone would find the same.
            Err(Error::Unavailable { action, source }) => {
                let source: std::sync::Arc<dyn std::error::Error + Send + Sync> = source.into();
                for reply in replies {
                    let source = Box::new(source.clone());
                    let _ = reply.send(Err(Error::Unavailable { action, source }));
                }
            }
            Err(_) => {
                // The next try may succeed; or one of several is to blame, and a transaction of its own shows which.
                for (op, reply) in ops.iter().zip(replies) {
                    let alone = backend.perform_all(std::slice::from_ref(op)).await;
                    let missing = || {
                        Err(Error::Database {
                            action: "write",
                            source: "there is no answer".into(),
                        })
                    };
                    let _ = reply.send(alone.and_then(|mut results| results.pop().unwrap_or_else(missing)));
                }
            }
        }
    }
    backend.close().await;
}
