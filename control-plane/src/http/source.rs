//! Where a run is read from: its log while it is not over, the history in storage from then on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use weir_model::{AttemptTable, EventRecord, Profiler, RunId, RunProfile, TaskTable};

use super::extract::RunPath;
use super::tasks::LiveOrders;
use super::{Api, Problem};
use crate::history::{Summary, lines};

/// Runs whose folded logs are kept, so that a look costs the events since the last one.
const KEPT: usize = 16;

/// Where a run is read from.
#[derive(Clone)]
pub(super) enum Source {
    /// Its log, whoever drives it.
    Log(RunId),
    /// What was written of it when it was over.
    History(Arc<Summary>),
}

/// The run that the path names, and where it is read from; it is one of the caller's namespace.
pub(super) struct RunSource(pub(super) Source);

impl FromRequestParts<Api> for RunSource {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RunPath(run) = RunPath::from_request_parts(parts, api).await?;
        Ok(Self(Source::of(api, run).await?))
    }
}

impl Source {
    /// Where a run is read from that the caller may see.
    pub(super) async fn of(api: &Api, run: RunId) -> Result<Self, Problem> {
        let absent = || Problem::run_not_found(&run.to_string());
        if api.options().read_only {
            let namespace = api.namespaces().of(api, run).await?.ok_or_else(absent)?;
            let summary = api.history().run(&namespace, run).await?;
            return summary.map(Self::History).ok_or_else(absent);
        }
        let row = api.control_plane().run_get(run).await?.ok_or_else(absent)?;
        if !row.cleaned {
            return Ok(Self::Log(run));
        }
        // One that was over before histories were written has its log only.
        let summary = api.history().run(&row.namespace, run).await?;
        Ok(summary.map_or(Self::Log(run), Self::History))
    }

    /// The run.
    pub(super) fn run(&self) -> RunId {
        match self {
            Self::Log(run) => *run,
            Self::History(summary) => summary.run(),
        }
    }

    /// Events in order: at most `limit` that come after a place.
    pub(super) async fn events(&self, api: &Api, after: u64, limit: u32) -> Result<Vec<EventRecord>, Problem> {
        Ok(match self {
            Self::Log(run) => api.control_plane().run_events(*run, after, limit).await?,
            Self::History(summary) => api.history().events(summary, after, limit as usize).await?,
        })
    }

    /// Where the time, the rows and the memory of the run went so far.
    pub(super) async fn profile(&self, api: &Api) -> Result<RunProfile, Problem> {
        match self {
            Self::History(summary) => Ok(summary.profile.clone()),
            Self::Log(run) => {
                let fold = api.log_folds().of(*run);
                let mut fold = fold.lock().await;
                fold.catch_up(api, *run).await?;
                Ok(fold.profiler.profile())
            }
        }
    }
}

/// The logs of the runs that were looked at last, folded.
#[derive(Default)]
pub(super) struct LogFolds(Mutex<VecDeque<(RunId, Arc<tokio::sync::Mutex<LogFold>>)>>);

/// What a log says of attempts so far.
#[derive(Default)]
pub(super) struct LogFold {
    pub(super) table: AttemptTable,
    pub(super) tasks: TaskTable,
    pub(super) orders: LiveOrders,
    pub(super) lines: LineIndex,
    profiler: Profiler,
}

/// Where log lines are.
#[derive(Default)]
pub(super) struct LineIndex {
    /// Of each event that carries lines, how many come before its own, and its place.
    events: Vec<(u64, u64)>,
    total: u64,
}

impl LineIndex {
    fn add(&mut self, seq: u64, lines: u64) {
        if lines > 0 {
            self.events.push((self.total, seq));
            self.total += lines;
        }
    }

    /// The event that carries a line, and the place of the line in there.
    pub(super) fn place(&self, line: u64) -> Option<(u64, usize)> {
        let after = self.events.partition_point(|(before, _)| *before <= line);
        let (before, seq) = *self.events[..after].last().filter(|_| line < self.total)?;
        Some((seq, usize::try_from(line - before).ok()?))
    }
}

impl LogFolds {
    /// That of a run, which may lag behind.
    pub(super) fn of(&self, run: RunId) -> Arc<tokio::sync::Mutex<LogFold>> {
        // A panic cannot leave the list between two states.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| *known == run);
        let entry = known.and_then(|at| kept.remove(at)).unwrap_or((run, Arc::default()));
        let fold = Arc::clone(&entry.1);
        kept.push_back(entry);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        fold
    }
}

impl LogFold {
    /// Folds in what has happened since the last look.
    pub(super) async fn catch_up(&mut self, api: &Api, run: RunId) -> Result<(), Problem> {
        loop {
            let after = self.table.last_seq();
            let page = api.control_plane().run_events_page(run, after).await?;
            for record in &page.records {
                self.table.apply(record);
                self.tasks.apply(record, self.table.rows());
                self.profiler.apply(record);
                self.lines.add(record.seq, lines(&record.event).count() as u64);
            }
            if page.complete {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_place() {
        let mut index = LineIndex::default();
        assert_eq!(index.place(0), None);
        for (seq, lines) in [(1, 0), (4, 2), (5, 0), (9, 1), (10, 3)] {
            index.add(seq, lines);
        }
        let found: Vec<_> = (0..7).map(|line| index.place(line)).collect();
        let places = [(4, 0), (4, 1), (9, 0), (10, 0), (10, 1), (10, 2)].map(Some);
        assert_eq!(found[..6], places);
        assert_eq!(found[6], None);
    }
}
