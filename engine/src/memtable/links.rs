//! The links of a memtable's rows, each in the list of its target and source.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Memtable, NewRow, hash_pair};

#[derive(Default)]
pub(super) struct LinkCell {
    pub(super) row: AtomicU32,
    list: AtomicU32,
    /// Place in the list, from 0.
    pub(super) ordinal: AtomicU32,
    /// The link before this one in its list; itself for the first.
    pub(super) older: AtomicU32,
    /// A link further back in its list; jumps make a search for any older link logarithmic.
    pub(super) jump: AtomicU32,
}

#[derive(Default)]
pub(super) struct ListCell {
    target: AtomicU32,
    source: AtomicU32,
    /// The newest link plus one.
    pub(super) newest: AtomicU32,
    /// The next list of the same target plus one.
    next_of_target: AtomicU32,
    /// Head of the versions of the number of masked links.
    masked: AtomicU32,
}

impl Memtable {
    pub(crate) fn list_count(&self) -> u32 {
        self.list_count.load(Ordering::Acquire)
    }

    /// The links of a row: (source, target, list).
    pub(crate) fn row_links(&self, row: u32) -> impl Iterator<Item = (u32, u32, u32)> {
        let cell = self.rows.at(row);
        let first = cell.first_link.load(Ordering::Relaxed);
        (first..first + cell.links.load(Ordering::Relaxed)).map(|link| {
            let list = self.links.at(link).list.load(Ordering::Relaxed);
            let cell = self.lists.at(list);
            (
                cell.source.load(Ordering::Relaxed),
                cell.target.load(Ordering::Relaxed),
                list,
            )
        })
    }

    pub(crate) fn find_list(&self, target: u32, source: u32) -> Option<u32> {
        self.list_index.find(hash_pair(target, source), |list| {
            let cell = self.lists.at(list);
            cell.target.load(Ordering::Relaxed) == target
                && cell.source.load(Ordering::Relaxed) == source
        })
    }

    /// The lists of a target: (list, source), newest first.
    pub(crate) fn lists_of(&self, target: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut next = self.targets.at(target).lists.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            let list = next.checked_sub(1)?;
            let cell = self.lists.at(list);
            next = cell.next_of_target.load(Ordering::Relaxed);
            Some((list, cell.source.load(Ordering::Relaxed)))
        })
    }

    /// The masked links of a list as of `seq`.
    pub(crate) fn masked(&self, list: u32, seq: u64) -> u32 {
        self.versions
            .as_of(&self.lists.at(list).masked, seq)
            .unwrap_or(0) as u32
    }
}

// Writing: one thread only.
impl Memtable {
    pub(super) fn push_link(
        &self,
        link: u32,
        row: u32,
        source: u32,
        target: u32,
        new: &NewRow<'_>,
    ) {
        let found = self.find_list(target, source);
        let list = found.unwrap_or_else(|| {
            let list = self.list_count.load(Ordering::Relaxed);
            let cell = self.lists.at(list);
            cell.target.store(target, Ordering::Relaxed);
            cell.source.store(source, Ordering::Relaxed);
            self.list_count.store(list + 1, Ordering::Relaxed);
            list
        });
        let list_cell = self.lists.at(list);
        let cell = self.links.at(link);
        cell.row.store(row, Ordering::Relaxed);
        cell.list.store(list, Ordering::Relaxed);
        match list_cell.newest.load(Ordering::Relaxed).checked_sub(1) {
            None => {
                cell.ordinal.store(0, Ordering::Relaxed);
                cell.older.store(link, Ordering::Relaxed);
                cell.jump.store(link, Ordering::Relaxed);
            }
            Some(older) => {
                let ordinal = |link: u32| self.links.at(link).ordinal.load(Ordering::Relaxed);
                let jump = |link: u32| self.links.at(link).jump.load(Ordering::Relaxed);
                let far = jump(older);
                let farther = jump(far);
                // Skew-binary jumps: a link jumps as far as its two predecessors together when those
                // jump equally far (Myers, "An applicative random-access stack", 1983).
                let equal = ordinal(older) - ordinal(far) == ordinal(far) - ordinal(farther);
                cell.ordinal.store(ordinal(older) + 1, Ordering::Relaxed);
                cell.older.store(older, Ordering::Relaxed);
                cell.jump
                    .store(if equal { farther } else { older }, Ordering::Relaxed);
            }
        }
        if new.hidden {
            self.add_masked(list, new.seq, 1);
        }
        list_cell.newest.store(link + 1, Ordering::Release);
        if found.is_none() {
            let target_cell = self.targets.at(target);
            list_cell
                .next_of_target
                .store(target_cell.lists.load(Ordering::Relaxed), Ordering::Relaxed);
            self.list_index.insert(hash_pair(target, source), list);
            target_cell.lists.store(list + 1, Ordering::Release);
        }
    }

    /// Changes the number of masked links of a list of this memtable from `seq` on.
    pub(crate) fn add_masked(&self, list: u32, seq: u64, change: i64) {
        let now = self.masked(list, u64::MAX);
        self.versions.push(
            &self.lists.at(list).masked,
            seq,
            u64::from(now).saturating_add_signed(change),
        );
    }
}
