//! What snapshots tell of samples.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use orrery_formats::event::Encoding;
use orrery_formats::segment::{ActorState, Sample};

use super::live::{is_purged, is_superseded, newest_state};
use super::recent::AccountChange;
use crate::actors::{ActorId, is_hidden};
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

/// What is known of an account at the snapshot.
#[derive(Clone, Copy)]
struct Account {
    recent: Option<AccountChange>,
    sealed: ActorState,
}

/// The records of one answer.
struct Reading<'s> {
    snapshot: &'s Snapshot,
    accounts: HashMap<ActorId, Account>,
    found: Vec<SampleRecord>,
    authors: Vec<ActorId>,
    limit: usize,
}

impl Reading<'_> {
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
        let hidden = recent.map_or(is_hidden(&sealed), |recent| recent.is_hidden);
        if hidden || recent.is_some_and(|recent| sample.seq < recent.deleted_seq) {
            return Ok(false);
        }
        let Some(place) = place else {
            return Ok(true);
        };
        let generation = &self.snapshot.generation;
        let key_hash = generation.hasher.hash(sample.collection, sample.rkey);
        let samples = &generation.memtable.samples;
        if samples.is_touched(sample.actor, key_hash, self.snapshot.visible_seq) {
            return Ok(false);
        }
        let newer = generation.segments.get(place + 1..).unwrap_or_default();
        Ok(!is_purged(&generation.segments, place, sample, &sealed)?
            && !is_superseded(newer, sample, key_hash)?)
    }

    /// Takes a sample that is shown, unless a newer one of its key was taken. Breaks when there are enough.
    fn take(&mut self, place: Option<usize>, sample: &Sample<'_>) -> Result<ControlFlow<()>> {
        let is_known = |(record, author): (&SampleRecord, &ActorId)| {
            *author == sample.actor && record.rkey == sample.rkey
        };
        if !self.found.iter().zip(&self.authors).any(is_known) && self.is_shown(place, sample)? {
            match self.snapshot.did(sample.actor) {
                Ok(did) => {
                    self.authors.push(sample.actor);
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
                }
                // Whose name stood in a segment that is set aside is left out.
                Err(Error::LostDid { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(if self.found.len() < self.limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    }
}

impl Snapshot {
    /// Records of a collection as they were written, newest first: neither deleted nor hidden ones, each as of its
    /// newest version. Of the newest 64 of a collection, all are there unless they are very long, or all samples
    /// together near their limit. A snapshot that is not the newest may lack what was replaced or deleted since, or pushed out by newer
    /// records. Costs a look-up in each newer segment for each sample that is looked at.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sample_records(&self, collection: &str, limit: usize) -> Result<Vec<SampleRecord>> {
        let generation = &self.generation;
        let mut reading = Reading {
            snapshot: self,
            accounts: HashMap::new(),
            found: Vec::new(),
            authors: Vec::new(),
            limit,
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let memtable = &generation.memtable;
        if let Some(id) = memtable.collections.find(collection) {
            for recent in memtable.samples.of(id, self.visible_seq) {
                if reading.take(None, &recent.sample(collection))?.is_break() {
                    return Ok(reading.found);
                }
            }
        }
        for (place, sealed) in generation.segments.iter().enumerate().rev() {
            let mut taken = Ok(ControlFlow::Continue(()));
            sealed.segment.samples(collection, &mut |sample| {
                taken = reading.take(Some(place), &sample);
                match taken {
                    Ok(flow) => flow,
                    Err(_) => ControlFlow::Break(()),
                }
            })?;
            if taken?.is_break() {
                break;
            }
        }
        Ok(reading.found)
    }

    /// The collections in which records were written at `since_us` (microseconds since 1970) or later, by byte
    /// order of their names, as far as samples tell: those records may be deleted by now.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sample_collections(&self, since_us: u64) -> Result<Vec<String>> {
        let memtable = &self.generation.memtable;
        let recent = memtable.samples.collections(self.visible_seq).into_iter();
        let recent = recent.filter(|(_, latest_us)| *latest_us >= since_us);
        let mut names: BTreeSet<String> = recent
            .map(|(id, _)| memtable.collections.get(id).to_owned())
            .collect();
        for sealed in &self.generation.segments {
            if sealed.segment.info().last_time_us < since_us {
                continue;
            }
            for collection in sealed.segment.sample_collections()? {
                let collection = collection?;
                if collection.latest_us >= since_us && !names.contains(collection.name) {
                    names.insert(collection.name.to_owned());
                }
            }
        }
        Ok(names.into_iter().collect())
    }
}
