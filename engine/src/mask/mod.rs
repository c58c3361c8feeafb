//! The mask of a segment: which of its rows are dead, which are hidden, and how many links of each long
//! list that takes out. Derived: kills and account states in the segments say all of it.
//!
//! A mask is a file, mapped and shared by all copies, and what has changed since it was written. Only the
//! changes are on the heap and copied at a seal; a file is written anew before they grow large ([`policy`]).

mod bits;
pub(crate) mod files;
pub(crate) mod policy;
mod recover;
mod words;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use orrery_formats::mask::{MaskColumn, MaskFile, MaskHeader};
use orrery_formats::segment::Segment;

use crate::Result;
use crate::memtable::{DEAD, HIDDEN};

pub(crate) use bits::Bits;
pub(crate) use recover::recover_masks;
pub(crate) use words::Words;

/// Lists longer than this have their masked links counted; shorter ones are looked through.
pub(crate) const LONG_LIST: u32 = 64;

const _: () = assert!(DEAD == orrery_formats::mask::DEAD as u64);
const _: () = assert!(HIDDEN == orrery_formats::mask::HIDDEN as u64);

/// Hashes ordinals, which nobody chooses freely, by one multiplication (Fibonacci hashing).
#[derive(Clone, Copy, Default)]
pub(crate) struct OrdinalHasher(u64);

impl Hasher for OrdinalHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        let product = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The table takes its bits from both ends; only the upper ones depend on all of the value.
        self.0 = product ^ product >> 32;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

type ByOrdinal<V> = HashMap<u32, V, BuildHasherDefault<OrdinalHasher>>;

/// The masked rows of one segment, as of a seal. Copying costs what has changed since its file was written.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    file: Option<Arc<MaskFile>>,
    /// States of rows that differ from the file's.
    rows: ByOrdinal<u8>,
    /// Masked links of lists longer than [`LONG_LIST`], where they differ from the file's.
    lists: ByOrdinal<u32>,
    masked_rows: u64,
    dead_rows: u64,
    hidden_rows: u64,
    masked_links: u64,
}

impl Mask {
    /// The mask that the file holds.
    pub(crate) fn of_file(file: Arc<MaskFile>) -> Self {
        let header = *file.header();
        Self {
            file: Some(file),
            masked_rows: header.masked_rows.into(),
            dead_rows: header.dead_rows.into(),
            hidden_rows: header.hidden_rows.into(),
            masked_links: header.masked_links,
            ..Self::default()
        }
    }

    /// The file, if one was written.
    pub(crate) fn file(&self) -> Option<&Arc<MaskFile>> {
        self.file.as_ref()
    }

    /// [`DEAD`] and [`HIDDEN`] of a row. O(1). Fails where the file is damaged.
    #[inline]
    pub(crate) fn state(&self, row: u32) -> Result<u64> {
        if !self.rows.is_empty()
            && let Some(state) = self.rows.get(&row)
        {
            return Ok(u64::from(*state));
        }
        self.state_in_file(row)
    }

    #[inline]
    fn state_in_file(&self, row: u32) -> Result<u64> {
        match &self.file {
            Some(file) => Ok(u64::from(file.state(row)?)),
            None => Ok(0),
        }
    }

    /// Reads states of many rows, faster than one by one where they stand close together.
    pub(crate) fn column(&self) -> Column<'_> {
        Column {
            rows: &self.rows,
            file: self.file.as_ref().map(|file| file.column()),
        }
    }

    /// The bits of all rows, in chunks. O(changes) to make.
    pub(crate) fn bits(&self) -> Bits<'_> {
        Bits::new(self.file.as_deref(), &self.rows)
    }

    /// Which rows are masked, word by word, where some states have changed since. O(changes) to make.
    pub(crate) fn words(&self, newer: impl Iterator<Item = (u32, u8)>) -> Words<'_> {
        Words::new(self.bits().with_newer(newer))
    }

    /// Masked links of a long list. O(log lists of the file).
    pub(crate) fn list(&self, list: u32) -> Result<u32> {
        match (self.lists.get(&list), &self.file) {
            (Some(masked), _) => Ok(*masked),
            (None, Some(file)) => Ok(file.list(list)?),
            (None, None) => Ok(0),
        }
    }

    /// Rows that are dead or hidden.
    pub(crate) const fn masked_rows(&self) -> u64 {
        self.masked_rows
    }

    /// Rows that are dead.
    pub(crate) const fn dead_rows(&self) -> u64 {
        self.dead_rows
    }

    /// Rows that are hidden and not dead.
    pub(crate) const fn hidden_rows(&self) -> u64 {
        self.hidden_rows
    }

    /// Links of rows that are dead or hidden.
    pub(crate) const fn masked_links(&self) -> u64 {
        self.masked_links
    }

    /// What has changed since the file was written: rows and lists.
    pub(crate) fn changes(&self) -> u64 {
        (self.rows.len() + self.lists.len()) as u64
    }

    /// Heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        // A slot is a pair and a byte of control; seven eighths of them are used.
        (self.rows.capacity() + self.lists.capacity()) * 9 * 8 / 7
    }

    /// Sets the state of a row without touching the counts of links; gives 1 where that masks the row, -1
    /// where it unmasks it, else 0. Of a dead row it is not kept whether it is hidden.
    fn set_state(&mut self, row: u32, state: u64) -> Result<i64> {
        let state = if state & DEAD != 0 { DEAD } else { state };
        let in_file = self.state_in_file(row)?;
        let before = self.rows.get(&row).map_or(in_file, |old| u64::from(*old));
        if before == state {
            return Ok(0);
        }
        if state == in_file {
            self.rows.remove(&row);
        } else {
            // Two bits.
            self.rows.insert(row, state as u8);
        }
        let change = |flag: u64| i64::from(state & flag != 0) - i64::from(before & flag != 0);
        self.dead_rows = self.dead_rows.saturating_add_signed(change(DEAD));
        self.hidden_rows = self.hidden_rows.saturating_add_signed(change(HIDDEN));
        let masked = change(DEAD | HIDDEN);
        self.masked_rows = self.masked_rows.saturating_add_signed(masked);
        Ok(masked)
    }

    /// Changes the masked links of a long list.
    pub(crate) fn add_to_list(&mut self, list: u32, change: i64) -> Result<()> {
        let in_file = match &self.file {
            Some(file) => file.list(list)?,
            None => 0,
        };
        let before = self.lists.get(&list).copied().unwrap_or(in_file);
        let masked = u32::try_from(i64::from(before).saturating_add(change)).unwrap_or(0);
        if masked == in_file {
            self.lists.remove(&list);
        } else {
            self.lists.insert(list, masked);
        }
        Ok(())
    }

    /// Sets the state of a row; the counts of links are moved by whoever calls.
    pub(crate) fn set_row(&mut self, row: u32, state: u64) -> Result<()> {
        self.set_state(row, state).map(drop)
    }

    /// Changes the number of masked links.
    pub(crate) const fn add_links(&mut self, change: i64) {
        self.masked_links = self.masked_links.saturating_add_signed(change);
    }

    /// Sets the state of a row and, where that masks or unmasks it, moves the counts of its long lists.
    pub(crate) fn move_row(&mut self, segment: &Segment, row: u32, state: u64) -> Result<()> {
        let change = self.set_state(row, state)?;
        if change != 0 {
            let (mut links, mut long) = (0, Vec::new());
            segment.each_list(row, &mut |_, list, rows| {
                if rows > LONG_LIST {
                    long.push(list);
                }
                links += change;
            })?;
            for list in long {
                self.add_to_list(list, change)?;
            }
            self.add_links(links);
        }
        Ok(())
    }

    /// The rows that are hidden and not dead, rising. Costs a pass over the bits.
    pub(crate) fn hidden_row_numbers(&self) -> impl Iterator<Item = Result<u32>> + '_ {
        self.bits().rows_of(|chunk| chunk.hidden)
    }

    /// The rows whose state differs between two masks of one segment, rising, with the newer state. Costs the
    /// changes where both stand on one file, else a pass over the bits of both.
    pub(crate) fn changed_rows<'m>(
        old: &'m Self,
        new: &'m Self,
    ) -> Box<dyn Iterator<Item = Result<(u32, u64)>> + 'm> {
        let same_file = match (&old.file, &new.file) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_file {
            return Box::new(bits::differences(old.bits(), new.bits()));
        }
        let mut rows: Vec<u32> = old.rows.keys().chain(new.rows.keys()).copied().collect();
        rows.sort_unstable();
        rows.dedup();
        Box::new(rows.into_iter().filter_map(move |row| {
            let states = new
                .state(row)
                .and_then(|state| Ok((old.state(row)?, state)));
            match states {
                Ok((old, new)) => (old != new).then_some(Ok((row, new))),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// The bytes of the file that holds this mask. `of` names directory, segment, seq and rows.
    fn encode(&self, of: MaskHeader) -> Result<Vec<u8>> {
        let bits = self.bits();
        let mut lists: Vec<(u32, u32)> = Vec::new();
        if let Some(file) = &self.file {
            for list in file.lists()? {
                let (list, masked) = list?;
                if !self.lists.contains_key(&list) {
                    lists.push((list, masked));
                }
            }
        }
        let changed = self.lists.iter().map(|(list, masked)| (*list, *masked));
        lists.extend(changed.filter(|(_, masked)| *masked != 0));
        lists.sort_unstable();
        Ok(orrery_formats::mask::build(
            MaskHeader {
                masked_links: self.masked_links,
                ..of
            },
            &mut |number, chunk| {
                *chunk = bits.chunk(number)?;
                Ok(())
            },
            &lists,
        )?)
    }
}

/// Reads states of rows of a mask, keeping its place in the file.
pub(crate) struct Column<'m> {
    rows: &'m ByOrdinal<u8>,
    file: Option<MaskColumn<'m>>,
}

impl Column<'_> {
    /// As [`Mask::state`]; cheapest for rows in rising or falling order.
    #[inline]
    pub(crate) fn state(&mut self, row: u32) -> Result<u64> {
        if !self.rows.is_empty()
            && let Some(state) = self.rows.get(&row)
        {
            return Ok(u64::from(*state));
        }
        match &mut self.file {
            Some(file) => Ok(u64::from(file.get(row)?)),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
