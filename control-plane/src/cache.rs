//! What was read last.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values that never change, up to a weight; those that were not asked for the longest go first. Cheap to share.
pub(crate) struct Cache<K, V> {
    capacity: usize,
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K, V> {
    values: HashMap<K, Value<V>>,
    weight: usize,
    /// Grows with every look.
    clock: u64,
}

struct Value<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let kept = Kept {
            values: HashMap::new(),
            weight: 0,
            clock: 0,
        };
        Self {
            capacity,
            kept: Mutex::new(kept),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        // A panic cannot leave the map between two states that matter.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let clock = kept.clock;
        let value = kept.values.get_mut(key)?;
        value.used = clock;
        Some(value.value.clone())
    }

    /// Keeps a value, unless it alone is too heavy.
    pub(crate) fn put(&self, key: K, value: V, weight: usize) {
        if weight > self.capacity {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let used = kept.clock;
        let before = kept.values.insert(key, Value { value, weight, used });
        kept.weight = kept.weight + weight - before.map_or(0, |before| before.weight);
        if kept.weight > self.capacity {
            kept.make_room(self.capacity - self.capacity / 8);
        }
    }
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    /// Drops values until the rest weighs no more than this: some at once, so that it is not done for each.
    fn make_room(&mut self, weight: usize) {
        let mut keys: Vec<(u64, K)> = self
            .values
            .iter()
            .map(|(key, value)| (value.used, key.clone()))
            .collect();
        keys.sort_unstable_by_key(|(used, _)| *used);
        // The latest one was just put there.
        keys.pop();
        for (_, key) in keys {
            if self.weight <= weight {
                break;
            }
            if let Some(value) = self.values.remove(&key) {
                self.weight -= value.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_long_goes() {
        let cache = Cache::new(10);
        for key in 0..3 {
            cache.put(key, key, 3);
        }
        assert_eq!(cache.get(&0), Some(0));
        cache.put(3, 3, 3);
        assert_eq!((cache.get(&0), cache.get(&1), cache.get(&3)), (Some(0), None, Some(3)));
        cache.put(4, 4, 11);
        assert_eq!(cache.get(&4), None, "it is too heavy by itself");
        cache.put(0, 5, 1);
        assert_eq!(cache.get(&0), Some(5));
    }
}
