//! The rows that a filter selects from the lists of one target and source.
//!
//! A [`Selection`] is the list of one part together with what narrows it. Nothing is copied: rows are read
//! from the list in place, in either direction, from any row on. Where a filter names few accounts (or,
//! for many-to-many queries, few other subjects), their rows are walked instead of the list and looked up
//! in it, whichever is shorter.

use std::cell::OnceCell;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::error::Result;
use crate::types::Filter;
use crate::view::{BLOCK, List, Listed, Part, View};

/// A list this short is always walked itself.
const SHORT_LIST: u32 = 64;
/// How many rows of a list are walked in the time one row is looked up in it.
const LOOKUP_COST: u32 = 4;

/// What narrows a list besides its target and source.
#[derive(Debug, Default)]
pub(crate) struct Narrow {
    /// Accounts, ascending, each once.
    actors: Option<Vec<u32>>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
}

impl Narrow {
    /// Reads a filter: DIDs become the ids of those accounts that the index knows.
    pub(crate) fn new<V: View>(view: &V, filter: &Filter) -> Result<Self> {
        let actors = match &filter.dids {
            None => None,
            Some(dids) => {
                let mut actors = Vec::new();
                for did in dids {
                    actors.extend(view.actor(did)?);
                }
                actors.sort_unstable();
                actors.dedup();
                Some(actors)
            }
        };
        Ok(Self {
            actors,
            since_ms: filter.since_us.map(|us| us / 1_000),
            until_ms: filter.until_us.map(|us| us / 1_000),
        })
    }

    /// Whether everything passes.
    pub(crate) fn is_open(&self) -> bool {
        self.actors.is_none() && self.since_ms.is_none() && self.until_ms.is_none()
    }

    /// Whether nothing can pass.
    fn is_shut(&self) -> bool {
        self.actors.as_ref().is_some_and(Vec::is_empty)
    }
}

/// What is called with a block of a list: the place of its first row, the rows, and which are selected.
type EachBlock<'e> = &'e mut dyn FnMut(u32, &[u32], u128) -> Result<()>;

/// What is walked to find the rows.
enum Drive<L> {
    /// The list itself.
    List,
    /// The rows of the accounts of the filter.
    Actors,
    /// Other lists, one of which every wanted row is in.
    Others(Vec<L>),
}

/// The rows that a filter selects from one list.
pub(crate) struct Selection<'n, P: Part> {
    pub(crate) part: P,
    /// The list, which may not have been opened, and the same once its rows are read.
    known: P::List,
    opened: OnceCell<P::List>,
    masked: u32,
    narrow: &'n Narrow,
    /// Rows outside have a time that does not fit.
    window: Range<u32>,
    /// Rows inside have one that fits.
    sure: Range<u32>,
    drive: Drive<P::List>,
}

impl<'n, P: Part> Selection<'n, P> {
    /// `None` when nothing can be selected.
    pub(crate) fn of((part, list): Listed<P>, narrow: &'n Narrow) -> Result<Option<Self>> {
        if narrow.is_shut() {
            return Ok(None);
        }
        let masked = list.masked()?;
        if list.len() <= masked {
            return Ok(None);
        }
        let mut window = 0..part.rows();
        let mut sure = window.clone();
        if let Some(since_ms) = narrow.since_ms {
            let (out, fit) = part.time_split(since_ms.saturating_mul(1_000))?;
            window.start = out;
            sure.start = fit;
        }
        if let Some(until_ms) = narrow.until_ms {
            let (fit, out) = part.time_split(until_ms.saturating_mul(1_000))?;
            window.end = window.end.min(out);
            sure.end = sure.end.min(fit);
        }
        if window.is_empty() {
            return Ok(None);
        }
        let mut this = Self {
            part,
            known: list,
            opened: OnceCell::new(),
            masked,
            narrow,
            window,
            sure,
            drive: Drive::List,
        };
        if this.fewer_rows_by_actors()? {
            this.drive = Drive::Actors;
        }
        Ok(Some(this))
    }

    /// The list, opened.
    fn list(&self) -> Result<&P::List> {
        if let Some(list) = self.opened.get() {
            return Ok(list);
        }
        let list = self.known.opened()?;
        Ok(self.opened.get_or_init(|| list))
    }

    /// Promises that only rows that are also in one of `others` are wanted.
    pub(crate) fn within_others(&mut self, others: Vec<P::List>) -> Result<()> {
        let rows = others.iter().map(|list| u64::from(list.len())).sum::<u64>();
        let range = self.indexes(&self.window)?;
        if rows * u64::from(LOOKUP_COST) < range.len() as u64 {
            self.drive = Drive::Others(others);
        }
        Ok(())
    }

    /// Whether the list itself is walked, so that blocks of it are read at once.
    pub(crate) const fn is_walked(&self) -> bool {
        matches!(self.drive, Drive::List)
    }

    /// The rows at some places of the list.
    pub(crate) fn row_at(&self, index: u32) -> Result<u32> {
        self.list()?.get(index)
    }

    /// The places in the list of a range of rows.
    pub(crate) fn places(&self, rows: &Range<u32>) -> Result<Range<u32>> {
        indexes(self.list()?, rows)
    }

    /// The length and the number of masked rows of the list, whatever is selected from it.
    pub(crate) fn list_state(&self) -> (u32, u32) {
        (self.known.len(), self.masked)
    }

    /// How many rows are selected. Constant time where nothing narrows the list.
    pub(crate) fn count(&self) -> Result<u64> {
        if self.narrow.actors.is_none() {
            let range = self.indexes(&self.window)?;
            let all_sure = self.sure.start <= self.window.start && self.sure.end >= self.window.end;
            if all_sure && range.len() == self.known.len() as usize {
                return Ok(u64::from(self.known.len().saturating_sub(self.masked)));
            }
            if self.masked == 0 {
                let sure = self.indexes(&self.sure)?;
                let sure = sure.start.max(range.start)..sure.end.min(range.end);
                if !sure.is_empty() {
                    return Ok(self.count_rows(range.start..sure.start)?
                        + sure.len() as u64
                        + self.count_rows(sure.end..range.end)?);
                }
            }
            return self.count_rows(range);
        }
        let mut count = 0;
        self.each_unordered(&self.window, &mut |_| count += 1)?;
        Ok(count)
    }

    /// Calls `each` with every selected row, ascending.
    pub(crate) fn each(&self, each: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
        if matches!(self.drive, Drive::List) {
            return self.each_block(0, &mut |_, rows, selected| {
                let rows = (0..u128::BITS).zip(rows);
                rows.filter(|(place, _)| selected >> place & 1 == 1)
                    .try_for_each(|(_, &row)| each(row))
            });
        }
        self.rows(0..u32::MAX, false, usize::MAX)?
            .into_iter()
            .try_for_each(each)
    }

    /// Calls `each` with the rows of the list from index `first` on, ascending, up to [`BLOCK`] at once: the
    /// index of the first of them, the rows, and which are selected, the first in the lowest bit. A block ends
    /// where the index is a multiple of [`BLOCK`], or the list does.
    pub(crate) fn each_block(&self, first: u32, each: EachBlock<'_>) -> Result<()> {
        let window = self.indexes(&self.window)?;
        self.blocks_of(first.max(window.start)..window.end, each)
    }

    fn blocks_of(&self, range: Range<u32>, each: EachBlock<'_>) -> Result<()> {
        let mut masked = match self.masked {
            0 => None,
            _ => Some(self.part.mask_blocks(&self.known)?),
        };
        let mut passes = self.passes()?;
        let mut block = [0; BLOCK];
        let mut index = range.start;
        let mut next = self.list()?.blocks(range);
        loop {
            let filled = next(&mut block)?;
            let rows = block.get(..filled).unwrap_or_default();
            let (Some(low), Some(high)) = (rows.first(), rows.last()) else {
                return Ok(());
            };
            let is_plain =
                self.narrow.actors.is_none() && self.sure.contains(low) && self.sure.contains(high);
            let mut selected = u128::MAX >> (BLOCK - filled);
            if is_plain {
                if let Some(masked) = &mut masked {
                    selected &= !masked(rows)?;
                }
            } else {
                for (place, &row) in (0..u128::BITS).zip(rows) {
                    if !passes(row)? {
                        selected &= !(1 << place);
                    }
                }
            }
            each(index, rows, selected)?;
            // At most 128 more, and not beyond the list.
            index += filled as u32;
        }
    }

    /// Calls `each` with the place in the list of the first selected row of every account of the filter that `seen` refuses to
    /// skip, in any order; `false`, and nothing called, when the list is to be walked instead.
    pub(crate) fn each_first_of_actors(
        &self,
        skip: &dyn Fn(u32) -> bool,
        each: &mut dyn FnMut(u32, u32),
    ) -> Result<bool> {
        let (Drive::Actors, Some(actors)) = (&self.drive, &self.narrow.actors) else {
            return Ok(false);
        };
        let (mut passes, list) = (self.passes()?, self.list()?);
        for &actor in actors {
            if skip(actor) {
                continue;
            }
            for row in self.part.actor_rows(actor)? {
                let row = row?;
                if row >= self.window.end {
                    break;
                }
                if !self.window.contains(&row) {
                    continue;
                }
                let place = list.lower_bound(row)?;
                if place < list.len() && list.get(place)? == row && passes(row)? {
                    each(place, actor);
                    break;
                }
            }
        }
        Ok(true)
    }

    /// The first `want` selected rows of `within`, in the order of the walk. Touches about as many
    /// rows as it gives where nothing narrows the list, and holds no more.
    pub(crate) fn rows(
        &self,
        within: Range<u32>,
        descending: bool,
        want: usize,
    ) -> Result<Vec<u32>> {
        let within = within.start.max(self.window.start)..within.end.min(self.window.end);
        let mut rows = Vec::new();
        if within.is_empty() || want == 0 {
            return Ok(rows);
        }
        match &self.drive {
            Drive::List => {
                let range = self.indexes(&within)?;
                self.take(
                    self.list()?,
                    range,
                    descending,
                    want,
                    &mut rows,
                    self.passes()?,
                )?;
            }
            Drive::Others(others) => {
                for list in others {
                    let range = indexes(list, &within)?;
                    // The first of all are among the first of each.
                    let end = rows.len().saturating_add(want);
                    let mut passes = self.passes()?;
                    self.take(list, range, descending, end, &mut rows, |row| {
                        Ok(self.holds(row)? && passes(row)?)
                    })?;
                }
                rows.sort_unstable();
                rows.dedup();
                if descending {
                    rows.reverse();
                }
                rows.truncate(want);
            }
            Drive::Actors => {
                // The largest of the heap is the one to give way: the oldest row of a descending walk,
                // whose order is turned round by complement.
                let flip = if descending { u32::MAX } else { 0 };
                let mut heap = BinaryHeap::new();
                self.each_unordered(&within, &mut |row| {
                    if heap.len() < want {
                        heap.push(row ^ flip);
                    } else if heap.peek().is_some_and(|&worst| (row ^ flip) < worst) {
                        heap.pop();
                        heap.push(row ^ flip);
                    }
                })?;
                rows = heap.into_sorted_vec();
                for row in &mut rows {
                    *row ^= flip;
                }
            }
        }
        Ok(rows)
    }

    fn take(
        &self,
        list: &P::List,
        range: Range<u32>,
        descending: bool,
        end: usize,
        rows: &mut Vec<u32>,
        mut fits: impl FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        let mut add = |row: Result<u32>| -> Result<bool> {
            let row = row?;
            if fits(row)? {
                rows.push(row);
            }
            Ok(rows.len() >= end)
        };
        let len = range.len();
        if descending {
            for row in list.iter_back_from(range.end).take(len) {
                if add(row)? {
                    break;
                }
            }
        } else {
            for row in list.iter_from(range.start).take(len) {
                if add(row)? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn each_unordered(&self, within: &Range<u32>, each: &mut dyn FnMut(u32)) -> Result<()> {
        let mut passes = self.passes()?;
        let (Drive::Actors, Some(actors)) = (&self.drive, &self.narrow.actors) else {
            let range = self.indexes(within)?;
            for row in self.list()?.iter_from(range.start).take(range.len()) {
                let row = row?;
                if passes(row)? {
                    each(row);
                }
            }
            return Ok(());
        };
        for &actor in actors {
            for row in self.part.actor_rows(actor)? {
                let row = row?;
                if row >= within.end {
                    break;
                }
                if row >= within.start && self.holds(row)? && passes(row)? {
                    each(row);
                }
            }
        }
        Ok(())
    }

    fn count_rows(&self, range: Range<u32>) -> Result<u64> {
        let mut count = 0;
        self.blocks_of(range, &mut |_, _, selected| {
            count += u64::from(selected.count_ones());
            Ok(())
        })?;
        Ok(count)
    }

    /// Tells whether a row of the list is selected. For as many rows as are looked at in one go.
    fn passes(&self) -> Result<impl FnMut(u32) -> Result<bool>> {
        let mut is_masked = match self.masked {
            0 => None,
            _ => Some(self.part.mask_reader()?),
        };
        Ok(move |row| {
            if !self.window.contains(&row) {
                return Ok(false);
            }
            if let Some(actors) = &self.narrow.actors
                && actors.binary_search(&self.part.actor(row)?).is_err()
            {
                return Ok(false);
            }
            if let Some(is_masked) = &mut is_masked
                && is_masked(row)?
            {
                return Ok(false);
            }
            if self.sure.contains(&row) {
                return Ok(true);
            }
            let time_ms = self.part.time_us(row)? / 1_000;
            Ok(self.narrow.since_ms.is_none_or(|since| since <= time_ms)
                && self.narrow.until_ms.is_none_or(|until| time_ms < until))
        })
    }

    /// Whether a row is in the list.
    fn holds(&self, row: u32) -> Result<bool> {
        let list = self.list()?;
        let i = list.lower_bound(row)?;
        Ok(i < list.len() && list.get(i)? == row)
    }

    /// The indexes in the list of a range of rows.
    fn indexes(&self, rows: &Range<u32>) -> Result<Range<u32>> {
        if rows.start == 0 && rows.end >= self.part.rows() {
            return Ok(0..self.known.len());
        }
        indexes(self.list()?, rows)
    }

    /// Whether the accounts of the filter have so few rows that looking each up beats walking the list.
    fn fewer_rows_by_actors(&self) -> Result<bool> {
        let Some(actors) = &self.narrow.actors else {
            return Ok(false);
        };
        let range = self.indexes(&self.window)?;
        if range.len() <= SHORT_LIST as usize {
            return Ok(false);
        }
        let mut left = range.len() as u64 / u64::from(LOOKUP_COST);
        for &actor in actors {
            for row in self.part.actor_rows(actor)? {
                row?;
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
            }
        }
        Ok(true)
    }
}

fn indexes<L: List>(list: &L, rows: &Range<u32>) -> Result<Range<u32>> {
    let start = list.lower_bound(rows.start)?;
    Ok(start..list.lower_bound(rows.end)?.max(start))
}

/// The rows of `part` that lie beyond a place, in the direction of the walk.
pub(crate) fn rows_beyond<P: Part>(
    part: &P,
    after_seq: Option<u64>,
    descending: bool,
) -> Result<Range<u32>> {
    let first_row = |seq: u64| -> Result<u32> {
        // Most parts lie beyond the place, or before it.
        if seq <= part.first_seq() {
            return Ok(0);
        }
        if seq > part.last_seq() {
            return Ok(part.rows());
        }
        part.lower_bound_seq(seq)
    };
    match after_seq {
        None => Ok(0..part.rows()),
        Some(seq) if descending => Ok(0..first_row(seq)?),
        Some(seq) => match seq.checked_add(1) {
            Some(next) => Ok(first_row(next)?..part.rows()),
            None => Ok(0..0),
        },
    }
}
