//! Whom of many subscribers a link concerns. Each wanted value is an entry in a table of hashes, so that a
//! link costs a few look-ups however many subscribers want something else.
//!
//! A subscriber who wants subjects and sources has an entry for each pair, where that makes few; otherwise
//! one for each subject, and its sources are looked at when a subject was met. Prefixes are entries too: a
//! subject is looked up by its beginnings of all lengths that a prefix has, of which there are few, as
//! prefixes are short.
//!
//! What takes long about the filters of one subscriber, making its entries, needs no index: [`Prepared`].
//!
//! Hashes have 128 bits and a secret seed, and are taken for the values: two different ones with one hash
//! would need some 2^64 attempts that nobody can see the outcome of.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::filter::{Filters, subject_did};
use crate::error::StreamError;

/// The most entries of all subscribers together, by default; an entry takes at most some 100 bytes.
pub const ENTRIES_MAX: usize = 1_000_000;

/// A subscriber's pairs of wanted subjects and sources have entries each, up to this many.
const PAIRS_MAX: usize = 1_024;

/// A table with this part of all entries there may be gets room for all.
const LARGE: usize = 8;
/// A table that holds less than this part of what it has room for gets a smaller one: much less than [`LARGE`], lest
/// the two follow each other.
const SPARSE: usize = 32;

const HASH_BYTES: usize = size_of::<u128>();

/// The seed of all indexes, so that entries can be made without one.
static SEED: LazyLock<u64> = LazyLock::new(super::secret_seed);

/// What a hash is of, so that equal strings of different lists stay apart.
#[derive(Debug, Clone, Copy)]
enum Of {
    Subject,
    Prefix,
    Did,
    Source,
    Pair,
}

/// Kinds of entries, as bits: values by themselves, and in pairs with sources.
const KINDS: usize = 8;

const fn alone(of: Of) -> u8 {
    1 << of as u8
}

const fn paired(of: Of) -> u8 {
    alone(of) << (KINDS / 2)
}

/// The filters of many subscribers.
#[derive(Debug)]
pub struct FilterIndex {
    seed: u64,
    entries_max: usize,
    entries: usize,
    hashes: HashMap<u128, Slots, BuildHasherDefault<Keep>>,
    /// How many subscribers have entries of each kind: what nobody wants is not looked up.
    kinds: [usize; KINDS],
    /// How many prefixes of each length there are.
    prefix_lengths: BTreeMap<usize, usize>,
    /// Those who want everything.
    everything: Slots,
    subscribers: Vec<Option<Subscriber>>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32>,
    /// For each subscriber the look-up that met it last.
    met: Vec<u64>,
    lookups: u64,
}

/// One subscriber, and where it is entered.
#[derive(Debug)]
struct Subscriber {
    id: u64,
    wants: Prepared,
}

/// What one subscriber wants, ready to be [set](FilterIndex::set_prepared): for large filters, making it takes
/// much longer than setting it.
#[derive(Debug, Clone)]
pub struct Prepared {
    wants_everything: bool,
    hashes: Vec<u128>,
    /// The kinds of the hashes.
    kinds: u8,
    /// The lengths of its prefixes, each once.
    prefix_lengths: Vec<usize>,
    /// What is looked at once an entry was met; none where entries tell all.
    sources: Option<HashSet<u128, BuildHasherDefault<Keep>>>,
    entries: usize,
}

/// The subscribers of one entry: places in `subscribers`. Most entries have one, and there are many.
#[derive(Debug)]
enum Slots {
    One(u32),
    #[expect(clippy::box_collection, reason = "it keeps entries small")]
    Some(Box<Vec<u32>>),
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
            Self::One(first) => *self = Self::Some(Box::new(vec![*first, slot])),
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
            seed: *SEED,
            entries_max,
            entries: 0,
            hashes: HashMap::default(),
            kinds: [0; KINDS],
            prefix_lengths: BTreeMap::new(),
            everything: Slots::Some(Box::default()),
            subscribers: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            met: Vec::new(),
            lookups: 0,
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
    /// As those of [`Prepared::new`] and [`set_prepared`](Self::set_prepared).
    pub fn set(&mut self, id: u64, filters: &Filters) -> Result<(), StreamError> {
        self.set_prepared(id, Prepared::new(filters)?)
    }

    /// As [`set`](Self::set), with what was made ready before.
    ///
    /// # Errors
    /// [`StreamError::FiltersFull`] if there is no room. Then nothing has changed: what it wanted before still holds.
    pub fn set_prepared(&mut self, id: u64, wants: Prepared) -> Result<(), StreamError> {
        let known = self.by_id.get(&id).copied();
        let before = known.and_then(|slot| self.subscribers.get(slot as usize)?.as_ref());
        let before = before.map_or(0, |subscriber| subscriber.wants.entries);
        let entries = self.entries - before + wants.entries;
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
        if wants.wants_everything {
            self.everything.push(slot);
        }
        let hashes = self.hashes.len() + wants.hashes.len();
        // Moving the entries of a large table to a larger one takes long: it is done once, while it is not that large.
        if hashes > self.entries_max / LARGE && self.hashes.capacity() < self.entries_max {
            self.hashes.reserve(self.entries_max - self.hashes.len());
        }
        self.hashes.reserve(wants.hashes.len());
        for hash in &wants.hashes {
            match self.hashes.entry(*hash) {
                Entry::Occupied(mut slots) => slots.get_mut().push(slot),
                Entry::Vacant(place) => _ = place.insert(Slots::One(slot)),
            }
        }
        self.count_kinds(wants.kinds, |count| *count += 1);
        for length in &wants.prefix_lengths {
            *self.prefix_lengths.entry(*length).or_default() += 1;
        }
        self.entries += wants.entries;
        self.by_id.insert(id, slot);
        if let Some(place) = self.subscribers.get_mut(slot as usize) {
            *place = Some(Subscriber { id, wants });
        }
        Ok(())
    }

    fn count_kinds(&mut self, kinds: u8, count: impl Fn(&mut usize)) {
        for (bit, kind) in self.kinds.iter_mut().enumerate() {
            if kinds & (1 << bit) != 0 {
                count(kind);
            }
        }
    }

    /// Forgets a subscriber. Tells whether it was known.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.by_id.remove(&id) else {
            return false;
        };
        let place = self.subscribers.get_mut(slot as usize);
        let Some(Subscriber { wants, .. }) = place.and_then(Option::take) else {
            return false;
        };
        if wants.wants_everything {
            self.everything.remove(slot);
        }
        for hash in &wants.hashes {
            if let Entry::Occupied(mut slots) = self.hashes.entry(*hash)
                && slots.get_mut().remove(slot)
            {
                slots.remove();
            }
        }
        self.count_kinds(wants.kinds, |count| *count -= 1);
        for length in &wants.prefix_lengths {
            if let Some(count) = self.prefix_lengths.get_mut(length) {
                *count -= 1;
                if *count == 0 {
                    self.prefix_lengths.remove(length);
                }
            }
        }
        // Tables that were large once do not stay so.
        if self.hashes.capacity() > 1_024 && self.hashes.len() < self.hashes.capacity() / SPARSE {
            self.hashes.shrink_to(self.hashes.len() * 2);
        }
        self.entries -= wants.entries;
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
                    let sources = subscriber.wants.sources.as_ref();
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
            let mut kinds = 0;
            for (bit, count) in self.kinds.iter().enumerate() {
                kinds |= u8::from(*count > 0) << bit;
            }
            if kinds & alone(Of::Source) != 0 {
                probe(source);
            }
            let mut probe_both = |of: Of, value: &[u8]| {
                if kinds & (alone(of) | paired(of)) == 0 {
                    return;
                }
                let hash = hash(seed, of, value);
                if kinds & alone(of) != 0 {
                    probe(hash);
                }
                if kinds & paired(of) != 0 {
                    probe(pair(seed, hash, source));
                }
            };
            probe_both(Of::Subject, subject.as_bytes());
            if kinds & (alone(Of::Did) | paired(Of::Did)) != 0
                && let Some(did) = subject_did(subject)
            {
                probe_both(Of::Did, did.as_bytes());
            }
            for length in self.prefix_lengths.keys() {
                match subject.as_bytes().get(..*length) {
                    Some(begin) => probe_both(Of::Prefix, begin),
                    None => break,
                }
            }
        }
    }
}

impl Prepared {
    /// The entries that it takes.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// What these filters want.
    ///
    /// # Errors
    /// [`StreamError::TooMany`] or [`StreamError::TooLong`] if they are beyond the limits.
    pub fn new(filters: &Filters) -> Result<Self, StreamError> {
        filters.check()?;
        let seed = *SEED;
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
        subjects.extend(hash_all(Of::Prefix, &filters.prefixes));
        let mut prefix_lengths: Vec<usize> = filters.prefixes.iter().map(String::len).collect();
        prefix_lengths.sort_unstable();
        prefix_lengths.dedup();
        let mut prepared = Self {
            wants_everything: filters.wants_everything(),
            hashes: Vec::new(),
            kinds: 0,
            prefix_lengths,
            sources: None,
            entries: 1,
        };
        let lists = [
            (Of::Subject, &filters.subjects),
            (Of::Prefix, &filters.prefixes),
            (Of::Did, &filters.dids),
        ];
        let given = lists.into_iter().filter(|(_, values)| !values.is_empty());
        let kinds = given.fold(0, |kinds, (of, _)| kinds | alone(of));
        if filters.wants_every_subject() {
            if !sources.is_empty() {
                prepared.kinds = alone(Of::Source);
            }
            prepared.hashes = sources;
        } else if sources.is_empty() || sources.len() * subjects.len() > PAIRS_MAX {
            prepared.hashes = subjects;
            prepared.kinds = kinds;
            if !sources.is_empty() {
                prepared.entries += sources.len();
                prepared.sources = Some(sources.into_iter().collect());
            }
        } else {
            prepared.kinds = kinds << (KINDS / 2);
            for source in sources {
                let pairs = subjects.iter().map(|subject| pair(seed, *subject, source));
                prepared.hashes.extend(pairs);
            }
        }
        prepared.hashes.shrink_to_fit();
        prepared.entries += prepared.hashes.len();
        Ok(prepared)
    }
}

fn hash(seed: u64, of: Of, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, seed.wrapping_add(of as u64))
}

fn pair(seed: u64, value: u128, source: u128) -> u128 {
    let mut bytes = [0; 2 * HASH_BYTES];
    let both = value.to_le_bytes().into_iter().chain(source.to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(both) {
        *byte = value;
    }
    hash(seed, Of::Pair, &bytes)
}

#[cfg(test)]
mod tests;
