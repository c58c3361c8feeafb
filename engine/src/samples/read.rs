//! What snapshots tell of samples.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use orrery_formats::event::Encoding;
use orrery_formats::segment::{ActorState, Sample};
use orrery_links::Extractor;

use super::live::{is_purged, is_superseded, newest_state};
use super::recent::AccountChange;
use crate::actors::{ActorId, is_masked};
use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// A record as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleRecord {
    /// The author.
    pub did: String,
    /// The collection.
    pub collection: String,
    /// The record key.
    pub rkey: String,
    /// The number of the event that wrote it.
    pub seq: u64,
    /// That event's time, in microseconds since 1970.
    pub time_us: u64,
    /// The repository's revision, a TID as a number.
    pub rev: u64,
    /// Whether that event updated the record, rather than creating it.
    pub is_update: bool,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The record, byte for byte as it came.
    pub body: Vec<u8>,
}

/// What becomes of a record that a reader is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is part of the answer.
    Take,
    /// It is part of the answer, and nothing that is older.
    Last,
    /// It is left out.
    Pass,
    /// It is left out, and so is all that is older.
    End,
}

/// What is known of an account at the snapshot.
#[derive(Clone, Copy)]
struct Account {
    recent: Option<AccountChange>,
    sealed: ActorState,
}

/// The records of one answer.
struct Reading<'s, 'c> {
    snapshot: &'s Snapshot,
    accounts: HashMap<ActorId, Account>,
    /// The keys of those that the reader was asked about.
    asked: HashSet<(ActorId, String)>,
    found: Vec<SampleRecord>,
    /// Made for the first record that is looked through for excluded targets.
    extractor: Option<Extractor>,
    choose: &'c mut dyn FnMut(u64, usize) -> Choice,
}

impl Reading<'_, '_> {
    fn account(&mut self, actor: ActorId) -> Result<Account> {
        if let Some(account) = self.accounts.get(&actor) {
            return Ok(*account);
        }
        let generation = &self.snapshot.generation;
        let samples = &generation.memtable.samples;
        let account = Account {
            recent: samples.account(actor, self.snapshot.visible_seq),
            sealed: newest_state(&generation.segments, actor)?,
        };
        self.accounts.insert(actor, account);
        Ok(account)
    }

    /// Whether a sample of the segment at `place`, or of the memtable, is a record that is shown.
    fn is_shown(&mut self, place: Option<usize>, sample: &Sample<'_>) -> Result<bool> {
        let Account { recent, sealed } = self.account(sample.actor)?;
        let hidden = recent.map_or(is_masked(&sealed), |recent| recent.is_hidden);
        if hidden || recent.is_some_and(|recent| sample.seq < recent.deleted_seq) {
            return Ok(false);
        }
        let Some(place) = place else {
            return Ok(true);
        };
        let generation = &self.snapshot.generation;
        let key_hash = generation.hasher.hash(sample.collection, sample.rkey);
        let touched = &generation.memtable.samples.touched;
        if touched.holds(sample.actor, key_hash, self.snapshot.visible_seq) {
            return Ok(false);
        }
        let newer = generation.segments.get(place + 1..).unwrap_or_default();
        Ok(!is_purged(&generation.segments, place, sample, &sealed)?
            && !is_superseded(newer, sample, key_hash)?)
    }

    /// Whether a record is excluded as a target, or links to one that is. What cannot be read is taken to.
    fn names_excluded(&mut self, did: &str, sample: &Sample<'_>) -> bool {
        let Some(list) = self.snapshot.excluded() else {
            return false;
        };
        if list.hides_record(did, sample.collection, sample.rkey) {
            return true;
        }
        if sample.encoding != Encoding::Json {
            // No answer has a form for it.
            return false;
        }
        let extractor = self.extractor.get_or_insert_default();
        match extractor.extract_json(sample.body) {
            Ok(found) => found.links().any(|link| list.hides_target(link.target)),
            Err(_) => true,
        }
    }

    /// Asks about a sample that is shown, unless a newer one of its key was. Breaks when no more are wanted.
    fn ask(&mut self, place: Option<usize>, sample: &Sample<'_>) -> Result<ControlFlow<()>> {
        if !self.is_shown(place, sample)? {
            return Ok(ControlFlow::Continue(()));
        }
        let did = match self.snapshot.did(sample.actor) {
            Ok(did) => did,
            // Whose name stood in a segment that is set aside is left out.
            Err(Error::LostDid { .. }) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(error),
        };
        if self.names_excluded(&did, sample) {
            return Ok(ControlFlow::Continue(()));
        }
        if !self.asked.insert((sample.actor, sample.rkey.to_owned())) {
            return Ok(ControlFlow::Continue(()));
        }
        let flow = match (self.choose)(sample.seq, sample.body.len()) {
            Choice::Pass => return Ok(ControlFlow::Continue(())),
            Choice::End => return Ok(ControlFlow::Break(())),
            Choice::Take => ControlFlow::Continue(()),
            Choice::Last => ControlFlow::Break(()),
        };
        self.found.push(SampleRecord {
            did,
            collection: sample.collection.to_owned(),
            rkey: sample.rkey.to_owned(),
            seq: sample.seq,
            time_us: sample.time_us,
            rev: sample.rev,
            is_update: sample.is_update,
            encoding: sample.encoding,
            body: sample.body.to_owned(),
        });
        Ok(flow)
    }
}

impl Snapshot {
    /// Records of a collection as they were written, newest first: neither deleted nor hidden ones, each as of its
    /// newest version. Of the newest 64 of a collection, all are there unless they are very long, or all samples
    /// together near their limit. A snapshot that is not the newest may lack what was replaced or deleted since, or
    /// pushed out by newer records. Costs a look-up in each newer segment for each sample that is looked at.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sample_records(&self, collection: &str, limit: usize) -> Result<Vec<SampleRecord>> {
        let mut left = limit;
        self.choose_sample_records(collection, &mut |_, _| {
            left = left.saturating_sub(1);
            match (limit, left) {
                (0, _) => Choice::End,
                (_, 0) => Choice::Last,
                _ => Choice::Take,
            }
        })
    }

    /// As [`sample_records`](Self::sample_records), but only those that `choose` takes. It is asked about each record with
    /// the number of its event and the bytes of its body, newest first, until it ends that; what it does not take is not
    /// copied.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn choose_sample_records(
        &self,
        collection: &str,
        choose: &mut dyn FnMut(u64, usize) -> Choice,
    ) -> Result<Vec<SampleRecord>> {
        let generation = &self.generation;
        let mut reading = Reading {
            snapshot: self,
            accounts: HashMap::new(),
            asked: HashSet::new(),
            found: Vec::new(),
            extractor: None,
            choose,
        };
        let memtable = &generation.memtable;
        if let Some(id) = memtable.collections.find(collection) {
            for recent in memtable.samples.of(id, self.visible_seq) {
                if reading.ask(None, &recent.sample(collection))?.is_break() {
                    return Ok(reading.found);
                }
            }
        }
        for (place, sealed) in generation.segments.iter().enumerate().rev() {
            let mut asked = Ok(ControlFlow::Continue(()));
            sealed.segment.samples(collection, &mut |sample| {
                asked = reading.ask(Some(place), &sample);
                match asked {
                    Ok(flow) => flow,
                    Err(_) => ControlFlow::Break(()),
                }
            })?;
            if asked?.is_break() {
                break;
            }
        }
        Ok(reading.found)
    }

    /// The first collections by byte order of their names, no more than `most`, in which records were written at
    /// `since_us` (microseconds since 1970) or later, as far as samples tell: those records may be deleted by now, or too
    /// long to be kept beside others. O(collections with samples).
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sample_collections(&self, since_us: u64, most: usize) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut add = |name: &str| {
            let is_full = names.len() >= most;
            let is_beyond = is_full && names.last().is_none_or(|last| last.as_str() <= name);
            if !is_beyond && names.insert(name.to_owned()) && is_full {
                names.pop_last();
            }
        };
        let memtable = &self.generation.memtable;
        for id in 0..memtable.collections.len() {
            if memtable.samples.is_active(id, self.visible_seq, since_us) {
                add(memtable.collections.get(id));
            }
        }
        for sealed in &self.generation.segments {
            if sealed.segment.info().last_time_us < since_us {
                continue;
            }
            for collection in sealed.segment.sample_collections()? {
                let collection = collection?;
                if collection.latest_us >= since_us {
                    add(collection.name);
                }
            }
        }
        Ok(names.into_iter().collect())
    }
}
