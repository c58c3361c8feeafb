//! A manifest that lost its end: segments that it names no longer are named again, where sound files make a chain of
//! seqs and of ids of accounts without a break, from the first event on.
//!
//! Segments always make such a chain: each begins behind the one before, over whatever the log lost. So a file that
//! fits to both ends is the one that was named there, or one that a merge made of those or out of which it was made,
//! and these hold the same. What stays without a name is kept under another one.
//!
//! A named segment that is damaged is set aside by the edit that names others again, as of the end that the manifest
//! has: the lost end may have set it aside, and what came behind may have been applied without it.

use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{Edit, GapEntry, SegmentEntry, State};

use super::chain::{Link, chain};
use super::{Repair, name_of, redo};
use crate::log::{Gap, Recovery, log_name, scan};
use crate::offline::directory::{FoundFile, found};
use crate::offline::links::Span;
use crate::offline::{Directory, copy};
use crate::quarantine;
use crate::recovery::{Orphans, did_seed, has_rows, is_set_aside, open_segment};
use crate::snapshot::Sealed;
use crate::store::{LOG, SEGMENTS, parse_segment_name};
use crate::{Error, Result};

/// The first and the last seq of a segment that is not named again, and the name of its file.
type Unfit = (u64, u64, String);

impl Repair<'_> {
    /// Names segments again that the manifest has lost. Gives whether it has lost any.
    pub(super) fn adopt(&mut self, state: &State) -> Result<bool> {
        let mut orphans = Orphans::find(&*self.fs, &self.dir, state)?;
        let log = self.log_behind(state, &orphans)?;
        orphans.lack(&*self.fs, &self.dir, &log);
        if orphans.only_here.is_empty() && orphans.replacing.is_empty() {
            return Ok(false);
        }
        let (links, damaged) = self.links(state, &orphans)?;
        let chain = chain(&links, state);
        let added: Vec<SegmentEntry> = chain
            .iter()
            .filter(|link| !link.is_named)
            .map(|link| link.entry.clone())
            .collect();
        let has_added = !added.is_empty();
        self.report.adopted.extend(added.iter().map(name_of));
        let unfit = self.unfit(&orphans, &chain);
        let end = chain.last().map_or(0, |link| link.entry.last_seq);
        let sealed_through = end.max(state.sealed_through);
        let (lost, gap) = behind(sealed_through, &unfit, &log);
        if has_added || !unfit.is_empty() {
            let note = "what else the end of the manifest said is not known any more: losses of the log before that, and \
                 segments that were set aside";
            if !orphans.only_here.is_empty() {
                self.report.notes.push(note.to_owned());
            }
            let mut edit = Edit {
                selections: self
                    .forget_selections(state, sealed_through)
                    .into_iter()
                    .collect(),
                gaps: gap.into_iter().collect(),
                ..Edit::default()
            };
            if has_added && !self.options.dry_run {
                edit = self.name_again(state, &chain, (added, sealed_through), &log.gaps, edit)?;
            }
            if !self.options.dry_run {
                // They were made with what the manifest has forgotten.
                self.remove_derived()?;
                self.sync_dir(SEGMENTS)?;
                self.manifest()?.append(&edit)?;
            }
        }
        // Nothing that is damaged is deleted, as the next start does with what nothing names.
        if !self.options.dry_run {
            let replaced = links.iter().filter(|link| {
                let mut chain = chain.iter();
                has_added
                    && link.is_named
                    && link.why.is_some()
                    && !chain.any(|taken| taken.entry.id == link.entry.id)
            });
            for name in replaced.map(|link| name_of(&link.entry)).chain(damaged) {
                self.put_away(&name, true)?;
            }
        }
        // Once the manifest knows the loss: the files are passed over where this is interrupted.
        let is_other = has_added || !unfit.is_empty();
        for (_, last_seq, name) in unfit {
            if !self.options.dry_run {
                self.put_away(&name, true)?;
            }
            if lost.contains(&name) {
                self.report.unnamed.push(name);
                continue;
            }
            let have = if last_seq > sealed_through {
                "the log has its events, and the next start applies them"
            } else {
                "others have its events"
            };
            let note = format!("{SEGMENTS}/{name} is not named again: {have}");
            self.report.notes.push(note);
        }
        Ok(is_other)
    }

    /// What the log has behind the last sealed seq, where segments that nothing names may have events of that.
    pub(super) fn log_behind(&self, state: &State, orphans: &Orphans) -> Result<Recovery> {
        if !orphans.may_have_unsealed(state.sealed_through) {
            return Ok(Recovery {
                next_seq: u64::MAX,
                ..Recovery::default()
            });
        }
        let (id, from) = (state.directory.id, state.sealed_through);
        scan(&*self.fs, &self.dir.join(LOG), id, from, &mut |_| Ok(()))
    }

    /// The segments that the manifest has lost and that `chain` does not take, with their seqs.
    fn unfit(&self, orphans: &Orphans, chain: &[Link]) -> Vec<Unfit> {
        let names = orphans.only_here.iter();
        let names = names.filter(|name| !self.report.adopted.contains(name));
        let parsed = names.filter_map(|name| {
            let (first_seq, last_seq, _) = parse_segment_name(name)?;
            Some((first_seq, last_seq, name.clone()))
        });
        parsed
            .filter(|(first_seq, last_seq, _)| {
                // A merge had made another out of it, or it of others: the next start removes it.
                !chain.iter().any(|link| {
                    !link.is_named
                        && link.entry.first_seq <= *first_seq
                        && *last_seq <= link.entry.last_seq
                })
            })
            .collect()
    }

    /// The segments that are there or should be, by their seqs, and the names of files that would be such and are
    /// damaged.
    fn links(&mut self, state: &State, orphans: &Orphans) -> Result<(Vec<Link>, Vec<String>)> {
        let mut links = Vec::new();
        let mut damaged = Vec::new();
        let mut first_actor = 0;
        let files = found(&*self.fs, &self.dir.join(SEGMENTS), |_| Some(0))?;
        for entry in &state.segments {
            links.push(Link {
                entry: entry.clone(),
                first_actor,
                is_named: true,
                why: self.why_unsound(state, entry, &files),
            });
            first_actor = entry.actors_end;
        }
        // What a crash left of a seal comes out of the log again.
        for file in files.iter().filter(|file| !is_set_aside(&file.name)) {
            let Some((first_seq, last_seq, id)) = parse_segment_name(&file.name) else {
                continue;
            };
            if state.segments.iter().any(|entry| entry.id == id)
                || (orphans.is_other(&file.name) && last_seq > state.sealed_through)
            {
                continue;
            }
            match self.link(file, (first_seq, last_seq, id), state) {
                Ok(Some(link)) => links.push(link),
                Ok(None) => self.report.notes.push(format!(
                    "{SEGMENTS}/{}: it is of another directory",
                    file.name
                )),
                Err(error) => {
                    let note = format!("{SEGMENTS}/{} cannot be used: {error}", file.name);
                    self.report.notes.push(note);
                    damaged.push(file.name.clone());
                }
            }
        }
        // What was applied without a segment does not stand on one in its place.
        for known in &state.quarantined {
            let mut entries = state.segments.iter();
            let Some(entry) = entries.find(|entry| entry.id == known.id) else {
                continue;
            };
            let replaces = |link: &Link| {
                !link.is_named
                    && link.entry.first_seq <= entry.last_seq
                    && entry.first_seq <= link.entry.last_seq
            };
            let behind = links.iter().filter(|link| !replaces(link));
            let through = behind.map(|link| link.entry.last_seq).max();
            if through.max(Some(state.sealed_through)) > Some(known.applied_through) {
                links.retain(|link| !replaces(link));
            }
        }
        links.sort_by_key(|link| (link.entry.first_seq, link.entry.last_seq, link.entry.id));
        Ok((links, damaged))
    }

    /// Why a segment that is named is not read, if it is not.
    fn why_unsound(
        &self,
        state: &State,
        entry: &SegmentEntry,
        files: &[FoundFile],
    ) -> Option<String> {
        let mut quarantined = state.quarantined.iter();
        if let Some(known) = quarantined.find(|known| known.id == entry.id) {
            return Some(known.why.clone());
        }
        let name = name_of(entry);
        let Some(file) = files.iter().find(|file| file.name == name) else {
            return Some(format!("{SEGMENTS}/{name} is not there"));
        };
        match self.open_plainly(file, entry.id) {
            Ok((_, checksum)) if (file.bytes, checksum) == (entry.bytes, entry.checksum) => None,
            Ok((_, checksum)) => Some(format!(
                "{SEGMENTS}/{name} has {} bytes with the checksum {checksum:#018x}; the manifest says {} with {:#018x}",
                file.bytes, entry.bytes, entry.checksum
            )),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Opens a segment, and gives the checksum of its file. All of it is read plainly before it is mapped: what the
    /// disk does not give is an error then, and not the end of the process.
    pub(super) fn open_plainly(&self, file: &FoundFile, id: u64) -> Result<(Sealed, u64)> {
        let path = self.dir.join(SEGMENTS).join(&file.name);
        let checksum = copy::checksum_of(&*self.fs, &path, file.bytes)?;
        let sealed = open_segment(&*self.fs, &self.dir, &file.name, id, 0)?;
        Ok((sealed, checksum))
    }

    /// A file that nothing names, checked in full; `None` where it is of another directory.
    fn link(
        &self,
        file: &FoundFile,
        (first_seq, last_seq, id): (u64, u64, u64),
        state: &State,
    ) -> Result<Option<Link>> {
        let (sealed, checksum) = self.open_plainly(file, id)?;
        let info = *sealed.segment.info();
        if info.did_seed != did_seed(&state.directory) {
            return Ok(None);
        }
        if (info.first_seq, info.last_seq) != (first_seq, last_seq) {
            return Err(Error::Inconsistent {
                path: self.dir.join(SEGMENTS).join(&file.name),
                what: format!("holds seq {} to {}", info.first_seq, info.last_seq),
            });
        }
        sealed.segment.verify()?;
        // Merges of the store raise it by one for each fan-in; one that is guessed wrong costs a merge more or less.
        let seals = (last_seq - first_seq) / u64::from(self.options.store.seal_events.max(1)) + 1;
        let fan_in = (self.options.store.compact_fan_in as u64).max(2);
        Ok(Some(Link {
            entry: SegmentEntry {
                id,
                first_seq,
                last_seq,
                bytes: sealed.bytes,
                checksum,
                first_time_us: info.first_time_us,
                last_time_us: info.last_time_us,
                actors_end: info.actors_first_id.saturating_add(info.actors_count),
                level: seals.ilog(fan_in).min(u32::from(u8::MAX)) as u8,
            },
            first_actor: info.actors_first_id,
            is_named: false,
            why: None,
        }))
    }

    /// Adds to `edit` that the segments of `chain` are named, up to `sealed_through`.
    fn name_again(
        &mut self,
        state: &State,
        chain: &[Link],
        (added, sealed_through): (Vec<SegmentEntry>, u64),
        gaps: &[Gap],
        edit: Edit,
    ) -> Result<Edit> {
        let stays = |entry: &SegmentEntry| {
            let mut chain = chain.iter();
            chain.any(|link| link.is_named && link.entry.id == entry.id)
        };
        let removed = state.segments.iter().filter(|entry| !stays(entry));
        let (begin, cursor, goes_on) = self.log_of(sealed_through)?;
        let times = added.iter().map(|entry| entry.last_time_us);
        let last_time_us = times.fold(state.last_time_us, u64::max);
        let source_cursor = match (&state.source_cursor, cursor) {
            (Some(known), Some(found))
                if (&known.kind, &known.endpoint) == (&found.kind, &found.endpoint)
                    && known.value > found.value =>
            {
                None
            }
            (_, found) => found,
        };
        if state.source_cursor.is_none() && source_cursor.is_none() && !goes_on {
            self.report.notes.push(
                "how far the source was read is not known: it is followed from its present on, and events from before \
                 may be missing"
                    .to_owned(),
            );
        }
        let (mut lost, cursor) = self.lost_within(chain, gaps);
        // Without a frame before the loss, the place that the manifest has is the one before it.
        let source_cursor = if lost.is_empty() {
            source_cursor
        } else {
            cursor
        };
        lost.extend(edit.gaps);
        // With the same edit: it may be that the manifest's lost end had set them aside, and that what is named again was
        // made without them.
        let damaged = chain
            .iter()
            .filter(|link| {
                state
                    .quarantined
                    .iter()
                    .all(|known| known.id != link.entry.id)
            })
            .filter_map(|link| Some((link.entry.id, link.why.clone()?)));
        let floor = begin.min(sealed_through.saturating_add(1));
        let mut edit = Edit {
            add: added,
            remove: removed.map(|entry| entry.id).collect(),
            sealed_through: Some(sealed_through),
            last_time_us: Some(last_time_us),
            source_cursor,
            log_floor: (floor > 1).then(|| floor.max(state.log_floor)),
            window_complete: (floor > 1).then_some(false),
            selections: edit.selections,
            gaps: lost,
            ..quarantine::edit(damaged, state.sealed_through)
        };
        if chain.iter().all(|link| link.why.is_none()) {
            let mut after = state.clone();
            after.apply(edit.clone())?;
            edit.counts = match redo::counts(&self.fs, &self.dir, &after) {
                Ok(counts) => Some(counts),
                // The check that follows finds the segment and sets it aside. What brings it back counts again.
                Err(Error::Format(_) | Error::Inconsistent { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(edit)
    }

    /// The parts of `gaps` that segments which are named again cover without their events: they were sealed behind the
    /// loss. With the place in the source before the first of them.
    fn lost_within(&self, chain: &[Link], gaps: &[Gap]) -> (Vec<GapEntry>, Option<SourceCursor>) {
        let mut lost = Vec::new();
        let mut cursor = None;
        for link in chain.iter().filter(|link| !link.is_named) {
            for gap in gaps {
                let (first_seq, last_seq) = (
                    gap.first_seq.max(link.entry.first_seq),
                    gap.last_seq.min(link.entry.last_seq),
                );
                // A segment ends with an event that there was.
                if first_seq > last_seq || last_seq == link.entry.last_seq {
                    continue;
                }
                let name = name_of(&link.entry);
                if has_rows(&*self.fs, &self.dir, &name, (first_seq, last_seq)).unwrap_or(true) {
                    continue;
                }
                if lost.is_empty() {
                    cursor.clone_from(&gap.cursor_before);
                }
                lost.push(GapEntry {
                    first_seq,
                    last_seq: Some(last_seq),
                    file: gap.file.clone(),
                    offset: gap.offset,
                });
            }
        }
        (lost, cursor)
    }

    /// Where the log begins, the newest place in the source that it has up to `sealed_through`, and whether it has one
    /// behind that.
    fn log_of(&self, sealed_through: u64) -> Result<(u64, Option<SourceCursor>, bool)> {
        let directory = Directory::open_locked(&self.fs, &self.dir)?;
        let begin = directory.log_files().first().map(|file| file.first_seq);
        let (mut cursor, mut goes_on) = (None, false);
        directory.each_frame::<Error>(&Span::ALL, &mut |_| {}, &mut |frame| {
            if frame.cursor.is_some() && frame.last_seq <= sealed_through {
                cursor.clone_from(&frame.cursor);
            }
            goes_on |= frame.cursor.is_some() && frame.last_seq > sealed_through;
            Ok(())
        })?;
        Ok((begin.unwrap_or(u64::MAX), cursor, goes_on))
    }
}

/// Of segments that are not named again, behind `sealed_through`: the names of those with events that `log` lacks, and
/// the seqs that it ends before, none of which is to be given again. What it lacks before its end, the next start finds.
fn behind(sealed_through: u64, unfit: &[Unfit], log: &Recovery) -> (Vec<String>, Option<GapEntry>) {
    let lacks = |first_seq: u64, last_seq: u64| {
        let mut gaps = log.gaps.iter();
        last_seq >= log.next_seq
            || gaps.any(|gap| first_seq <= gap.last_seq && gap.first_seq <= last_seq)
    };
    let lost = unfit.iter().filter(|(first_seq, last_seq, _)| {
        let first_seq = (*first_seq).max(sealed_through.saturating_add(1));
        first_seq <= *last_seq && lacks(first_seq, *last_seq)
    });
    let first_seq = log.next_seq.max(sealed_through.saturating_add(1));
    let last_seq = unfit.iter().map(|(_, last_seq, _)| *last_seq).max();
    let gap = last_seq.filter(|last_seq| first_seq <= *last_seq);
    let gap = gap.map(|last_seq| GapEntry {
        first_seq,
        last_seq: Some(last_seq),
        file: log_name(first_seq),
        offset: 0,
    });
    (lost.map(|(_, _, name)| name.clone()).collect(), gap)
}
