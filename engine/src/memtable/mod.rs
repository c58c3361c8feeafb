//! The memtable: the rows and links of the events after the last seal, in memory, filled by one writer
//! and read by any number of snapshots without locks. It also keeps what those events changed in older
//! segments (rows that died, hid or came back), so that a snapshot sees all effects of an event or none.

mod buckets;
mod keys;
mod links;
mod list;
mod names;
mod publication;
mod rows;
mod segment_changes;
mod sources;
mod targets;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

pub(crate) use buckets::{BucketCell, Buckets, Kind};
pub(crate) use list::MemList;
pub(crate) use names::Names;
pub(crate) use rows::{DEAD, HIDDEN, NewRow};

use crate::concurrent::{Chunked, HashIndex, Overlay, Versions};
use crate::samples::RecentSamples;
use links::{LinkCell, ListCell};
use publication::LiveCell;
use rows::{ActorCell, RowCell};
use sources::SourceCell;
use targets::TargetCell;

/// See the module's description.
pub(crate) struct Memtable {
    /// Seqs of this memtable begin here.
    pub(crate) first_seq: u64,
    /// Actor ids from here on were first seen in this memtable.
    pub(crate) first_actor: u32,
    visible_seq: AtomicU64,
    first_time_us: AtomicU64,
    last_time_us: AtomicU64,
    /// Live rows and links before the first event.
    first_live: (u64, u64),
    /// Live rows and links after each event, by its seq less `first_seq`.
    live: Chunked<LiveCell>,
    rows: Chunked<RowCell>,
    row_count: AtomicU32,
    links: Chunked<LinkCell>,
    link_count: AtomicU32,
    lists: Chunked<ListCell>,
    list_count: AtomicU32,
    list_index: HashIndex,
    targets: Chunked<TargetCell>,
    target_count: AtomicU32,
    target_index: HashIndex,
    sources: Chunked<SourceCell>,
    source_count: AtomicU32,
    source_index: HashIndex,
    actors: Chunked<ActorCell>,
    actor_count: AtomicU32,
    actor_index: HashIndex,
    pub(crate) collections: Names,
    paths: Names,
    /// Record keys that are no TIDs, and targets that are neither DID nor record.
    strings: Names,
    /// Bytes of record keys that are no TIDs, each as often as it was used.
    key_bytes: AtomicU64,
    /// By collections of `collections`.
    pub(crate) buckets: Buckets,
    /// DIDs first seen in this memtable; the id of each is `first_actor` + its index.
    pub(crate) dids: Names,
    versions: Versions,
    /// State of rows of older segments, by `overlay_key`.
    segment_rows: Overlay,
    /// Change of the number of masked links of long lists of older segments (an `i64` in two's
    /// complement), by `overlay_key`.
    segment_lists: Overlay,
    /// Change of the number of masked links of older segments, by their place. Writer only.
    segment_links: Chunked<AtomicI64>,
    /// Whole records, the newest of each collection.
    pub(crate) samples: RecentSamples,
    expected: Expected,
    seed: u64,
}

/// What a memtable's indexes are made ready for; more makes them grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    events: u32,
    /// Rows and long lists of older segments that change.
    changed_rows: u32,
    changed_lists: u32,
}

impl Expected {
    /// So many events behind nothing.
    pub(crate) const fn events(events: u32) -> Self {
        Self {
            events,
            changed_rows: 0,
            changed_lists: 0,
        }
    }

    /// So many events behind another memtable: they will change as much as its own did, or as those before it where it has
    /// none.
    pub(crate) fn after(before: &Memtable, events: u32) -> Self {
        if before.visible_seq() < before.first_seq {
            return Self {
                events,
                ..before.expected
            };
        }
        Self {
            events,
            changed_rows: before.segment_rows.len(),
            changed_lists: before.segment_lists.len(),
        }
    }
}

fn hash_pair(a: u32, b: u32) -> u64 {
    xxh3_64(&(u64::from(a) << 32 | u64::from(b)).to_le_bytes())
}

impl Memtable {
    /// An empty memtable for seqs from `first_seq` and new actors from `first_actor`. `seed` is a secret of the directory, so that nobody
    /// can make strings that collide.
    pub(crate) fn new(
        first_seq: u64,
        first_actor: u32,
        expected: Expected,
        first_live: (u64, u64),
        seed: u64,
    ) -> Self {
        let Expected {
            events,
            changed_rows,
            changed_lists,
        } = expected;
        Self {
            first_seq,
            first_actor,
            visible_seq: AtomicU64::new(first_seq.saturating_sub(1)),
            first_time_us: AtomicU64::new(u64::MAX),
            last_time_us: AtomicU64::new(0),
            first_live,
            live: Chunked::default(),
            rows: Chunked::default(),
            row_count: AtomicU32::new(0),
            links: Chunked::default(),
            link_count: AtomicU32::new(0),
            lists: Chunked::default(),
            list_count: AtomicU32::new(0),
            list_index: HashIndex::with_expected(events),
            targets: Chunked::default(),
            target_count: AtomicU32::new(0),
            target_index: HashIndex::with_expected(events),
            sources: Chunked::default(),
            source_count: AtomicU32::new(0),
            source_index: HashIndex::with_expected(256),
            actors: Chunked::default(),
            actor_count: AtomicU32::new(0),
            actor_index: HashIndex::with_expected(events / 2),
            collections: Names::new(256, seed),
            paths: Names::new(256, seed),
            strings: Names::new(events / 16, seed),
            dids: Names::new(events / 2, seed),
            buckets: Buckets::default(),
            expected,
            seed,
            key_bytes: AtomicU64::new(0),
            versions: Versions::default(),
            segment_rows: Overlay::with_expected(changed_rows),
            segment_lists: Overlay::with_expected(changed_lists),
            segment_links: Chunked::default(),
            samples: RecentSamples::new(events),
        }
    }

    /// More bytes than the rows, links, accounts and samples of the segment will take that this becomes. O(1).
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        let counted = [
            (self.row_count(), 40),
            (self.link_count.load(Ordering::Relaxed), 24),
            (self.target_count(), 48),
            (self.list_count(), 24),
            (self.dids.len(), 48),
        ];
        let counted = counted.map(|(count, bytes)| u64::from(count) * bytes);
        let names = [&self.collections, &self.paths, &self.strings, &self.dids];
        counted.iter().sum::<u64>()
            + names.map(Names::text_bytes).iter().sum::<u64>()
            + self.key_bytes.load(Ordering::Relaxed)
            // Names of collections stand in two tables.
            + self.collections.text_bytes()
            + self.buckets.segment_bytes_max()
            + self.samples.segment_bytes_max()
    }

    /// Heap bytes, close enough to bound memory by.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
            + self.live.heap_bytes()
            + self.links.heap_bytes()
            + self.lists.heap_bytes()
            + self.list_index.heap_bytes()
            + self.targets.heap_bytes()
            + self.target_index.heap_bytes()
            + self.actors.heap_bytes()
            + self.actor_index.heap_bytes()
            + self.collections.heap_bytes()
            + self.paths.heap_bytes()
            + self.strings.heap_bytes()
            + self.dids.heap_bytes()
            + self.versions.heap_bytes()
            + self.segment_rows.heap_bytes()
            + self.segment_lists.heap_bytes()
            + self.segment_links.heap_bytes()
            + self.buckets.heap_bytes()
            + self.samples.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memtable_is_made_ready_for_what_the_last_one_changed_that_had_events() {
        let new = |first_seq, expected| Memtable::new(first_seq, 0, expected, (0, 0), 7);
        let first = new(1, Expected::events(64));
        for row in 0..5 {
            first.set_segment_state(0, row, 1, DEAD);
        }
        first.publish(1, 1_000, (0, 0));
        let empty = new(2, Expected::after(&first, 64));
        let third = new(2, Expected::after(&empty, 64));
        for memtable in [&empty, &third] {
            assert_eq!(memtable.expected.changed_rows, 5);
        }
        third.publish(2, 1_000, (0, 0));
        assert_eq!(Expected::after(&third, 64).changed_rows, 0);
    }
}
