//! Runs of this machine's data folder: those that are over as their histories tell them, the others as their logs do.

use std::sync::Arc;

use weir_control_plane::export::{self, Export};
use weir_control_plane::history::{History, Summary};
use weir_control_plane::http::resources::{Event, FindingList, ListedRun, LogEntry, Run, StageProfile};
use weir_control_plane::store::{RunFilter, RunRow, Store};
use weir_model::findings::findings;
use weir_model::machine::{self, RunState};
use weir_model::{AttemptTable, EventRecord, PriceTable, RunId, RunProfile, StageGraph};
use weir_platform::Storage;

use crate::args::{DataArgs, PriceArgs};
use crate::embedded::DataFolder;
use crate::error::Error;
use crate::service::prices;

/// Events read at once.
const EVENTS: u32 = 1_000;
/// Log lines read at once.
const LINES: usize = 1_000;

/// The runs of a data folder.
#[derive(Clone)]
pub(crate) struct Here {
    store: Arc<dyn Store>,
    history: History,
    prices: PriceTable,
}

/// A run with what is known of it.
pub(crate) struct Shown {
    /// As the API shows it.
    pub(crate) run: Run,
    /// Where its time, its rows and its memory went.
    pub(crate) profile: RunProfile,
    /// Its stages, if they were planned.
    pub(crate) graph: Option<StageGraph>,
    /// What was written of it, when it is over.
    summary: Option<Arc<Summary>>,
}

impl Shown {
    /// What is worth a look in the run.
    pub(crate) fn diagnose(&self) -> FindingList {
        let over = self.profile.phases.total_ms.is_some();
        FindingList::new(self.run.id, over, findings(&self.profile))
    }
}

impl Here {
    /// The runs of the folder that the arguments choose.
    pub(crate) async fn open(data: &DataArgs, prices: &PriceArgs) -> Result<Self, Error> {
        let prices = prices::read(prices)?;
        let folder = DataFolder::open(data)?;
        let storage = folder.storage()?;
        Ok(Self::new(Arc::new(folder.store().await?), storage, prices))
    }

    /// The runs of a store with its storage.
    pub(crate) fn new(store: Arc<dyn Store>, storage: Storage, prices: PriceTable) -> Self {
        Self {
            store,
            history: History::new(storage),
            prices,
        }
    }

    /// Where runs are noted.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Runs, the youngest first.
    pub(crate) async fn list(&self, filter: &RunFilter, limit: u32) -> Result<Vec<ListedRun>, Error> {
        let (mut runs, mut before) = (Vec::new(), None);
        loop {
            let left = limit.saturating_sub(runs.len() as u32);
            let listed = self.store.run_list(filter, before, left).await;
            let listed = listed.map_err(Error::platform("list the runs"))?;
            runs.extend(listed.rows.iter().map(ListedRun::from));
            before = listed.next;
            if before.is_none() || runs.len() as u32 >= limit {
                return Ok(runs);
            }
        }
    }

    /// What is noted of a run.
    pub(crate) async fn row(&self, run: RunId) -> Result<RunRow, Error> {
        let row = self.store.run_get(run).await.map_err(Error::platform("read the run"))?;
        row.ok_or_else(|| {
            Error::NotFound(format!(
                "no run {run} in this data folder; `weir runs list` shows those that are"
            ))
        })
    }

    /// A run as it is now.
    pub(crate) async fn run(&self, run: RunId) -> Result<Run, Error> {
        self.shown(run).await.map(|shown| shown.run)
    }

    /// A run as it is now, with its profile.
    pub(crate) async fn shown(&self, run: RunId) -> Result<Shown, Error> {
        let row = self.row(run).await?;
        if let Some(summary) = self.summary(&row).await? {
            return Ok(Shown {
                run: Run::new(&summary.snapshot, &summary.submission, Some(&row), &self.prices),
                profile: summary.profile.clone(),
                graph: summary.graph.clone(),
                summary: Some(summary),
            });
        }
        let mut state = RunState::new(run);
        self.log(run, |page| {
            page.iter().for_each(|event| machine::apply(&mut state, event))
        })
        .await?;
        self.folded(&state, &row)
    }

    /// What a log folded to.
    fn folded(&self, state: &RunState, row: &RunRow) -> Result<Shown, Error> {
        let submission = state
            .submission()
            .ok_or_else(|| Error::NotFound(format!("run {} has no events", row.run)))?;
        Ok(Shown {
            run: Run::new(&state.snapshot(), submission, Some(row), &self.prices),
            profile: state.profile(),
            graph: state.graph().cloned(),
            summary: None,
        })
    }

    /// What was written of a run when it was over.
    async fn summary(&self, row: &RunRow) -> Result<Option<Arc<Summary>>, Error> {
        if !row.cleaned {
            return Ok(None);
        }
        let summary = self.history.run(&row.namespace, row.run).await;
        summary.map_err(Error::platform("read the history of the run"))
    }

    /// What happened in a run, in order.
    pub(crate) async fn events(&self, run: RunId) -> Result<Vec<Event>, Error> {
        let Some(summary) = self.summary(&self.row(run).await?).await? else {
            let mut events = Vec::new();
            self.log(run, |page| events.extend(page.iter().map(Event::from)))
                .await?;
            return Ok(events);
        };
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.seq);
            let page = self.history.events(&summary, after, EVENTS as usize).await;
            let page = page.map_err(Error::platform("read the events"))?;
            events.extend(page.iter().map(Event::from));
            if page.len() < EVENTS as usize {
                return Ok(events);
            }
        }
    }

    /// Hands over the log lines of a run after a cursor, which moves on.
    pub(crate) async fn lines(
        &self,
        run: RunId,
        cursor: &mut LineCursor,
        mut line: impl FnMut(LogEntry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(summary) = self.summary(&self.row(run).await?).await? else {
            loop {
                let events = self.store.run_events(run, cursor.seq, EVENTS).await;
                let events = events.map_err(Error::platform("read the events"))?;
                for record in &events {
                    LogEntry::of(record).try_for_each(&mut line)?;
                    cursor.seq = record.seq;
                }
                if events.len() < EVENTS as usize {
                    return Ok(());
                }
            }
        };
        let mut from = (cursor.seq + 1, 0);
        loop {
            let page = self.history.logs(&summary, from, LINES).await;
            let page = page.map_err(Error::platform("read the log lines"))?;
            page.iter().map(LogEntry::from).try_for_each(&mut line)?;
            match page.last() {
                Some(last) if page.len() == LINES => from = (last.seq, last.place + 1),
                _ => break,
            }
        }
        cursor.seq = summary.last_seq();
        Ok(())
    }

    /// A run as one HTML file.
    pub(crate) async fn export(&self, run: RunId) -> Result<String, Error> {
        let shown = self.shown(run).await?;
        let findings = shown.diagnose();
        let stages = shown.run.stages.clone().into_iter().zip(shown.profile.stages);
        let stages = stages
            .map(|(stage, profile)| StageProfile::new(stage, profile))
            .collect();
        let export = match &shown.summary {
            Some(summary) => export::of_history(&self.history, summary, shown.run, stages, findings)
                .await
                .map_err(Error::platform("read the attempts of the run"))?,
            None => {
                let mut table = AttemptTable::default();
                self.log(run, |page| page.iter().for_each(|event| table.apply(event)))
                    .await?;
                Export::new(shown.run, stages, findings, &table)
            }
        };
        Ok(export.to_html())
    }

    /// The whole log of a run, handed over a page at a time.
    async fn log(&self, run: RunId, mut page: impl FnMut(&[EventRecord])) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let events = self.store.run_events(run, after, EVENTS).await;
            let events = events.map_err(Error::platform("read the events"))?;
            let Some(last) = events.last() else { return Ok(()) };
            after = last.seq;
            page(&events);
        }
    }
}

/// How far the log lines of a run were read: those of all events up to this one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineCursor {
    seq: u64,
}
