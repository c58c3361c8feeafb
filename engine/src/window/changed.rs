//! Which records may have changed since a seq: a table of fixed size, with one slot for many keys. It never tells less
//! than is true, and more where keys share a slot.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Store;

/// log2 of the slots of a block.
const BLOCK_BITS: u32 = 10;
/// log2 of the blocks for records: 8 MiB of slots.
const RECORD_BLOCKS_BITS: u32 = 10;
/// log2 of the blocks for accounts, 512 KiB: of them there are few events, and each counts for all records of its account.
const ACCOUNT_BLOCKS_BITS: u32 = 6;

type Block = Box<[AtomicU64; 1 << BLOCK_BITS]>;

/// The newest seq of each slot. One thread writes, and any number read.
struct Slots {
    /// Made when first written to, so that small directories take little.
    blocks: Box<[OnceLock<Block>]>,
}

impl Slots {
    fn new(blocks_bits: u32) -> Self {
        Self {
            blocks: (0..1 << blocks_bits).map(|_| OnceLock::new()).collect(),
        }
    }

    fn block(&self, hash: u64) -> Option<&OnceLock<Block>> {
        let mask = self.blocks.len().wrapping_sub(1);
        self.blocks.get((hash >> BLOCK_BITS) as usize & mask)
    }

    fn slot(block: &Block, hash: u64) -> Option<&AtomicU64> {
        block.get(hash as usize & ((1 << BLOCK_BITS) - 1))
    }

    #[inline]
    fn get(&self, hash: u64) -> u64 {
        let block = self.block(hash).and_then(OnceLock::get);
        let slot = block.and_then(|block| Self::slot(block, hash));
        slot.map_or(0, |slot| slot.load(Ordering::Relaxed))
    }

    /// Relaxed: who has seen the seq published has seen this before.
    #[inline]
    fn set(&self, hash: u64, seq: u64) {
        let Some(block) = self.block(hash) else {
            return;
        };
        let block = block.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        if let Some(slot) = Self::slot(block, hash) {
            slot.store(seq, Ordering::Relaxed);
        }
    }
}

/// See the module's description.
pub(crate) struct Changed {
    records: Slots,
    accounts: Slots,
    /// The newest event when the store was opened: of those up to there the slots do not know.
    floor: AtomicU64,
}

impl Default for Changed {
    fn default() -> Self {
        Self {
            records: Slots::new(RECORD_BLOCKS_BITS),
            accounts: Slots::new(ACCOUNT_BLOCKS_BITS),
            floor: AtomicU64::new(0),
        }
    }
}

impl Changed {
    pub(super) fn begin(&self, floor: u64) {
        self.floor.store(floor, Ordering::Release);
    }

    /// Notes an event of a record, by the hashes of its DID and key, before its seq is published. Seqs rise. Writer only.
    #[inline]
    pub(crate) fn note_record(&self, did_hash: u64, key_hash: u64, seq: u64) {
        self.records.set(did_hash ^ key_hash, seq);
    }

    /// As [`note_record`](Self::note_record), for an event of an account.
    pub(crate) fn note_account(&self, did_hash: u64, seq: u64) {
        self.accounts.set(did_hash, seq);
    }

    fn through(&self, hash: RecordHash) -> u64 {
        let record = self.records.get(hash.record);
        let account = self.accounts.get(hash.account);
        record.max(account).max(self.floor.load(Ordering::Acquire))
    }
}

/// A record's place among those that [`Store::changed_through`] tells apart. Of one directory, and not to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHash {
    record: u64,
    account: u64,
}

impl Store {
    /// What [`changed_through`](Self::changed_through) knows a record by.
    #[must_use]
    pub fn record_hash(&self, did: &str, collection: &str, rkey: &str) -> RecordHash {
        let generation = self.shared.generation();
        let account = generation.dids.hash(did);
        RecordHash {
            record: account ^ generation.hasher.hash(collection, rkey),
            account,
        }
    }

    /// No event with a later seq has changed this record, among all that are visible: neither its own nor its account's.
    /// Other records may share the answer, and it is never below [`changed_floor`](Self::changed_floor). Two loads.
    #[must_use]
    pub fn changed_through(&self, record: RecordHash) -> u64 {
        self.shared.window.changed.through(record)
    }

    /// The newest event when the store was opened. A seq that was visible before and not durable is given again: what an
    /// earlier run has kept under a later one than this is no older than this.
    #[must_use]
    pub fn changed_floor(&self) -> u64 {
        self.shared.window.changed.floor.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_tells_the_newest_of_its_records_and_accounts() {
        let changed = Changed::default();
        changed.begin(10);
        let hash = |record, account| RecordHash { record, account };
        assert_eq!(changed.through(hash(1 << 40 | 5, 7)), 10);
        changed.note_record(1, 4, 11);
        assert_eq!(changed.through(hash(5, 7)), 11);
        assert_eq!(changed.through(hash(1 << 40 | 5, 7)), 11, "a shared slot");
        assert_eq!(changed.through(hash(6, 7)), 10);
        changed.note_account(7, 12);
        assert_eq!(changed.through(hash(6, 7)), 12);
        assert_eq!(changed.through(hash(6, 8)), 10);
    }
}
