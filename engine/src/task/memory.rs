//! The memory of one task.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// The process's memory pool as one task sees it: the same bounds, with the task's own share counted.
#[derive(Debug)]
pub(crate) struct TaskMemory {
    pool: Arc<dyn MemoryPool>,
    used: AtomicUsize,
    peak: AtomicUsize,
    /// The most that all tasks held when this one took more.
    pool_peak: AtomicUsize,
}

impl TaskMemory {
    pub(crate) fn new(pool: Arc<dyn MemoryPool>) -> Self {
        Self {
            pool,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            pool_peak: AtomicUsize::new(0),
        }
    }

    /// The most that the task held at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// The most that all tasks of the pool held at once, as far as this one saw it, in bytes.
    pub(crate) fn pool_peak(&self) -> usize {
        self.pool_peak.load(Ordering::Relaxed)
    }

    /// What all tasks of the pool may hold, in bytes; zero for no limit.
    pub(crate) fn limit(&self) -> usize {
        match self.pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => 0,
        }
    }

    fn add(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
        self.pool_peak.fetch_max(self.pool.reserved(), Ordering::Relaxed);
    }
}

impl fmt::Display for TaskMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task({})", self.pool)
    }
}

impl MemoryPool for TaskMemory {
    fn name(&self) -> &str {
        "task"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.pool.try_grow(reservation, additional)?;
        self.add(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn tasks_share_the_pool_and_count_their_own() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let (one, two) = (Arc::new(TaskMemory::new(pool.clone())), Arc::new(TaskMemory::new(pool)));
        let reserve = |memory: &Arc<TaskMemory>| {
            MemoryConsumer::new("test").register(&(Arc::clone(memory) as Arc<dyn MemoryPool>))
        };
        let (first, second) = (reserve(&one), reserve(&two));
        first.try_grow(60).unwrap();
        second.try_grow(60).unwrap_err();
        drop(first);
        second.try_grow(70).unwrap();
        assert_eq!((one.peak(), two.peak()), (60, 70));
        assert_eq!((one.limit(), one.pool_peak(), two.pool_peak()), (100, 60, 70));
    }
}
