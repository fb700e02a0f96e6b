//! The object storage, and the folders of the sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use weir_model::{OutputFile, ShuffleObject, StageGraph, StageId, Staged, TaskOutput};

use super::Rng;

#[derive(Default)]
pub(super) struct Storage {
    /// Shuffle and result objects, and when they were written.
    pub(super) objects: BTreeMap<String, Written>,
    pub(super) manifests: BTreeMap<(StageId, u32), Rc<Vec<ShuffleObject>>>,
    /// Staged files that are not in place, by path.
    pub(super) staged: BTreeMap<String, Written>,
    /// Staging folders in which a commit has begun.
    pub(super) journals: BTreeSet<StageId>,
    /// Files in place, by target, with the path that they were staged at.
    pub(super) in_place: BTreeMap<(StageId, String), String>,
    /// Outputs whose manifest is there.
    pub(super) visible: BTreeMap<StageId, Vec<OutputFile>>,
    /// The mark that tells workers to stop.
    pub(super) cancelled: bool,
    /// Pauses whose messages are withdrawn.
    pub(super) withdrawn: std::collections::BTreeSet<u32>,
    /// Whether the plans of the stages are deleted.
    pub(super) plans_gone: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) stage: StageId,
    pub(super) at: u64,
}

impl Storage {
    pub(super) fn put(&mut self, stage: StageId, output: &TaskOutput, at: u64) {
        let written = Written { stage, at };
        let objects = output.shuffle.iter().map(|object| (object.key.clone(), written));
        self.objects.extend(objects);
        self.staged
            .extend(output.files.iter().map(|file| (path(file).to_owned(), written)));
    }

    pub(super) fn delete(&mut self, output: &TaskOutput) {
        if let Some(object) = &output.shuffle {
            self.objects.remove(&object.key);
        }
        for file in &output.files {
            self.staged.remove(path(file));
        }
    }

    /// Loses a shuffle object, or a manifest. Staged files do not get lost: nothing could make them again.
    pub(super) fn lose_one(&mut self, rng: &mut Rng, graph: &StageGraph) -> Option<String> {
        if rng.permille(200) && !self.manifests.is_empty() {
            let position = rng.below(self.manifests.len() as u64) as usize;
            let at = *self.manifests.keys().nth(position)?;
            self.manifests.remove(&at);
            return Some(format!("the manifest {at:?}"));
        }
        let shuffles = |written: &Written| {
            let output = &graph.stages[written.stage.0 as usize].output;
            matches!(output, weir_model::StageOutput::Shuffle { .. })
        };
        let keys: Vec<&String> = self
            .objects
            .iter()
            .filter(|(_, written)| shuffles(written))
            .map(|(key, _)| key)
            .collect();
        if keys.is_empty() {
            return None;
        }
        let key = keys[rng.below(keys.len() as u64) as usize].clone();
        self.objects.remove(&key);
        Some(key)
    }
}

pub(super) fn path(file: &OutputFile) -> &str {
    let Staged::File { path } = &file.staged else {
        unreachable!("this world stages files in folders");
    };
    path
}

/// The keys of everything that an output has in storage.
pub(super) fn keys(output: &TaskOutput) -> impl Iterator<Item = &str> {
    let objects = output.shuffle.iter().map(|object| object.key.as_str());
    objects.chain(output.files.iter().map(path))
}
