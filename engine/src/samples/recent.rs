//! Samples of the events since the last seal, and what those events mean for samples in older segments: the keys
//! and accounts that they touched. One writer, any number of readers; the lock is held for some microseconds,
//! never across I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use orrery_formats::event::Encoding;
use orrery_formats::segment::{SAMPLE_BODY_MAX, SAMPLE_KEY_MAX, SAMPLES_MAX, Sample};
use parking_lot::Mutex;

use super::Allowance;
use crate::actors::ActorId;
use crate::concurrent::{Chunked, HashIndex};

/// The most heap that samples take. Beyond, fewer of each collection are kept.
const HEAP_MAX: usize = 32 << 20;
/// Heap of a sample beside key and body, about.
const SAMPLE_HEAP: usize = 160;
/// Heap of an account event, about.
const ACCOUNT_HEAP: usize = 128;
/// What a sample takes in a segment before compression, beside key and body, at most; with its share of the directory.
const SAMPLE_BYTES: u64 = 64;

/// A record as it comes.
#[derive(Clone, Copy)]
pub(crate) struct NewSample<'a> {
    pub(crate) time_us: u64,
    pub(crate) rev: u64,
    pub(crate) is_update: bool,
    pub(crate) encoding: Encoding,
    pub(crate) rkey: &'a str,
    pub(crate) body: &'a [u8],
}

/// A record that was written since the last seal.
pub(crate) struct RecentSample {
    pub(crate) seq: u64,
    actor: ActorId,
    time_us: u64,
    rev: u64,
    is_update: bool,
    encoding: Encoding,
    rkey: Box<str>,
    body: Box<[u8]>,
}

impl RecentSample {
    /// As segments have it.
    pub(crate) fn sample<'a>(&'a self, collection: &'a str) -> Sample<'a> {
        Sample {
            collection,
            seq: self.seq,
            time_us: self.time_us,
            rev: self.rev,
            actor: self.actor,
            is_update: self.is_update,
            encoding: self.encoding,
            rkey: &self.rkey,
            body: &self.body,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.rkey.len() + self.body.len() + SAMPLE_HEAP
    }
}

/// What the newest account event says, as of some seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountChange {
    seq: u64,
    pub(crate) is_hidden: bool,
    /// The newest deletion since the last seal; 0 when there was none.
    pub(crate) deleted_seq: u64,
}

struct Slot {
    actor: ActorId,
    key_hash: u64,
    /// The event that deleted or replaced it; `u64::MAX` before that.
    dead_from: u64,
    sample: Arc<RecentSample>,
}

impl Slot {
    /// Whether it is the record of its key as of `seq`.
    fn is_seen(&self, seq: u64) -> bool {
        self.sample.seq <= seq && seq < self.dead_from
    }
}

struct Inner {
    /// By id of the collection in the memtable, oldest first.
    collections: HashMap<u32, VecDeque<Slot>>,
    accounts: HashMap<ActorId, Vec<AccountChange>>,
    /// How many of a collection are kept.
    most: usize,
    heap: usize,
}

#[derive(Default)]
struct TouchedCell {
    key_hash: AtomicU64,
    /// The first event since the last seal that touched the key.
    seq: AtomicU64,
    actor: AtomicU32,
}

/// See the module's description.
pub(crate) struct RecentSamples {
    inner: Mutex<Inner>,
    heap: AtomicUsize,
    /// How many account events were noted.
    account_changes: AtomicUsize,
    touched: Chunked<TouchedCell>,
    touched_count: AtomicU32,
    touched_index: HashIndex,
}

/// Key hashes are keyed with a secret and spread evenly; one key of many accounts is spread by an odd constant, the
/// golden ratio's as in Knuth, TAOCP 6.4.
fn hash_of(actor: ActorId, key_hash: u64) -> u64 {
    key_hash ^ u64::from(actor).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl RecentSamples {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                collections: HashMap::new(),
                accounts: HashMap::new(),
                most: SAMPLES_MAX,
                heap: 0,
            }),
            heap: AtomicUsize::new(0),
            account_changes: AtomicUsize::new(0),
            touched: Chunked::default(),
            touched_count: AtomicU32::new(0),
            touched_index: HashIndex::with_expected(256),
        }
    }

    /// Notes that the event `seq` wrote or deleted a key of which older segments may have a sample. Writer only,
    /// before the event is published.
    pub(crate) fn touch(&self, actor: ActorId, key_hash: u64, seq: u64) {
        if self.touched_seq(actor, key_hash).is_some() {
            return;
        }
        let id = self.touched_count.load(Ordering::Relaxed);
        let cell = self.touched.at(id);
        cell.key_hash.store(key_hash, Ordering::Relaxed);
        cell.seq.store(seq, Ordering::Relaxed);
        cell.actor.store(actor, Ordering::Relaxed);
        self.touched_count.store(id + 1, Ordering::Relaxed);
        self.touched_index.insert(hash_of(actor, key_hash), id);
    }

    fn touched_seq(&self, actor: ActorId, key_hash: u64) -> Option<u64> {
        let cell = |id: u32| self.touched.at(id);
        let found = self.touched_index.find(hash_of(actor, key_hash), |id| {
            cell(id).actor.load(Ordering::Relaxed) == actor
                && cell(id).key_hash.load(Ordering::Relaxed) == key_hash
        });
        found.map(|id| cell(id).seq.load(Ordering::Relaxed))
    }

    /// Whether an event up to `seq` touched the key.
    pub(crate) fn is_touched(&self, actor: ActorId, key_hash: u64, seq: u64) -> bool {
        self.touched_seq(actor, key_hash)
            .is_some_and(|first| first <= seq)
    }

    /// Ends the sample of a key with the event `seq`, and takes the record that it wrote, if it is one to keep. Writer
    /// only, before the event is published.
    pub(crate) fn write(
        &self,
        collection: u32,
        (actor, key_hash): (ActorId, u64),
        seq: u64,
        new: Option<NewSample<'_>>,
    ) {
        let new =
            new.filter(|new| new.body.len() <= SAMPLE_BODY_MAX && new.rkey.len() <= SAMPLE_KEY_MAX);
        let published = seq.saturating_sub(1);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let slots = match (&new, inner.collections.get_mut(&collection)) {
            (_, Some(slots)) => slots,
            (Some(_), None) => inner.collections.entry(collection).or_default(),
            (None, None) => return,
        };
        let mut any_dead = false;
        for slot in slots.iter_mut() {
            // Dead for all that is published: nobody asks for it any more.
            any_dead |= slot.dead_from <= published;
            if slot.key_hash == key_hash && slot.actor == actor {
                slot.dead_from = slot.dead_from.min(seq);
            }
        }
        let mut freed = 0;
        if any_dead {
            slots.retain(|slot| {
                let is_dead = slot.dead_from <= published;
                freed += if is_dead { slot.sample.heap_bytes() } else { 0 };
                !is_dead
            });
        }
        if let Some(new) = new {
            let sample = RecentSample {
                seq,
                actor,
                time_us: new.time_us,
                rev: new.rev,
                is_update: new.is_update,
                encoding: new.encoding,
                rkey: new.rkey.into(),
                body: new.body.into(),
            };
            inner.heap += sample.heap_bytes();
            slots.push_back(Slot {
                actor,
                key_hash,
                dead_from: u64::MAX,
                sample: Arc::new(sample),
            });
        }
        freed += trim(slots, inner.most);
        inner.heap = inner.heap.saturating_sub(freed);
        while inner.heap > HEAP_MAX && inner.most > 0 {
            // At last none at all, of collections beyond counting.
            inner.most /= 2;
            let trimmed = inner.collections.values_mut();
            let freed: usize = trimmed.map(|slots| trim(slots, inner.most)).sum();
            inner.heap = inner.heap.saturating_sub(freed);
        }
        self.heap.store(inner.heap, Ordering::Relaxed);
    }

    /// Notes an account event. Writer only, before the event is published.
    pub(crate) fn change_account(&self, actor: ActorId, seq: u64, hides: bool, deletes: bool) {
        self.account_changes.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let changes = inner.accounts.entry(actor).or_default();
        let deleted_before = changes.last().map_or(0, |change| change.deleted_seq);
        changes.push(AccountChange {
            seq,
            is_hidden: hides,
            deleted_seq: if deletes { seq } else { deleted_before },
        });
    }

    /// What account events up to `seq` changed of an account.
    pub(crate) fn account(&self, actor: ActorId, seq: u64) -> Option<AccountChange> {
        let inner = self.inner.lock();
        let changes = inner.accounts.get(&actor)?;
        changes
            .iter()
            .rev()
            .find(|change| change.seq <= seq)
            .copied()
    }

    /// The samples of a collection as of `seq`, newest first, those of hidden and deleted accounts too.
    pub(crate) fn of(&self, collection: u32, seq: u64) -> Vec<Arc<RecentSample>> {
        let inner = self.inner.lock();
        let slots = inner.collections.get(&collection);
        let seen = slots.into_iter().flatten().rev();
        seen.filter(|slot| slot.is_seen(seq))
            .map(|slot| Arc::clone(&slot.sample))
            .collect()
    }

    /// The collections with samples as of `seq`, and the latest event time of each.
    pub(crate) fn collections(&self, seq: u64) -> Vec<(u32, u64)> {
        let inner = self.inner.lock();
        let latest = |slots: &VecDeque<Slot>| {
            let seen = slots.iter().filter(|slot| slot.is_seen(seq));
            seen.map(|slot| slot.sample.time_us).max()
        };
        let collections = inner.collections.iter();
        collections
            .filter_map(|(id, slots)| Some((*id, latest(slots)?)))
            .collect()
    }

    /// What a segment of this memtable is to keep, by collection, newest first: what lives, and no more than
    /// allowed. Where the bytes do not suffice, collections with many give way before those with few.
    pub(crate) fn for_segment(&self, allowance: Allowance) -> Vec<(u32, Vec<Arc<RecentSample>>)> {
        let inner = self.inner.lock();
        let is_deleted = |sample: &RecentSample| {
            let changes = inner.accounts.get(&sample.actor);
            changes
                .and_then(|changes| changes.last())
                .is_some_and(|change| sample.seq < change.deleted_seq)
        };
        let live = |slots: &VecDeque<Slot>| -> Vec<Arc<RecentSample>> {
            let live = slots.iter().rev();
            live.filter(|slot| slot.dead_from == u64::MAX && !is_deleted(&slot.sample))
                .map(|slot| Arc::clone(&slot.sample))
                .collect()
        };
        let collections = inner.collections.iter();
        let mut kept: Vec<_> = collections.map(|(id, slots)| (*id, live(slots))).collect();
        drop(inner);
        kept.retain(|(_, samples)| !samples.is_empty());
        let bytes = |sample: &Arc<RecentSample>| {
            sample.rkey.len() as u64 + sample.body.len() as u64 + SAMPLE_BYTES
        };
        let mut most = allowance.most;
        loop {
            let of =
                |samples: &[Arc<RecentSample>]| samples.iter().take(most).map(bytes).sum::<u64>();
            let total: u64 = kept.iter().map(|(_, samples)| of(samples)).sum();
            if total <= allowance.bytes || most == 0 {
                break;
            }
            if most == 1 {
                // The shortest first, so that most collections have one.
                kept.sort_by_key(|(id, samples)| (of(samples), *id));
                let mut left = allowance.bytes;
                kept.retain(|(_, samples)| {
                    let taken = left.checked_sub(of(samples));
                    left = taken.unwrap_or(0);
                    taken.is_some()
                });
                break;
            }
            most /= 2;
        }
        for (_, samples) in &mut kept {
            samples.truncate(most);
        }
        kept.retain(|(_, samples)| !samples.is_empty());
        kept
    }

    /// Heap bytes, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.load(Ordering::Relaxed)
            + self.account_changes.load(Ordering::Relaxed) * ACCOUNT_HEAP
            + self.touched.heap_bytes()
            + self.touched_index.heap_bytes()
    }

    /// More bytes than the samples take in a segment. O(1).
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        // A sample counts more on the heap than before compression.
        self.heap.load(Ordering::Relaxed) as u64
    }
}

/// Drops the oldest beyond `most`. Gives the heap bytes that they took.
fn trim(slots: &mut VecDeque<Slot>, most: usize) -> usize {
    let excess = slots.len().saturating_sub(most);
    slots
        .drain(..excess)
        .map(|slot| slot.sample.heap_bytes())
        .sum()
}
