//! The rows of a memtable: what each record version is, whether it is masked, and which an account has.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use orrery_formats::segment::RecordKey;

use super::{Memtable, hash_pair};

/// The row died: its record was deleted, replaced, or its account was.
pub(crate) const DEAD: u64 = 1;
/// The row's account is inactive.
pub(crate) const HIDDEN: u64 = 2;

#[derive(Default)]
pub(super) struct RowCell {
    seq: AtomicU64,
    time_us: AtomicU64,
    key: AtomicU64,
    actor: AtomicU32,
    collection: AtomicU32,
    pub(super) first_link: AtomicU32,
    pub(super) links: AtomicU32,
    /// Head of the versions of the row's state.
    state: AtomicU32,
    /// The actor's row before this one plus one; 0 when there is none.
    older_of_actor: AtomicU32,
}

#[derive(Default)]
pub(super) struct ActorCell {
    id: AtomicU32,
    /// The newest row plus one.
    newest_row: AtomicU32,
}

/// One row as the writer adds it.
pub(crate) struct NewRow<'a> {
    pub(crate) seq: u64,
    pub(crate) time_us: u64,
    pub(crate) actor: u32,
    pub(crate) collection: u32,
    pub(crate) rkey: &'a str,
    /// (source, target), distinct, in order of path.
    pub(crate) links: &'a [(u32, u32)],
    /// Whether the actor's account is inactive.
    pub(crate) hidden: bool,
}

impl Memtable {
    /// Rows with a seq of at most `seq`, which must have been visible.
    pub(crate) fn rows_as_of(&self, seq: u64) -> u32 {
        let mut rows = self.row_count.load(Ordering::Acquire);
        // Few steps: only what was written since `seq` was read.
        while rows > 0 && self.seq(rows - 1) > seq {
            rows -= 1;
        }
        rows
    }

    pub(crate) fn row_count(&self) -> u32 {
        self.row_count.load(Ordering::Acquire)
    }

    /// Links of the first `rows` rows.
    pub(crate) fn links_of_first(&self, rows: u32) -> u32 {
        rows.checked_sub(1).map_or(0, |last| {
            let cell = self.rows.at(last);
            cell.first_link.load(Ordering::Relaxed) + cell.links.load(Ordering::Relaxed)
        })
    }

    pub(crate) fn seq(&self, row: u32) -> u64 {
        self.rows.at(row).seq.load(Ordering::Relaxed)
    }

    pub(crate) fn time_us(&self, row: u32) -> u64 {
        self.rows.at(row).time_us.load(Ordering::Relaxed)
    }

    pub(crate) fn actor(&self, row: u32) -> u32 {
        self.rows.at(row).actor.load(Ordering::Relaxed)
    }

    pub(crate) fn collection(&self, row: u32) -> &str {
        self.collections
            .get(self.rows.at(row).collection.load(Ordering::Relaxed))
    }

    pub(crate) fn collection_id(&self, row: u32) -> u32 {
        self.rows.at(row).collection.load(Ordering::Relaxed)
    }

    pub(crate) fn rkey(&self, row: u32) -> RecordKey<'_> {
        self.record_key(self.rows.at(row).key.load(Ordering::Relaxed))
    }

    /// The state of a row ([`DEAD`], [`HIDDEN`]) as of `seq`.
    pub(crate) fn state(&self, row: u32, seq: u64) -> u64 {
        self.versions
            .as_of(&self.rows.at(row).state, seq)
            .unwrap_or(0)
    }

    /// An actor's newest row below `rows`, then older ones.
    pub(crate) fn actor_rows_back(&self, actor: u32, rows: u32) -> impl Iterator<Item = u32> {
        let mut next = self
            .actor_index
            .find(hash_pair(0, actor), |cell| {
                self.actors.at(cell).id.load(Ordering::Relaxed) == actor
            })
            .map_or(0, |cell| {
                self.actors.at(cell).newest_row.load(Ordering::Acquire)
            });
        std::iter::from_fn(move || {
            loop {
                let row = next.checked_sub(1)?;
                next = self.rows.at(row).older_of_actor.load(Ordering::Relaxed);
                if row < rows {
                    return Some(row);
                }
            }
        })
    }
}

// Writing: one thread only.
impl Memtable {
    /// Adds a row. Snapshots see it once `publish` has reached its seq.
    pub(crate) fn push_row(&self, new: &NewRow<'_>) -> u32 {
        let row = self.row_count.load(Ordering::Relaxed);
        let first_link = self.link_count.load(Ordering::Relaxed);
        let links = u32::try_from(new.links.len()).unwrap_or(u32::MAX);
        let cell = self.rows.at(row);
        cell.seq.store(new.seq, Ordering::Relaxed);
        cell.time_us.store(new.time_us, Ordering::Relaxed);
        cell.key.store(self.store_key(new.rkey), Ordering::Relaxed);
        cell.actor.store(new.actor, Ordering::Relaxed);
        cell.collection.store(new.collection, Ordering::Relaxed);
        cell.first_link.store(first_link, Ordering::Relaxed);
        cell.links.store(links, Ordering::Relaxed);
        let hash = hash_pair(0, new.actor);
        let known = self.actor_index.find(hash, |actor| {
            self.actors.at(actor).id.load(Ordering::Relaxed) == new.actor
        });
        let actor = known.unwrap_or_else(|| {
            let actor = self.actor_count.load(Ordering::Relaxed);
            self.actors.at(actor).id.store(new.actor, Ordering::Relaxed);
            self.actor_count.store(actor + 1, Ordering::Relaxed);
            actor
        });
        let actor_cell = self.actors.at(actor);
        cell.older_of_actor.store(
            actor_cell.newest_row.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        if new.hidden {
            self.versions.push(&cell.state, new.seq, HIDDEN);
        }
        self.row_count.store(row + 1, Ordering::Release);
        actor_cell.newest_row.store(row + 1, Ordering::Release);
        if known.is_none() {
            self.actor_index.insert(hash, actor);
        }
        for (link, (source, target)) in (first_link..).zip(new.links) {
            self.push_link(link, row, *source, *target, new);
        }
        self.link_count.store(first_link + links, Ordering::Release);
        row
    }

    /// Changes the state of a row of this memtable from `seq` on.
    pub(crate) fn set_state(&self, row: u32, seq: u64, state: u64) {
        self.versions.push(&self.rows.at(row).state, seq, state);
    }
}
