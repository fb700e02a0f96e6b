//! The threads that run tasks.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime for tasks, or the caller's.
pub(crate) struct TaskRuntime {
    own: Option<Runtime>,
    handle: Handle,
}

impl TaskRuntime {
    /// A runtime of so many threads; with zero, the runtime that this is called on.
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        if threads == 0 {
            return Ok(Self {
                own: None,
                handle: Handle::current(),
            });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("weir-task")
            .thread_stack_size(weir_engine::STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            own: Some(runtime),
        })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for TaskRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            // A runtime must not wait for its threads while another one polls it.
            runtime.shutdown_background();
        }
    }
}
