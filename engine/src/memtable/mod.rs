//! The memtable: the rows and links of the events after the last seal, in memory, filled by one writer
//! and read by any number of snapshots without locks. It also keeps what those events changed in older
//! segments (rows that died, hid or came back), so that a snapshot sees all effects of an event or none.
//!
//! Publication: an event's effects are made reachable first, `visible_seq` is stored last, with
//! release. A snapshot loads it with acquire, and passes over everything that is newer.

mod buckets;
mod list;
mod names;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use orrery_formats::segment::{RecordKey, TargetKey};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(crate) use buckets::{BucketCell, Buckets, Kind};
pub(crate) use list::MemList;
pub(crate) use names::Names;

use crate::concurrent::{Chunked, HashIndex, Overlay, Versions};
use crate::samples::RecentSamples;

/// Marks a key that is a string of `keys` rather than a TID, whose top bit is always clear.
const STRING_KEY: u64 = 1 << 63;
/// `TargetCell::collection` of a target that is a DID.
const DID_TARGET: u32 = u32::MAX;
/// `TargetCell::collection` of a target that is any other string.
const OTHER_TARGET: u32 = u32::MAX - 1;

/// The row died: its record was deleted, replaced, or its account was.
pub(crate) const DEAD: u64 = 1;
/// The row's account is inactive.
pub(crate) const HIDDEN: u64 = 2;

#[derive(Default)]
struct RowCell {
    seq: AtomicU64,
    time_us: AtomicU64,
    key: AtomicU64,
    actor: AtomicU32,
    collection: AtomicU32,
    first_link: AtomicU32,
    links: AtomicU32,
    /// Head of the versions of the row's state.
    state: AtomicU32,
    /// The actor's row before this one plus one; 0 when there is none.
    older_of_actor: AtomicU32,
}

#[derive(Default)]
struct LinkCell {
    row: AtomicU32,
    list: AtomicU32,
    /// Place in the list, from 0.
    ordinal: AtomicU32,
    /// The link before this one in its list; itself for the first.
    older: AtomicU32,
    /// A link further back in its list; jumps make a search for any older link logarithmic.
    jump: AtomicU32,
}

#[derive(Default)]
struct ListCell {
    target: AtomicU32,
    source: AtomicU32,
    /// The newest link plus one.
    newest: AtomicU32,
    /// The next list of the same target plus one.
    next_of_target: AtomicU32,
    /// Head of the versions of the number of masked links.
    masked: AtomicU32,
}

#[derive(Default)]
struct TargetCell {
    actor: AtomicU32,
    collection: AtomicU32,
    key: AtomicU64,
    /// The newest list plus one.
    lists: AtomicU32,
}

#[derive(Default)]
struct SourceCell {
    collection: AtomicU32,
    path: AtomicU32,
}

#[derive(Default)]
struct ActorCell {
    id: AtomicU32,
    /// The newest row plus one.
    newest_row: AtomicU32,
}

#[derive(Default)]
struct LiveCell {
    rows: AtomicU64,
    links: AtomicU64,
}

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
    seed: u64,
}

/// The key of a row or list of the segment at `part` in the overlays.
pub(crate) fn overlay_key(part: u32, ordinal: u32) -> u64 {
    u64::from(part) << 32 | u64::from(ordinal)
}

/// One row as the writer adds it.
pub(crate) struct NewRow<'a> {
    pub(crate) seq: u64,
    pub(crate) time_us: u64,
    pub(crate) actor: u32,
    pub(crate) collection: u32,
    pub(crate) rkey: &'a str,
    /// (source, target), distinct, in order of path.
    pub(crate) links: &'a [(u32, u32)],
    /// Whether the actor's account is inactive.
    pub(crate) hidden: bool,
}

fn hash_pair(a: u32, b: u32) -> u64 {
    xxh3_64(&(u64::from(a) << 32 | u64::from(b)).to_le_bytes())
}

fn hash_target(key: &TargetKey<'_>, seed: u64) -> u64 {
    match key {
        TargetKey::Did(actor) => hash_pair(u32::MAX, *actor),
        TargetKey::Other(text) => xxh3_64_with_seed(text.as_bytes(), seed),
        TargetKey::Record {
            actor,
            collection,
            rkey,
        } => {
            // The hash of the one is the seed of the other: two short hashes cost a fifth of a streaming one.
            let seed = xxh3_64_with_seed(collection.as_bytes(), seed);
            xxh3_64_with_seed(rkey.as_bytes(), seed.wrapping_add(u64::from(*actor)))
        }
    }
}

impl Memtable {
    /// An empty memtable for seqs from `first_seq` and new actors from `first_actor`, with room for
    /// about `expected` events before its indexes grow. `seed` is a secret of the directory, so that nobody
    /// can make strings that collide.
    pub(crate) fn new(
        first_seq: u64,
        first_actor: u32,
        expected: u32,
        first_live: (u64, u64),
        seed: u64,
    ) -> Self {
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
            list_index: HashIndex::with_expected(expected),
            targets: Chunked::default(),
            target_count: AtomicU32::new(0),
            target_index: HashIndex::with_expected(expected),
            sources: Chunked::default(),
            source_count: AtomicU32::new(0),
            source_index: HashIndex::with_expected(256),
            actors: Chunked::default(),
            actor_count: AtomicU32::new(0),
            actor_index: HashIndex::with_expected(expected / 2),
            collections: Names::new(256, seed),
            paths: Names::new(256, seed),
            strings: Names::new(expected / 16, seed),
            dids: Names::new(expected / 2, seed),
            buckets: Buckets::default(),
            seed,
            key_bytes: AtomicU64::new(0),
            versions: Versions::default(),
            segment_rows: Overlay::default(),
            segment_lists: Overlay::default(),
            segment_links: Chunked::default(),
            samples: RecentSamples::new(expected),
        }
    }

    // --- Reading -----------------------------------------------------------------------------

    /// The newest event that snapshots may see.
    pub(crate) fn visible_seq(&self) -> u64 {
        self.visible_seq.load(Ordering::Acquire)
    }

    fn live_cell(&self, seq: u64) -> Option<&LiveCell> {
        let index = u32::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        Some(self.live.at(index))
    }

    /// Live rows and live links of the whole index as of `seq`, which must have been visible.
    pub(crate) fn live_as_of(&self, seq: u64) -> (u64, u64) {
        self.live_cell(seq).map_or(self.first_live, |cell| {
            (
                cell.rows.load(Ordering::Relaxed),
                cell.links.load(Ordering::Relaxed),
            )
        })
    }

    /// Links of the first `rows` rows.
    pub(crate) fn links_of_first(&self, rows: u32) -> u32 {
        rows.checked_sub(1).map_or(0, |last| {
            let cell = self.rows.at(last);
            cell.first_link.load(Ordering::Relaxed) + cell.links.load(Ordering::Relaxed)
        })
    }

    /// Event times as of now: earliest and latest, `None` before the first event.
    pub(crate) fn times_us(&self) -> Option<(u64, u64)> {
        let first = self.first_time_us.load(Ordering::Acquire);
        let last = self.last_time_us.load(Ordering::Acquire);
        (first <= last).then_some((first, last))
    }

    /// Rows with a seq of at most `seq`, which must have been visible.
    pub(crate) fn rows_as_of(&self, seq: u64) -> u32 {
        let mut rows = self.row_count.load(Ordering::Acquire);
        // Few steps: only what was written since `seq` was read.
        while rows > 0 && self.seq(rows - 1) > seq {
            rows -= 1;
        }
        rows
    }

    pub(crate) fn row_count(&self) -> u32 {
        self.row_count.load(Ordering::Acquire)
    }

    pub(crate) fn list_count(&self) -> u32 {
        self.list_count.load(Ordering::Acquire)
    }

    pub(crate) fn target_count(&self) -> u32 {
        self.target_count.load(Ordering::Acquire)
    }

    pub(crate) fn seq(&self, row: u32) -> u64 {
        self.rows.at(row).seq.load(Ordering::Relaxed)
    }

    pub(crate) fn time_us(&self, row: u32) -> u64 {
        self.rows.at(row).time_us.load(Ordering::Relaxed)
    }

    pub(crate) fn actor(&self, row: u32) -> u32 {
        self.rows.at(row).actor.load(Ordering::Relaxed)
    }

    pub(crate) fn collection(&self, row: u32) -> &str {
        self.collections
            .get(self.rows.at(row).collection.load(Ordering::Relaxed))
    }

    pub(crate) fn collection_id(&self, row: u32) -> u32 {
        self.rows.at(row).collection.load(Ordering::Relaxed)
    }

    pub(crate) fn rkey(&self, row: u32) -> RecordKey<'_> {
        self.record_key(self.rows.at(row).key.load(Ordering::Relaxed))
    }

    fn record_key(&self, key: u64) -> RecordKey<'_> {
        if key & STRING_KEY == 0 {
            RecordKey::Tid(key)
        } else {
            RecordKey::Str(self.strings.get(key as u32))
        }
    }

    /// The links of a row: (source, target, list).
    pub(crate) fn row_links(&self, row: u32) -> impl Iterator<Item = (u32, u32, u32)> {
        let cell = self.rows.at(row);
        let first = cell.first_link.load(Ordering::Relaxed);
        (first..first + cell.links.load(Ordering::Relaxed)).map(|link| {
            let list = self.links.at(link).list.load(Ordering::Relaxed);
            let cell = self.lists.at(list);
            (
                cell.source.load(Ordering::Relaxed),
                cell.target.load(Ordering::Relaxed),
                list,
            )
        })
    }

    /// The collection and path of a source.
    pub(crate) fn source(&self, source: u32) -> (&str, &str) {
        let cell = self.sources.at(source);
        (
            self.collections
                .get(cell.collection.load(Ordering::Relaxed)),
            self.paths.get(cell.path.load(Ordering::Relaxed)),
        )
    }

    /// The collection and record key of a target that is a record; what it is otherwise.
    pub(crate) fn with_target<R>(&self, target: u32, f: impl FnOnce(TargetKey<'_>) -> R) -> R {
        let cell = self.targets.at(target);
        let actor = cell.actor.load(Ordering::Relaxed);
        let key = cell.key.load(Ordering::Relaxed);
        match cell.collection.load(Ordering::Relaxed) {
            DID_TARGET => f(TargetKey::Did(actor)),
            OTHER_TARGET => f(TargetKey::Other(self.strings.get(key as u32))),
            collection => f(TargetKey::Record {
                actor,
                collection: self.collections.get(collection),
                rkey: &self.record_key(key).text(),
            }),
        }
    }

    /// Whether some row links to the target.
    pub(crate) fn is_linked(&self, target: u32) -> bool {
        self.targets.at(target).lists.load(Ordering::Acquire) != 0
    }

    /// The target, with `rkey` for its record key if it is a record.
    pub(crate) fn linked_target<'a>(&'a self, target: u32, rkey: &'a str) -> TargetKey<'a> {
        let cell = self.targets.at(target);
        let actor = cell.actor.load(Ordering::Relaxed);
        match cell.collection.load(Ordering::Relaxed) {
            DID_TARGET => TargetKey::Did(actor),
            OTHER_TARGET => {
                TargetKey::Other(self.strings.get(cell.key.load(Ordering::Relaxed) as u32))
            }
            collection => TargetKey::Record {
                actor,
                collection: self.collections.get(collection),
                rkey,
            },
        }
    }

    pub(crate) fn find_target(&self, key: &TargetKey<'_>) -> Option<u32> {
        self.target_index
            .find(hash_target(key, self.seed), |target| {
                self.with_target(target, |found| found == *key)
            })
    }

    pub(crate) fn find_source(&self, collection: &str, path: &str) -> Option<u32> {
        let collection = self.collections.find(collection)?;
        self.find_source_ids(collection, self.paths.find(path)?)
    }

    fn find_source_ids(&self, collection: u32, path: u32) -> Option<u32> {
        self.source_index
            .find(hash_pair(collection, path), |source| {
                let cell = self.sources.at(source);
                cell.collection.load(Ordering::Relaxed) == collection
                    && cell.path.load(Ordering::Relaxed) == path
            })
    }

    pub(crate) fn find_list(&self, target: u32, source: u32) -> Option<u32> {
        self.list_index.find(hash_pair(target, source), |list| {
            let cell = self.lists.at(list);
            cell.target.load(Ordering::Relaxed) == target
                && cell.source.load(Ordering::Relaxed) == source
        })
    }

    /// The lists of a target: (list, source), newest first.
    pub(crate) fn lists_of(&self, target: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut next = self.targets.at(target).lists.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            let list = next.checked_sub(1)?;
            let cell = self.lists.at(list);
            next = cell.next_of_target.load(Ordering::Relaxed);
            Some((list, cell.source.load(Ordering::Relaxed)))
        })
    }

    /// The state of a row ([`DEAD`], [`HIDDEN`]) as of `seq`.
    pub(crate) fn state(&self, row: u32, seq: u64) -> u64 {
        self.versions
            .as_of(&self.rows.at(row).state, seq)
            .unwrap_or(0)
    }

    /// The masked links of a list as of `seq`.
    pub(crate) fn masked(&self, list: u32, seq: u64) -> u32 {
        self.versions
            .as_of(&self.lists.at(list).masked, seq)
            .unwrap_or(0) as u32
    }

    /// The changed state of a row of an older segment, `None` where it is as sealed.
    pub(crate) fn segment_state(&self, part: u32, row: u32, seq: u64) -> Option<u64> {
        self.segment_rows
            .as_of(&self.versions, overlay_key(part, row), seq)
    }

    /// Rows of older segments whose state has changed, at least.
    pub(crate) fn segment_states_len(&self) -> u32 {
        self.segment_rows.len()
    }

    /// The rows of an older segment whose state had changed by `seq`, with their states then. Costs a look at
    /// the changes of all segments.
    pub(crate) fn segment_states(&self, part: u32, seq: u64) -> impl Iterator<Item = (u32, u64)> {
        let all = self.segment_rows.all_as_of(&self.versions, seq);
        all.filter_map(move |(key, state)| {
            ((key >> 32) as u32 == part).then_some((key as u32, state))
        })
    }

    /// Whether links of a long list of an older segment were masked or unmasked by `seq`.
    pub(crate) fn segment_list_touched(&self, part: u32, list: u32, seq: u64) -> bool {
        let key = overlay_key(part, list);
        let change = self.segment_lists.as_of(&self.versions, key, seq);
        change.is_some()
    }

    /// By how much the masked links of a long list of an older segment have changed.
    pub(crate) fn segment_masked(&self, part: u32, list: u32, seq: u64) -> i64 {
        self.segment_lists
            .as_of(&self.versions, overlay_key(part, list), seq)
            .unwrap_or(0)
            .cast_signed()
    }

    /// An actor's newest row below `rows`, then older ones.
    pub(crate) fn actor_rows_back(&self, actor: u32, rows: u32) -> impl Iterator<Item = u32> {
        let mut next = self
            .actor_index
            .find(hash_pair(0, actor), |cell| {
                self.actors.at(cell).id.load(Ordering::Relaxed) == actor
            })
            .map_or(0, |cell| {
                self.actors.at(cell).newest_row.load(Ordering::Acquire)
            });
        std::iter::from_fn(move || {
            loop {
                let row = next.checked_sub(1)?;
                next = self.rows.at(row).older_of_actor.load(Ordering::Relaxed);
                if row < rows {
                    return Some(row);
                }
            }
        })
    }

    // --- Writing: one thread only ----------------------------------------------------------------

    /// The id of the source, given now if it has none.
    pub(crate) fn intern_source(&self, collection: u32, path: &str) -> u32 {
        let path = self.paths.intern(path);
        if let Some(source) = self.find_source_ids(collection, path) {
            return source;
        }
        let source = self.source_count.load(Ordering::Relaxed);
        let cell = self.sources.at(source);
        cell.collection.store(collection, Ordering::Relaxed);
        cell.path.store(path, Ordering::Relaxed);
        self.source_index
            .insert(hash_pair(collection, path), source);
        self.source_count.store(source + 1, Ordering::Release);
        source
    }

    fn store_key(&self, rkey: &str) -> u64 {
        match RecordKey::parse(rkey) {
            RecordKey::Tid(tid) => tid,
            RecordKey::Str(text) => {
                self.key_bytes
                    .fetch_add(text.len() as u64, Ordering::Relaxed);
                STRING_KEY | u64::from(self.strings.intern(text))
            }
        }
    }

    /// The id of the target, given now if it has none.
    pub(crate) fn intern_target(&self, key: &TargetKey<'_>) -> u32 {
        let hash = hash_target(key, self.seed);
        let found = self.target_index.find(hash, |target| {
            self.with_target(target, |found| found == *key)
        });
        if let Some(target) = found {
            return target;
        }
        let target = self.target_count.load(Ordering::Relaxed);
        let cell = self.targets.at(target);
        let (actor, collection, stored) = match *key {
            TargetKey::Did(actor) => (actor, DID_TARGET, 0),
            TargetKey::Other(text) => (0, OTHER_TARGET, u64::from(self.strings.intern(text))),
            TargetKey::Record {
                actor,
                collection,
                rkey,
            } => (
                actor,
                self.collections.intern(collection),
                self.store_key(rkey),
            ),
        };
        cell.actor.store(actor, Ordering::Relaxed);
        cell.collection.store(collection, Ordering::Relaxed);
        cell.key.store(stored, Ordering::Relaxed);
        self.target_index.insert(hash, target);
        self.target_count.store(target + 1, Ordering::Release);
        target
    }

    /// Adds a row. Snapshots see it once `publish` has reached its seq.
    pub(crate) fn push_row(&self, new: &NewRow<'_>) -> u32 {
        let row = self.row_count.load(Ordering::Relaxed);
        let first_link = self.link_count.load(Ordering::Relaxed);
        let links = u32::try_from(new.links.len()).unwrap_or(u32::MAX);
        let cell = self.rows.at(row);
        cell.seq.store(new.seq, Ordering::Relaxed);
        cell.time_us.store(new.time_us, Ordering::Relaxed);
        cell.key.store(self.store_key(new.rkey), Ordering::Relaxed);
        cell.actor.store(new.actor, Ordering::Relaxed);
        cell.collection.store(new.collection, Ordering::Relaxed);
        cell.first_link.store(first_link, Ordering::Relaxed);
        cell.links.store(links, Ordering::Relaxed);
        let hash = hash_pair(0, new.actor);
        let known = self.actor_index.find(hash, |actor| {
            self.actors.at(actor).id.load(Ordering::Relaxed) == new.actor
        });
        let actor = known.unwrap_or_else(|| {
            let actor = self.actor_count.load(Ordering::Relaxed);
            self.actors.at(actor).id.store(new.actor, Ordering::Relaxed);
            self.actor_count.store(actor + 1, Ordering::Relaxed);
            actor
        });
        let actor_cell = self.actors.at(actor);
        cell.older_of_actor.store(
            actor_cell.newest_row.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        if new.hidden {
            self.versions.push(&cell.state, new.seq, HIDDEN);
        }
        self.row_count.store(row + 1, Ordering::Release);
        actor_cell.newest_row.store(row + 1, Ordering::Release);
        if known.is_none() {
            self.actor_index.insert(hash, actor);
        }
        for (link, (source, target)) in (first_link..).zip(new.links) {
            self.push_link(link, row, *source, *target, new);
        }
        self.link_count.store(first_link + links, Ordering::Release);
        row
    }

    fn push_link(&self, link: u32, row: u32, source: u32, target: u32, new: &NewRow<'_>) {
        let found = self.find_list(target, source);
        let list = found.unwrap_or_else(|| {
            let list = self.list_count.load(Ordering::Relaxed);
            let cell = self.lists.at(list);
            cell.target.store(target, Ordering::Relaxed);
            cell.source.store(source, Ordering::Relaxed);
            self.list_count.store(list + 1, Ordering::Relaxed);
            list
        });
        let list_cell = self.lists.at(list);
        let cell = self.links.at(link);
        cell.row.store(row, Ordering::Relaxed);
        cell.list.store(list, Ordering::Relaxed);
        match list_cell.newest.load(Ordering::Relaxed).checked_sub(1) {
            None => {
                cell.ordinal.store(0, Ordering::Relaxed);
                cell.older.store(link, Ordering::Relaxed);
                cell.jump.store(link, Ordering::Relaxed);
            }
            Some(older) => {
                let ordinal = |link: u32| self.links.at(link).ordinal.load(Ordering::Relaxed);
                let jump = |link: u32| self.links.at(link).jump.load(Ordering::Relaxed);
                let far = jump(older);
                let farther = jump(far);
                // Skew-binary jumps: a link jumps as far as its two predecessors together when those
                // jump equally far (Myers, "An applicative random-access stack", 1983).
                let equal = ordinal(older) - ordinal(far) == ordinal(far) - ordinal(farther);
                cell.ordinal.store(ordinal(older) + 1, Ordering::Relaxed);
                cell.older.store(older, Ordering::Relaxed);
                cell.jump
                    .store(if equal { farther } else { older }, Ordering::Relaxed);
            }
        }
        if new.hidden {
            self.add_masked(list, new.seq, 1);
        }
        list_cell.newest.store(link + 1, Ordering::Release);
        if found.is_none() {
            let target_cell = self.targets.at(target);
            list_cell
                .next_of_target
                .store(target_cell.lists.load(Ordering::Relaxed), Ordering::Relaxed);
            self.list_index.insert(hash_pair(target, source), list);
            target_cell.lists.store(list + 1, Ordering::Release);
        }
    }

    /// Changes the state of a row of this memtable from `seq` on.
    pub(crate) fn set_state(&self, row: u32, seq: u64, state: u64) {
        self.versions.push(&self.rows.at(row).state, seq, state);
    }

    /// Changes the number of masked links of a list of this memtable from `seq` on.
    pub(crate) fn add_masked(&self, list: u32, seq: u64, change: i64) {
        let now = self.masked(list, u64::MAX);
        self.versions.push(
            &self.lists.at(list).masked,
            seq,
            u64::from(now).saturating_add_signed(change),
        );
    }

    /// Changes the state of a row of an older segment from `seq` on; what that masks or unmasks is told by
    /// [`add_segment_masked`](Self::add_segment_masked) and [`add_segment_links`](Self::add_segment_links).
    pub(crate) fn set_segment_state(&self, part: u32, row: u32, seq: u64, state: u64) {
        self.segment_rows
            .set(&self.versions, overlay_key(part, row), seq, state);
    }

    /// Changes the number of links of an older segment whose rows are masked. Snapshots do not ask for it.
    pub(crate) fn add_segment_links(&self, part: u32, change: i64) {
        self.segment_links
            .at(part)
            .fetch_add(change, Ordering::Relaxed);
    }

    /// By how much that number has changed.
    pub(crate) fn segment_links(&self, part: u32) -> i64 {
        self.segment_links.at(part).load(Ordering::Relaxed)
    }

    /// Changes the number of masked links of a long list of an older segment from `seq` on.
    pub(crate) fn add_segment_masked(&self, part: u32, list: u32, seq: u64, change: i64) {
        let now = self.segment_masked(part, list, u64::MAX);
        self.segment_lists.set(
            &self.versions,
            overlay_key(part, list),
            seq,
            now.wrapping_add(change).cast_unsigned(),
        );
    }

    /// States and masked changes of older segments as of now: ((part, row), state), ((part, list), change).
    pub(crate) fn segment_changes(
        &self,
    ) -> (
        impl Iterator<Item = (u32, u32, u64)>,
        impl Iterator<Item = (u32, u32, i64)>,
    ) {
        let split = |key: u64| ((key >> 32) as u32, key as u32);
        (
            self.segment_rows
                .newest(&self.versions)
                .map(move |(key, state)| (split(key).0, split(key).1, state)),
            self.segment_lists
                .newest(&self.versions)
                .map(move |(key, change)| (split(key).0, split(key).1, change.cast_signed())),
        )
    }

    /// Lets snapshots see the event `seq` and all before it.
    pub(crate) fn publish(&self, seq: u64, time_us: u64, live: (u64, u64)) {
        if let Some(cell) = self.live_cell(seq) {
            cell.rows.store(live.0, Ordering::Relaxed);
            cell.links.store(live.1, Ordering::Relaxed);
        }
        if time_us != 0 {
            // What the operator says before the first event has no time.
            self.first_time_us.fetch_min(time_us, Ordering::Relaxed);
        }
        self.last_time_us.fetch_max(time_us, Ordering::Relaxed);
        self.visible_seq.store(seq, Ordering::Release);
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

    /// The paths, for ranking them at a seal.
    pub(crate) fn paths(&self) -> &Names {
        &self.paths
    }

    /// The ids of a source's collection and path.
    pub(crate) fn source_ids(&self, source: u32) -> (u32, u32) {
        let cell = self.sources.at(source);
        (
            cell.collection.load(Ordering::Relaxed),
            cell.path.load(Ordering::Relaxed),
        )
    }
}
