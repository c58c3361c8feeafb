//! The one writer: takes events in order, tells new ones from repeats, keeps the log, and changes the
//! memtable so that snapshots see each event whole.

mod accounts;
mod apply;
mod commits;
mod durable;
mod effects;
mod elements;
mod exclusions;
mod key_window;
mod known_rows;
#[cfg(test)]
mod known_rows_tests;
mod links;
mod lost;
mod masks;
mod merged_rows;
mod own_rows;
mod rebuild;
mod repeats;
mod rows;
mod samples;
mod tick;
mod unread;

use std::collections::HashMap;
use std::sync::Arc;

use orrery_formats::sketch::Secret;
use orrery_links::{Extractor, Limits};

use crate::actors::{ActorId, IdHashes, States};
use crate::compaction::Worker;
use crate::journal::{Journal, key_write};
use crate::log::Recovery;
use crate::memtable::Memtable;
use crate::snapshot::{Generation, Snapshot};
use crate::store::Shared;
use crate::{Error, Result};
pub use apply::Applied;
use effects::NextEffect;
use elements::Elements;
use known_rows::KnownAccounts;
use links::LinkForm;
use merged_rows::MergedRows;
use repeats::PASSED_BYTES;
pub(crate) use repeats::passed_key;
use rows::OldRow;
pub(crate) use unread::Unread;

/// The memtable's memory is measured each time that about so many bytes were put in.
const MEASURE_BYTES: usize = 1 << 20;

/// A row anywhere in the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Memtable(u32),
    Sealed { part: u32, row: u32 },
}

impl Place {
    const fn of_segment((part, row): (u32, u32)) -> Self {
        Self::Sealed { part, row }
    }
}

/// The only way to change a store. See [`crate::Store::writer`].
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) journal: Journal,
    /// The newest row of each key in the memtable, by the key's hash.
    keys: HashMap<(ActorId, u64), u32, IdHashes>,
    /// How many the memtable before had, which this one probably comes to.
    keys_expected: usize,
    /// The newest event time of each key that an event since the last seal left without a row.
    passed: HashMap<(ActorId, u64), u64, IdHashes>,
    pub(crate) states: States,
    /// Seqs of rows that died since the last seal.
    pub(crate) kills: Vec<u64>,
    /// Events since the last seal.
    pub(crate) events: u32,
    extractor: Extractor,
    links: Vec<(u32, u32)>,
    text: String,
    /// Ends of path and target in `text`, per link.
    spans: Vec<(usize, usize)>,
    /// What each link leads to.
    forms: Vec<LinkForm>,
    next_effect: NextEffect,
    old_row: OldRow,
    known_rows: KnownAccounts,
    merged_rows: MergedRows,
    /// Whether the event that was accepted last came into the log by that.
    is_logged: bool,
    /// About how much was put into the memtable since it was last measured.
    unmeasured_bytes: usize,
    /// Bytes of the open batch, before compression, for which there is room on disk.
    pub(crate) granted_bytes: usize,
    /// Whether the memtable is to be sealed before the next event, which may have to wait for room.
    pub(crate) must_seal: bool,
    /// How many segments were known to be damaged when this writer last took that over.
    pub(crate) damages_seen: usize,
    /// The file of a segment that is set aside and may come back with accounts that nothing else knows.
    pub(crate) lost_accounts: Option<Box<str>>,
    /// A version of the exclude list, and how many accounts wait for a repair as of it.
    waiting_exclusions: Option<(u64, usize)>,
    /// What cannot be told while segments are set aside.
    pub(crate) unread: Unread,
    /// Whether the memtable has an account by the log that may be one of those: it is not sealed.
    pub(crate) is_unsure: bool,
    /// Why nothing more is accepted.
    poisoned: Option<String>,
    /// Merges in the background, as long as the writer lives.
    pub(crate) compaction: Option<Worker>,
    /// Whether events that come with a seq are logged under it: the log is made anew, not replayed.
    relogs: bool,
    /// Hashes accounts for sketches.
    elements: Elements,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, generation: Arc<Generation>, journal: Journal) -> Self {
        let secret = Secret::of_directory(&journal.state().directory.secret);
        let lost_accounts = generation.lost_accounts();
        let unread = Unread::of(&generation);
        Self {
            elements: Elements::new(secret),
            shared,
            generation,
            journal,
            keys: HashMap::default(),
            keys_expected: 0,
            passed: HashMap::default(),
            states: States::default(),
            kills: Vec::new(),
            events: 0,
            extractor: Extractor::new(Limits::default()),
            links: Vec::new(),
            text: String::new(),
            spans: Vec::new(),
            forms: Vec::new(),
            next_effect: NextEffect::default(),
            old_row: OldRow::default(),
            known_rows: KnownAccounts::default(),
            merged_rows: MergedRows::default(),
            is_logged: false,
            unmeasured_bytes: 0,
            granted_bytes: 0,
            must_seal: false,
            damages_seen: 0,
            lost_accounts,
            waiting_exclusions: None,
            unread,
            is_unsure: false,
            poisoned: None,
            compaction: None,
            relogs: false,
        }
    }

    /// Goes on after the recovered log, tells the store what is durable, and seals what recovery found if
    /// that is much.
    pub(crate) fn start(&mut self, found: Recovery) -> Result<()> {
        let hasher = self.journal.hasher();
        let generation = Arc::clone(&self.generation);
        let find = |did: &str| generation.find_actor(did);
        self.journal
            .open_log(found, &mut |replayed| key_write(&hasher, replayed, &find))?;
        let directory_id = self.journal.state().directory.id;
        let next_seq = self.journal.next_seq()?;
        self.shared.tail.begin(next_seq, directory_id);
        self.shared
            .window
            .begin(self.journal.shared_keys()?, next_seq.saturating_sub(1));
        self.note_durable();
        self.unmeasured_bytes = MEASURE_BYTES;
        self.must_seal = self.journal.has_new_gaps() || self.journal.is_rewound() || self.is_full();
        if self.must_seal {
            self.seal_if_there_is_room()?;
        }
        // Where files were missing, the next start is not to do all this again.
        let bounds = self.shared.options.mask_bounds;
        let written = self.write_masks(&bounds);
        self.poison_on_error(written)
    }

    /// Takes over a new generation after a seal.
    pub(crate) fn renew(&mut self, generation: Arc<Generation>) {
        self.generation = generation;
        self.keys = HashMap::with_capacity_and_hasher(self.keys_expected, IdHashes::default());
        self.passed.clear();
        self.states.seal();
        self.kills.clear();
        self.events = 0;
        self.must_seal = false;
    }

    /// Lets go of what only further events into this memtable would need: it is sealed, or nothing more is accepted.
    pub(crate) fn forget_keys(&mut self) {
        self.keys_expected = self.keys_expected.max(self.keys.len());
        self.keys = HashMap::default();
        self.states.forget_older();
    }

    /// Whether the memtable is to be sealed. Its memory is measured once enough has been put in.
    pub(crate) fn is_full(&mut self) -> bool {
        let options = &self.shared.options;
        if self.unmeasured_bytes >= MEASURE_BYTES {
            self.unmeasured_bytes = 0;
            let kept = self.keys.capacity() * 32
                + self.passed.capacity() * PASSED_BYTES
                + self.kills.capacity() * 8
                + self.states.heap_bytes();
            if self.generation.memtable.heap_bytes() + kept >= options.seal_heap_bytes {
                return true;
            }
        }
        self.events >= options.seal_events
    }

    /// Seals, or leaves it to the next event where there is no room.
    pub(crate) fn seal_if_there_is_room(&mut self) -> Result<()> {
        match self.seal() {
            Err(error) if error.is_pause() => Ok(()),
            sealed => sealed,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match &self.poisoned {
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// After a failure nothing more is accepted. A pause is none: nothing was changed.
    pub(crate) fn poison_on_error<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && self.poisoned.is_none()
            && !error.is_pause()
        {
            let why = format!("{error}; {}", error.advice());
            // Snapshots go on without what is damaged; so does the next start.
            self.shared.report_damage(error);
            tracing::error!("nothing more is written: {why}; queries go on");
            self.shared.durable.lock().poisoned = Some(why.clone());
            self.poisoned = Some(why);
        }
        result
    }

    /// An immutable view of everything applied so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let excluded = self.shared.exclusions.of_targets();
        Snapshot::new(Arc::clone(&self.generation), excluded)
    }

    fn memtable(&self) -> &Memtable {
        &self.generation.memtable
    }

    /// The id of a DID that had the id `known`, or none, when the event came; given now if it has none.
    fn intern_actor(&self, known: Option<ActorId>, did: &str) -> ActorId {
        if let Some(id) = known {
            return id;
        }
        let memtable = self.memtable();
        let hash = self.generation.dids.hash(did);
        // The event may name it twice.
        let index = memtable.dids.find_hashed(hash, did);
        let index = index.unwrap_or_else(|| memtable.dids.push_hashed(hash, did));
        memtable.first_actor.saturating_add(index)
    }
}
