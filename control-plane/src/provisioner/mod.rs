//! Who starts and stops workers.

mod ecs;
mod processes;

use async_trait::async_trait;

pub use ecs::{EcsProvisioner, EcsService};
pub use processes::{ProcessOptions, ProcessProvisioner};

/// Workers could not be counted, started or stopped. The next try is made by itself.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct Error {
    /// What was tried.
    pub action: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    fn new(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            action: action.into(),
            source: source.into(),
        }
    }
}

/// The workers of a provisioner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Workers that there are to be.
    pub wanted: u32,
    /// Workers that run, those that are being stopped included.
    pub running: u32,
}

/// Starts and stops workers. Only the control plane that leads tells it to.
#[async_trait]
pub trait Provisioner: Send + Sync + 'static {
    /// The workers that there are.
    async fn current(&self) -> Result<Fleet, Error>;

    /// Has so many workers run soon. Those that are too many are told to finish what they do. Safe to repeat.
    async fn set(&self, workers: u32) -> Result<(), Error>;

    /// Another control plane decides from now on: ends workers that are only this one's.
    async fn release(&self) {}

    /// This control plane ends: ends workers that are only this one's, and waits for them, within bounds.
    async fn shutdown(&self) {}
}
