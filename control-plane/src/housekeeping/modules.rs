//! Deleting modules that nothing uses.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use weir_model::{Digest, Event, Namespace, RunId, Timestamp, layout};
use weir_platform::clock;

use super::{AT_ONCE, Error, MAX_SWEPT, PAGE};
use crate::pipelines::Template;
use crate::shared::Shared;
use crate::store::{self, PipelineVersionRow, RunFilter};

/// Modules that are listed at once.
const LISTED: usize = 1_000;
/// By how much the clocks of servers may differ.
const CLOCKS_DIFFER_MS: u64 = 10 * 60 * 1_000;

/// A module of a namespace.
type Module = (Namespace, Digest);

/// How far apart the clocks of those that make runs may be.
const SKEW: Duration = Duration::from_secs(300);

/// Deletes modules that neither a run nor a version of a pipeline uses; says how many.
///
/// Looking at all runs takes minutes where there are many, in which a run or a version may come that uses an old module
/// again; so what came meanwhile is looked at once more, directly before the deletion. Whoever uploads a module again
/// makes it young, and so keeps it.
pub(super) async fn sweep(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let begun = clock::now();
    let mut unused = old_modules(shared, before).await?;
    retain_unpiped(shared, &mut unused).await?;
    retain_unrun(shared, &mut unused, None).await?;
    if unused.is_empty() {
        return Ok(0);
    }
    let skew = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
    let meanwhile = RunId::from_parts(Timestamp(begun.0.saturating_sub(skew)), 0);
    let still_old = old_modules(shared, before).await?;
    unused.retain(|module, _| still_old.contains_key(module));
    retain_unrun(shared, &mut unused, Some(meanwhile)).await?;
    retain_unpiped(shared, &mut unused).await?;
    let deleted = unused.len() as u64;
    let keys = unused.into_iter().flat_map(|((namespace, digest), key)| {
        let notes = layout::module_notes_key(&namespace, &digest);
        [key, notes]
    });
    shared.storage.delete(keys.collect()).await?;
    Ok(deleted)
}

/// Compares what is noted of the sizes of modules with what is in the storage: some were put there past the server, or
/// deleted by another program. Says how many there are.
pub(super) async fn note_sizes(shared: &Shared) -> Result<u64, Error> {
    let begun = clock::now();
    let mut noted = 0;
    for name in shared.storage.list_folders(layout::MODULES).await? {
        // Whatever is not named as a namespace is none of ours.
        let Ok(namespace) = name.parse::<Namespace>() else {
            continue;
        };
        let mut after: Option<String> = None;
        loop {
            let wanted = |name: &str| name.ends_with(".wasm");
            let prefix = layout::module_prefix(&namespace);
            let page = shared.storage.list_objects(&prefix, after.as_deref(), LISTED, wanted);
            let page = page.await?;
            let sizes = page.iter().filter_map(|object| {
                let digest = object.name.strip_suffix(".wasm")?.parse().ok()?;
                Some((digest, object.bytes))
            });
            let sizes: Vec<(Digest, u64)> = sizes.collect();
            shared.store.modules().modules_note(&namespace, &sizes, begun).await?;
            noted += sizes.len() as u64;
            if page.len() < LISTED {
                break;
            }
            after = page.into_iter().next_back().map(|object| object.name);
        }
    }
    // One that was uploaded meanwhile was noted by another's clock.
    let gone = Timestamp(begun.0.saturating_sub(CLOCKS_DIFFER_MS));
    shared.store.modules().modules_forget(gone).await?;
    Ok(noted)
}

/// Deletes modules that were uploaded past the server and never completed; says how many.
pub(super) async fn sweep_incomplete(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let keys = shared.storage.list_older(layout::UPLOADS, before, MAX_SWEPT).await?;
    let swept = keys.len() as u64;
    shared.storage.delete(keys).await?;
    Ok(swept)
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
    while !unused.is_empty() {
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
            break;
        }
        last = page.into_iter().next_back();
    }
    Ok(())
}

/// Takes away what runs use that are younger than `after`: of all runs without it. The youngest come first: they are
/// the likeliest to use what there is, and when nothing unused is left the others need no look.
async fn retain_unrun(
    shared: &Shared,
    unused: &mut HashMap<Module, String>,
    after: Option<RunId>,
) -> Result<(), Error> {
    let mut before = None;
    while !unused.is_empty() {
        let page = shared.store.run_list(&RunFilter::default(), before, PAGE).await?.rows;
        let runs: Vec<RunId> = page.iter().map(|row| row.run).collect();
        let wanted: Vec<RunId> = runs.iter().copied().filter(|run| Some(*run) > after).collect();
        let last = wanted.len() < PAGE as usize;
        let used = wanted.into_iter().map(|run| modules_of(shared, run));
        let mut used = futures::stream::iter(used).buffer_unordered(AT_ONCE);
        while let Some(modules) = used.next().await {
            for module in modules? {
                unused.remove(&module);
            }
        }
        if last {
            break;
        }
        before = runs.last().copied();
    }
    Ok(())
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
