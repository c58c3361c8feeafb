//! A bounded cache of derived tables. It never decides whether a table still holds: whoever takes one out
//! compares it with the view.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What an entry takes besides its table and its key.
const ENTRY_BYTES: usize = 128;

struct Entry<T> {
    table: Arc<T>,
    bytes: usize,
    used: u64,
}

struct Inner<T> {
    entries: HashMap<Box<str>, Entry<T>>,
    bytes: usize,
    clock: u64,
}

/// Tables by name, the least recently used of which are dropped when there are too many bytes.
pub(crate) struct Cache<T> {
    inner: Mutex<Inner<T>>,
    bytes_max: usize,
    links_min: u64,
}

impl<T> Cache<T> {
    pub(crate) fn new(bytes_max: usize, links_min: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: HashMap::new(),
                bytes: 0,
                clock: 0,
            }),
            bytes_max,
            links_min,
        }
    }

    /// The length from which on the tables of lists are worth keeping.
    pub(crate) fn links_min(&self) -> u64 {
        self.links_min
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<T>> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.entries.get_mut(name)?;
        entry.used = now;
        Some(Arc::clone(&entry.table))
    }

    /// Keeps a table of about `bytes`, unless it alone would fill the cache.
    pub(crate) fn put(&self, name: &str, table: Arc<T>, bytes: usize) {
        let bytes = bytes + name.len() + ENTRY_BYTES;
        let mut dropped = Vec::new();
        let mut inner = self.inner.lock();
        if let Some(old) = inner.entries.remove(name) {
            inner.bytes -= old.bytes;
            dropped.push(old);
        }
        if bytes <= self.bytes_max {
            while inner.bytes + bytes > self.bytes_max {
                let Some(oldest) = inner
                    .entries
                    .iter()
                    .min_by_key(|(_, entry)| entry.used)
                    .map(|(name, _)| name.clone())
                else {
                    break;
                };
                if let Some(old) = inner.entries.remove(&oldest) {
                    inner.bytes -= old.bytes;
                    dropped.push(old);
                }
            }
            inner.clock += 1;
            let used = inner.clock;
            inner.bytes += bytes;
            inner
                .entries
                .insert(name.into(), Entry { table, bytes, used });
        }
        // Tables are freed after the lock: that can take a while.
        drop(inner);
        drop(dropped);
    }

    /// About how much memory the cache takes.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_gives_way_and_the_bound_holds() {
        let size = 1_000;
        let cache = Cache::new(3 * (size + ENTRY_BYTES + 1), 0);
        for name in ["a", "b", "c"] {
            cache.put(name, Arc::new(name), size);
        }
        assert!(cache.get("a").is_some());
        cache.put("d", Arc::new("d"), size);
        assert!(cache.get("b").is_none());
        for name in ["a", "c", "d"] {
            assert!(cache.get(name).is_some(), "{name}");
        }
        cache.put("d", Arc::new("d"), 10 * size);
        assert!(cache.get("d").is_none(), "a table too large is not kept");
        assert_eq!(cache.bytes(), 2 * (size + ENTRY_BYTES + 1));
    }
}
