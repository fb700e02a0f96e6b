//! Runs of this machine's data folder, as their logs tell them.

use weir_control_plane::export::Export;
use weir_control_plane::http::resources::{Event, FindingList, Run, StageProfile};
use weir_control_plane::store::Store;
use weir_model::findings::findings;
use weir_model::machine::{self, RunState};
use weir_model::{AttemptTable, EventRecord, PriceTable, RunId};

use crate::error::Error;

/// Events read from the store at once.
const PAGE: u32 = 1_000;

/// The whole log of a run, handed over a page at a time.
pub(crate) async fn records(store: &dyn Store, run: RunId, mut page: impl FnMut(&[EventRecord])) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let events = store
            .run_events(run, after, PAGE)
            .await
            .map_err(Error::platform("read the events"))?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.seq;
        page(&events);
    }
}

/// The whole log of a run, for people and scripts.
pub(crate) async fn events(store: &dyn Store, run: RunId) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    records(store, run, |page| events.extend(page.iter().map(Event::from))).await?;
    Ok(events)
}

/// What a run's log folds to.
pub(crate) async fn state(store: &dyn Store, run: RunId) -> Result<RunState, Error> {
    let mut state = RunState::new(run);
    records(store, run, |page| {
        page.iter().for_each(|event| machine::apply(&mut state, event));
    })
    .await?;
    Ok(state)
}

/// A run as the API shows it.
pub(crate) async fn run(store: &dyn Store, run: RunId) -> Result<Run, Error> {
    let state = state(store, run).await?;
    let row = store.run_get(run).await.map_err(Error::platform("read the run"))?;
    resource(&state, row.as_ref())
}

/// What is worth a look in a run, as far as its log tells.
pub(crate) fn diagnose(state: &RunState) -> FindingList {
    FindingList::new(state.run(), state.is_finished(), findings(&state.profile()))
}

/// A run as one HTML file.
pub(crate) async fn export(store: &dyn Store, run: RunId) -> Result<String, Error> {
    let mut state = RunState::new(run);
    let mut table = AttemptTable::default();
    records(store, run, |page| {
        for event in page {
            machine::apply(&mut state, event);
            table.apply(event);
        }
    })
    .await?;
    let row = store.run_get(run).await.map_err(Error::platform("read the run"))?;
    let shown = resource(&state, row.as_ref())?;
    let stages = shown.stages.clone().into_iter().zip(state.profile().stages);
    let stages = stages
        .map(|(stage, profile)| StageProfile::new(stage, profile))
        .collect();
    Ok(Export::new(shown, stages, diagnose(&state), &table).to_html())
}

/// What a state shows.
pub(crate) fn resource(state: &RunState, row: Option<&weir_control_plane::store::RunRow>) -> Result<Run, Error> {
    let submission = state
        .submission()
        .ok_or_else(|| Error::NotFound(format!("run {} has no events", state.run())))?;
    Ok(Run::new(&state.snapshot(), submission, row, &PriceTable::default()))
}
