//! Samples of the events since the last seal, and what those events mean for samples in older segments: the accounts
//! that they changed, and the keys that they touched (`touched.rs`). One writer, any number of readers; the lock is held for some microseconds, for a
//! pass over all samples where these take too much and at a seal, and never across I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use orrery_formats::event::Encoding;
use orrery_formats::segment::{SAMPLE_BODY_MAX, SAMPLE_KEY_MAX, SAMPLES_MAX, Sample};
use parking_lot::Mutex;

use super::limit::{Cut, Needs, Share, Taken, bytes_of};
use super::touched::Touched;
use crate::actors::{ActorId, IdHashes};
use crate::concurrent::Chunked;

/// The most heap that samples take. Beyond, each collection gets half of the share it had, so that long ones and
/// those of collections with many give way; at the least share, the collections that were written to longest ago have
/// none any more. Each time that makes room for a quarter.
const HEAP_MAX: usize = 32 << 20;
const HEAP_AFTER: usize = HEAP_MAX / 4 * 3;
/// Heap of a sample beside key and body, about.
const SAMPLE_HEAP: usize = 160;
/// Heap of an account event, about.
const ACCOUNT_HEAP: usize = 128;

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

    fn bytes(&self) -> u64 {
        bytes_of(&self.rkey, &self.body)
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
    /// Heap bytes.
    heap: u32,
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

    /// Whether no event has ended it.
    fn is_live(&self) -> bool {
        self.dead_from == u64::MAX
    }
}

/// The samples of a collection, oldest first, and what those that live count together: most events only look at that.
#[derive(Default)]
struct Slots {
    slots: VecDeque<Slot>,
    live: usize,
    live_heap: u64,
}

impl Slots {
    /// Ends the live samples of a key, and drops those that no snapshot asks for any more. Gives the heap bytes that are
    /// free now.
    fn end(&mut self, actor: ActorId, key_hash: u64, seq: u64) -> usize {
        let mut freed = 0;
        if self.live < self.slots.len() {
            // Dead for all that is published.
            let published = seq.saturating_sub(1);
            self.slots.retain(|slot| {
                let is_dead = slot.dead_from <= published;
                freed += if is_dead { slot.heap as usize } else { 0 };
                !is_dead
            });
        }
        let (first, second) = self.slots.as_mut_slices();
        // One after the other: a chain of both asks at each slot which one it is in.
        for slots in [first, second] {
            for slot in slots {
                if slot.key_hash == key_hash && slot.actor == actor && slot.is_live() {
                    slot.dead_from = seq;
                    self.live -= 1;
                    self.live_heap -= u64::from(slot.heap);
                }
            }
        }
        freed
    }

    fn push(&mut self, slot: Slot) {
        self.live += 1;
        self.live_heap += u64::from(slot.heap);
        self.slots.push_back(slot);
    }

    /// Drops the oldest live samples that do not fit in `share` or are too many, none being too long for it. Gives the
    /// heap bytes that are free now.
    fn keep_to(&mut self, share: Share) -> usize {
        let mut freed = 0;
        while self.live > SAMPLES_MAX || self.live_heap > share.bytes() {
            if !self.slots.front().is_some_and(Slot::is_live) {
                return freed + self.trim(share);
            }
            let heap = self.slots.pop_front().map_or(0, |slot| slot.heap);
            self.live -= 1;
            self.live_heap -= u64::from(heap);
            freed += heap as usize;
        }
        freed
    }

    /// Drops live samples that are too long for `share`, and the oldest ones that do not fit in it or are too many. Those
    /// that were ended stay until no snapshot may show them. Gives the heap bytes that are free now.
    fn trim(&mut self, share: Share) -> usize {
        let is_long = |slot: &Slot| u64::from(slot.heap) > share.longest();
        let (mut live, mut live_heap, mut kept_from) = (0, 0, 0);
        for (place, slot) in self.slots.iter().enumerate().rev() {
            if !slot.is_live() || is_long(slot) {
                continue;
            }
            let heap = u64::from(slot.heap);
            if live == SAMPLES_MAX || live_heap + heap > share.bytes() {
                kept_from = place + 1;
                break;
            }
            live += 1;
            live_heap += heap;
        }
        let (mut place, mut freed) = (0, 0);
        self.slots.retain(|slot| {
            let is_dropped = slot.is_live() && (place < kept_from || is_long(slot));
            place += 1;
            freed += if is_dropped { slot.heap as usize } else { 0 };
            !is_dropped
        });
        (self.live, self.live_heap) = (live, live_heap);
        freed
    }
}

struct Inner {
    /// By id of the collection in the memtable.
    collections: HashMap<u32, Slots, IdHashes>,
    accounts: HashMap<ActorId, Vec<AccountChange>>,
    /// The heap that a collection may take.
    share: Share,
    heap: usize,
}

impl Inner {
    /// Makes room. Passes over all collections: sixteen times at most, and then once for each quarter of
    /// [`HEAP_MAX`] that is written.
    fn make_room(&mut self) {
        while self.heap > HEAP_AFTER
            && let Some(share) = self.share.halved()
        {
            self.share = share;
            let mut freed = 0;
            self.collections.retain(|_, slots| {
                freed += slots.trim(share);
                !slots.slots.is_empty()
            });
            self.heap = self.heap.saturating_sub(freed);
        }
        if self.heap <= HEAP_AFTER {
            return;
        }
        let newest = |slots: &Slots| slots.slots.back().map_or(0, |slot| slot.sample.seq);
        let collections = self.collections.values();
        let mut by_age: Vec<(u64, usize)> = collections
            .map(|slots| (newest(slots), heap_of(slots)))
            .collect();
        by_age.sort_unstable();
        let (mut left, mut kept_from) = (self.heap, 0);
        for (seq, heap) in by_age {
            if left <= HEAP_AFTER {
                break;
            }
            (left, kept_from) = (left.saturating_sub(heap), seq + 1);
        }
        self.collections
            .retain(|_, slots| newest(slots) >= kept_from);
        self.heap = left;
    }
}

/// The samples that were taken of a collection, be they gone by now.
#[derive(Default)]
struct Activity {
    /// 0 where none was taken.
    first_seq: AtomicU64,
    /// The latest event time.
    latest_us: AtomicU64,
}

/// See the module's description.
pub(crate) struct RecentSamples {
    inner: Mutex<Inner>,
    heap: AtomicUsize,
    /// How many account events were noted.
    account_changes: AtomicUsize,
    /// Keys of which older segments may have a sample.
    pub(crate) touched: Touched,
    /// By id of the collection.
    activity: Chunked<Activity>,
}

impl RecentSamples {
    /// With room for the keys of about `expected` events.
    pub(crate) fn new(expected: u32) -> Self {
        Self {
            inner: Mutex::new(Inner {
                collections: HashMap::default(),
                accounts: HashMap::new(),
                share: Share::MOST,
                heap: 0,
            }),
            heap: AtomicUsize::new(0),
            account_changes: AtomicUsize::new(0),
            touched: Touched::new(expected),
            activity: Chunked::default(),
        }
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
        let heap = |new: &NewSample<'_>| new.rkey.len() + new.body.len() + SAMPLE_HEAP;
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let new = new.filter(|new| {
            let is_of_bounded_length =
                new.body.len() <= SAMPLE_BODY_MAX && new.rkey.len() <= SAMPLE_KEY_MAX;
            is_of_bounded_length && heap(new) as u64 <= inner.share.longest()
        });
        let slots = match (&new, inner.collections.get_mut(&collection)) {
            (_, Some(slots)) => slots,
            (Some(_), None) => inner.collections.entry(collection).or_default(),
            (None, None) => return,
        };
        let mut freed = slots.end(actor, key_hash, seq);
        if let Some(new) = new {
            let heap = heap(&new);
            inner.heap += heap;
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
            slots.push(Slot {
                actor,
                heap: heap as u32,
                key_hash,
                dead_from: u64::MAX,
                sample: Arc::new(sample),
            });
            let activity = self.activity.at(collection);
            activity.latest_us.fetch_max(new.time_us, Ordering::Relaxed);
            if activity.first_seq.load(Ordering::Relaxed) == 0 {
                activity.first_seq.store(seq, Ordering::Relaxed);
            }
        }
        // None is too long: a smaller share drops those that are.
        freed += slots.keep_to(inner.share);
        inner.heap = inner.heap.saturating_sub(freed);
        if inner.heap > HEAP_MAX {
            inner.make_room();
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
        let seen = slots.into_iter().flat_map(|slots| &slots.slots).rev();
        seen.filter(|slot| slot.is_seen(seq))
            .map(|slot| Arc::clone(&slot.sample))
            .collect()
    }

    /// Whether samples of the collection were taken as of `seq`, and one of them, or a newer one, is of an event at
    /// `since_us` or later. Without the lock.
    pub(crate) fn is_active(&self, collection: u32, seq: u64, since_us: u64) -> bool {
        let activity = self.activity.at(collection);
        let latest_us = activity.latest_us.load(Ordering::Relaxed);
        let first_seq = activity.first_seq.load(Ordering::Relaxed);
        latest_us >= since_us && (1..=seq).contains(&first_seq)
    }

    /// What a segment of this memtable is to keep, by collection, newest first: what lives, as far as it fits in `room`
    /// bytes. `name_len` tells how long the name of a collection is. Holds the lock while it passes over all samples.
    pub(crate) fn for_segment(
        &self,
        room: u64,
        name_len: impl Fn(u32) -> usize,
    ) -> Vec<(u32, Vec<Arc<RecentSample>>)> {
        let inner = self.inner.lock();
        let is_deleted = |sample: &RecentSample| {
            let changes = inner.accounts.get(&sample.actor);
            changes
                .and_then(|changes| changes.last())
                .is_some_and(|change| sample.seq < change.deleted_seq)
        };
        let live = |slots: &Slots| -> Vec<Arc<RecentSample>> {
            let live = slots.slots.iter().rev();
            live.filter(|slot| slot.is_live() && !is_deleted(&slot.sample))
                .map(|slot| Arc::clone(&slot.sample))
                .collect()
        };
        let collections = inner.collections.iter();
        let mut kept: Vec<_> = collections.map(|(id, slots)| (*id, live(slots))).collect();
        drop(inner);
        let mut needs = Needs::default();
        let mut sizes = Vec::new();
        for (id, samples) in &kept {
            sizes.clear();
            sizes.extend(samples.iter().map(|sample| (sample.seq, sample.bytes())));
            needs.add(name_len(*id), SAMPLES_MAX, &sizes);
        }
        let cut: Cut = needs.cut(room);
        kept.retain_mut(|(_, samples)| {
            let mut taken = Taken::default();
            samples.retain(|sample| cut.take(&mut taken, sample.seq, sample.bytes()));
            !samples.is_empty()
        });
        kept
    }

    /// Heap bytes, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap.load(Ordering::Relaxed)
            + self.account_changes.load(Ordering::Relaxed) * ACCOUNT_HEAP
            + self.touched.heap_bytes()
            + self.activity.heap_bytes()
    }

    /// More bytes than the samples take in a segment. O(1).
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        // A sample counts more on the heap than before compression.
        self.heap.load(Ordering::Relaxed) as u64
    }
}

fn heap_of(slots: &Slots) -> usize {
    slots.slots.iter().map(|slot| slot.heap as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(samples: &RecentSamples, collection: u32, seq: u64, key_hash: u64, body: &[u8]) {
        let new = NewSample {
            time_us: seq,
            rev: seq,
            is_update: false,
            encoding: Encoding::Json,
            rkey: "self",
            body,
        };
        samples.write(collection, (1, key_hash), seq, Some(new));
    }

    #[test]
    fn an_update_takes_no_place_from_the_oldest_of_a_full_collection() {
        let samples = RecentSamples::new(256);
        for seq in 1..=64 {
            write(&samples, 0, seq, seq, b"{}");
        }
        for seq in 65..200 {
            write(&samples, 0, seq, 30 + seq % 3, b"{}");
            assert_eq!(samples.of(0, seq).len(), 64);
        }
        assert_eq!(samples.of(0, 199).last().map(|oldest| oldest.seq), Some(1));
        write(&samples, 0, 200, 1000, b"{}");
        let kept = samples.of(0, 200);
        assert_eq!(
            (kept.len(), kept.last().map(|oldest| oldest.seq)),
            (64, Some(2))
        );
    }

    #[test]
    fn of_short_one_off_records_beyond_counting_the_oldest_have_to_go() {
        let samples = RecentSamples::new(256);
        let body = [b'x'; 700];
        let last = 120_000_u64;
        for seq in 1..=last {
            match seq % 1000 {
                0 => write(&samples, 0, seq, seq, b"{}"),
                _ => write(&samples, seq as u32, seq, 0, &body),
            }
            assert!(samples.heap.load(Ordering::Relaxed) <= HEAP_MAX);
        }
        assert!(samples.of(0, last).len() >= 4);
        assert!(samples.of(1, last).is_empty());
        let newest = (last - 20_000..last).filter(|seq| seq % 1000 > 0);
        assert!(
            newest
                .clone()
                .all(|id| samples.of(id as u32, last).len() == 1)
        );
        let heap = samples.inner.lock().collections.values().map(heap_of).sum();
        assert_eq!(samples.heap.load(Ordering::Relaxed), heap);
        assert!(samples.is_active(1, last, 1) && !samples.is_active(1, last, 2));
        assert!(!samples.is_active(2, 1, 0) && !samples.is_active(1000, last, 0));
    }
}
