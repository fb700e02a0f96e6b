//! Writing the files of a sink.

use serde::{Deserialize, Serialize};
use weir_model::SinkInfo;

/// What to write, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    /// What the control plane must know of it.
    pub info: SinkInfo,
}
