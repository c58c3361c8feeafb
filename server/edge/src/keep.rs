//! Identities on disk, beside the records.

use std::sync::Arc;

use orrery_engine::{CacheSpace, CachedValue, ValueCache};
use orrery_resolve::{Keep, Space};

/// Keeps identities in the directory's cache. They say themselves how old they are: neither seq nor time is used.
#[derive(Debug)]
pub(crate) struct KeepInCache(pub(crate) Arc<ValueCache>);

fn space(space: Space) -> CacheSpace {
    match space {
        Space::Handle => CacheSpace::Handle,
        Space::Document => CacheSpace::Document,
    }
}

impl Keep for KeepInCache {
    fn load(&self, of: Space, key: &str) -> Option<Vec<u8>> {
        self.0.get(space(of), key).map(|value| value.bytes)
    }

    fn save(&self, of: Space, key: &str, bytes: &[u8]) {
        let value = CachedValue {
            as_of_seq: 0,
            checked_us: 0,
            bytes: bytes.to_vec(),
        };
        if !self.0.put(space(of), key, &value) {
            tracing::debug!(key, "an identity is not kept on disk");
        }
    }

    fn forget(&self, of: Space, key: &str) {
        self.0.remove(space(of), key);
    }
}
