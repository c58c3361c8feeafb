//! Record keys of a memtable, in 64 bits each: a TID as it is, any other key by its id among the strings.

use std::sync::atomic::Ordering;

use orrery_formats::segment::RecordKey;

use super::Memtable;

/// Marks a key that is a string of `keys` rather than a TID, whose top bit is always clear.
const STRING_KEY: u64 = 1 << 63;

impl Memtable {
    pub(super) fn record_key(&self, key: u64) -> RecordKey<'_> {
        if key & STRING_KEY == 0 {
            RecordKey::Tid(key)
        } else {
            RecordKey::Str(self.strings.get(key as u32))
        }
    }
}

// Writing: one thread only.
impl Memtable {
    pub(super) fn store_key(&self, rkey: &str) -> u64 {
        match RecordKey::parse(rkey) {
            RecordKey::Tid(tid) => tid,
            RecordKey::Str(text) => {
                self.key_bytes
                    .fetch_add(text.len() as u64, Ordering::Relaxed);
                STRING_KEY | u64::from(self.strings.intern(text))
            }
        }
    }
}
