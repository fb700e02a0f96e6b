//! Rebuilding the state of a run from its log.

use weir_model::RunId;
use weir_model::machine::{RunState, apply};

use crate::store::{Error, Store};

/// Events read at once.
const PAGE: u32 = 5_000;

/// The state that the log of a run gives; `None` when it has no events, which means that there is no such run.
pub(crate) async fn replay(store: &dyn Store, run: RunId) -> Result<Option<RunState>, Error> {
    let mut state = RunState::new(run);
    let mut after = 0;
    loop {
        let page = store.run_events(run, after, PAGE).await?;
        for record in &page {
            apply(&mut state, record);
            after = record.seq;
        }
        if page.len() < PAGE as usize {
            return Ok((after > 0).then_some(state));
        }
    }
}
