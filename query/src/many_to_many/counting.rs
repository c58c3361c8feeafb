//! Counts of all other subjects. A pass over the rows of a part notes pairs of an account and an other subject, by
//! the number of the subject in that pass. What such a number stands for is found for many at once, in the order of
//! the part's own ids, which is how they stand on disk, and without a string being made of any.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use super::ordinals::{Ordinal, Ordinals};
use super::table::{At, Count, Table};
use super::{Ids, known};
use crate::actor_set::IdHash;
use crate::distinct::ListState;
use crate::error::{Error, Result};
use crate::limits::{OTHER_PAIRS_MAX, OTHER_SUBJECTS_MAX};
use crate::selection::Selection;
use crate::view::{BLOCK, Part, RowTargets};

/// Pairs of a part that are noted before their subjects are told apart.
const FRESH_MAX: usize = 1 << 18;
/// Pairs among which duplicates are first looked for.
const PAIRS_FIRST: usize = 1 << 20;
/// Subjects whose slots are read together.
const TOUCHED: usize = 64;
/// Where one in so many targets of a part is new, they are found by a pass over all places and not sorted.
const PASSED_OVER: usize = 8;
/// Accounts of a subject that are sorted to count them. More are marked in a set of all.
const SORTED_MAX: usize = 16;

/// No number: subjects of a part, and those that are counted, are fewer.
const NONE: u32 = u32::MAX;

/// Whether a subject is excluded; `None` where nothing is.
pub(super) type Excludes<'a> = Option<&'a dyn Fn(&str) -> bool>;

/// The counts of all other subjects, ordered by their first links.
#[derive(Debug)]
pub(crate) struct OtherCounts {
    pub(super) epoch: u64,
    /// As of which list of excluded targets.
    pub(super) excluded: u64,
    /// Of each part that links were counted of; these are numbered in this order. Places of rows hold with the part's id, which tells
    /// a segment that was written anew from the one before.
    pub(super) lists: Vec<ListState>,
    pub(super) counts: Table,
}

impl OtherCounts {
    pub(super) fn heap_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<ListState>() + self.counts.heap_bytes()
    }
}

/// Makes the table of counts.
pub(super) struct Counting<T> {
    /// Hash of an other subject → its ordinal. These are given in the order of first links.
    ordinals: Ordinals,
    /// By ordinal: row and place of the first link, and how many links there are.
    firsts: Vec<(u32, u32)>,
    totals: Vec<u32>,
    /// Of each part that was counted its number and the first ordinal of a subject that came first there.
    parts: Vec<(u32, usize)>,
    /// (ordinal of the other subject, account), duplicates among them.
    pairs: Vec<u64>,
    /// Length of `pairs` at which duplicates are looked for.
    pairs_full: usize,
    /// Keeps writers of records from choosing subjects whose hashes meet.
    seed: u64,
    /// Of the part that is being counted. Its buffers are kept from part to part.
    numbers: Numbers<T>,
}

/// The numbers of the subjects of one part. Where its targets are not many more than the rows of the list, by their
/// places; else hashed.
struct NumberOf<T> {
    by_place: Vec<u32>,
    hashed: HashMap<T, u32, IdHash>,
    places_max: u32,
}

impl<T: Copy + Eq + Hash> NumberOf<T> {
    /// Begins with a part of whose rows so many are in the list.
    fn begin(&mut self, rows: u32) {
        self.by_place.clear();
        self.hashed.clear();
        self.places_max = rows.saturating_mul(2);
    }

    /// The number of a target, `next` where it had none; `place` is its place, and how many there are.
    #[inline]
    fn get(&mut self, target: T, place: Option<(u32, u32)>, next: u32) -> u32 {
        let Some((place, places)) = place.filter(|(_, places)| *places <= self.places_max) else {
            return *self.hashed.entry(target).or_insert(next);
        };
        if self.by_place.is_empty() {
            self.by_place.resize(places as usize, NONE);
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
    /// By number: the subject, and the row and the link where it came first.
    subjects: Vec<T>,
    firsts: Vec<(u32, u32)>,
    /// The ordinals of those that were told apart; [`NONE`] for what cannot be named or is excluded.
    ordinals: Vec<u32>,
    /// (number, account).
    fresh: Vec<u64>,
    /// What is being told apart: the subjects in the order of their ids, by how much the number of each is more than that
    /// of the first that is, and the hashes in the order of numbers.
    ids: Vec<T>,
    offsets: Vec<u32>,
    hashes: Vec<u128>,
}

/// The hash of a subject that cannot be named, or is excluded.
const NAMELESS: u128 = 0;

impl<T: Copy + Ord + Hash> Numbers<T> {
    fn new() -> Self {
        Self {
            of: NumberOf {
                by_place: Vec::new(),
                hashed: HashMap::default(),
                places_max: 0,
            },
            subjects: Vec::new(),
            firsts: Vec::new(),
            ordinals: Vec::new(),
            fresh: Vec::new(),
            ids: Vec::new(),
            offsets: Vec::new(),
            hashes: Vec::new(),
        }
    }

    fn begin(&mut self, rows: u32) {
        self.of.begin(rows);
        self.subjects.clear();
        self.firsts.clear();
        self.ordinals.clear();
        self.fresh.clear();
    }

    /// Notes a link to `target` by an account; `at` is where it stands.
    #[inline]
    fn note(&mut self, target: T, place: Option<(u32, u32)>, at: (u32, u32)) -> u32 {
        let next = self.subjects.len() as u32;
        let number = self.of.get(target, place, next);
        if number == next {
            self.subjects.push(target);
            self.firsts.push(at);
        }
        number
    }

    /// Orders the subjects that were not told apart by their ids.
    fn order(&mut self) {
        self.ids.clear();
        self.offsets.clear();
        let told = self.ordinals.len();
        let new = self.subjects.len() - told;
        let by_place = &self.of.by_place;
        if new > by_place.len() / PASSED_OVER && self.of.hashed.is_empty() {
            // Places are in the order of ids.
            for &number in by_place {
                let offset = (number as usize).wrapping_sub(told);
                if offset < new
                    && let Some(id) = self.subjects.get(number as usize)
                {
                    self.ids.push(*id);
                    self.offsets.push(offset as u32);
                }
            }
            return;
        }
        let some = self.subjects.get(told..).unwrap_or_default();
        let mut both: Vec<(T, u32)> = some.iter().copied().zip(0..).collect();
        both.sort_unstable();
        self.ids.extend(both.iter().map(|(id, _)| *id));
        self.offsets.extend(both.iter().map(|(_, offset)| *offset));
    }

    /// Hashes the subjects that were not told apart.
    fn hash<P: Part<TargetId = T>>(
        &mut self,
        part: &P,
        seed: u64,
        is_excluded: Excludes<'_>,
    ) -> Result<()> {
        self.order();
        self.hashes.clear();
        self.hashes.resize(self.ids.len(), NAMELESS);
        let (hashes, mut offsets) = (&mut self.hashes, self.offsets.iter());
        part.target_hashes(&self.ids, seed, |hash| {
            if let Some(offset) = offsets.next()
                && let Some(slot) = hashes.get_mut(*offset as usize)
            {
                // No hash is taken for none.
                *slot = hash.map_or(NAMELESS, |hash| hash.max(NAMELESS + 1));
            }
        })?;
        if let Some(is_excluded) = is_excluded {
            let new = self.subjects.get(self.ordinals.len()..);
            for (hash, id) in self.hashes.iter_mut().zip(new.unwrap_or_default()) {
                if known(part.target_string(*id))?.is_some_and(|subject| is_excluded(&subject)) {
                    *hash = NAMELESS;
                }
            }
        }
        Ok(())
    }
}

const fn pair(subject: u32, account: u32) -> u64 {
    (subject as u64) << 32 | account as u64
}

const fn subject(pair: u64) -> usize {
    (pair >> 32) as usize
}

/// The account of a pair: its lower half.
const fn account(pair: u64) -> u32 {
    pair as u32
}

impl<T: Copy + Ord + Hash> Counting<T> {
    /// Nothing yet, of about so many links.
    pub(super) fn new(links: u64) -> Self {
        Self {
            ordinals: Ordinals::with_expected(links),
            firsts: Vec::new(),
            totals: Vec::new(),
            parts: Vec::new(),
            pairs: Vec::new(),
            pairs_full: PAIRS_FIRST,
            seed: RandomState::new().hash_one(0u8),
            numbers: Numbers::new(),
        }
    }

    /// Counts what a part selects, the one with that number, but for the subjects that are excluded, if any are. Parts
    /// come in their order.
    pub(super) fn part<P: Part<TargetId = T>>(
        &mut self,
        number: u32,
        selection: &Selection<'_, P>,
        ids: &Ids<T>,
        path: &str,
        is_excluded: Excludes<'_>,
    ) -> Result<()> {
        let part = selection.part;
        self.parts.push((number, self.firsts.len()));
        self.numbers.begin(selection.list_state().0);
        let mut read = part.row_targets(path)?;
        let mut last = None;
        let mut note = |this: &mut Self, rows: &[u32], wanted: u128, accounts: &[u32]| {
            let numbers = &mut this.numbers;
            read.each(rows, wanted, |place, link, target| {
                let subject = match last {
                    Some((known, subject)) if known == target => subject,
                    _ => {
                        if !ids.want(target) {
                            return;
                        }
                        let row = rows.get(place as usize).copied().unwrap_or_default();
                        let subject = numbers.note(target, part.target_place(target), (row, link));
                        last = Some((target, subject));
                        subject
                    }
                };
                let account = accounts.get(place as usize).copied().unwrap_or_default();
                numbers.fresh.push(pair(subject, account));
            })?;
            if numbers.fresh.len() >= FRESH_MAX {
                this.take(&part, is_excluded)?;
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
                note(self, rows, selected, &accounts)
            })?;
        } else {
            let mut account = part.actor_reader()?;
            selection.each(&mut |row| note(self, &[row], 1, &[account(row)?]))?;
        }
        self.take(&part, is_excluded)
    }

    /// Takes over the pairs that were noted, with the subjects that came first since the last time.
    fn take<P: Part<TargetId = T>>(&mut self, part: &P, is_excluded: Excludes<'_>) -> Result<()> {
        let Self {
            numbers,
            ordinals,
            firsts,
            totals,
            pairs,
            ..
        } = self;
        numbers.hash(part, self.seed, is_excluded)?;
        let new = numbers.firsts.get(numbers.ordinals.len()..);
        let mut new = new.unwrap_or_default().iter();
        for some in numbers.hashes.chunks(TOUCHED) {
            ordinals.touch(some);
            for (&hash, &first) in some.iter().zip(new.by_ref()) {
                let ordinal = match hash {
                    NAMELESS => NONE,
                    _ => match ordinals.get(hash, OTHER_SUBJECTS_MAX) {
                        Some(Ordinal::Known(ordinal)) => ordinal,
                        Some(Ordinal::New(ordinal)) => {
                            firsts.push(first);
                            totals.push(0);
                            ordinal
                        }
                        None => {
                            return Err(Error::TooLarge {
                                what: "other subjects",
                                limit: OTHER_SUBJECTS_MAX,
                            });
                        }
                    },
                };
                numbers.ordinals.push(ordinal);
            }
        }
        pairs.extend(numbers.fresh.iter().filter_map(|&noted| {
            let ordinal = *numbers.ordinals.get(subject(noted))?;
            let total = totals.get_mut(ordinal as usize)?;
            *total = total.saturating_add(1);
            Some(pair(ordinal, account(noted)))
        }));
        numbers.fresh.clear();
        if pairs.len() >= self.pairs_full {
            pairs.sort_unstable();
            pairs.dedup();
            if pairs.len() >= OTHER_PAIRS_MAX {
                return Err(Error::TooLarge {
                    what: "pairs of an account and an other subject",
                    limit: OTHER_PAIRS_MAX,
                });
            }
            self.pairs_full = (2 * pairs.len()).clamp(PAIRS_FIRST, OTHER_PAIRS_MAX);
        }
        Ok(())
    }

    /// The counts, complete.
    pub(super) fn finish(self) -> Table {
        drop((self.ordinals, self.numbers));
        let distinct = accounts_of(&self.totals, self.pairs);
        let mut table = Table::default();
        let mut counts = self.firsts.into_iter().zip(self.totals).zip(distinct);
        let ends = self.parts.iter().skip(1).map(|(_, first)| *first);
        let ends = ends.chain([usize::MAX]);
        for ((number, first), end) in self.parts.iter().zip(ends) {
            for (((row, link), total), distinct) in counts.by_ref().take(end - first) {
                table.push(Count {
                    first: At::new(*number, row, link),
                    total,
                    distinct,
                });
            }
        }
        table.shrink_to_fit();
        table
    }
}

/// How many accounts each subject has, by ordinal. `totals` are their links, of which each has one at least.
fn accounts_of(totals: &[u32], pairs: Vec<u64>) -> Vec<u32> {
    if totals.iter().all(|total| *total <= 1) {
        return vec![1; totals.len()];
    }
    // One link is by one account: only others are looked at. First how many pairs each has, then where its next one goes.
    let mut ends = vec![0u32; totals.len()];
    let (mut least, mut most) = (u32::MAX, 0);
    let is_of_several = |pair: u64| totals.get(subject(pair)).is_some_and(|total| *total > 1);
    for &pair in pairs.iter().filter(|pair| is_of_several(**pair)) {
        if let Some(end) = ends.get_mut(subject(pair)) {
            *end += 1;
        }
        (least, most) = (least.min(account(pair)), most.max(account(pair)));
    }
    let mut sum = 0;
    for end in &mut ends {
        (*end, sum) = (sum, sum + *end);
    }
    let mut accounts = vec![0u32; sum as usize];
    for &pair in pairs.iter().filter(|pair| is_of_several(**pair)) {
        if let Some(end) = ends.get_mut(subject(pair))
            && let Some(place) = accounts.get_mut(*end as usize)
        {
            *place = account(pair);
            *end += 1;
        }
    }
    drop(pairs);
    // A bit for each account there may be, where that takes no more than the pairs did.
    let words = (most.saturating_sub(least) / u64::BITS) as usize + 1;
    let mut set = match words <= accounts.len() {
        true => vec![0u64; words],
        false => Vec::new(),
    };
    let mut start = 0;
    let mut distinct = ends;
    for count in &mut distinct {
        let end = *count as usize;
        let some = accounts.get_mut(start..end).unwrap_or_default();
        start = end;
        *count = if some.is_empty() {
            1
        } else if some.len() <= SORTED_MAX || set.is_empty() {
            sorted(some)
        } else {
            marked(some, least, &mut set)
        };
    }
    distinct
}

/// How many accounts these are. Sorts them.
fn sorted(accounts: &mut [u32]) -> u32 {
    accounts.sort_unstable();
    let steps = accounts.windows(2).filter(|two| two.first() != two.last());
    steps.count() as u32 + u32::from(!accounts.is_empty())
}

/// The same by a set with a bit for each account from `least` on, which is empty before and behind.
fn marked(accounts: &[u32], least: u32, set: &mut [u64]) -> u32 {
    let place = |account: u32| {
        let place = account.saturating_sub(least);
        ((place / u64::BITS) as usize, 1u64 << (place % u64::BITS))
    };
    let mut count = 0;
    for (word, bit) in accounts.iter().map(|account| place(*account)) {
        if let Some(word) = set.get_mut(word) {
            count += u32::from(*word & bit == 0);
            *word |= bit;
        }
    }
    for (word, _) in accounts.iter().map(|account| place(*account)) {
        if let Some(word) = set.get_mut(word) {
            *word = 0;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few accounts and many, side by side and spread; subjects with one link, with some and with many.
        #[test]
        fn accounts_are_counted_once_for_each_subject(
            links in prop::collection::vec((0..40u32, 0..60u32), 0..2_000),
            scale in prop_oneof![Just(1u32), Just(40), Just(50_000_000)],
        ) {
            let mut totals: Vec<u32> = Vec::new();
            let mut ordinals = std::collections::HashMap::new();
            let mut pairs = Vec::new();
            let mut expected: Vec<BTreeSet<u32>> = Vec::new();
            for (subject, account) in links {
                // Some subjects have many links, most have one.
                let subject = if subject < 5 { subject } else { subject * 60 + account };
                let account = account * scale + 7;
                let ordinal = *ordinals.entry(subject).or_insert(totals.len());
                if ordinal == totals.len() {
                    totals.push(0);
                    expected.push(BTreeSet::new());
                }
                totals[ordinal] += 1;
                expected[ordinal].insert(account);
                pairs.push(pair(ordinal as u32, account));
            }
            let expected: Vec<u32> = expected.iter().map(|of| of.len() as u32).collect();
            prop_assert_eq!(accounts_of(&totals, pairs.clone()), expected.clone());
            // As after duplicates were taken out.
            pairs.sort_unstable();
            pairs.dedup();
            prop_assert_eq!(accounts_of(&totals, pairs), expected);
        }
    }
}
