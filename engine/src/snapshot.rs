//! Snapshots: immutable views of the index, one per query. A snapshot is a generation (the segments
//! with their masks, and the memtable) and the newest event it may see. Taking one costs a pointer and
//! two atomic loads; holding one keeps its segments mapped and blocks nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_formats::manifest::Counts;
use orrery_formats::segment::{ActorState, Segment, TargetKey, WantedDid};

use crate::actors::{ActorId, DidCache, TargetForm, target_form};
use crate::exclusions::Exclusions;
use crate::log::keys::KeyHasher;
use crate::mask::Mask;
use crate::memtable::Memtable;
use crate::part::{FoundLists, Part};
use crate::quarantine::{Degraded, Remains};
use crate::{Error, Result};

/// A sealed segment with its mask as of the last seal.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) segment: Arc<Segment>,
    pub(crate) mask: Arc<Mask>,
    /// Its id in the manifest.
    pub(crate) id: u64,
    /// How often its rows were merged.
    pub(crate) level: u8,
    /// The name of its file.
    pub(crate) name: Arc<str>,
    /// The size of its file in bytes.
    pub(crate) bytes: u64,
    /// Set where the file is set aside: the segment is then an empty one in its place. See
    /// [`remains`](Self::remains) for what is read all the same.
    pub(crate) degraded: Option<Arc<Degraded>>,
    /// What is still read of a file that is set aside.
    pub(crate) remains: Option<Arc<Remains>>,
}

impl Sealed {
    /// The same segment with another mask.
    pub(crate) fn with_mask(&self, mask: Arc<Mask>) -> Self {
        Self {
            mask,
            ..self.clone()
        }
    }

    /// Where DIDs and states of accounts are read, and nothing else: none where they are lost with the file.
    pub(crate) fn accounts(&self) -> &Segment {
        let remains = self.remains.as_deref();
        remains.map_or(&self.segment, Remains::accounts)
    }

    /// Where kills are read, and nothing else.
    pub(crate) fn kills(&self) -> &Segment {
        let remains = self.remains.as_deref();
        remains.and_then(Remains::kills).unwrap_or(&self.segment)
    }

    /// Where passed keys are read, and nothing else.
    pub(crate) fn passed_keys(&self) -> &Segment {
        let remains = self.remains.as_deref();
        remains
            .and_then(Remains::passed_keys)
            .unwrap_or(&self.segment)
    }

    /// The segment as it is set aside, where its accounts are lost too.
    pub(crate) fn without_accounts(&self) -> Option<&Degraded> {
        let degraded = self.degraded.as_deref();
        degraded.filter(|_| self.remains.is_none())
    }
}

/// What snapshots between two seals stand on.
pub(crate) struct Generation {
    pub(crate) number: u64,
    /// In order of seq.
    pub(crate) segments: Vec<Sealed>,
    pub(crate) memtable: Arc<Memtable>,
    pub(crate) dids: Arc<DidCache>,
    pub(crate) counters: Arc<Counters>,
    /// Hashes record keys.
    pub(crate) hasher: KeyHasher,
    /// Where the lists of targets that were asked for are.
    pub(crate) found: FoundLists,
}

/// Counts kept by the writer as it goes. Snapshots read the live ones as of their own seq, from the memtable.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) live_rows: AtomicU64,
    pub(crate) live_links: AtomicU64,
    /// Accounts with at least one commit.
    pub(crate) authors: AtomicU64,
    /// Rises before and after each event that brings hidden rows back.
    pub(crate) unmask_epoch: AtomicU64,
}

impl Counters {
    /// Counters that begin where the manifest ends.
    pub(crate) fn of(counts: &Counts) -> Self {
        Self {
            live_rows: counts.live_rows.into(),
            live_links: counts.live_links.into(),
            authors: counts.authors.into(),
            unmask_epoch: AtomicU64::new(0),
        }
    }

    /// All of them, as the manifest keeps them.
    pub(crate) fn counts(&self) -> Counts {
        let (live_rows, live_links) = self.live();
        Counts {
            live_rows,
            live_links,
            authors: self.authors.load(Ordering::Relaxed),
        }
    }

    /// Live rows and live links.
    pub(crate) fn live(&self) -> (u64, u64) {
        (
            self.live_rows.load(Ordering::Relaxed),
            self.live_links.load(Ordering::Relaxed),
        )
    }
}

impl Generation {
    /// The segments by their place, oldest first.
    pub(crate) fn numbered(&self) -> impl DoubleEndedIterator<Item = (u32, &Sealed)> {
        let segments = self.segments.iter().enumerate();
        segments.map(|(place, sealed)| (place as u32, sealed))
    }

    /// The segment in which `actor` was first seen, `None` for the memtable's.
    fn home(&self, actor: ActorId) -> Option<&Sealed> {
        let after = self
            .segments
            .partition_point(|sealed| sealed.segment.info().actors_first_id <= actor);
        // Segments without new actors share their first id with the next one, and come before it.
        self.segments.get(after.checked_sub(1)?)
    }

    /// The file of a segment that is set aside, whose accounts cannot be read, and which may come back with those
    /// that nothing else knows.
    pub(crate) fn lost_accounts(&self) -> Option<Box<str>> {
        let first = |sealed: &Sealed| sealed.segment.info().actors_first_id;
        let ends = self.segments.iter().skip(1).map(first);
        let ends = ends.chain(std::iter::once(self.memtable.first_actor));
        let mut segments = self.segments.iter().zip(ends);
        segments.find_map(|(sealed, end)| {
            let degraded = sealed.without_accounts()?;
            let may_come_back = first(sealed) < end && !degraded.gave_up_accounts;
            may_come_back.then(|| degraded.file.as_str().into())
        })
    }

    /// Whether the DID of `actor` stood in a segment that is set aside with its accounts.
    pub(crate) fn has_lost_did(&self, actor: ActorId) -> bool {
        let home = self.home(actor);
        actor < self.memtable.first_actor
            && home.is_some_and(|sealed| sealed.without_accounts().is_some())
    }

    /// Calls `f` with the DID of `actor`.
    pub(crate) fn with_did<R>(&self, actor: ActorId, f: impl FnOnce(&str) -> R) -> Result<R> {
        let unknown = || Error::Internal(format!("actor {actor} has no DID"));
        if let Some(index) = actor.checked_sub(self.memtable.first_actor) {
            if index >= self.memtable.dids.len() {
                return Err(unknown());
            }
            return Ok(f(self.memtable.dids.get(index)));
        }
        let sealed = self.home(actor).ok_or_else(unknown)?;
        if let Some(degraded) = sealed.without_accounts() {
            let file = degraded.file.clone();
            return Err(Error::LostDid { actor, file });
        }
        let did = sealed.accounts().did(actor)?.ok_or_else(unknown)?;
        Ok(f(&did.text()))
    }

    /// Has the processor fetch the DID of `actor`: for many actors, before they are asked for one by one.
    pub(crate) fn fetch_did(&self, actor: ActorId) {
        if actor < self.memtable.first_actor
            && let Some(sealed) = self.home(actor)
        {
            sealed.accounts().fetch_did(actor);
        }
    }

    /// Whether that is the DID of `actor`, as far as it is known.
    fn is_did(&self, actor: ActorId, did: &WantedDid<'_>) -> Result<bool> {
        if let Some(index) = actor.checked_sub(self.memtable.first_actor) {
            let dids = &self.memtable.dids;
            return Ok(index < dids.len() && dids.get(index) == did.text());
        }
        match self.home(actor) {
            Some(sealed) if sealed.without_accounts().is_none() => {
                Ok(sealed.accounts().is_did(actor, did)?)
            }
            _ => Ok(false),
        }
    }

    /// Appends the string of a target.
    pub(crate) fn push_target(&self, key: &TargetKey<'_>, out: &mut String) -> Result<()> {
        match *key {
            TargetKey::Did(actor) => self.with_did(actor, |did| out.push_str(did)),
            TargetKey::Other(text) => {
                out.push_str(text);
                Ok(())
            }
            TargetKey::Record {
                actor,
                collection,
                rkey,
            } => self.with_did(actor, |did| {
                for text in ["at://", did, "/", collection, "/", rkey] {
                    out.push_str(text);
                }
            }),
        }
    }

    /// The first id that no actor has.
    pub(crate) fn actors_end(&self) -> ActorId {
        let memtable = &self.memtable;
        memtable.first_actor.saturating_add(memtable.dids.len())
    }

    /// The id of `did`, if it has one. O(1) for a DID that was looked up lately, otherwise O(segments).
    pub(crate) fn find_actor(&self, did: &str) -> Result<Option<ActorId>> {
        let wanted = WantedDid::new(did, self.dids.seed());
        let hash = wanted.hash();
        // It may be another DID's, or given after this generation's memtable was sealed.
        if let Some(id) = self.dids.get(hash)
            && self.is_did(id, &wanted)?
        {
            return Ok(Some(id));
        }
        if let Some(index) = self.memtable.dids.find_hashed(hash, did) {
            let id = self.memtable.first_actor.saturating_add(index);
            self.dids.put(hash, id);
            return Ok(Some(id));
        }
        // The oldest segments hold the most actors.
        for sealed in &self.segments {
            if let Some(id) = sealed.accounts().find_wanted_did(&wanted)? {
                self.dids.put(hash, id);
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether the actor was seen before the last seal.
    pub(crate) fn is_sealed(&self, actor: ActorId) -> bool {
        actor < self.memtable.first_actor
    }

    /// The state of an actor as of the last seal: that of the newest segment that has one.
    pub(crate) fn sealed_state(&self, actor: ActorId) -> Result<ActorState> {
        let unknown = ActorState {
            id: actor,
            ..ActorState::default()
        };
        if !self.is_sealed(actor) {
            return Ok(unknown);
        }
        Ok(newest_state(&self.segments, actor)?.unwrap_or(unknown))
    }
}

/// The newest state of an actor in `segments`, which are in order of seq.
pub(crate) fn newest_state(segments: &[Sealed], actor: ActorId) -> Result<Option<ActorState>> {
    for sealed in segments.iter().rev() {
        let accounts = sealed.accounts();
        if let Some(state) = accounts.state(actor)? {
            return Ok(Some(state));
        }
        let info = accounts.info();
        if info.actors_count > 0 && actor >= info.actors_first_id {
            // Older segments do not know the actor.
            break;
        }
    }
    Ok(None)
}

/// An immutable view of the index. Cheap to make and to clone.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    pub(crate) visible_seq: u64,
    pub(crate) rows: u32,
    unmask_epoch: u64,
    /// Here where targets are excluded.
    excluded: Option<Arc<Exclusions>>,
}

/// The key under which links to a target are stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OwnedTargetKey {
    /// A DID.
    Did(ActorId),
    /// A record.
    Record {
        /// The authority.
        actor: ActorId,
        /// The collection.
        collection: String,
        /// The record key.
        rkey: String,
    },
    /// Any other string.
    Other(String),
}

impl OwnedTargetKey {
    pub(crate) fn borrowed(&self) -> TargetKey<'_> {
        match self {
            Self::Did(actor) => TargetKey::Did(*actor),
            Self::Record {
                actor,
                collection,
                rkey,
            } => TargetKey::Record {
                actor: *actor,
                collection,
                rkey,
            },
            Self::Other(text) => TargetKey::Other(text),
        }
    }
}

/// Which state of the index a snapshot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    /// Rises with every seal.
    pub generation: u64,
    /// The newest event in view.
    pub seq: u64,
}

/// Sizes of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records with links that are neither deleted nor hidden.
    pub live_rows: u64,
    /// Links of those records.
    pub live_links: u64,
    /// Accounts seen, as authors or as targets.
    pub actors: u64,
    /// Accounts that wrote or deleted a record, ever.
    pub authors: u64,
    /// Targets, summed over the parts: one that is linked to in several parts counts in each.
    pub targets: u64,
    /// Posting lists (target, collection, path), summed over the parts likewise.
    pub lists: u64,
    /// Rows, dead and hidden ones included.
    pub rows: u64,
    /// Links, dead and hidden ones included.
    pub links: u64,
}

impl Snapshot {
    pub(crate) fn new(generation: Arc<Generation>, excluded: Option<Arc<Exclusions>>) -> Self {
        let epoch = &generation.counters.unmask_epoch;
        let (mut unmask_epoch, mut visible_seq);
        loop {
            unmask_epoch = epoch.load(Ordering::Acquire);
            visible_seq = generation.memtable.visible_seq();
            if epoch.load(Ordering::Acquire) == unmask_epoch {
                break;
            }
        }
        if !unmask_epoch.is_multiple_of(2) {
            // Rows are coming back right now: this state shares its epoch with no other.
            unmask_epoch = 1 << 63 | visible_seq;
        }
        let rows = generation.memtable.rows_as_of(visible_seq);
        Self {
            generation,
            visible_seq,
            rows,
            unmask_epoch,
            excluded,
        }
    }

    /// Which state this is.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        // The same seals with one more segment set aside are another state, and so they are with the accounts of one
        // lost too. Within a run the sum only rises.
        let segments = self.generation.segments.iter();
        let losses = segments.map(|sealed| {
            u64::from(sealed.degraded.is_some()) + u64::from(sealed.without_accounts().is_some())
        });
        let set_aside: u64 = losses.sum();
        SnapshotId {
            generation: self.generation.number | set_aside << 40,
            seq: self.visible_seq,
        }
    }

    /// The ranges of events that are left out of this view since their segments are damaged, oldest first. An
    /// answer from this view may be incomplete where there are any.
    pub fn degraded(&self) -> impl Iterator<Item = &Degraded> {
        let segments = self.generation.segments.iter();
        segments.filter_map(|sealed| sealed.degraded.as_deref())
    }

    /// The newest event in view; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.visible_seq
    }

    /// Changes whenever hidden rows came back.
    #[must_use]
    pub fn unmask_epoch(&self) -> u64 {
        self.unmask_epoch
    }

    /// The latest event time of the index, in microseconds.
    #[must_use]
    pub fn indexed_through_us(&self) -> Option<u64> {
        let sealed = self.segment_times().map(|(_, last)| last).max();
        let memtable = self.generation.memtable.times_us().map(|(_, last)| last);
        sealed.max(memtable)
    }

    /// The earliest event time of the index, in microseconds.
    #[must_use]
    pub fn coverage_from_us(&self) -> Option<u64> {
        let memtable = self.generation.memtable.times_us().map(|(first, _)| first);
        self.segment_times()
            .map(|(first, _)| first)
            .chain(memtable)
            .min()
    }

    fn segment_times(&self) -> impl Iterator<Item = (u64, u64)> {
        self.generation
            .segments
            .iter()
            .map(|sealed| {
                let info = sealed.segment.info();
                (info.first_time_us, info.last_time_us)
            })
            .filter(|(_, last)| *last != 0)
    }

    /// The parts, oldest first: the segments, then the memtable. Their ranges of seq ascend without overlap.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = Part<'_>> {
        self.generation
            .numbered()
            .map(|(index, sealed)| Part::sealed(self, sealed, index))
            .chain(std::iter::once(Part::memtable(self)))
    }

    /// The row of the event with that seq, dead and hidden ones included, and its part; `None` where the event left none,
    /// or one that is not there any more.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn find_row(&self, seq: u64) -> Result<Option<(Part<'_>, u32)>> {
        let segments = &self.generation.segments;
        let place = segments.partition_point(|sealed| sealed.segment.info().last_seq < seq);
        let part = match segments.get(place) {
            Some(sealed) => Part::sealed(self, sealed, place as u32),
            None => Part::memtable(self),
        };
        let row = part.lower_bound_seq(seq)?;
        let is_there = row < part.rows() && part.seq(row)? == seq;
        Ok(is_there.then_some((part, row)))
    }

    /// Which targets are excluded, by a number that rises with each change of the list; 0 while there are none.
    #[must_use]
    pub fn excluded_version(&self) -> u64 {
        self.excluded.as_ref().map_or(0, |list| list.version())
    }

    /// The exclude list, where it has targets.
    pub(crate) fn excluded(&self) -> Option<&Exclusions> {
        self.excluded.as_deref()
    }

    /// Whether links to a target are not to be told.
    #[must_use]
    pub fn is_excluded_target(&self, target: &str) -> bool {
        let excluded = self.excluded.as_ref();
        excluded.is_some_and(|list| list.hides_target(target))
    }

    /// The key of a normalised target string; `None` where nothing can link to it, since its DID was
    /// never seen, and where it is excluded.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn target_key(&self, target: &str) -> Result<Option<OwnedTargetKey>> {
        if self.is_excluded_target(target) {
            return Ok(None);
        }
        Ok(match target_form(target) {
            TargetForm::Did(did) => self.actor(did)?.map(OwnedTargetKey::Did),
            TargetForm::Record {
                did,
                collection,
                rkey,
            } => self.actor(did)?.map(|actor| OwnedTargetKey::Record {
                actor,
                collection: collection.to_owned(),
                rkey: rkey.to_owned(),
            }),
            TargetForm::Other(text) => Some(OwnedTargetKey::Other(text.to_owned())),
        })
    }

    /// The id of an account; `None` where it was never seen.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn actor(&self, did: &str) -> Result<Option<ActorId>> {
        self.generation.find_actor(did)
    }

    /// The DID of an account.
    ///
    /// # Errors
    /// [`Error::LostDid`] when it stood in a segment that is set aside with its accounts; otherwise when the index cannot be read,
    /// or has no such account.
    pub fn did(&self, actor: ActorId) -> Result<String> {
        self.generation.with_did(actor, str::to_owned)
    }

    /// Sizes of the index. Rows and links are as of this snapshot; accounts, targets and lists may be some events
    /// ahead of it.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let memtable = &self.generation.memtable;
        let counters = &self.generation.counters;
        let (live_rows, live_links) = memtable.live_as_of(self.visible_seq);
        let mut totals = Totals {
            live_rows,
            live_links,
            actors: u64::from(self.generation.actors_end()),
            authors: counters.authors.load(Ordering::Relaxed),
            targets: u64::from(memtable.target_count()),
            lists: u64::from(memtable.list_count()),
            rows: u64::from(self.rows),
            links: u64::from(memtable.links_of_first(self.rows)),
        };
        for sealed in &self.generation.segments {
            let info = sealed.segment.info();
            totals.targets += u64::from(info.targets);
            totals.lists += u64::from(info.lists);
            totals.rows += u64::from(info.rows);
            totals.links += u64::from(info.links);
        }
        totals
    }
}
