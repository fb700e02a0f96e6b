//! Deleting modules that nothing uses.

use std::collections::{HashMap, HashSet};

use futures::StreamExt as _;
use weir_model::{Digest, Event, Namespace, RunId, Timestamp, layout};

use super::{AT_ONCE, Error, MAX_SWEPT, PAGE, runs_since};
use crate::pipelines::Template;
use crate::shared::Shared;
use crate::store::{self, PipelineVersionRow};

/// A module of a namespace.
type Module = (Namespace, Digest);

/// Deletes modules that neither a run nor a version of a pipeline uses; says how many.
///
/// A submission that uses an old module again, and comes between the look at the runs and the deletion, finds it gone
/// and fails when it is planned; so the last thing is to look at the runs that have come meanwhile.
pub(super) async fn sweep(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let mut unused = old_modules(shared, before).await?;
    if unused.is_empty() {
        return Ok(0);
    }
    retain_unpiped(shared, &mut unused).await?;
    let mut seen = HashSet::new();
    let mut newest = None;
    loop {
        // The second time around there are only the runs that came during the first.
        let runs = runs_since(shared, newest, usize::MAX).await?;
        let fresh: Vec<RunId> = runs.into_iter().filter(|run| seen.insert(*run)).collect();
        let Some(latest) = fresh.iter().max() else { break };
        newest = newest.max(Some(*latest));
        let mut used =
            futures::stream::iter(fresh.into_iter().map(|run| modules_of(shared, run))).buffer_unordered(AT_ONCE);
        while let Some(modules) = used.next().await {
            for module in modules? {
                unused.remove(&module);
            }
        }
    }
    let deleted = unused.len() as u64;
    let keys = unused.into_iter().flat_map(|((namespace, digest), key)| {
        let notes = layout::module_notes_key(&namespace, &digest);
        [key, notes]
    });
    shared.storage.delete(keys.collect()).await?;
    Ok(deleted)
}

/// The keys of modules that were written before a time.
async fn old_modules(shared: &Shared, before: Timestamp) -> Result<HashMap<Module, String>, Error> {
    let keys = shared.storage.list_older(layout::MODULES, before, MAX_SWEPT).await?;
    let module = |key: &str| {
        let (namespace, name) = key.strip_prefix(layout::MODULES)?.strip_prefix('/')?.split_once('/')?;
        Some((namespace.parse().ok()?, name.strip_suffix(".wasm")?.parse().ok()?))
    };
    Ok(keys.into_iter().filter_map(|key| Some((module(&key)?, key))).collect())
}

/// Takes away what versions of pipelines use.
async fn retain_unpiped(shared: &Shared, unused: &mut HashMap<Module, String>) -> Result<(), Error> {
    let mut last: Option<PipelineVersionRow> = None;
    loop {
        let page = shared.store.pipeline_versions_all(last.as_ref(), PAGE).await?;
        for row in &page {
            match serde_json::from_str::<Template>(&row.template) {
                Ok(template) => {
                    for digest in template.modules.values() {
                        unused.remove(&(row.namespace.clone(), *digest));
                    }
                }
                // Of what a newer version wrote, nobody knows what it needs.
                Err(_) => unused.retain(|(namespace, _), _| *namespace != row.namespace),
            }
        }
        if page.len() < PAGE as usize {
            return Ok(());
        }
        last = page.into_iter().next_back();
    }
}

async fn modules_of(shared: &Shared, run: RunId) -> Result<Vec<Module>, store::Error> {
    let first = shared.store.run_events(run, 0, 1).await?;
    Ok(match first.into_iter().next().map(|record| record.event) {
        Some(Event::Submitted { submission }) => {
            let digests = submission.modules.values();
            digests.map(|digest| (submission.namespace.clone(), *digest)).collect()
        }
        _ => Vec::new(),
    })
}
