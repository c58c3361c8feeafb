//! The log applied again: events get the seqs that they have there, and meet an index of just the segments before
//! them, as they did the first time. What comes of it replaces all segments from one on.
//!
//! One that was written off may have been loaded again since. Its events then stand in the log twice, each time under its
//! own seq, and where it comes back the second leaves no more than that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use orrery_formats::manifest::{Counts, SegmentEntry, State, WrittenOff};

use super::{Repair, name_of};
use crate::disk::Room;
use crate::exclusions::ExclusionList;
use crate::io::Fs;
use crate::journal::Journal;
use crate::mask::recover_masks;
use crate::offline::links::Span;
use crate::offline::verify::is_known_loss;
use crate::offline::{Directory, copy};
use crate::quarantine::{Remains, written_off};
use crate::recovery::{did_seed, generation_of, live_counts, open_entry};
use crate::snapshot::Sealed;
use crate::store::{LOG, SEGMENTS, Shared};
use crate::writer::Writer;
use crate::{Error, Result};

/// Segments that the log gave. They are durable, and nothing names them.
pub(super) struct Redone {
    pub(super) entries: Vec<SegmentEntry>,
    /// What the index holds with them.
    pub(super) counts: Counts,
}

/// Why the log was not applied to its end.
enum Stop {
    Failed(Error),
    Refused(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Where the manifest says which ids accounts have so far: the last seq, and the first id that is free behind it.
type Check = (u64, u32);

/// Applies the log from the segment at `place` on; the segments at the places of `stays` are set aside. The inner
/// error says why what comes of it cannot be used. Memory: a memtable, and the masks of the segments before.
pub(super) fn redo(
    repair: &Repair<'_>,
    place: usize,
    stays: &BTreeSet<usize>,
) -> Result<Result<Redone, String>> {
    let mut written = Vec::new();
    let result = apply(repair, place, stays, &mut written);
    match result {
        Ok(counts) => Ok(Ok(Redone {
            entries: written,
            counts,
        })),
        Err(stop) => {
            for entry in &written {
                let path = repair.dir.join(SEGMENTS).join(name_of(entry));
                copy::remove_if_there(&*repair.fs, &path)?;
            }
            match stop {
                Stop::Refused(why) => Ok(Err(why)),
                Stop::Failed(Error::Format(error)) => {
                    Ok(Err(format!("the log cannot be applied again: {error}")))
                }
                Stop::Failed(error) => Err(error),
            }
        }
    }
}

fn apply(
    repair: &Repair<'_>,
    place: usize,
    stays: &BTreeSet<usize>,
    written: &mut Vec<SegmentEntry>,
) -> Result<Counts, Stop> {
    let directory = Directory::open_locked(&repair.fs, &repair.dir)?;
    let state = directory.state().clone();
    let replaced = state.segments.get(place..).unwrap_or_default();
    let (Some(first), Some(last)) = (replaced.first(), replaced.last()) else {
        return Err(Error::Internal(format!("no segment {place} to make anew")).into());
    };
    let mut options = repair.options.store.clone();
    options.compact = false;
    let need = replaced.iter().map(|entry| entry.bytes).sum();
    Room::of(&*repair.fs, &repair.dir, &options).check(need)?;

    let mut before = state.clone();
    before.segments.truncate(place);
    before.sealed_through = first.first_seq.saturating_sub(1);
    let segments = open(repair, &before, stays)?;
    let (segments, counts) = with_counts(segments)?;
    let generation = Arc::new(generation_of(segments, &before, &counts, &options));
    let journal = Journal::new(
        Arc::clone(&repair.fs),
        &repair.dir.join(LOG),
        repair.manifest()?,
        &options,
    );
    let last_id = state.segments.iter().map(|entry| entry.id).max();
    let shared = Arc::new(Shared::new(
        (Arc::clone(&repair.fs), repair.dir.clone()),
        options,
        Arc::clone(&generation),
        ExclusionList::empty(),
        last_id.unwrap_or(0),
        Arc::clone(&repair.lock),
    ));
    let mut writer = Writer::new(shared, generation, journal);

    let mut checks = checks(&state, replaced).into_iter().peekable();
    let again_behind = written_off_until(&state, stays);
    let mut expected = first.first_seq;
    let span = Span {
        from_seq: first.first_seq,
        to_seq: last.last_seq,
        ..Span::ALL
    };
    directory.each_event::<Stop>(&span, &mut |_| {}, &mut |seq, event| {
        if seq != expected && !is_known_loss(&state.gaps, expected, seq) {
            return Err(Stop::Refused(format!(
                "the log lacks seq {expected} to {}",
                seq.saturating_sub(1)
            )));
        }
        while let Some(check) = checks.next_if(|(last_seq, _)| *last_seq < seq) {
            compare(&writer, check)?;
        }
        let may_be_again = again_behind.is_some_and(|through| seq > through);
        written.extend(writer.redo(event, seq, may_be_again)?);
        if writer.is_unsure {
            let file = writer.lost_accounts.as_deref().unwrap_or_default();
            return Err(Stop::Refused(format!(
                "seq {seq} names an account that may be one of {file}, which stays set aside: it would get another id"
            )));
        }
        expected = seq.saturating_add(1);
        Ok(())
    })?;
    if expected != last.last_seq.saturating_add(1) {
        return Err(Stop::Refused(format!(
            "the log lacks seq {expected} to {}",
            last.last_seq
        )));
    }
    for check in checks {
        compare(&writer, check)?;
    }
    if writer.events > 0 {
        written.push(writer.seal_unnamed()?);
    }
    let end = written.last().map(|entry| entry.last_seq);
    if end != Some(last.last_seq) {
        return Err(Stop::Refused(format!(
            "the log gives segments up to seq {}, and the manifest says {}",
            end.unwrap_or(0),
            last.last_seq
        )));
    }
    for sealed in writer.generation.segments.iter().skip(place) {
        sealed.segment.verify().map_err(Error::from)?;
    }
    Ok(writer.generation.counters.counts())
}

/// Up to which seq events were applied with all segments that come back and were written off; `None` where none was.
fn written_off_until(state: &State, stays: &BTreeSet<usize>) -> Option<u64> {
    let places = state.segments.iter().enumerate();
    let back: BTreeSet<u64> = places
        .filter(|(place, _)| !stays.contains(place))
        .map(|(_, entry)| entry.id)
        .collect();
    let quarantined = state.quarantined.iter();
    let written_off =
        quarantined.filter(|known| known.written_off != WrittenOff::No && back.contains(&known.id));
    written_off.map(|known| known.applied_through).min()
}

/// The ids that the log has to give: those of the segments that were made while none was set aside.
fn checks(state: &State, replaced: &[SegmentEntry]) -> Vec<Check> {
    let quarantined = state.quarantined.iter();
    let through = quarantined.map(|entry| entry.applied_through).min();
    let through = through.unwrap_or(u64::MAX);
    let entries = replaced.iter().filter(|entry| entry.last_seq <= through);
    entries
        .map(|entry| (entry.last_seq, entry.actors_end))
        .collect()
}

fn compare(writer: &Writer, (last_seq, actors_end): Check) -> Result<(), Stop> {
    let found = writer.generation.actors_end();
    if found == actors_end {
        return Ok(());
    }
    Err(Stop::Refused(format!(
        "applied again up to seq {last_seq}, the log gives {found} accounts, and the manifest says {actors_end}"
    )))
}

/// The segments that `state` names, those at the places of `stays` as empty ones, with their accounts where these can
/// be read: events were applied with them.
fn open(repair: &Repair<'_>, state: &State, stays: &BTreeSet<usize>) -> Result<Vec<Sealed>> {
    let seed = did_seed(&state.directory);
    let mut first_actor = 0;
    let mut segments = Vec::with_capacity(state.segments.len());
    for (place, entry) in state.segments.iter().enumerate() {
        segments.push(if stays.contains(&place) {
            // The manifest is as this repair has written it: what is written off by it stands there too.
            let written_off = written_off(state, entry.id);
            let why = "it is not repaired yet";
            let remains = (written_off != WrittenOff::Whole)
                .then(|| Remains::of_entry(&*repair.fs, &repair.dir, entry, first_actor))
                .flatten();
            Sealed::set_aside(entry, first_actor, seed, why, remains)?.written_off(written_off)
        } else {
            open_entry(&*repair.fs, &repair.dir, entry, first_actor)?
        });
        first_actor = entry.actors_end;
    }
    Ok(segments)
}

/// Gives segments the masks that they alone make, and counts.
fn with_counts(mut segments: Vec<Sealed>) -> Result<(Vec<Sealed>, Counts)> {
    recover_masks(&mut segments)?;
    let (live_rows, live_links) = live_counts(&segments);
    let mut authors = Vec::new();
    for sealed in &segments {
        for actor_state in sealed.accounts().states()? {
            let actor_state = actor_state?;
            if actor_state.last_rev == 0 {
                continue;
            }
            let word = (actor_state.id / 64) as usize;
            if authors.len() <= word {
                authors.resize(word + 1, 0_u64);
            }
            if let Some(bits) = authors.get_mut(word) {
                *bits |= 1 << (actor_state.id % 64);
            }
        }
    }
    let counts = Counts {
        live_rows,
        live_links,
        authors: authors
            .iter()
            .map(|bits| u64::from(bits.count_ones()))
            .sum(),
    };
    Ok((segments, counts))
}

/// What the index holds when all segments of `state` are read.
pub(super) fn counts(fs: &Arc<dyn Fs>, dir: &Path, state: &State) -> Result<Counts> {
    let mut first_actor = 0;
    let mut segments = Vec::with_capacity(state.segments.len());
    for entry in &state.segments {
        segments.push(open_entry(&**fs, dir, entry, first_actor)?);
        first_actor = entry.actors_end;
    }
    with_counts(segments).map(|(_, counts)| counts)
}
