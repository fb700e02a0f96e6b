//! What attempts wrote after their run was over.
//!
//! An attempt that was overtaken, or whose message came twice, may go on when its run is over already, and write a
//! shuffle object behind the clean-up. Nothing reaches it, and nobody but the storage knows of it.

use weir_model::{Event, RunId, RunOutcome, StageId, StageOutput, Timestamp, layout};

use super::{Error, FIRST_EVENTS};
use crate::shared::Shared;
use crate::store::RunRow;

/// Deletes what is left of a run whose objects are deleted, if it ended after a time; says whether there was something.
pub(super) async fn sweep(shared: &Shared, row: &RunRow, ended_after: Timestamp) -> Result<bool, Error> {
    let run = row.run;
    if !row.cleaned || row.summary.finished_at.is_none_or(|at| at < ended_after) {
        return Ok(false);
    }
    if row.summary.outcome != Some(RunOutcome::Succeeded) {
        // Of such a run nothing is kept.
        shared.storage.delete_prefix(&layout::run_prefix(run)).await?;
        return Ok(true);
    }
    let left = shared.storage.list_folders(&layout::shuffles_prefix(run)).await?;
    if left.is_empty() {
        return Ok(false);
    }
    // Results are kept for readers, with whatever lies beside them, until the run is forgotten.
    let Some(kept) = results_of(shared, run).await? else {
        return Ok(false);
    };
    let mut found = false;
    for stage in left.iter().filter_map(|name| name.parse().ok()).map(StageId) {
        if !kept.contains(&stage) {
            shared
                .storage
                .delete_prefix(&layout::shuffle_prefix(run, stage))
                .await?;
            found = true;
        }
    }
    Ok(found)
}

/// The stages whose rows are a run's result; nothing when the stages are not known.
async fn results_of(shared: &Shared, run: RunId) -> Result<Option<Vec<StageId>>, Error> {
    let events = shared.store.run_events(run, 0, FIRST_EVENTS).await?;
    let graph = events.into_iter().find_map(|record| match record.event {
        Event::Planned { graph } => Some(graph),
        _ => None,
    });
    let result = |stage: &&weir_model::Stage| stage.output == StageOutput::Result;
    Ok(graph.map(|graph| graph.stages.iter().filter(result).map(|stage| stage.id).collect()))
}
