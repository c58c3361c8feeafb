//! Whom of many subscribers a link concerns. Each wanted value is an entry in a table of hashes, so that a
//! link costs a few look-ups however many subscribers want something else.
//!
//! A subscriber who wants subjects and sources has an entry for each pair, where that makes few; otherwise
//! one for each subject, and its sources are looked at when a subject was met. Prefixes stand in one ordered
//! map: those that a subject begins with are met by walking from the subject itself towards shorter ones.
//!
//! Hashes have 128 bits and a secret seed, and are taken for the values: two different ones with one hash
//! would need some 2^64 attempts that nobody can see the outcome of.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::filter::{Filters, subject_did};
use crate::error::StreamError;

/// The most entries of all subscribers together, by default; an entry takes at most some 100 bytes.
pub const ENTRIES_MAX: usize = 1_000_000;

/// A subscriber's pairs of wanted subjects and sources have entries each, up to this many.
const PAIRS_MAX: usize = 1_024;

/// A prefix counts as one more entry for each so many bytes of it.
const PREFIX_BYTES_PER_ENTRY: usize = 64;

/// In the keys of prefixes, in the place of a source's hash: any source.
const ANY_SOURCE: [u8; SOURCE_BYTES] = [0; SOURCE_BYTES];
const SOURCE_BYTES: usize = size_of::<u128>();

/// What a hash is of, so that equal strings of different lists stay apart.
#[derive(Clone, Copy)]
enum Of {
    Subject,
    Did,
    Source,
    Pair,
}

/// The filters of many subscribers.
#[derive(Debug)]
pub struct FilterIndex {
    seed: u64,
    entries_max: usize,
    entries: usize,
    hashes: HashMap<u128, Slots, BuildHasherDefault<Keep>>,
    /// By the hash of a source, or [`ANY_SOURCE`], and the prefix behind it.
    prefixes: BTreeMap<Box<[u8]>, Slots>,
    /// Those who want everything.
    everything: Slots,
    subscribers: Vec<Option<Subscriber>>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32>,
    /// For each subscriber the look-up that met it last.
    met: Vec<u64>,
    lookups: u64,
    scratch: Vec<u8>,
}

/// One subscriber, and where it is entered.
#[derive(Debug)]
struct Subscriber {
    id: u64,
    wants_everything: bool,
    hashes: Vec<u128>,
    prefixes: Vec<Box<[u8]>>,
    /// What is looked at once an entry was met; none where entries tell all.
    sources: Option<HashSet<u128, BuildHasherDefault<Keep>>>,
    entries: usize,
}

/// The subscribers of one entry: places in `subscribers`.
#[derive(Debug)]
enum Slots {
    One(u32),
    Some(Vec<u32>),
}

impl Slots {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Some(slots) => slots,
        }
    }

    fn push(&mut self, slot: u32) {
        match self {
            Self::One(first) => *self = Self::Some(vec![*first, slot]),
            Self::Some(slots) => slots.push(slot),
        }
    }

    /// Tells whether nobody is left.
    fn remove(&mut self, slot: u32) -> bool {
        match self {
            Self::One(only) => *only == slot,
            Self::Some(slots) => {
                if let Some(at) = slots.iter().position(|other| *other == slot) {
                    slots.swap_remove(at);
                }
                slots.is_empty()
            }
        }
    }
}

/// Takes the low half of what is a hash already.
#[derive(Debug, Default)]
struct Keep(u64);

impl Hasher for Keep {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

impl Default for FilterIndex {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl FilterIndex {
    /// An index of nobody, with room for so many entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            seed: super::secret_seed(),
            entries_max,
            entries: 0,
            hashes: HashMap::default(),
            prefixes: BTreeMap::new(),
            everything: Slots::Some(Vec::new()),
            subscribers: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            met: Vec::new(),
            lookups: 0,
            scratch: Vec::new(),
        }
    }

    /// The number of subscribers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The entries of all subscribers.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Sets what subscriber `id` wants, in the place of what it wanted before, if it is known.
    ///
    /// # Errors
    /// [`StreamError::TooMany`] if a list is too long, [`StreamError::FiltersFull`] if there is no room. Then nothing
    /// has changed: what it wanted before still holds.
    pub fn set(&mut self, id: u64, filters: &Filters) -> Result<(), StreamError> {
        filters.check()?;
        let subscriber = self.subscriber(id, filters);
        let known = self.by_id.get(&id).copied();
        let before = known.and_then(|slot| self.subscribers.get(slot as usize)?.as_ref());
        let before = before.map_or(0, |subscriber| subscriber.entries);
        let entries = self.entries - before + subscriber.entries;
        if entries > self.entries_max {
            return Err(StreamError::FiltersFull {
                found: entries,
                limit: self.entries_max,
            });
        }
        self.remove(id);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.subscribers.push(None);
            self.met.push(0);
            (self.subscribers.len() - 1) as u32
        });
        if subscriber.wants_everything {
            self.everything.push(slot);
        }
        for hash in &subscriber.hashes {
            match self.hashes.entry(*hash) {
                Entry::Occupied(mut slots) => slots.get_mut().push(slot),
                Entry::Vacant(place) => _ = place.insert(Slots::One(slot)),
            }
        }
        for key in &subscriber.prefixes {
            match self.prefixes.get_mut(key) {
                Some(slots) => slots.push(slot),
                None => _ = self.prefixes.insert(key.clone(), Slots::One(slot)),
            }
        }
        self.entries += subscriber.entries;
        self.by_id.insert(id, slot);
        if let Some(place) = self.subscribers.get_mut(slot as usize) {
            *place = Some(subscriber);
        }
        Ok(())
    }

    /// Forgets a subscriber. Tells whether it was known.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.by_id.remove(&id) else {
            return false;
        };
        let place = self.subscribers.get_mut(slot as usize);
        let Some(subscriber) = place.and_then(Option::take) else {
            return false;
        };
        if subscriber.wants_everything {
            self.everything.remove(slot);
        }
        for hash in &subscriber.hashes {
            if let Entry::Occupied(mut slots) = self.hashes.entry(*hash)
                && slots.get_mut().remove(slot)
            {
                slots.remove();
            }
        }
        for key in &subscriber.prefixes {
            if self
                .prefixes
                .get_mut(key)
                .is_some_and(|slots| slots.remove(slot))
            {
                self.prefixes.remove(key);
            }
        }
        // Tables that were large once do not stay so.
        if self.hashes.capacity() > 1_024 && self.hashes.len() < self.hashes.capacity() / 8 {
            self.hashes.shrink_to(self.hashes.len() * 2);
        }
        self.entries -= subscriber.entries;
        self.free.push(slot);
        true
    }

    /// Calls `each` with the id of every subscriber who wants the link, once.
    pub fn lookup(&mut self, subject: &str, source: &str, mut each: impl FnMut(u64)) {
        self.lookups += 1;
        let lookup = self.lookups;
        let seed = self.seed;
        let source = hash(seed, Of::Source, source.as_bytes());
        let (subscribers, met) = (&self.subscribers, &mut self.met);
        let mut meet = |slots: &Slots| {
            for slot in slots.as_slice() {
                let subscriber = subscribers.get(*slot as usize).and_then(Option::as_ref);
                let (Some(subscriber), Some(last)) = (subscriber, met.get_mut(*slot as usize))
                else {
                    continue;
                };
                let wants_source = || {
                    let sources = subscriber.sources.as_ref();
                    sources.is_none_or(|sources| sources.contains(&source))
                };
                if *last != lookup && wants_source() {
                    *last = lookup;
                    each(subscriber.id);
                }
            }
        };
        meet(&self.everything);
        if !self.hashes.is_empty() {
            let mut probe = |hash: u128| {
                if let Some(slots) = self.hashes.get(&hash) {
                    meet(slots);
                }
            };
            probe(source);
            let mut probe_both = |of: Of, value: &str| {
                let hash = hash(seed, of, value.as_bytes());
                probe(hash);
                probe(pair(seed, hash, source));
            };
            probe_both(Of::Subject, subject);
            if let Some(did) = subject_did(subject) {
                probe_both(Of::Did, did);
            }
        }
        if !self.prefixes.is_empty() {
            for begin in [ANY_SOURCE, source.to_le_bytes()] {
                self.scratch.clear();
                self.scratch.extend_from_slice(&begin);
                self.scratch.extend_from_slice(subject.as_bytes());
                each_prefix(&self.prefixes, &self.scratch, &mut meet);
            }
        }
    }

    /// A subscriber with the entries that it is to have.
    fn subscriber(&self, id: u64, filters: &Filters) -> Subscriber {
        let seed = self.seed;
        let hash_all = |of: Of, values: &[String]| -> Vec<u128> {
            let mut hashes: Vec<u128> = values
                .iter()
                .map(|value| hash(seed, of, value.as_bytes()))
                .collect();
            hashes.sort_unstable();
            hashes.dedup();
            hashes
        };
        let sources = hash_all(Of::Source, &filters.sources);
        let mut subjects = hash_all(Of::Subject, &filters.subjects);
        subjects.extend(hash_all(Of::Did, &filters.dids));
        let mut prefixes: Vec<&[u8]> = filters.prefixes.iter().map(|p| p.as_bytes()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut subscriber = Subscriber {
            id,
            wants_everything: filters.wants_everything(),
            hashes: Vec::new(),
            prefixes: Vec::new(),
            sources: None,
            entries: 1,
        };
        let pairs = sources.len() * (subjects.len() + prefixes.len());
        if filters.wants_every_subject() {
            subscriber.hashes = sources;
        } else if sources.is_empty() || pairs > PAIRS_MAX {
            subscriber.hashes = subjects;
            subscriber.prefixes = prefixes
                .iter()
                .map(|prefix| prefix_key(ANY_SOURCE, prefix))
                .collect();
            if !sources.is_empty() {
                subscriber.entries += sources.len();
                subscriber.sources = Some(sources.into_iter().collect());
            }
        } else {
            for source in sources {
                let pairs = subjects.iter().map(|subject| pair(seed, *subject, source));
                subscriber.hashes.extend(pairs);
                let keys = prefixes
                    .iter()
                    .map(|prefix| prefix_key(source.to_le_bytes(), prefix));
                subscriber.prefixes.extend(keys);
            }
        }
        subscriber.hashes.shrink_to_fit();
        subscriber.entries += subscriber.hashes.len();
        for key in &subscriber.prefixes {
            subscriber.entries += 1 + key.len() / PREFIX_BYTES_PER_ENTRY;
        }
        subscriber
    }
}

fn hash(seed: u64, of: Of, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, seed.wrapping_add(of as u64))
}

fn pair(seed: u64, value: u128, source: u128) -> u128 {
    let mut bytes = [0; 2 * SOURCE_BYTES];
    let both = value.to_le_bytes().into_iter().chain(source.to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(both) {
        *byte = value;
    }
    hash(seed, Of::Pair, &bytes)
}

fn prefix_key(source: [u8; SOURCE_BYTES], prefix: &[u8]) -> Box<[u8]> {
    [&source, prefix].concat().into()
}

/// Calls `meet` for every key that is a prefix of `text` and has its first [`SOURCE_BYTES`] bytes.
///
/// The greatest key that is not behind `text` begins with every key that is a prefix of `text`, since nothing
/// else fits between the two. So what they have in common is the longest that a prefix can be, and the search goes
/// on with that: at most once for each byte of `text`, and hardly ever more than once or twice.
fn each_prefix(prefixes: &BTreeMap<Box<[u8]>, Slots>, text: &[u8], meet: &mut impl FnMut(&Slots)) {
    let mut text = text;
    loop {
        let up_to = (Bound::Unbounded, Bound::Included(text));
        let Some((key, slots)) = prefixes.range::<[u8], _>(up_to).next_back() else {
            return;
        };
        let common = text.iter().zip(key).take_while(|(a, b)| a == b).count();
        let rest = if common == key.len() {
            meet(slots);
            common.checked_sub(1)
        } else {
            Some(common)
        };
        match rest.filter(|rest| *rest >= SOURCE_BYTES) {
            Some(rest) => text = text.get(..rest).unwrap_or_default(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
