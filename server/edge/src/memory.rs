//! Whole answers in memory, each with what it takes to see that nothing has changed it since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use orrery_engine::RecordHash;
use orrery_server::EdgeRecord;

use crate::freshness::Checked;

/// What an entry takes beside its answer: keys, counters and the cache's own.
const ENTRY_BYTES: usize = 400;

/// Answers by the hash of their key.
#[derive(Debug)]
pub(crate) struct Memory {
    answers: Cache<RecordHash, Arc<Held>>,
}

/// An answer in memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) record: Arc<EdgeRecord>,
    /// Since when, by the source's clock or by this one, it is known to be so; the stream must have been whole since.
    pub(crate) since_us: u64,
    /// No event up to this seq changed it. It only rises.
    as_of: AtomicU64,
}

impl Held {
    pub(crate) fn as_of(&self) -> u64 {
        self.as_of.load(Ordering::Relaxed)
    }
}

impl Memory {
    pub(crate) fn new(most_bytes: u64) -> Self {
        let answers = Cache::builder()
            .max_capacity(most_bytes)
            .weigher(|_, held: &Arc<Held>| {
                let bytes = held.record.answer.len() + held.record.uri.len() + ENTRY_BYTES;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { answers }
    }

    /// The answer under a hash. Whether it is of the key that is meant is for the caller to see: hashes are no proof.
    pub(crate) fn get(&self, hash: RecordHash) -> Option<Arc<Held>> {
        self.answers.get(&hash)
    }

    /// Keeps an answer. Of two about one key, the one that is known to be so for longer goes: it is known no newer.
    pub(crate) fn put(&self, hash: RecordHash, record: &Arc<EdgeRecord>, checked: Checked) {
        let held = Held {
            record: Arc::clone(record),
            since_us: checked.at_us,
            as_of: AtomicU64::new(checked.as_of),
        };
        let replaced = self.answers.entry(hash).and_upsert_with(|before| {
            match before.map(moka::Entry::into_value) {
                Some(before) if before.as_of() > checked.as_of => before,
                _ => Arc::new(held),
            }
        });
        drop(replaced);
    }

    /// Lets go of what is under a hash.
    pub(crate) fn forget(&self, hash: RecordHash) {
        self.answers.invalidate(&hash);
    }

    /// Bytes in use, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.answers.weighted_size()
    }

    /// Answers.
    pub(crate) fn len(&self) -> u64 {
        self.answers.entry_count()
    }
}
