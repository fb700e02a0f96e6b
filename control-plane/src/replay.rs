//! Rebuilding the state of a run from its log.

use weir_model::RunId;
use weir_model::machine::{RunState, apply};

use crate::store::{Error, EventPage, Store};

/// Bytes of events that are read at once, about.
pub(crate) const PAGE_BYTES: u64 = 8 << 20;

/// The state that the log of a run gives; `None` when it has no events, which means that there is no such run.
pub(crate) async fn replay(store: &dyn Store, run: RunId) -> Result<Option<RunState>, Error> {
    let mut state = RunState::new(run);
    let mut after = 0;
    loop {
        let EventPage { records, complete } = store.run_events_page(run, after, PAGE_BYTES).await?;
        for record in &records {
            apply(&mut state, record);
            after = record.seq;
        }
        if complete {
            return Ok((after > 0).then_some(state));
        }
    }
}
