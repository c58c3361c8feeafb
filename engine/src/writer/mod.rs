//! The one writer: takes events in order, tells new ones from repeats, keeps the log, and changes the
//! memtable so that snapshots see each event whole.
//!
//! An event is accepted in this order: it is told from a repeat, its record is read, and so is all of the segments
//! that it will need (no effect so far: damage that is met up to here costs no more than its segment); it goes into
//! the log's open batch and gets its seq, the memtable changes, and last the seq is published. A crash loses what the log has not synced, and with it the source's cursor: the source
//! sends those events again.

mod accounts;
mod busy_rows;
#[cfg(test)]
mod busy_rows_tests;
mod effects;
mod elements;
mod exclusions;
mod links;
mod lost;
mod masks;
mod own_rows;
mod rebuild;
mod repeats;
mod rows;
mod samples;
mod unread;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use orrery_formats::event::{Body, Event, Operation};
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::SelectionEntry;
use orrery_formats::segment::hour_of;
use orrery_formats::sketch::Secret;
use orrery_links::{Extractor, Limits};

use crate::actors::{ActorId, IdHashes, States, is_hidden, is_masked};
use crate::compaction::Worker;
use crate::journal::{Journal, key_write};
use crate::log::Recovery;
use crate::memtable::{Kind, Memtable, NewRow};
use crate::snapshot::{Generation, Snapshot};
use crate::store::Shared;
use crate::{Error, Result};
use busy_rows::BusyRows;
use effects::NextEffect;
use elements::Elements;
use links::LinkForm;
pub(crate) use repeats::passed_key;
use repeats::{PASSED_BYTES, is_ahead};
use rows::OldRow;
pub(crate) use unread::Unread;

/// A revision this far ahead of its event's time is taken for a wrong clock: it is accepted, but does
/// not raise the actor's newest revision, which would make every later event look like a repeat.
const REV_AHEAD_MAX_US: u64 = 10 * 60 * 1_000_000;

/// The memtable's memory is measured each time that about so many bytes were put in.
const MEASURE_BYTES: usize = 1 << 20;

/// The most bytes of an event; more does not fit into a frame of the log. Records of the network have at
/// most 1 MB.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// A merged segment waits for a seal no longer than this; then one is made for it.
const INSTALL_WITHIN: Duration = Duration::from_secs(600);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// It was new.
    New {
        /// Its number.
        seq: u64,
        /// Distinct (path, target) pairs of the record; 0 for events without a record.
        links: u32,
        /// Whether the record went beyond a limit of extraction and is indexed up to there.
        truncated: bool,
    },
    /// It was new, but its record links to just what the indexed one does, which keeps its place.
    Unchanged {
        /// Its number.
        seq: u64,
        /// As in [`Applied::New`].
        links: u32,
    },
    /// It was applied before; nothing changed.
    Repeat,
    /// Its record cannot be read; nothing changed.
    BadRecord(String),
}

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
    busy_rows: BusyRows,
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
            busy_rows: BusyRows::default(),
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

    /// Applies one event. When this returns, new snapshots see all of it. It is durable after the next
    /// commit ([`tick`](Self::tick), [`commit`](Self::commit)).
    ///
    /// # Errors
    /// [`Error::DiskFull`] when there is too little room for the event and the seal after it,
    /// [`Error::LostAccounts`] when it names an account that may be one of a damaged segment, and
    /// [`Error::LostEvents`] when such a segment may have that event: nothing has changed, and the same event can be
    /// tried again. Otherwise when the index cannot be read or the log
    /// cannot be written; the event is then not applied. After a failed write the writer refuses everything
    /// ([`Error::Poisoned`]).
    pub fn apply(&mut self, event: &Event<'_>) -> Result<Applied> {
        self.check()?;
        let bytes = event_bytes(event);
        if bytes > EVENT_BYTES_MAX {
            return Ok(Applied::BadRecord(format!(
                "an event of {bytes} bytes, more than {EVENT_BYTES_MAX}"
            )));
        }
        self.prepare(bytes)?;
        let next_seq = self.journal.next_seq()?;
        let mut applied = self.apply_as(event, None);
        while let Err(error) = &applied
            && self.journal.next_seq()? == next_seq
            && self.leave_out(error)?
        {
            // Damage met before the event had any effect: it is applied to what is left.
            applied = self.apply_as(event, None);
        }
        // An event that failed half way may be in the log and not in the memtable; what is published
        // stays right, and the next start applies the log.
        let applied = self.poison_on_error(applied)?;
        self.unblock();
        if self.is_full() {
            self.must_seal = true;
            self.seal_if_there_is_room()?;
        }
        Ok(applied)
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

    pub(crate) fn check(&self) -> Result<()> {
        match &self.poisoned {
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Seals, or leaves it to the next event where there is no room.
    pub(crate) fn seal_if_there_is_room(&mut self) -> Result<()> {
        match self.seal() {
            Err(error) if error.is_pause() => Ok(()),
            sealed => sealed,
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

    pub(crate) fn note_durable(&self) {
        let mut durable = self.shared.durable.lock();
        self.journal.tell(&mut durable);
        let durable_seq = durable.seq;
        drop(durable);
        let tail = &self.shared.tail;
        tail.note_durable(durable_seq, self.journal.first_seq());
    }

    /// Applies an event of the log again, under the seq it has there.
    pub(crate) fn replay(&mut self, event: &Event<'_>, seq: u64) -> Result<()> {
        self.apply_as(event, Some(seq)).map(drop)
    }

    /// Whether an event is to be logged: one that comes from the log has its place there already.
    const fn logs(&self, replayed: Option<u64>) -> bool {
        replayed.is_none() || self.relogs
    }

    fn apply_as(&mut self, event: &Event<'_>, replayed: Option<u64>) -> Result<Applied> {
        self.next_effect.forget();
        self.old_row.forget();
        match event.body {
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            } => self.apply_commit(event, replayed, rev, collection, rkey, &operation),
            // Nothing of it stands in the index, where most accounts of such events have no id either; so one that
            // comes again is not known, and is logged under one more seq. No answer depends on it.
            Body::Identity { .. } => {
                let seq = self.accept(event, replayed)?;
                self.publish(seq, event.time_us);
                Ok(Applied::New {
                    seq,
                    links: 0,
                    truncated: false,
                })
            }
            Body::Account {
                seq: account_seq,
                active,
                status,
            } => self.apply_account(event, replayed, account_seq, active, status),
            Body::Exclusion { excluded } => self.apply_exclusion(event, replayed, excluded),
        }
    }

    /// Gives the event its seq, in the log unless it comes from there.
    fn accept(&mut self, event: &Event<'_>, replayed: Option<u64>) -> Result<u64> {
        let seq = match replayed.filter(|_| !self.relogs) {
            Some(seq) => {
                self.journal.note_time(event.time_us);
                seq
            }
            None => {
                let effect = self.next_effect.effect().encoded_len();
                if replayed.is_none() && !self.has_room_for_effect(event_bytes(event), effect)? {
                    self.next_effect.leave_out();
                }
                self.journal.append(event, &self.next_effect.effect())?
            }
        };
        self.is_logged = self.logs(replayed);
        // Before anything leads to it: who is told of the event finds its bytes.
        if self.is_logged
            && let Some((bytes, previous_us)) = self.journal.last_event()
        {
            let tail = &self.shared.tail;
            tail.push(seq, event.time_us, previous_us, bytes);
        }
        self.events = self.events.saturating_add(1);
        self.unmeasured_bytes += 64;
        Ok(seq)
    }

    fn publish(&self, seq: u64, time_us: u64) {
        let live = self.generation.counters.live();
        self.generation.memtable.publish(seq, time_us, live);
        // Behind the publication, so that whoever reads the event finds its effects.
        if self.is_logged {
            self.shared.tail.reveal(seq);
        }
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

    fn apply_commit(
        &mut self,
        event: &Event<'_>,
        replayed: Option<u64>,
        rev: u64,
        collection: &str,
        rkey: &str,
        operation: &Operation<'_>,
    ) -> Result<Applied> {
        let key_hash = self.journal.key_hash(collection, rkey);
        let known = self.generation.find_actor(event.did)?;
        let ahead = is_ahead(rev, event.time_us);
        if let (Some(actor), None) = (known, replayed)
            && self.is_repeat(event, actor, (collection, rkey, key_hash), rev, ahead)?
        {
            return Ok(Applied::Repeat);
        }
        let truncated = match self.read_links(operation) {
            Ok(truncated) => truncated,
            Err(reason) => return Ok(Applied::BadRecord(reason)),
        };
        self.read_forms()?;
        self.check_accounts(known, replayed)?;
        let (old, is_hidden) = match known {
            Some(actor) => {
                let state = self.states.get(&self.generation, actor)?;
                let old = self.find_live(actor, collection, rkey, key_hash)?;
                (old, is_hidden(&state))
            }
            None => (None, false),
        };
        if let Some(place) = old {
            self.read_old_row(place, !self.spans.is_empty())?;
        }
        if self.logs(replayed) {
            self.read_commit_effect(known, is_hidden, old)?;
        }
        let seq = self.accept(event, replayed)?;
        let actor = self.intern_actor(known, event.did);
        if self.is_logged {
            // Who finds the event by its key finds the change too.
            let did_hash = self.generation.dids.hash(event.did);
            let changed = &self.shared.window.changed;
            changed.note_record(did_hash, key_hash, seq);
            self.journal.note_key(actor, key_hash, rev)?;
        }
        let state = self.states.get(&self.generation, actor)?;
        if rev > state.last_rev && !ahead {
            if state.last_rev == 0 {
                self.generation
                    .counters
                    .authors
                    .fetch_add(1, Ordering::Relaxed);
            }
            self.states
                .update(&self.generation, actor, |state| state.last_rev = rev)?;
        }
        let collection_id = self.resolve_links(collection);
        let links = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let mut unchanged = false;
        if let Some(place) = old {
            if !self.links.is_empty() && self.has_these_links(place)? {
                unchanged = true;
            } else {
                self.kill(place, seq)?;
            }
        }
        debug_assert!(
            self.next_effect
                .keeps_row()
                .is_none_or(|keeps| keeps == unchanged),
            "the log tells what becomes of the row at the key"
        );
        if !self.links.is_empty() && !unchanged {
            let hidden = is_masked(&state);
            let row = self.memtable().push_row(&NewRow {
                seq,
                time_us: event.time_us,
                actor,
                collection: collection_id,
                rkey,
                links: &self.links,
                hidden,
            });
            self.keys.insert((actor, key_hash), row);
            if !hidden {
                self.count_live(1, i64::from(links));
            }
        }
        let has_row = !self.links.is_empty() && !unchanged;
        self.note_evidence(actor, key_hash, event.time_us, has_row)?;
        let kind = match operation {
            Operation::Create(_) => Kind::Create,
            Operation::Update(_) => Kind::Update,
            Operation::Delete => Kind::Delete,
        };
        let element = self.elements.of(actor, event.did);
        let buckets = &self.generation.memtable.buckets;
        buckets.count(collection_id, hour_of(event.time_us), kind, element);
        self.note_sample(
            (seq, event.time_us, rev),
            actor,
            collection_id,
            (rkey, key_hash),
            operation,
        );
        self.publish(seq, event.time_us);
        Ok(if unchanged {
            Applied::Unchanged { seq, links }
        } else {
            Applied::New {
                seq,
                links,
                truncated,
            }
        })
    }

    /// Whether that revision of a key, or a higher one, was applied within the log's window.
    fn has_reached(&mut self, actor: ActorId, key_hash: u64, rev: u64) -> Result<bool> {
        self.ask_window(|journal| journal.has_reached(actor, key_hash, rev))
    }

    /// Whether the log's window tells of a key all that was applied to it.
    fn is_known(&mut self, actor: ActorId, key_hash: u64) -> Result<bool> {
        let last = self.ask_window(|journal| journal.last_rev(actor, key_hash))?;
        Ok(last.is_some() && !self.journal.window_is_broken())
    }

    /// Asks for a key. A damaged key index is made anew from its log file.
    fn ask_window<T>(&mut self, ask: impl Fn(&Journal) -> Result<T>) -> Result<T> {
        match ask(&self.journal) {
            Err(Error::Format(error)) => {
                tracing::warn!(%error, "a key index of the log is damaged");
                self.rebuild_keys()?;
                ask(&self.journal)
            }
            found => found,
        }
    }

    fn rebuild_keys(&mut self) -> Result<()> {
        let generation = Arc::clone(&self.generation);
        self.journal.rebuild_keys(&|did| generation.find_actor(did))
    }

    /// Makes key indexes anew that a reader found damaged. Where that fails for what is read, nothing has changed for the
    /// writer, which may never need them; if it does, it fails then.
    fn mend_keys(&mut self) -> Result<()> {
        if !self.shared.window.take_damage() {
            return Ok(());
        }
        match self.rebuild_keys() {
            Err(error) if error.is_of_reading() => {
                tracing::error!(%error, "a damaged key index of the log cannot be made anew; what it had is not told");
                self.shared.window.give_up();
                Ok(())
            }
            done => done,
        }
    }

    /// Tells the source's position after the last applied event. It becomes durable together with that
    /// event.
    pub fn set_cursor(&mut self, cursor: SourceCursor) {
        self.journal.set_cursor(cursor);
    }

    /// What was taken into the directory, oldest first; the last holds now.
    #[must_use]
    pub fn selections(&self) -> &[SelectionEntry] {
        &self.journal.state().selections
    }

    /// Makes it durable what is taken from here on, one selection after the other: the last holds. To be called before
    /// the first event that is chosen by it; a crash in between leaves a selection under which nothing was taken.
    /// `first_seq` is set here.
    ///
    /// # Errors
    /// When the manifest cannot be written; the writer then refuses everything.
    pub fn begin_selections(&mut self, mut selections: Vec<SelectionEntry>) -> Result<()> {
        self.check()?;
        let first_seq = self.journal.next_seq()?;
        for selection in &mut selections {
            selection.first_seq = first_seq;
        }
        let result = self.journal.record_selections(selections);
        self.poison_on_error(result)?;
        self.note_durable();
        Ok(())
    }

    /// An immutable view of everything applied so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let excluded = self.shared.exclusions.of_targets();
        Snapshot::new(Arc::clone(&self.generation), excluded)
    }

    /// Commits if enough bytes or time have gathered, and there is room. To be called after each batch of
    /// events, and at least every second while there are none.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn tick(&mut self) -> Result<()> {
        self.check()?;
        self.adopt_damage()?;
        let mut result = self.mend_keys();
        if result.is_ok() {
            result = match self.apply_exclusions() {
                // They stay to be applied; everything else goes on.
                Err(error) if error.is_pause() => Ok(()),
                done => done,
            };
        }
        if result.is_ok() && self.journal.should_commit() {
            result = self.commit();
        }
        if result.is_ok() && self.is_paused() {
            // What was merged takes less room than what it was made of: a seal installs it, and asks for less
            // room than events do.
            if self.shared.compaction.waiting().is_some() && self.events > 0 {
                result = self.seal();
            }
            if result.as_ref().err().is_none_or(Error::is_pause) {
                result = self.prepare(0);
            }
        }
        match result.and_then(|()| self.install_when_idle()) {
            // It is tried again at the next tick, and the store's status tells.
            Err(error) if error.is_pause() => Ok(()),
            done => self.poison_on_error(done),
        }
    }

    /// Installs a merged segment that waits, where no seal is about to do it.
    fn install_when_idle(&mut self) -> Result<()> {
        match self.shared.compaction.waiting() {
            Some(_) if self.events == 0 => self.install_between_seals(),
            Some(waiting) if waiting >= INSTALL_WITHIN => self.seal(),
            _ => Ok(()),
        }
    }

    /// Makes everything applied so far durable, with the cursor.
    ///
    /// # Errors
    /// [`Error::DiskFull`] when there is too little room: nothing has changed. Otherwise when the log cannot be
    /// written or synced. That is not tried again: what the disk holds is unknown until the directory is
    /// opened anew.
    pub fn commit(&mut self) -> Result<()> {
        self.check()?;
        self.find_room_to_commit()?;
        self.granted_bytes = 0;
        let result = self.journal.commit();
        self.poison_on_error(result)?;
        self.note_durable();
        Ok(())
    }

    /// The source's position that a restart goes on from.
    #[must_use]
    pub fn durable_cursor(&self) -> Option<&SourceCursor> {
        self.journal.durable_cursor()
    }
}

/// What an event takes in the log, about.
fn event_bytes(event: &Event<'_>) -> usize {
    let body = match event.body {
        Body::Commit {
            collection,
            rkey,
            operation,
            ..
        } => {
            let record = match operation {
                Operation::Create(record) | Operation::Update(record) => {
                    record.body.len() + record.cid.len()
                }
                Operation::Delete => 0,
            };
            collection.len() + rkey.len() + record
        }
        Body::Identity { handle, .. } => handle.map_or(0, str::len),
        Body::Account { status, .. } => status.map_or(0, str::len),
        Body::Exclusion { .. } => 0,
    };
    event.did.len() + body
}
