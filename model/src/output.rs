//! What an attempt left in storage.

use serde::{Deserialize, Serialize};

use crate::TaskMetrics;

/// What a successful attempt reports. Nothing in it can be reached by a reader until the control plane accepts the
/// attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskOutput {
    /// The shuffle or result object, absent when the task had no rows.
    pub shuffle: Option<ShuffleObject>,
    /// Files of a sink, staged and waiting for the commit.
    pub files: Vec<OutputFile>,
    /// What was measured.
    pub metrics: TaskMetrics,
}

/// One object of Arrow IPC blocks, ordered by partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShuffleObject {
    /// Its key in the run's storage.
    pub key: String,
    /// Where each partition lies; partitions without rows are left out.
    pub index: Vec<PartitionSpan>,
}

/// Where one partition lies in a shuffle object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSpan {
    /// The partition.
    pub partition: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Rows.
    pub rows: u64,
}

/// A file that the commit makes visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Where it will be, as an absolute path or URL.
    pub target: String,
    /// Where its bytes are until then.
    pub staged: Staged,
    /// Rows in it.
    pub rows: u64,
    /// Bytes in it.
    pub bytes: u64,
}

/// Where the bytes of an uncommitted file are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Staged {
    /// A file beside the target, on the same file system, under a name that no other execution uses.
    File {
        /// Its absolute path.
        path: String,
    },
    /// A multipart upload to the target, which waits to be completed.
    Upload {
        /// The upload's id.
        id: String,
        /// Kept with the object; the object of no other execution has it, so that a completed upload is known again.
        token: String,
        /// The object that names the upload as long as it is open, as a URL.
        marker: String,
        /// All of its parts, in order.
        parts: Vec<UploadedPart>,
    },
}

/// A part of a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    /// What the storage calls its content.
    pub e_tag: String,
    /// Bytes in it.
    pub bytes: u64,
}

/// The marker of a committed output: it is written last, so who finds it finds all of the files that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputManifest {
    /// The run that wrote the output.
    pub run: crate::RunId,
    /// The transform that wrote it.
    pub transform: String,
    /// The files, by name, relative to the folder of the output.
    pub files: Vec<String>,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes in all files.
    pub bytes: u64,
}
