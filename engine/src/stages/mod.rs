//! Plans to stages.

mod builder;
pub mod codec;

pub use builder::{Planned, StageBuilder};
