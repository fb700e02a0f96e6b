//! Planning in processes of its own.
//!
//! A job is a program of whoever submits it: constants in it are computed while it is planned, queries over the
//! information schema are answered, and no optimizer says how much memory or time it will take. So a process that serves
//! others plans nothing itself. [`Planners`] hands each job to a child (`child`), which has a bounded memory, a deep stack,
//! a time, no secret of the service but its rights to the storage, and ends with its answer. What a job costs too much
//! ends its child, and is the fault of the job.
//!
//! The two talk over the child's standard input and output, in [frames](frame) of JSON: what the child works with
//! ([`Setup`]), once it is there a [`Question`], and then one [`Answer`]. While its standard input is open somebody waits;
//! when that ends, so does the child, whatever it is doing.

mod child;
mod lane;
mod planners;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use weir_control_plane::http::resources::{SqlCheck, SqlCheckRequest};
use weir_model::{Failure, Namespace, RunId, RunSettings, StageGraph, StorageRequests, Submission};

pub(crate) use child::serve;
pub(crate) use planners::Planners;

/// Bytes of memory that planning a job may take, beyond those of a child that has just begun.
const MEMORY_BYTES: u64 = 512 << 20;
/// Bytes of memory beyond that for a job with Wasm components, which may have to be compiled.
const MODULES_BYTES: u64 = 2 << 30;
/// Bytes of a frame: the largest submission, or the graph of the most stages and tasks.
const MAX_FRAME: u32 = 256 << 20;

/// What a child works with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The URL or the folder of the service's storage.
    pub(crate) storage: String,
    /// Whether buckets are named in the path.
    pub(crate) s3_path_style: bool,
    /// The folder of compiled Wasm components.
    pub(crate) data_dir: PathBuf,
    /// Whether jobs may read and write files of this machine.
    pub(crate) local_files: bool,
}

/// What a child is asked.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    /// To plan a run, and to leave its plans in the storage.
    Plan { run: RunId, submission: Box<Submission> },
    /// What a script means.
    Check {
        namespace: Namespace,
        request: Box<SqlCheckRequest>,
        base: String,
        settings: Box<RunSettings>,
    },
}

impl Question {
    /// Bytes of memory that finding the answer may take.
    fn memory(&self) -> u64 {
        let modules = match self {
            Self::Plan { submission, .. } => &submission.modules,
            Self::Check { request, .. } => &request.modules,
        };
        match modules.is_empty() {
            true => MEMORY_BYTES,
            false => MEMORY_BYTES + MODULES_BYTES,
        }
    }
}

/// What a child answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Planned {
        planned: Box<Result<StageGraph, Failure>>,
        /// What was asked of S3 for it.
        requests: StorageRequests,
    },
    /// The error is the platform's.
    Checked(Box<Result<SqlCheck, String>>),
}

/// A value as a frame: its length in four bytes, the lowest first, and then JSON.
fn frame(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    match u32::try_from(bytes.len() - 4) {
        Ok(length) if length <= MAX_FRAME => {
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            Ok(bytes)
        }
        _ => Err(std::io::Error::other(format!("it has more than {MAX_FRAME} bytes"))),
    }
}

/// The length of a frame that begins so.
fn length(start: [u8; 4]) -> std::io::Result<usize> {
    match u32::from_le_bytes(start) {
        length if length <= MAX_FRAME => Ok(length as usize),
        length => Err(std::io::Error::other(format!("a frame of {length} bytes"))),
    }
}
