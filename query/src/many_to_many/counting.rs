//! Counts of all other subjects. A pass over the rows of a part notes pairs of an account and an other subject, by
//! the number of the subject in that pass. What such a number stands for is found for many at once, in the order of
//! the part's own ids, which is how they stand on disk, and without a string being made of any.

use std::collections::{HashMap, hash_map};
use std::hash::{BuildHasher, Hash, RandomState};

use super::{Ids, known};
use crate::actor_set::IdHash;
use crate::cursor::Place;
use crate::distinct::ListState;
use crate::error::{Error, Result};
use crate::limits::{OTHER_PAIRS_MAX, OTHER_SUBJECTS_MAX};
use crate::selection::Selection;
use crate::view::{BLOCK, Part};

/// Pairs of a part that are noted before their subjects are told apart.
const FRESH_MAX: usize = 1 << 18;
/// Pairs among which duplicates are first looked for.
const PAIRS_FIRST: usize = 1 << 20;

/// No number: subjects of a part are fewer.
const NONE: u32 = u32::MAX;

/// Whether a subject is excluded; `None` where nothing is.
pub(super) type Excludes<'a> = Option<&'a dyn Fn(&str) -> bool>;

/// What is counted of one other subject.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// Its first link, in the order of indexing.
    pub(super) first: Place,
    pub(super) total: u32,
    pub(super) distinct: u32,
}

/// The counts of all other subjects, ordered by their first links.
#[derive(Debug)]
pub(crate) struct OtherCounts {
    pub(super) epoch: u64,
    /// As of which list of excluded targets.
    pub(super) excluded: u64,
    pub(super) lists: Vec<ListState>,
    pub(super) counts: Vec<Count>,
}

impl OtherCounts {
    pub(super) fn heap_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<ListState>() + self.counts.capacity() * size_of::<Count>()
    }
}

/// Makes the table of counts.
pub(super) struct Counting {
    counts: Vec<Count>,
    /// (ordinal of the other subject, account), duplicates among them.
    pairs: Vec<u64>,
    /// Length of `pairs` at which duplicates are looked for.
    pairs_full: usize,
    /// Hash of an other subject → its ordinal.
    ordinals: HashMap<u128, u32, IdHash>,
    /// Keeps writers of records from choosing subjects whose hashes meet.
    seed: u64,
}

/// The numbers of the subjects of one part. Where its targets are not many more than the rows of the list, by their
/// places; else hashed.
struct NumberOf<T> {
    by_place: Vec<u32>,
    hashed: HashMap<T, u32, IdHash>,
    places_max: u32,
}

impl<T: Copy + Eq + Hash> NumberOf<T> {
    fn new(rows: u32) -> Self {
        Self {
            by_place: Vec::new(),
            hashed: HashMap::default(),
            places_max: rows.saturating_mul(2),
        }
    }

    /// The number of a target, `next` where it had none; `place` is its place, and how many there are.
    #[inline]
    fn get(&mut self, target: T, place: Option<(u32, u32)>, next: u32) -> u32 {
        let Some((place, places)) = place.filter(|(_, places)| *places <= self.places_max) else {
            return *self.hashed.entry(target).or_insert(next);
        };
        if self.by_place.is_empty() {
            self.by_place = vec![NONE; places as usize];
        }
        match self.by_place.get_mut(place as usize) {
            Some(number) => {
                if *number == NONE {
                    *number = next;
                }
                *number
            }
            None => next,
        }
    }
}

/// The subjects of one part, numbered as they come.
struct Numbers<T> {
    of: NumberOf<T>,
    /// Of each number the subject, with the row and the link where it came first.
    firsts: Vec<(T, u32, u32)>,
    /// The ordinals of those that were told apart; `None` for what cannot be named or is excluded.
    ordinals: Vec<Option<u32>>,
    /// (number, account).
    fresh: Vec<u64>,
}

const fn pair(subject: u32, account: u32) -> u64 {
    (subject as u64) << 32 | account as u64
}

const fn subject(pair: u64) -> usize {
    (pair >> 32) as usize
}

impl Counting {
    pub(super) fn new() -> Self {
        Self {
            counts: Vec::new(),
            pairs: Vec::new(),
            pairs_full: PAIRS_FIRST,
            ordinals: HashMap::default(),
            seed: RandomState::new().hash_one(0u8),
        }
    }

    /// The ordinal of a subject with that hash, whose first link `first` tells, if it is a new one.
    fn ordinal(&mut self, hash: u128, first: impl FnOnce() -> Result<Place>) -> Result<u32> {
        let slot = match self.ordinals.entry(hash) {
            hash_map::Entry::Occupied(known) => return Ok(*known.get()),
            hash_map::Entry::Vacant(slot) => slot,
        };
        if self.counts.len() >= OTHER_SUBJECTS_MAX {
            return Err(Error::TooLarge {
                what: "other subjects",
                limit: OTHER_SUBJECTS_MAX,
            });
        }
        let ordinal = self.counts.len() as u32;
        self.counts.push(Count {
            first: first()?,
            total: 0,
            distinct: 0,
        });
        slot.insert(ordinal);
        Ok(ordinal)
    }

    /// Counts what a part selects, but for the subjects that are excluded, if any are.
    pub(super) fn part<P: Part>(
        &mut self,
        selection: &Selection<'_, P>,
        ids: &Ids<P::TargetId>,
        path: &str,
        is_excluded: Excludes<'_>,
    ) -> Result<()> {
        let part = selection.part;
        let mut numbers = Numbers {
            of: NumberOf::new(selection.list_state().0),
            firsts: Vec::new(),
            ordinals: Vec::new(),
            fresh: Vec::new(),
        };
        let mut read = part.target_reader(path)?;
        let mut targets = Vec::new();
        let mut last = None;
        let mut note = |this: &mut Self, row: u32, account: u32| -> Result<()> {
            read(row, &mut targets)?;
            for (link, &id) in (0..).zip(&targets) {
                if !ids.want(id) {
                    continue;
                }
                let number = match last {
                    Some((known, number)) if known == id => number,
                    _ => {
                        let next = numbers.firsts.len() as u32;
                        let number = numbers.of.get(id, part.target_place(id), next);
                        if number == next {
                            numbers.firsts.push((id, row, link));
                        }
                        last = Some((id, number));
                        number
                    }
                };
                numbers.fresh.push(pair(number, account));
            }
            if numbers.fresh.len() >= FRESH_MAX {
                this.take(&part, &mut numbers, is_excluded)?;
            }
            Ok(())
        };
        if selection.is_walked() {
            let mut read_accounts = part.actor_blocks()?;
            let mut accounts = [0; BLOCK];
            selection.each_block(0, &mut |_, rows, selected| {
                if selected == 0 {
                    return Ok(());
                }
                read_accounts(rows, &mut accounts)?;
                let rows = (0..u128::BITS).zip(rows.iter().zip(&accounts));
                rows.filter(|(place, _)| selected >> place & 1 == 1)
                    .try_for_each(|(_, (row, account))| note(self, *row, *account))
            })?;
        } else {
            let mut account = part.actor_reader()?;
            selection.each(&mut |row| note(self, row, account(row)?))?;
        }
        self.take(&part, &mut numbers, is_excluded)
    }

    /// Takes over the pairs that were noted, with the subjects that came first since the last time.
    fn take<P: Part>(
        &mut self,
        part: &P,
        numbers: &mut Numbers<P::TargetId>,
        is_excluded: Excludes<'_>,
    ) -> Result<()> {
        let told = numbers.ordinals.len();
        let new = numbers.firsts.get(told..).unwrap_or_default();
        let mut by_id: Vec<(P::TargetId, u32)> =
            (0..).zip(new).map(|(at, (id, ..))| (*id, at)).collect();
        by_id.sort_unstable();
        let ids: Vec<P::TargetId> = by_id.iter().map(|(id, _)| *id).collect();
        let mut hashes = vec![None; new.len()];
        let mut places = by_id.iter();
        part.target_hashes(&ids, self.seed, &mut |hash| {
            if let Some((_, at)) = places.next()
                && let Some(slot) = hashes.get_mut(*at as usize)
            {
                *slot = hash;
            }
        })?;
        let mut seq_of = part.seq_reader()?;
        self.ordinals.reserve(new.len());
        for (mut hash, &(id, row, link)) in hashes.into_iter().zip(new) {
            if let Some(is_excluded) = is_excluded
                && known(part.target_string(id))?.is_some_and(|subject| is_excluded(&subject))
            {
                hash = None;
            }
            let first = || {
                let seq = seq_of(row)?;
                Ok(Place { seq, link })
            };
            let ordinal = hash.map(|hash| self.ordinal(hash, first)).transpose()?;
            numbers.ordinals.push(ordinal);
        }
        for &noted in &numbers.fresh {
            let ordinal = numbers.ordinals.get(subject(noted)).copied().flatten();
            if let Some(ordinal) = ordinal
                && let Some(count) = self.counts.get_mut(ordinal as usize)
            {
                count.total = count.total.saturating_add(1);
                // The lower half is the account.
                self.pairs.push(pair(ordinal, noted as u32));
            }
        }
        numbers.fresh.clear();
        if self.pairs.len() >= self.pairs_full {
            self.pairs.sort_unstable();
            self.pairs.dedup();
            if self.pairs.len() >= OTHER_PAIRS_MAX {
                return Err(Error::TooLarge {
                    what: "pairs of an account and an other subject",
                    limit: OTHER_PAIRS_MAX,
                });
            }
            self.pairs_full = (2 * self.pairs.len()).clamp(PAIRS_FIRST, OTHER_PAIRS_MAX);
        }
        Ok(())
    }

    /// The counts, complete.
    pub(super) fn finish(mut self) -> Vec<Count> {
        drop(self.ordinals);
        // Accounts by other subject: first how many each has, then where the next one of each goes.
        let mut ends = vec![0u32; self.counts.len()];
        for &pair in &self.pairs {
            if let Some(end) = ends.get_mut(subject(pair)) {
                *end += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            (*end, sum) = (sum, sum + *end);
        }
        let mut accounts = vec![0u32; self.pairs.len()];
        for &pair in &self.pairs {
            if let Some(end) = ends.get_mut(subject(pair))
                && let Some(account) = accounts.get_mut(*end as usize)
            {
                // The lower half is the account.
                *account = pair as u32;
                *end += 1;
            }
        }
        let mut start = 0;
        for (count, end) in self.counts.iter_mut().zip(ends) {
            let some = accounts.get_mut(start..end as usize).unwrap_or_default();
            start = end as usize;
            some.sort_unstable();
            // No slice is empty: every subject was found at some link.
            let steps = some.windows(2).filter(|two| two.first() != two.last());
            count.distinct = steps.count() as u32 + u32::from(!some.is_empty());
        }
        self.counts.shrink_to_fit();
        self.counts
    }
}
