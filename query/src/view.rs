//! What queries need of an index: a *view*, immutable while a query runs, made of *parts* that cover
//! contiguous, ascending ranges of seq, each with rows (record versions in seq order) and posting lists
//! of rows. The algorithms of this crate are generic over these traits, so that they are compiled
//! against the engine's snapshot without indirection, and tested against a view made of plain vectors.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Result, known};
use crate::types::{RecordId, Stats};

/// An immutable view of an index.
pub trait View {
    /// The key of a target that the index can hold links to.
    type Key;
    /// A part of the view.
    type Part<'a>: Part<Key = Self::Key>
    where
        Self: 'a;

    /// The parts, oldest first, with ascending, disjoint ranges of seq.
    fn parts(&self) -> impl DoubleEndedIterator<Item = Self::Part<'_>>;

    /// A number that differs between two views of the same index whenever some row was masked in the
    /// one and is not in the other later (an account that was hidden came back). Masks that only grew need
    /// not change it. Any number that changes at least as often is right, and only costs cache hits.
    fn unmask_epoch(&self) -> u64;

    /// The parts that have links to `key` at `path` of the records of `collection`, oldest first, with the list of each.
    /// Lists need not have been opened: see [`List::opened`].
    ///
    /// # Errors
    /// When the index cannot be read.
    fn lists(
        &self,
        key: &Self::Key,
        collection: &str,
        path: &str,
    ) -> Result<Vec<Listed<Self::Part<'_>>>> {
        let mut lists = Vec::new();
        for part in self.parts() {
            if let Some(list) = part.list(key, collection, path)? {
                lists.push((part, list));
            }
        }
        Ok(lists)
    }

    /// Which targets are excluded, by a number that differs between two views where these do; 0 where none are.
    fn excluded_version(&self) -> u64 {
        0
    }

    /// Whether links to a target are not to be told; asked where [`excluded_version`](Self::excluded_version) is not 0.
    fn is_excluded_target(&self, _: &str) -> bool {
        false
    }

    /// The key of a target by its string; `None` when no link to it can exist, and where it is excluded.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn target_key(&self, target: &str) -> Result<Option<Self::Key>>;

    /// The id of an account; `None` when the index does not know it.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn actor(&self, did: &str) -> Result<Option<u32>>;

    /// The DID of an account.
    ///
    /// # Errors
    /// When the index cannot be read, or has no such account.
    fn did(&self, actor: u32) -> Result<String>;

    /// Reads the DIDs of many accounts, which may be faster than one by one.
    fn did_reader(&self) -> impl FnMut(u32, &mut String) -> Result<()> {
        |actor, out: &mut String| {
            out.push_str(&self.did(actor)?);
            Ok(())
        }
    }

    /// The counts of the front page.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn stats(&self) -> Result<Stats>;
}

/// Rows of a list that are read at once.
pub const BLOCK: usize = 128;

/// The targets of the links of many rows at one path.
pub trait RowTargets<T> {
    /// Calls `each` with the links of those of `rows`, up to [`BLOCK`], whose bits are set in `wanted`: the place of the row
    /// among them, that of the link among those of its row, and the target.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn each(&mut self, rows: &[u32], wanted: u128, each: impl FnMut(u32, u32, T)) -> Result<()>;
}

/// Rows of which each is read by itself.
struct OneByOne<'p, P> {
    part: P,
    path: &'p str,
}

impl<P: Part> RowTargets<P::TargetId> for OneByOne<'_, P> {
    fn each(
        &mut self,
        rows: &[u32],
        wanted: u128,
        mut each: impl FnMut(u32, u32, P::TargetId),
    ) -> Result<()> {
        for (place, row) in (0..u128::BITS).zip(rows) {
            if wanted >> place & 1 == 0 {
                continue;
            }
            let mut link = 0;
            self.part.targets_at(*row, self.path, &mut |target| {
                each(place, link, target);
                link += 1;
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A part with one of its lists.
pub type Listed<P> = (P, <P as Part>::List);

/// What is called with the collection, the path and the list of a source.
pub type EachList<'e, L> = &'e mut dyn FnMut(&str, &str, L) -> Result<()>;

/// One part of a view. All its rows stay, those of dead records and hidden accounts too; these are *masked*.
pub trait Part: Copy {
    /// The key of a target.
    type Key;
    /// A target within this part. One target has one id in one part.
    type TargetId: Copy + Ord + std::hash::Hash;
    /// A posting list.
    type List: List;

    /// A number that no other part of any view of the index has, other contents included; a part that only
    /// gets new rows at its end (the memtable) keeps it.
    fn id(&self) -> u64;
    /// A seq that no row's is below.
    fn first_seq(&self) -> u64 {
        0
    }
    /// The last seq of the range that this part covers.
    fn last_seq(&self) -> u64;
    /// The number of rows.
    fn rows(&self) -> u32;
    /// The earliest and the latest event time of the rows, in microseconds; any wider range is right too.
    fn time_range_us(&self) -> (u64, u64);

    /// The links to `key` at `path` of the records of `collection`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn list(&self, key: &Self::Key, collection: &str, path: &str) -> Result<Option<Self::List>>;

    /// Calls `each` with the collection, the path and the list of every source that links to `key`.
    ///
    /// # Errors
    /// When the index cannot be read, or as `each` does.
    fn lists(&self, key: &Self::Key, each: EachList<'_, Self::List>) -> Result<()>;

    /// Whether the row is dead or hidden.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn is_masked(&self, row: u32) -> Result<bool>;
    /// Tells of many rows whether they are masked; rows that stand close together may be read faster than one by one.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn mask_reader(&self) -> Result<impl FnMut(u32) -> Result<bool>> {
        let part = *self;
        Ok(move |row| part.is_masked(row))
    }
    /// The seq of a row; rises strictly with the row.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn seq(&self, row: u32) -> Result<u64>;
    /// Reads the seqs of many rows; rows that stand close together may be read faster than one by one.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn seq_reader(&self) -> Result<impl FnMut(u32) -> Result<u64>> {
        let part = *self;
        Ok(move |row| part.seq(row))
    }
    /// The event time of a row, in microseconds, exact to the millisecond.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn time_us(&self, row: u32) -> Result<u64>;
    /// The account whose record the row is.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn actor(&self, row: u32) -> Result<u32>;
    /// Reads the accounts of many rows; rows that stand close together may be read faster than one by one.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn actor_reader(&self) -> Result<impl FnMut(u32) -> Result<u32>> {
        let part = *self;
        Ok(move |row| part.actor(row))
    }
    /// Reads the accounts of many rows, up to [`BLOCK`] at once: writes that of each row to its place.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn actor_blocks(&self) -> Result<impl FnMut(&[u32], &mut [u32]) -> Result<()>> {
        let mut read = self.actor_reader()?;
        Ok(move |rows: &[u32], actors: &mut [u32]| {
            for (row, actor) in rows.iter().zip(actors) {
                *actor = read(*row)?;
            }
            Ok(())
        })
    }
    /// Tells which of many rows of `list` are masked, rising and up to [`BLOCK`] at once, the first in the
    /// lowest bit. For lists that are read for the most part.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn mask_blocks(&self, list: &Self::List) -> Result<impl FnMut(&[u32]) -> Result<u128>> {
        let _ = list;
        let mut read = self.mask_reader()?;
        Ok(move |rows: &[u32]| {
            let mut masked = 0;
            for (place, row) in (0..u128::BITS).zip(rows) {
                masked |= u128::from(read(*row)?) << place;
            }
            Ok(masked)
        })
    }
    /// The first row whose seq is not below `seq`; [`rows`](Self::rows) when there is none.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn lower_bound_seq(&self, seq: u64) -> Result<u32>;

    /// Two rows `(a, b)` with: every row before `a` has an event time below `time_us`, every row from
    /// `b` on has one not below it. Event times are nearly sorted, so a part with a time index can answer
    /// narrowly; by default only a part wholly on one side says more than `(0, rows)`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn time_split(&self, time_us: u64) -> Result<(u32, u32)> {
        let (first, last) = self.time_range_us();
        Ok(if last < time_us {
            (self.rows(), self.rows())
        } else if first >= time_us {
            (0, 0)
        } else {
            (0, self.rows())
        })
    }

    /// The rows of an account, ascending, masked ones included.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn actor_rows(&self, actor: u32) -> Result<impl Iterator<Item = Result<u32>>>;

    /// The name of the record of `row`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn record(&self, row: u32) -> Result<RecordId>;

    /// Names the records of many rows; rows that stand close together may be named faster than one by one. `dids`
    /// reads the DIDs of accounts.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn record_reader(
        &self,
        dids: &mut impl FnMut(u32, &mut String) -> Result<()>,
    ) -> Result<impl FnMut(u32) -> Result<RecordId>> {
        let _ = dids;
        let part = *self;
        Ok(move |row| part.record(row))
    }

    /// The id of a target in this part; `None` when nothing in it links there.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn target_id(&self, key: &Self::Key) -> Result<Option<Self::TargetId>>;

    /// Reads the targets of the links of many rows at `path`, as [`targets_at`](Self::targets_at) gives them. Rows that
    /// stand close together may be read faster than one by one.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn row_targets(&self, path: &str) -> Result<impl RowTargets<Self::TargetId>> {
        Ok(OneByOne { part: *self, path })
    }

    /// The stored string of a target.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn target_string(&self, target: Self::TargetId) -> Result<String>;

    /// The place of a target among those of the part, which are at most so many; `None` where they have no such places.
    fn target_place(&self, target: Self::TargetId) -> Option<(u32, u32)> {
        let _ = target;
        None
    }

    /// Calls `each` with a hash of each of `targets`, which rise: with one seed the same for the same string in every part,
    /// and for no other string. `None` for one whose string cannot be told.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn target_hashes(
        &self,
        targets: &[Self::TargetId],
        seed: u64,
        mut each: impl FnMut(Option<u128>),
    ) -> Result<()> {
        for target in targets {
            let text = known(self.target_string(*target))?;
            each(text.map(|text| xxh3_128_with_seed(text.as_bytes(), seed)));
        }
        Ok(())
    }

    /// Calls `each` with the targets of the links of `row` at `path`, each target once, in an order
    /// that the row keeps for ever.
    ///
    /// # Errors
    /// When the index cannot be read, or as `each` does.
    fn targets_at(
        &self,
        row: u32,
        path: &str,
        each: &mut dyn FnMut(Self::TargetId) -> Result<()>,
    ) -> Result<()>;
}

/// A posting list: ascending rows of one part, each once.
pub trait List: Clone {
    /// The same list made ready to be read, where only its length and its count of masked rows are known yet. Costs
    /// nothing but that.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn opened(&self) -> Result<Self> {
        Ok(self.clone())
    }
    /// The number of rows, masked ones included.
    fn len(&self) -> u32;
    /// Whether there are no rows at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How many of the rows are masked.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn masked(&self) -> Result<u32>;
    /// The `i`-th row.
    ///
    /// # Errors
    /// When the index cannot be read, or has no such row.
    fn get(&self, i: u32) -> Result<u32>;
    /// The index of the first row not below `row`; the length when there is none.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn lower_bound(&self, row: u32) -> Result<u32>;
    /// The rows from index `i` on, ascending.
    fn iter_from(&self, i: u32) -> impl Iterator<Item = Result<u32>>;
    /// The rows at the indexes of `range`, many at a time: writes the next ones and says how many they are, up to
    /// an index that is a multiple of [`BLOCK`] or the end; none at the end.
    fn blocks(&self, range: Range<u32>) -> impl FnMut(&mut [u32; BLOCK]) -> Result<usize> {
        let mut rows = self.iter_from(range.start).take(range.len());
        let mut next = range.start as usize;
        move |block| {
            let mut filled = 0;
            for to in block.iter_mut().take(BLOCK - next % BLOCK) {
                let Some(row) = rows.next() else {
                    break;
                };
                *to = row?;
                filled += 1;
            }
            next += filled;
            Ok(filled)
        }
    }
    /// The rows before index `i`, descending: those of index `i - 1`, `i - 2`, and so on.
    fn iter_back_from(&self, i: u32) -> impl Iterator<Item = Result<u32>>;
}
