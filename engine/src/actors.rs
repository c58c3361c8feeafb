//! The actors of a directory: a small id for every DID seen, and per actor the newest revision, the
//! newest account event and whether its records are hidden. Ids are given in log order, so that a
//! replay of the log gives the same ones. DIDs themselves stand in the segments and the memtable.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use orrery_formats::segment::ActorState;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::concurrent::{Chunked, HashIndex};

/// The number of an actor in its data directory.
pub type ActorId = u32;

/// [`ActorState::status`] of an account whose records are shown.
pub(crate) const ACTIVE: u8 = 0;
/// [`ActorState::status`] of an account whose records are not shown.
pub(crate) const INACTIVE: u8 = 1;

#[derive(Default)]
struct Cell {
    last_rev: AtomicU64,
    /// The newest account event's seq plus one, 0 before the first.
    account_seq: AtomicU64,
    status: AtomicU32,
    /// The memtable (by its number) that last touched the state.
    touched: AtomicU32,
}

/// All actors. One writer, any number of readers.
pub(crate) struct Actors {
    index: HashIndex,
    cells: Chunked<Cell>,
    len: AtomicU32,
    seed: u64,
}

impl Actors {
    /// No actors yet. `seed` is a secret of the directory, so that nobody can make DIDs that collide.
    pub(crate) fn new(seed: u64, expected: u32) -> Self {
        Self {
            index: HashIndex::with_expected(expected),
            cells: Chunked::default(),
            len: AtomicU32::new(0),
            seed,
        }
    }

    fn hash(&self, did: &str) -> u64 {
        xxh3_64_with_seed(did.as_bytes(), self.seed)
    }

    /// The id of `did`; `is_it` compares it with the DID of an id.
    pub(crate) fn find(&self, did: &str, is_it: impl FnMut(ActorId) -> bool) -> Option<ActorId> {
        self.index.find(self.hash(did), is_it)
    }

    /// Gives the next id to `did`. Writer only; the DID must be readable under the id before this.
    pub(crate) fn add(&self, did: &str) -> ActorId {
        let id = self.len.load(Ordering::Relaxed);
        self.index.insert(self.hash(did), id);
        self.len.store(id + 1, Ordering::Release);
        id
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn last_rev(&self, id: ActorId) -> u64 {
        self.cells.at(id).last_rev.load(Ordering::Relaxed)
    }

    pub(crate) fn is_hidden(&self, id: ActorId) -> bool {
        self.cells.at(id).status.load(Ordering::Relaxed) == u32::from(INACTIVE)
    }

    /// Whether an account event with this seq was applied, or a newer one.
    pub(crate) fn account_event_is_old(&self, id: ActorId, seq: u64) -> bool {
        seq < self.cells.at(id).account_seq.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_rev(&self, id: ActorId, rev: u64) {
        self.cells.at(id).last_rev.store(rev, Ordering::Relaxed);
    }

    pub(crate) fn set_account(&self, id: ActorId, seq: u64, status: u8) {
        let cell = self.cells.at(id);
        cell.account_seq
            .store(seq.saturating_add(1), Ordering::Relaxed);
        cell.status.store(u32::from(status), Ordering::Relaxed);
    }

    /// Notes that memtable `number` touched the actor; true the first time.
    pub(crate) fn touch(&self, id: ActorId, number: u32) -> bool {
        self.cells.at(id).touched.swap(number, Ordering::Relaxed) != number
    }

    /// The state as a segment keeps it.
    pub(crate) fn state(&self, id: ActorId) -> ActorState {
        let cell = self.cells.at(id);
        ActorState {
            id,
            last_rev: cell.last_rev.load(Ordering::Relaxed),
            account_seq: cell.account_seq.load(Ordering::Relaxed),
            status: if cell.status.load(Ordering::Relaxed) == 0 {
                ACTIVE
            } else {
                INACTIVE
            },
        }
    }

    /// Takes over a state from a segment.
    pub(crate) fn restore(&self, state: &ActorState) {
        let cell = self.cells.at(state.id);
        cell.last_rev.store(state.last_rev, Ordering::Relaxed);
        cell.account_seq.store(state.account_seq, Ordering::Relaxed);
        cell.status
            .store(u32::from(state.status), Ordering::Relaxed);
    }
}

/// What a target string is, by its form alone.
pub(crate) enum TargetForm<'a> {
    Did(&'a str),
    Record {
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    },
    Other(&'a str),
}

/// Takes a normalised target string apart so that it can be put together again byte for byte.
pub(crate) fn target_form(target: &str) -> TargetForm<'_> {
    if is_did(target) {
        return TargetForm::Did(target);
    }
    let record = || {
        let (did, rest) = target.strip_prefix("at://")?.split_once('/')?;
        let (collection, rkey) = rest.split_once('/')?;
        let whole = is_did(did)
            && orrery_links::syntax::Nsid::parse(collection).is_ok()
            && orrery_links::syntax::RecordKey::parse(rkey).is_ok();
        whole.then_some(TargetForm::Record {
            did,
            collection,
            rkey,
        })
    };
    record().unwrap_or(TargetForm::Other(target))
}

fn is_did(text: &str) -> bool {
    text.starts_with("did:") && orrery_links::syntax::Did::parse(text).is_ok()
}
