//! A posting list of the memtable as one snapshot sees it: links chained from the newest back, with
//! jumps that make any place reachable in logarithmic time.

use std::sync::atomic::Ordering;

use super::Memtable;

/// Rows gathered at once when walking forward along a chain that leads back.
const FORWARD_BLOCK: u32 = 128;

/// The rows of one (target, source) below a row bound, oldest first by index.
#[derive(Clone, Copy)]
pub(crate) struct MemList<'a> {
    memtable: &'a Memtable,
    list: u32,
    /// The newest link seen.
    newest: u32,
    len: u32,
}

impl Memtable {
    /// The list as a snapshot with `rows` rows sees it; `None` while it is empty there.
    pub(crate) fn list(&self, list: u32, rows: u32) -> Option<MemList<'_>> {
        let newest = self
            .lists
            .at(list)
            .newest
            .load(Ordering::Acquire)
            .checked_sub(1)?;
        let newest = self.newest_below(newest, rows)?;
        Some(MemList {
            memtable: self,
            list,
            newest,
            len: self.links.at(newest).ordinal.load(Ordering::Relaxed) + 1,
        })
    }

    fn link_row(&self, link: u32) -> u32 {
        self.links.at(link).row.load(Ordering::Relaxed)
    }

    /// The newest link at or before `from` whose row is below `rows`. O(log n).
    fn newest_below(&self, from: u32, rows: u32) -> Option<u32> {
        let mut link = from;
        while self.link_row(link) >= rows {
            let cell = self.links.at(link);
            let jump = cell.jump.load(Ordering::Relaxed);
            let older = cell.older.load(Ordering::Relaxed);
            if older == link {
                return None;
            }
            link = if self.link_row(jump) >= rows {
                jump
            } else {
                older
            };
        }
        Some(link)
    }
}

impl<'a> MemList<'a> {
    pub(crate) fn id(&self) -> u32 {
        self.list
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The link at `index`, which is below `len`. O(log n).
    fn link(&self, index: u32) -> u32 {
        let ordinal = |link: u32| self.memtable.links.at(link).ordinal.load(Ordering::Relaxed);
        let mut link = self.newest;
        while ordinal(link) > index {
            let cell = self.memtable.links.at(link);
            let jump = cell.jump.load(Ordering::Relaxed);
            link = if ordinal(jump) >= index {
                jump
            } else {
                cell.older.load(Ordering::Relaxed)
            };
        }
        link
    }

    /// The row at `index`, `None` past the end.
    pub(crate) fn get(&self, index: u32) -> Option<u32> {
        (index < self.len).then(|| self.memtable.link_row(self.link(index)))
    }

    /// The first index whose row is at least `row`; `len` when there is none. O(log n).
    pub(crate) fn lower_bound(&self, row: u32) -> u32 {
        self.memtable
            .newest_below(self.newest, row)
            .map_or(0, |link| {
                self.memtable.links.at(link).ordinal.load(Ordering::Relaxed) + 1
            })
    }

    /// Rows at `index - 1`, `index - 2`, and so on.
    pub(crate) fn iter_back_from(&self, index: u32) -> MemListBack<'a> {
        let left = index.min(self.len);
        MemListBack {
            memtable: self.memtable,
            link: if left == 0 { 0 } else { self.link(left - 1) },
            left,
        }
    }

    /// Rows at `index`, `index + 1`, and so on.
    pub(crate) fn iter_from(&self, index: u32) -> MemListForward<'a> {
        MemListForward {
            list: *self,
            next: index,
            block: [0; FORWARD_BLOCK as usize],
            place: 0,
            filled: 0,
        }
    }
}

/// See [`MemList::iter_back_from`].
pub(crate) struct MemListBack<'a> {
    memtable: &'a Memtable,
    link: u32,
    left: u32,
}

impl Iterator for MemListBack<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let row = self.memtable.link_row(self.link);
        self.link = self
            .memtable
            .links
            .at(self.link)
            .older
            .load(Ordering::Relaxed);
        Some(row)
    }
}

/// See [`MemList::iter_from`].
pub(crate) struct MemListForward<'a> {
    list: MemList<'a>,
    next: u32,
    block: [u32; FORWARD_BLOCK as usize],
    place: usize,
    filled: usize,
}

impl Iterator for MemListForward<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.place == self.filled {
            let count = self.list.len.saturating_sub(self.next).min(FORWARD_BLOCK);
            if count == 0 {
                return None;
            }
            let rows = self.list.iter_back_from(self.next + count);
            let slots = self.block.iter_mut().take(count as usize).rev();
            for (slot, row) in slots.zip(rows) {
                *slot = row;
            }
            self.next += count;
            self.place = 0;
            self.filled = count as usize;
        }
        let row = self.block.get(self.place).copied();
        self.place += 1;
        row
    }
}
