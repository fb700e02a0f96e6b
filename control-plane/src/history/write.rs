//! Writing the history of a run that is over.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use weir_model::history::{AttemptPage, AttemptPageIndex};
use weir_model::machine::RunState;
use weir_model::{
    AttemptTable, Event, EventRecord, LogLine, Profiler, RunProfile, RunSnapshot, ShuffleObject, StageGraph,
    StorageRequests, Submission, TaskId, Timestamp, layout,
};
use weir_platform::Storage;

use super::codec::{Lines, compress, encode};
use super::{Entry, Error, LinePageIndex, PlacedLine, ResultIndex, Summary, VERSION};
use crate::RunResult;
use crate::replay::PAGE_BYTES;
use crate::store::{EventPage, RunRow, RunSummary, Store};

/// Objects that are written at once.
const AT_ONCE: usize = 4;

/// The end of a run, as its driver knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its state.
    pub snapshot: RunSnapshot,
    /// What was to run.
    pub submission: Submission,
    /// Its stages, if they were planned.
    pub graph: Option<StageGraph>,
    /// The objects of its result, if it has one, in task order.
    pub result: Option<Vec<ShuffleObject>>,
    /// Requests that its clean-up takes. As the rest, it follows from the log: history and clean-up come after the end, so
    /// that nobody could note what they took.
    pub clean_up: StorageRequests,
}

impl Ended {
    /// What the state of a run says that is over; `None` when it was never submitted.
    pub fn of(state: &RunState) -> Option<Self> {
        Some(Self {
            snapshot: state.snapshot(),
            submission: state.submission()?.clone(),
            graph: state.graph().cloned(),
            result: RunResult::of(state).map(|result| result.objects),
            clean_up: StorageRequests::default(),
        })
    }
}

/// Writes the history of a run that is over, from its log. To be repeated until it succeeds; it may be written by several
/// at once, who write the same.
///
/// Memory: a page of events, one of log lines, and a row per attempt.
///
/// # Errors
/// When the store or the storage fails.
pub async fn write(store: &dyn Store, storage: &Storage, ended: Ended) -> Result<(), Error> {
    let run = ended.snapshot.run;
    let Some(mut row) = store.run_get(run).await? else {
        // It was forgotten meanwhile.
        return Ok(());
    };
    let namespace = row.namespace.clone();
    let page_key = |kind, page| layout::history_page_key(&namespace, run, kind, page);
    let mut folding = Box::new(Folding::default());
    let mut after = 0;
    loop {
        let EventPage { records, complete } = store.run_events_page(run, after, PAGE_BYTES).await?;
        after = records.last().map_or(after, |record| record.seq);
        folding = blocking(move || {
            records.iter().for_each(|record| folding.add(record));
            folding
        })
        .await?;
        put_all(
            storage,
            folding
                .full
                .drain(..)
                .map(|page| (page_key(page.kind, page.number), page.bytes)),
        )
        .await?;
        if complete {
            break;
        }
    }
    let mut folded = blocking(move || folding.finish()).await?;
    let pages = folded.full.drain(..);
    put_all(
        storage,
        pages.map(|page| (page_key(page.kind, page.number), page.bytes)),
    )
    .await?;
    let result = ended.result.as_deref().map(ResultIndex::of);
    if let Some(objects) = ended.result {
        let bytes = blocking(move || encode(&objects)).await?;
        storage
            .put(&layout::history_result_key(&namespace, run), bytes.into())
            .await?;
    }
    row = cleaned(row, &ended.snapshot);
    let entry = Entry {
        version: VERSION,
        row: row.clone(),
    };
    let mut snapshot = ended.snapshot;
    snapshot.logs = Vec::new();
    if storage.bucket().is_some() {
        let pages = folded.attempts.len() + folded.events.len() + folded.logs.len();
        // The summary, the entry, and the result where there is one.
        let others = 2 + u64::from(result.is_some());
        let mut after_end = ended.clean_up;
        after_end.put = after_end.put.saturating_add(pages as u64 + others);
        for usage in [&mut snapshot.usage, &mut folded.profile.usage] {
            usage.control_storage_requests.add(&after_end);
        }
    }
    let summary = Summary {
        version: VERSION,
        row,
        snapshot,
        submission: ended.submission,
        graph: ended.graph,
        profile: folded.profile,
        attempts: folded.attempts,
        events: folded.events,
        logs: folded.logs,
        result,
    };
    let bytes = blocking(move || encode(&summary)).await?;
    storage
        .put(&layout::history_summary_key(&namespace, run), bytes.into())
        .await?;
    storage
        .put(&layout::history_index_key(&namespace, run), encode(&entry).into())
        .await?;
    Ok(())
}

/// The row of a run as it is when all is done for it.
fn cleaned(row: RunRow, snapshot: &RunSnapshot) -> RunRow {
    RunRow {
        summary: RunSummary::of(snapshot),
        cleaned: true,
        owner: None,
        owned_until: Timestamp::default(),
        ..row
    }
}

/// Does what takes a while away from what must go on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Panicked)
}

async fn put_all(storage: &Storage, objects: impl Iterator<Item = (String, Vec<u8>)>) -> Result<(), Error> {
    let puts = objects.map(|(key, bytes)| {
        let storage = storage.clone();
        async move { Ok(storage.put(&key, Bytes::from(bytes)).await?) }
    });
    let puts: Vec<_> = puts.collect();
    futures::stream::iter(puts)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// A page that is to be written.
struct Page {
    kind: &'static str,
    number: usize,
    bytes: Vec<u8>,
}

/// What the log has given so far.
struct Folding {
    table: AttemptTable,
    profiler: Profiler,
    events: Lines,
    logs: Lines,
    full: VecDeque<Page>,
    event_pages: Vec<LinePageIndex>,
    log_pages: Vec<LinePageIndex>,
}

/// What the whole log gave.
struct Folded {
    profile: RunProfile,
    full: VecDeque<Page>,
    attempts: Vec<AttemptPageIndex>,
    events: Vec<LinePageIndex>,
    logs: Vec<LinePageIndex>,
}

impl Default for Folding {
    fn default() -> Self {
        Self {
            table: AttemptTable::default(),
            profiler: Profiler::default(),
            events: Lines::new(),
            logs: Lines::new(),
            full: VecDeque::new(),
            event_pages: Vec::new(),
            log_pages: Vec::new(),
        }
    }
}

/// An event as it is written: the run is known.
#[derive(Serialize)]
struct EventLine<'a> {
    seq: u64,
    at: Timestamp,
    event: &'a Event,
}

impl Folding {
    fn add(&mut self, record: &EventRecord) {
        self.table.apply(record);
        self.profiler.apply(record);
        self.events.add(
            record.seq,
            &EventLine {
                seq: record.seq,
                at: record.at,
                event: &record.event,
            },
        );
        if self.events.is_full() {
            self.end_events();
        }
        for (place, (task, attempt, line)) in lines(&record.event).enumerate() {
            let line = PlacedLine {
                seq: record.seq,
                place,
                at: record.at,
                task,
                attempt,
                line: line.clone(),
            };
            self.logs.add(record.seq, &line);
            if self.logs.is_full() {
                self.end_logs();
            }
        }
    }

    fn end_events(&mut self) {
        let (index, bytes) = std::mem::replace(&mut self.events, Lines::new()).finish();
        let number = self.event_pages.len();
        self.event_pages.push(index);
        self.full.push_back(Page {
            kind: "events",
            number,
            bytes,
        });
    }

    fn end_logs(&mut self) {
        let (index, bytes) = std::mem::replace(&mut self.logs, Lines::new()).finish();
        let number = self.log_pages.len();
        self.log_pages.push(index);
        self.full.push_back(Page {
            kind: "logs",
            number,
            bytes,
        });
    }

    fn finish(mut self: Box<Self>) -> Folded {
        if !self.events.is_empty() {
            self.end_events();
        }
        if !self.logs.is_empty() {
            self.end_logs();
        }
        let mut attempts = Vec::new();
        for (number, page) in AttemptPage::all(self.table.rows()).enumerate() {
            attempts.push(page.index());
            self.full.push_back(Page {
                kind: "attempts",
                number,
                bytes: compress(&page.to_bytes()),
            });
        }
        Folded {
            profile: self.profiler.profile(),
            full: self.full,
            attempts,
            events: self.event_pages,
            logs: self.log_pages,
        }
    }
}

/// The log lines that an event carries, with their task and attempt.
pub(crate) fn lines(event: &Event) -> impl Iterator<Item = (TaskId, u32, &LogLine)> {
    let carried = match event {
        Event::TaskAccepted {
            task, attempt, output, ..
        } => Some((*task, *attempt, &output.metrics.logs)),
        Event::AttemptFailed {
            task, attempt, metrics, ..
        } => Some((*task, *attempt, &metrics.logs)),
        _ => None,
    };
    let lines = carried.into_iter();
    lines.flat_map(|(task, attempt, lines)| lines.iter().map(move |line| (task, attempt, line)))
}
