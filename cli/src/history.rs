//! Runs as their logs tell them.

use weir_control_plane::store::Store;
use weir_model::machine::{self, RunState};
use weir_model::{EventRecord, RunId};

use crate::error::Error;

/// Events read from the store at once.
const PAGE: u32 = 1_000;

/// The whole log of a run, handed over a page at a time.
pub(crate) async fn events(
    store: &dyn Store,
    run: RunId,
    mut page: impl FnMut(Vec<EventRecord>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let events = store
            .run_events(run, after, PAGE)
            .await
            .map_err(Error::platform("read the events"))?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.seq;
        page(events)?;
    }
}

/// What a run's log folds to.
pub(crate) async fn state(store: &dyn Store, run: RunId) -> Result<RunState, Error> {
    let mut state = RunState::new(run);
    events(store, run, |page| {
        page.iter().for_each(|event| machine::apply(&mut state, event));
        Ok(())
    })
    .await?;
    Ok(state)
}
