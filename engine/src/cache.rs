//! A small cache of immutable things.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps values by key, the oldest dropped first when their sizes exceed a bound. Meant for things that never change
/// under their key, so nothing is ever refreshed.
pub(crate) struct Cache<K, V> {
    capacity: usize,
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    values: HashMap<K, (Arc<V>, usize)>,
    order: VecDeque<K>,
    size: usize,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache that holds values of `capacity` bytes in total.
    pub(crate) fn new(capacity: usize) -> Self {
        let entries = Entries {
            values: HashMap::new(),
            order: VecDeque::new(),
            size: 0,
        };
        Self {
            capacity,
            entries: Mutex::new(entries),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        // The map is consistent between statements, so a panic elsewhere did not break it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().values.get(key).map(|(value, _)| Arc::clone(value))
    }

    /// Keeps `value`, which takes about `size` bytes; one that is larger than the whole cache is not kept.
    pub(crate) fn insert(&self, key: K, value: Arc<V>, size: usize) {
        if size > self.capacity {
            return;
        }
        let mut entries = self.lock();
        if entries.values.contains_key(&key) {
            return;
        }
        entries.order.push_back(key.clone());
        entries.values.insert(key, (value, size));
        entries.size += size;
        while entries.size > self.capacity {
            let Some(oldest) = entries.order.pop_front() else { break };
            if let Some((_, size)) = entries.values.remove(&oldest) {
                entries.size -= size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let cache = Cache::new(10);
        for key in 0..4 {
            cache.insert(key, Arc::new(key), 4);
        }
        assert_eq!(
            (0..4).map(|key| cache.get(&key).is_some()).collect::<Vec<_>>(),
            [false, false, true, true]
        );
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let cache = Cache::new(10);
        cache.insert("small", Arc::new(()), 1);
        cache.insert("large", Arc::new(()), 11);
        assert!(cache.get("small").is_some());
        assert!(cache.get("large").is_none());
    }
}
