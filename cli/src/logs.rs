//! Log lines of runs of this machine's data folder.

use weir_control_plane::http::resources::LogEntry;
use weir_control_plane::store::Store;
use weir_model::RunId;

use crate::error::Error;

/// Events read from the store at once.
const PAGE: u32 = 500;

/// Hands over the log lines of the events after a cursor, which moves on.
pub(crate) async fn of_store(
    store: &dyn Store,
    run: RunId,
    cursor: &mut Option<String>,
    mut line: impl FnMut(LogEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    // Cursors are ours: what does not parse is the start.
    let mut after = cursor.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    loop {
        let events = store
            .run_events(run, after, PAGE)
            .await
            .map_err(Error::platform("read the events"))?;
        for record in &events {
            LogEntry::of(record).try_for_each(&mut line)?;
            after = record.seq;
        }
        if events.len() < PAGE as usize {
            *cursor = Some(after.to_string());
            return Ok(());
        }
    }
}
