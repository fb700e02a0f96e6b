//! Reading the history of runs.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_model::history::AttemptPage;
use weir_model::{Event, EventRecord, Namespace, RunId, ShuffleObject, Timestamp, layout};
use weir_platform::Storage;

use super::codec::{decode, decompress};
use super::{Entry, Error, LinePageIndex, PlacedLine, Summary};
use crate::RunResult;
use crate::cache::Cache;
use crate::store::{Listed, RunFilter, RunRow};

/// Bytes of compressed summaries that are kept; in memory they take some times as much.
const SUMMARY_BYTES: usize = 8 << 20;
/// Attempts that are kept, in pages: about 200 bytes each.
const ATTEMPTS: usize = 40 * weir_model::history::ROWS_PER_PAGE;
/// Bytes of pages of events and log lines that are kept.
const LINE_BYTES: usize = 64 << 20;
/// Rows of lists that are kept: below a kilobyte each.
const ENTRIES: usize = 50_000;
/// Objects of results of which it is kept where they lie: about 200 bytes each.
const RESULT_OBJECTS: usize = 100_000;
/// Objects that are read at once for one answer.
const AT_ONCE: usize = 32;
/// Entries that one search looks at.
const SCANNED: usize = 4_000;

/// The histories in a storage. Cheap to clone.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    storage: Storage,
    summaries: Cache<RunId, Arc<Summary>>,
    attempts: Cache<(RunId, usize), Arc<AttemptPage>>,
    lines: Cache<(RunId, Kind, usize), Arc<Vec<u8>>>,
    entries: Cache<RunId, Arc<RunRow>>,
    results: Cache<RunId, Arc<Vec<ShuffleObject>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Events,
    Logs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Logs => "logs",
        }
    }

    fn pages(self, summary: &Summary) -> &[LinePageIndex] {
        match self {
            Self::Events => &summary.events,
            Self::Logs => &summary.logs,
        }
    }
}

impl History {
    /// Those of a storage.
    pub fn new(storage: Storage) -> Self {
        Self(Arc::new(Inner {
            storage,
            summaries: Cache::new(SUMMARY_BYTES),
            attempts: Cache::new(ATTEMPTS),
            lines: Cache::new(LINE_BYTES),
            entries: Cache::new(ENTRIES),
            results: Cache::new(RESULT_OBJECTS),
        }))
    }

    /// What is known of a run; `None` when the namespace has no history of it.
    pub async fn run(&self, namespace: &Namespace, run: RunId) -> Result<Option<Arc<Summary>>, Error> {
        if let Some(summary) = self.0.summaries.get(&run) {
            return Ok(Some(summary).filter(|summary| summary.row.namespace == *namespace));
        }
        let key = layout::history_summary_key(namespace, run);
        let bytes = match self.0.storage.get(&key).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let summary: Arc<Summary> = Arc::new(decode(&key, &bytes)?);
        self.0.summaries.put(run, Arc::clone(&summary), bytes.len());
        Ok(Some(summary))
    }

    /// The namespaces that have histories.
    pub async fn namespaces(&self) -> Result<Vec<Namespace>, Error> {
        let names = self.0.storage.list_folders(layout::HISTORY).await?;
        // Whatever is not named as a namespace is none of ours.
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The namespace of a run, if there is a history of it: looks into every namespace.
    pub async fn namespace_of(&self, run: RunId) -> Result<Option<Namespace>, Error> {
        if let Some(summary) = self.0.summaries.get(&run) {
            return Ok(Some(summary.row.namespace.clone()));
        }
        let looks = self.namespaces().await?.into_iter().map(|namespace| {
            let storage = self.0.storage.clone();
            async move {
                let key = layout::history_summary_key(&namespace, run);
                Ok::<_, Error>(storage.exists(&key).await?.then_some(namespace))
            }
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(found) = looks.try_next().await? {
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Runs of a namespace, the youngest first: at most `limit` that are older than `before`. A search that finds little
    /// ends after some thousand runs, to be gone on with.
    pub async fn list(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Listed, Error> {
        let prefix = layout::history_index_prefix(namespace);
        let mut listed = Listed {
            rows: Vec::new(),
            next: filter.end(before),
        };
        let reach = filter.reach.map_or(SCANNED, |reach| SCANNED.min(reach as usize)).max(1);
        let mut scanned = 0;
        while listed.rows.len() < limit && scanned < reach {
            let asked = limit.max(AT_ONCE).min(reach - scanned);
            let after = listed.next.map(RunId::to_descending);
            let names = self.0.storage.list_names(&prefix, after.as_deref(), asked).await?;
            let found = names.len();
            let runs: Vec<RunId> = names.iter().filter_map(|name| RunId::from_descending(name)).collect();
            let rows = runs.into_iter().map(|run| self.clone().entry(namespace.clone(), run));
            let mut rows = futures::stream::iter(rows).buffered(AT_ONCE);
            let mut rest = found;
            while let Some(row) = rows.try_next().await? {
                rest -= 1;
                scanned += 1;
                // Forgotten between the list and the look.
                let Some(row) = row else { continue };
                if filter.oldest().is_some_and(|oldest| row.run < oldest) {
                    listed.next = None;
                    return Ok(listed);
                }
                listed.next = Some(row.run);
                if filter.matches(&row) {
                    listed.rows.push(RunRow::clone(&row));
                }
                if listed.rows.len() == limit {
                    break;
                }
            }
            if found < asked && rest == 0 {
                listed.next = None;
                break;
            }
        }
        Ok(listed)
    }

    async fn entry(self, namespace: Namespace, run: RunId) -> Result<Option<Arc<RunRow>>, Error> {
        if let Some(row) = self.0.entries.get(&run) {
            return Ok(Some(row));
        }
        let key = layout::history_index_key(&namespace, run);
        let bytes = match self.0.storage.get(&key).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let entry: Entry = decode(&key, &bytes)?;
        let row = Arc::new(entry.row);
        self.0.entries.put(run, Arc::clone(&row), 1);
        Ok(Some(row))
    }

    /// Some pages of a run's attempts, in the order in which they are asked for.
    pub async fn attempts(&self, summary: &Summary, pages: &[usize]) -> Result<Vec<Arc<AttemptPage>>, Error> {
        let run = summary.run();
        let pages: Vec<usize> = pages
            .iter()
            .copied()
            .filter(|page| *page < summary.attempts.len())
            .collect();
        let pages = pages
            .into_iter()
            .map(|page| self.clone().attempt_page(summary.row.namespace.clone(), run, page));
        futures::stream::iter(pages).buffered(AT_ONCE).try_collect().await
    }

    async fn attempt_page(self, namespace: Namespace, run: RunId, page: usize) -> Result<Arc<AttemptPage>, Error> {
        if let Some(page) = self.0.attempts.get(&(run, page)) {
            return Ok(page);
        }
        let key = layout::history_page_key(&namespace, run, "attempts", page);
        let bytes = self.0.storage.get(&key).await?;
        let decoded = blocking(move || {
            let bytes = decompress(&key, &bytes)?;
            AttemptPage::from_bytes(&bytes).map_err(|error| Error::columns(&key, error))
        })
        .await?;
        let decoded = Arc::new(decoded);
        self.0
            .attempts
            .put((run, page), Arc::clone(&decoded), decoded.rows.len());
        Ok(decoded)
    }

    /// Events of a run in order: at most `limit` that come after `after_seq`.
    pub async fn events(&self, summary: &Summary, after_seq: u64, limit: usize) -> Result<Vec<EventRecord>, Error> {
        let mut events = Vec::new();
        for (number, page) in summary.events.iter().enumerate() {
            if page.last_seq <= after_seq || events.len() >= limit {
                continue;
            }
            // Events have no gaps.
            let skipped = (after_seq + 1).saturating_sub(page.first_seq);
            let lines: Vec<EventLine> = self
                .lines(summary, Kind::Events, number, skipped as usize, limit - events.len())
                .await?;
            let run = summary.run();
            events.extend(
                lines
                    .into_iter()
                    .map(|EventLine { seq, at, event }| EventRecord { run, seq, at, event }),
            );
        }
        Ok(events)
    }

    /// Where the rows of a run's result lie; `None` when it has none, or [its history misses it](Summary::misses_result).
    pub async fn result(&self, summary: &Summary) -> Result<Option<RunResult>, Error> {
        let (Some(index), Some(graph)) = (summary.result, &summary.graph) else {
            return Ok(None);
        };
        let run = summary.run();
        let objects = match self.0.results.get(&run) {
            Some(objects) => objects,
            None => {
                let key = layout::history_result_key(&summary.row.namespace, run);
                let bytes = self.0.storage.get(&key).await?;
                let objects = blocking(move || decode::<Vec<ShuffleObject>>(&key, &bytes)).await?;
                let objects = Arc::new(objects);
                self.0.results.put(run, Arc::clone(&objects), index.objects as usize);
                objects
            }
        };
        Ok(Some(RunResult {
            graph: graph.clone(),
            objects: Vec::clone(&objects),
        }))
    }

    /// Log lines of a run in order, from the line of a place that the event `seq` or a later one carries: at most
    /// `limit`.
    pub async fn logs(
        &self,
        summary: &Summary,
        (seq, place): (u64, usize),
        limit: usize,
    ) -> Result<Vec<PlacedLine>, Error> {
        let mut found = Vec::new();
        for (number, page) in summary.logs.iter().enumerate() {
            if page.last_seq < seq || found.len() >= limit {
                continue;
            }
            let lines: Vec<PlacedLine> = self.lines(summary, Kind::Logs, number, 0, usize::MAX).await?;
            let wanted = lines.into_iter().filter(|line| (line.seq, line.place) >= (seq, place));
            let room = limit - found.len();
            found.extend(wanted.take(room));
        }
        Ok(found)
    }

    /// The event that carries the log line of a place, from zero, and the line's place among those of that event.
    pub async fn log_place(&self, summary: &Summary, line: u64) -> Result<Option<(u64, usize)>, Error> {
        let mut before = 0;
        for (number, page) in summary.logs.iter().enumerate() {
            if line < before + page.lines {
                let skip = (line - before) as usize;
                let found: Vec<PlacedLine> = self.lines(summary, Kind::Logs, number, skip, 1).await?;
                return Ok(found.first().map(|line| (line.seq, line.place)));
            }
            before += page.lines;
        }
        Ok(None)
    }

    /// Lines of a page.
    async fn lines<T: DeserializeOwned + Send + 'static>(
        &self,
        summary: &Summary,
        kind: Kind,
        page: usize,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let id = (summary.run(), kind, page);
        let key = layout::history_page_key(&summary.row.namespace, summary.run(), kind.name(), page);
        let text = match self.0.lines.get(&id) {
            Some(text) => text,
            None => {
                let bytes = self.0.storage.get(&key).await?;
                let read_from = key.clone();
                let text = Arc::new(blocking(move || decompress(&read_from, &bytes)).await?);
                self.0.lines.put(id, Arc::clone(&text), text.len());
                text
            }
        };
        let expected = kind.pages(summary).get(page).map_or(0, |page| page.bytes);
        if text.len() as u64 != expected {
            return Err(Error::unreadable(
                &key,
                format!("{} bytes instead of {expected}", text.len()),
            ));
        }
        blocking(move || {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines
                .skip(skip)
                .take(limit)
                .map(|line| serde_json::from_slice(line).map_err(|error| Error::unreadable(&key, error)))
                .collect()
        })
        .await
    }
}

/// An event as it is written.
#[derive(Deserialize)]
struct EventLine {
    seq: u64,
    at: Timestamp,
    event: Event,
}

/// Does what takes a while away from what must go on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Panicked)?
}
