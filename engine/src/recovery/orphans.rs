//! Segments that the manifest does not name. A crash between writing a file and naming it leaves one, and one
//! between naming a merged segment and removing what it was made of leaves those: they are removed.
//!
//! A manifest that lost its last edits names no longer what nothing else has the events of. No crash does that. To go
//! on would give the seqs and the ids of accounts of those events to others, and then nothing could bring them back:
//! the directory is refused, and `repair` names such segments again (`offline/repair/adopt.rs`).
//!
//! That is told by names. A crash leaves of a seal one file, which begins behind the last sealed seq, and no file of the
//! log begins behind its end: the log goes on in another file only once the manifest has the segment. Where there are
//! more, all of them are such that the manifest has lost, also where the log has their events: it has them for a while
//! only, and not what else the manifest said.

use std::collections::HashSet;
use std::path::Path;

use orrery_formats::manifest::State;

use super::{is_set_aside, open_segment, remove_all_but};
use crate::io::Fs;
use crate::log::{Recovery, is_known_loss, parse_name};
use crate::store::{LOG, SEGMENTS, parse_segment_name, segment_name};
use crate::{Error, Result};

/// What stands between the named segments of a directory.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    /// Names of segments that the manifest had named, or with events that nothing else has, by their seqs.
    pub(crate) only_here: Vec<String>,
    /// Names of segments with events of named ones that are missing: those are set aside, and a repair takes these in
    /// their place where nothing was applied without them.
    pub(crate) replacing: Vec<String>,
    /// Names of segments whose events are among those that the manifest says are lost. Nothing reads them.
    kept: Vec<String>,
    /// The others, with the first and the last seq of each.
    others: Vec<(u64, u64, String)>,
    /// The highest id of any of them.
    pub(crate) last_id: u64,
}

impl Orphans {
    /// Finds them. Changes nothing.
    pub(crate) fn find(fs: &dyn Fs, dir: &Path, state: &State) -> Result<Self> {
        let segments_dir = dir.join(SEGMENTS);
        let present = fs.list(&segments_dir);
        let present = present.map_err(Error::io("list", &segments_dir))?;
        let present: HashSet<String> = present.into_iter().map(|entry| entry.name).collect();
        let mut orphans = Self::default();
        let named = names_of(state);
        let mut missing = Vec::new();
        for entry in &state.segments {
            if !present.contains(&segment_name(entry.first_seq, entry.last_seq, entry.id)) {
                missing.push((entry.first_seq, entry.last_seq));
            }
        }
        let mut unsealed = Vec::new();
        for name in present.difference(&named) {
            let Some((first_seq, last_seq, id)) = parse_segment_name(name) else {
                continue;
            };
            orphans.last_id = orphans.last_id.max(id);
            let replaces = |lost: &(u64, u64)| first_seq <= lost.1 && lost.0 <= last_seq;
            // A segment ends with an event that there was.
            if is_known_loss(&state.gaps, last_seq, last_seq.saturating_add(1)) {
                orphans.kept.push(name.clone());
            } else if last_seq > state.sealed_through {
                unsealed.push((first_seq, last_seq, name.clone()));
            } else if missing.iter().any(replaces) {
                orphans.replacing.push(name.clone());
            } else {
                orphans.others.push((first_seq, last_seq, name.clone()));
            }
        }
        let log = log_begins(fs, &dir.join(LOG))?;
        let wanted = state.sealed_through.saturating_add(1);
        let is_in_log = log.iter().any(|begin| *begin <= wanted);
        let of_a_crash = |(first_seq, last_seq, _): &(u64, u64, String)| {
            is_in_log && *first_seq == wanted && !log.contains(&last_seq.saturating_add(1))
        };
        if unsealed.iter().all(of_a_crash) {
            orphans.others.append(&mut unsealed);
        }
        let names = unsealed.into_iter().map(|(_, _, name)| name);
        orphans.only_here.extend(names);
        // Names begin with the first seq, of one width.
        orphans.only_here.sort_unstable();
        for name in &orphans.replacing {
            tracing::error!(
                file = %name,
                "the manifest does not name this segment, and it has events of one that is missing. The file is kept; \
                 `orrery repair` takes it back"
            );
        }
        for name in &orphans.kept {
            tracing::warn!(
                file = %name,
                "the manifest does not name this segment, and counts its events as lost. The file is kept, and not read"
            );
        }
        Ok(orphans)
    }

    /// Whether any could have events that are not sealed.
    pub(crate) fn may_have_unsealed(&self, sealed_through: u64) -> bool {
        let mut others = self.others.iter();
        !self.only_here.is_empty() || others.any(|(_, last_seq, _)| *last_seq > sealed_through)
    }

    /// Whether it is one of the others.
    pub(crate) fn is_other(&self, name: &str) -> bool {
        self.others.iter().any(|(_, _, other)| other == name)
    }

    /// Takes note of what the log has: others with events that it lacks become [`only_here`](Self::only_here).
    pub(crate) fn lack(&mut self, fs: &dyn Fs, dir: &Path, log: &Recovery) {
        let others = std::mem::take(&mut self.others).into_iter();
        let (lost, others): (Vec<_>, _) = others.partition(|(first, last, name)| {
            let mut gaps = log.gaps.iter();
            *last >= log.next_seq
                || gaps.any(|gap| {
                    let seqs = (gap.first_seq, gap.last_seq);
                    // A seal that was interrupted behind the gap covers its seqs too, without their events.
                    *first <= gap.last_seq
                        && gap.first_seq <= *last
                        && has_rows(fs, dir, name, seqs).unwrap_or(true)
                })
        });
        self.others = others;
        let lost = lost.into_iter().map(|(_, _, name)| name);
        self.only_here.extend(lost);
        self.only_here.sort_unstable();
    }

    /// Refuses a directory with segments that nothing names and nothing else has the events of.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], naming the first of them.
    pub(crate) fn refuse(&self, dir: &Path) -> Result<()> {
        let Some(first) = self.only_here.first() else {
            return Ok(());
        };
        let more = match self.only_here.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more like it)"),
        };
        Err(Error::Inconsistent {
            path: dir.join(SEGMENTS).join(first),
            what: format!(
                "the manifest does not name this segment{more}, and nothing else has its events: the manifest has \
                 lost its end. `orrery repair` takes such segments back"
            ),
        })
    }

    /// Removes the others, once the log was read, in a directory of which the manifest says `state` by now.
    ///
    /// # Errors
    /// As [`refuse`](Self::refuse), where one of them is not to be removed; [`Error::Io`].
    pub(crate) fn remove(
        mut self,
        fs: &dyn Fs,
        dir: &Path,
        state: &State,
        log: &Recovery,
    ) -> Result<()> {
        self.lack(fs, dir, log);
        self.refuse(dir)?;
        let mut keep = names_of(state);
        keep.extend(self.kept);
        keep.extend(self.replacing);
        let dir = dir.join(SEGMENTS);
        remove_all_but(fs, &dir, &|name| keep.contains(name) || is_set_aside(name))?;
        // One that came back by a power cut would look like one that the manifest has lost, once the log has gone on.
        fs.sync_dir(&dir).map_err(Error::io("sync directory", &dir))
    }
}

/// The names of the segments that the manifest names.
fn names_of(state: &State) -> HashSet<String> {
    let segments = state.segments.iter();
    segments
        .map(|entry| segment_name(entry.first_seq, entry.last_seq, entry.id))
        .collect()
}

/// Whether a segment has a row of an event of these seqs.
pub(crate) fn has_rows(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    (first_seq, last_seq): (u64, u64),
) -> Result<bool> {
    let sealed = open_segment(fs, dir, name, 0, 0)?;
    let (mut low, mut high) = (0, sealed.segment.info().rows);
    let rows = high;
    while low < high {
        let middle = low + (high - low) / 2;
        if sealed.segment.seq(middle)? < first_seq {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low < rows && sealed.segment.seq(low)? <= last_seq)
}

/// The first seqs of the files of the log.
fn log_begins(fs: &dyn Fs, log_dir: &Path) -> Result<HashSet<u64>> {
    let files = fs.list(log_dir).map_err(Error::io("list", log_dir))?;
    let begins = files.iter();
    Ok(begins
        .filter_map(|entry| parse_name(&entry.name, "log"))
        .collect())
}

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod tests;
