//! What is damaged, by a full check of every byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::manifest::{SegmentEntry, State, WrittenOff};

use super::plan::Standing;
use super::{Outcome, name_of};
use crate::exclusions::EXCLUSIONS;
use crate::io::Fs;
use crate::manifest::Manifest;
use crate::mask::files::MASKS;
use crate::offline::Directory;
use crate::offline::links::Span;
use crate::offline::verify::{Damage, is_known_loss, verify_with_fs};
use crate::store::{CACHE, LOG, SEGMENTS, parse_segment_name};
use crate::{Error, Result, recovery};

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong with segments, by the names of their files.
    segments: BTreeMap<String, String>,
    /// How many segments have no file.
    pub(super) missing: usize,
    /// Damaged masks, key indexes and files of the cache, from the data directory on.
    pub(super) derived: Vec<String>,
    /// Damages of the log.
    pub(super) logs: Vec<Damage>,
    /// The log holds every event from here up to the last sealed one, but for known losses.
    pub(super) whole_from: u64,
    /// The last seq and the place of the last sound frame of each log file, by its name.
    pub(super) log_ends: BTreeMap<String, (u64, u64)>,
    /// The earliest time of an event that is not sealed, where a segment is written off that may have had it.
    unsealed_since_us: Option<u64>,
    /// What is wrong with the exclude list.
    pub(super) exclusions: Option<String>,
    /// What is no damage.
    pub(super) notes: Vec<String>,
}

/// Checks the directory. Costs as much as `verify`.
pub(super) fn find(fs: &Arc<dyn Fs>, dir: &Path) -> Result<(State, Found)> {
    let mut found = Found::default();
    let report = verify_with_fs(fs, dir, false, &mut |damage| found.take(damage))?;
    found.notes.extend(
        report
            .notes
            .into_iter()
            .filter(|note| !note.contains(": quarantined: ")),
    );
    let directory = Directory::open_locked(fs, dir)?;
    let state = directory.state().clone();
    found.log(&directory)?;
    let listed = super::super::directory::found(&**fs, &dir.join(SEGMENTS), |_| Some(0))?;
    let is_there = |name: String| listed.iter().any(|file| file.name == name);
    let names = state.segments.iter().map(name_of);
    found.missing = names.filter(|name| !is_there(name.clone())).count();
    Ok((state, found))
}

/// Fails where a segment is of a version that this build does not read, whether a manifest names it or not: a repair would
/// take it for damaged. Of a manifest that cannot be read the repair tells itself.
pub(super) fn refuse_other_versions(fs: &Arc<dyn Fs>, dir: &Path) -> Result<()> {
    if let Ok(Some(look)) = Manifest::look(&**fs, dir) {
        recovery::refuse_other_versions(&**fs, dir, &look.state)?;
    }
    let first_seq_of = |name: &str| parse_segment_name(name).map(|(first_seq, ..)| first_seq);
    for file in super::super::directory::found(&**fs, &dir.join(SEGMENTS), first_seq_of)? {
        let id = parse_segment_name(&file.name).map_or(0, |(.., id)| id);
        let opened = recovery::open_segment(&**fs, dir, &file.name, id, 0);
        if let Err(error @ Error::Format(FormatError::Version { .. })) = opened {
            return Err(error);
        }
    }
    Ok(())
}

impl Found {
    fn take(&mut self, damage: &Damage) {
        let place = damage.file.split_once('/');
        match place {
            Some((SEGMENTS, name)) => {
                self.segments
                    .entry(name.to_owned())
                    .or_insert_with(|| damage.to_string());
            }
            Some((MASKS | CACHE, _)) => self.take_derived(&damage.file),
            Some((LOG, name)) if name.ends_with(".keys") => self.take_derived(&damage.file),
            _ if damage.file == EXCLUSIONS => self.exclusions = Some(damage.to_string()),
            _ if damage.file.starts_with(LOG) => self.logs.push(damage.clone()),
            // Damage that hides edits is an error of opening; a torn edit is cut off.
            _ => self.notes.push(damage.to_string()),
        }
    }

    fn take_derived(&mut self, file: &str) {
        if self.derived.last().is_none_or(|last| last != file) {
            self.derived.push(file.to_owned());
        }
    }

    /// Reads the frames of the log, for what it covers.
    fn log(&mut self, directory: &Directory) -> Result<()> {
        let state = directory.state();
        let mut expected = 0;
        let mut whole_from = u64::MAX;
        let ends = &mut self.log_ends;
        directory.each_frame::<Error>(&Span::ALL, &mut |_| {}, &mut |frame| {
            ends.insert(frame.file.clone(), (frame.last_seq, frame.offset));
            if frame.first_seq != expected && !is_known_loss(&state.gaps, expected, frame.first_seq)
            {
                // A break behind what is sealed does not matter here.
                if expected <= state.sealed_through {
                    whole_from = frame.first_seq;
                }
            }
            expected = frame.last_seq.saturating_add(1);
            Ok(())
        })?;
        if expected <= state.sealed_through {
            whole_from = state.sealed_through.saturating_add(1);
        }
        self.whole_from = whole_from;
        let mut quarantined = state.quarantined.iter();
        if quarantined.any(|known| known.written_off != WrittenOff::No) {
            let span = Span {
                from_seq: state.sealed_through.saturating_add(1),
                ..Span::ALL
            };
            let since_us = &mut self.unsealed_since_us;
            directory.each_event::<Error>(&span, &mut |_| {}, &mut |_, event| {
                *since_us = Some(since_us.unwrap_or(u64::MAX).min(event.time_us));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What is wrong with a segment; `None` where its file is sound.
    pub(super) fn why(&self, entry: &SegmentEntry) -> Option<&str> {
        self.segments.get(&name_of(entry)).map(String::as_str)
    }

    /// How each segment stands.
    pub(super) fn standings(&self, state: &State) -> Vec<Standing> {
        let standing = |entry: &SegmentEntry| {
            let known = state.quarantined.iter().find(|known| known.id == entry.id);
            // What was not set aside was read until now.
            let applied_through = known.map_or(state.sealed_through, |known| known.applied_through);
            let mut since_us = self.unsealed_since_us.iter();
            if known.is_some_and(|known| known.written_off != WrittenOff::No)
                && since_us.any(|since_us| *since_us <= entry.last_time_us)
            {
                return Standing::Waits { applied_through };
            }
            match (self.why(entry), known) {
                (Some(_), _) => Standing::Lost { applied_through },
                (None, Some(_)) => Standing::Back {
                    outcome: Outcome::Sound,
                    applied_through,
                },
                (None, None) => Standing::Sound,
            }
        };
        state.segments.iter().map(standing).collect()
    }
}
