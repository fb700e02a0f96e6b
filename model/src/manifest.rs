//! The transposed index of a stage's shuffle objects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ShuffleObject;

/// Where each shuffle partition of a stage lies: what a reducer needs, in one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageManifest {
    /// Keys of the shuffle objects, in task order.
    objects: Vec<String>,
    /// Per shuffle partition, its segments in task order.
    partitions: BTreeMap<u32, Vec<Segment>>,
}

/// A piece of one shuffle partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Position in the manifest's list of objects.
    pub object: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Rows.
    pub rows: u64,
}

/// The bytes are not a stage manifest of this version.
#[derive(Debug, thiserror::Error)]
#[error("the stage manifest cannot be read")]
pub struct InvalidManifest(#[from] postcard::Error);

impl StageManifest {
    /// Transposes the accepted outputs of a stage, given in task order.
    pub fn new<'a>(outputs: impl IntoIterator<Item = &'a ShuffleObject>) -> Self {
        let mut manifest = Self::default();
        for output in outputs {
            let object = manifest.objects.len() as u32;
            manifest.objects.push(output.key.clone());
            for span in &output.index {
                manifest.partitions.entry(span.partition).or_default().push(Segment {
                    object,
                    offset: span.offset,
                    length: span.length,
                    rows: span.rows,
                });
            }
        }
        manifest
    }

    /// Keys of the shuffle objects.
    pub fn objects(&self) -> &[String] {
        &self.objects
    }

    /// The segments of `partition`, in task order; empty when it has no rows.
    pub fn segments(&self, partition: u32) -> &[Segment] {
        self.partitions.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// The manifest as bytes, for storage.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a manifest is made of lists and numbers")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        Ok(postcard::from_bytes(bytes)?)
    }
}
