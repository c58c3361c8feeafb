//! Repairing a stopped data directory: what files, a backup or the log still hold is put back, and what is lost is
//! said, by seq and time. Nothing that is damaged is deleted, but what is derived.
//!
//! | file | does |
//! | --- | --- |
//! | `manifest.rs` | a manifest that cannot be read made anew, out of an older one or a backup |
//! | `adopt.rs` | segments named again that a manifest which lost its end names no longer |
//! | `chain.rs` | which segments make the chain that the manifest named (a pure function) |
//! | `find.rs` | what is damaged, by a full check of every byte |
//! | `plan.rs` | which segments can be back, and from where on the log has to be applied again |
//! | `files.rs` | a segment out of a backup; damaged files kept under other names |
//! | `redo.rs` | the log applied again: new segments in place of all from one on |
//! | `window.rs` | log files with damage taken out of the window |
//!
//! **Why all segments behind a rebuilt one are made anew.** Which row an event kills depends on the rows that were
//! live then, and those of one range cannot be told from that range alone: merges have dropped rows that died
//! later, and kills of rows that were dropped. Applying the log from the first missing seq up to the last sealed one
//! answers all of it by construction. The same mends a segment that comes back as a file after events were applied
//! without it: those did not see its rows, accounts and states.
//!
//! **Order**, which an interruption may end anywhere; the directory then opens, degraded or healed:
//!
//! 1. The manifest sets every damaged segment aside.
//!    Where that is asked for, those that stay so are written off.
//! 2. Files come back from the backup; masks and key indexes, which are derived, are removed; new segments are
//!    written, which nothing names yet.
//! 3. One edit of the manifest reads segments again, and replaces those that were made anew.
//! 4. Replaced files are removed, damaged ones renamed. The window's floor rises above damaged log files, then
//!    those are renamed.

mod adopt;
mod chain;
mod files;
mod find;
mod manifest;
mod plan;
mod redo;
#[cfg(test)]
mod tests;
mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_formats::manifest::{
    Counts, Edit, GapEntry, QuarantineEntry, SegmentEntry, State, WrittenOff,
};

use self::files::Backup;
use self::find::Found;
use self::plan::Standing;
use crate::damage::Marker;
use crate::io::{Fs, OsFs};
use crate::lock::DirLock;
use crate::manifest::Manifest;
use crate::quarantine::{self, Remains};
use crate::recovery::Orphans;
use crate::store::{SEGMENTS, segment_name};
use crate::{Error, Options, Result};

/// How to repair.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// A backup of the directory.
    pub backup: Option<PathBuf>,
    /// Whether losses of the log are accepted: answers are not marked by them any more.
    pub accept_gaps: bool,
    /// Whether what does not come back is written off: no event waits for it any more, and what comes of it again counts
    /// as new. Accounts that only it may know then get other ids, unless its file still gives them: those keep their
    /// ids, and wait for another repair if a later start does not find them there. One that comes back by a later
    /// repair has all events behind it applied again.
    pub write_off: bool,
    /// Find and tell what would be done, and change nothing. Whether the log gives what the manifest expects is
    /// then not tried.
    pub dry_run: bool,
    /// How large segments made from the log become.
    pub store: Options,
}

/// What became of a damaged segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its file is sound, and is read again.
    Sound,
    /// Its file was copied from the backup.
    FromBackup,
    /// Its range was made anew from the log.
    FromLog,
    /// It stays set aside: nothing that this repair had brings it back.
    Lost,
}

impl Outcome {
    /// A word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::FromBackup => "backup",
            Self::FromLog => "log",
            Self::Lost => "lost",
        }
    }
}

/// A segment that was damaged or set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedSegment {
    /// The name of its file.
    pub file: String,
    /// The first seq of its range.
    pub first_seq: u64,
    /// The last seq of its range.
    pub last_seq: u64,
    /// The earliest event time of the range, microseconds.
    pub first_time_us: u64,
    /// The latest event time of the range, microseconds.
    pub last_time_us: u64,
    /// What was wrong with it.
    pub why: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it could not be had from where it was looked for.
    pub tried: Vec<String>,
    /// Of one that stays set aside: whether it is written off, by this repair or one before, so that no event waits.
    pub is_written_off: bool,
    /// Of one that stays set aside: whether its accounts can be read, so that events go on.
    pub has_accounts: bool,
}

/// Damage of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedLog {
    /// The file, from the data directory on; the directory itself where files are missing.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub why: String,
    /// Whether its events are not in segments: the next start of the store names those that are lost, and asks the
    /// source for them again. Otherwise only the window is shorter.
    pub is_unsealed: bool,
    /// Whether some of its events are in no sound segment either.
    pub is_lost: bool,
}

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// What was wrong with the manifest, and out of what it was made anew.
    pub manifest: Option<String>,
    /// Segments that the manifest had lost and names again, by the names of their files.
    pub adopted: Vec<String>,
    /// Segments that the manifest had lost and that fit to no other: their files are kept under other names, and
    /// not read.
    pub unnamed: Vec<String>,
    /// Segments that were damaged or set aside, oldest first.
    pub segments: Vec<RepairedSegment>,
    /// Events that the log lost and no segment has, and whose loss is not accepted.
    pub gaps: Vec<GapEntry>,
    /// Damaged log files.
    pub logs: Vec<DamagedLog>,
    /// Derived files that were damaged; the next start makes them anew.
    pub derived: Vec<String>,
    /// What is wrong with the exclude list, for which a start is refused. No repair brings it back: an older list would show what was
    /// excluded since.
    pub exclusions: Option<String>,
    /// Segments written in place of others, by the names of their files.
    pub written: Vec<String>,
    /// Damaged files that are kept under another name, from the data directory on. They may be removed.
    pub kept: Vec<String>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// Of a dry run: whether the rest was not looked at, since the manifest has to be put right first.
    pub is_cut_short: bool,
}

impl RepairReport {
    /// Whether everything is whole after the repair; of a dry run, whether it is known that it would be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let mut segments = self.segments.iter();
        !self.is_cut_short
            && self.exclusions.is_none()
            && self.unnamed.is_empty()
            && self.gaps.is_empty()
            && segments.all(|segment| segment.outcome != Outcome::Lost)
            && !self.logs.iter().any(|log| log.is_unsealed)
    }
}

/// Repairs the data directory at `dir`, which no store has open.
///
/// # Errors
/// [`Error::Locked`] while a store has it open; [`Error::Inconsistent`] where its manifest is damaged, no older one is
/// sound and no backup is named; [`Error::Config`] for a backup of another directory, or none; [`Error::DiskFull`];
/// [`Error::Io`].
/// The directory opens after any of them, and the repair can be run again.
pub fn repair(dir: &Path, options: &RepairOptions) -> Result<RepairReport> {
    repair_with_fs(&OsFs::shared(), dir, options)
}

/// As [`repair`], on another file layer.
///
/// # Errors
/// As [`repair`].
pub fn repair_with_fs(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    options: &RepairOptions,
) -> Result<RepairReport> {
    manifest::refuse_strange(&**fs, dir, options.backup.is_some())?;
    let lock = Arc::new(DirLock::acquire(&**fs, dir)?);
    find::refuse_other_versions(fs, dir)?;
    let mut repair = Repair {
        fs: Arc::clone(fs),
        dir: dir.to_owned(),
        options,
        lock,
        report: RepairReport::default(),
    };
    let state = repair.state()?;
    let is_other = repair.report.manifest.is_some() || repair.adopt(&state)?;
    if options.dry_run && is_other {
        // What else is damaged can be told once the manifest is as it will be.
        repair.report.is_cut_short = true;
        return Ok(repair.report);
    }
    if repair.report.manifest.is_some() {
        repair.adopt(&state)?;
    }
    if !options.dry_run {
        // Cuts a torn tail off the manifest, as a start of the store does.
        let manifest = repair.manifest()?;
        let state = manifest.state();
        let orphans = Orphans::find(&**fs, dir, state)?;
        let log = repair.log_behind(state, &orphans)?;
        orphans.remove(&**fs, dir, state, &log)?;
    }
    let (state, mut found) = find::find(fs, dir)?;
    repair.report.exclusions = found.exclusions.take();
    let backup = match &options.backup {
        Some(path) => Some(Backup::open(fs, path, &state, &mut repair.report.notes)?),
        None => None,
    };
    let stays_open = repair.segments(&state, &found, backup.as_ref())?;
    repair.derived(&found, stays_open)?;
    repair.logs(&found)?;
    repair.gaps(&state)?;
    repair.report.notes.extend(found.notes);
    if !options.dry_run && Marker::read(&**fs, dir)?.is_some() {
        Marker::remove(&**fs, dir)?;
    }
    Ok(repair.report)
}

/// A repair under way.
struct Repair<'a> {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: &'a RepairOptions,
    lock: Arc<DirLock>,
    report: RepairReport,
}

fn name_of(entry: &SegmentEntry) -> String {
    segment_name(entry.first_seq, entry.last_seq, entry.id)
}

/// Refuses a directory none of whose segments is there, where the log does not bring them back: one that was not
/// copied or mounted whole is a mistake to mend, not damage.
fn refuse_strange_absence(dir: &Path, state: &State, found: &Found) -> Result<()> {
    let count = state.segments.len();
    let begins = state.segments.first().map_or(0, |entry| entry.first_seq);
    if count > 1 && found.missing == count && found.whole_from > begins {
        return Err(Error::Inconsistent {
            path: dir.join(SEGMENTS),
            what: format!("none of the {count} segments that the manifest names is there"),
        });
    }
    Ok(())
}

impl Repair<'_> {
    fn manifest(&self) -> Result<Manifest> {
        let manifest = Manifest::open(Arc::clone(&self.fs), &self.dir)?;
        manifest.ok_or_else(|| Error::Internal("the manifest is gone".to_owned()))
    }

    /// Tells of known losses of the log, or accepts them.
    fn gaps(&mut self, state: &State) -> Result<()> {
        let gaps = state.gaps.iter().filter(|gap| !gap.is_accepted());
        let gaps: Vec<GapEntry> = gaps.cloned().collect();
        if gaps.is_empty() || !self.options.accept_gaps {
            self.report.gaps = gaps;
        } else if !self.options.dry_run {
            self.manifest()?.accept_gaps()?;
        }
        Ok(())
    }

    /// Brings back the segments that can be had. Gives whether derived files are all removed by that.
    fn segments(&mut self, state: &State, found: &Found, backup: Option<&Backup>) -> Result<bool> {
        let mut standings = found.standings(state);
        let damaged: Vec<usize> = (0..standings.len())
            .filter(|place| standings.get(*place) != Some(&Standing::Sound))
            .collect();
        if damaged.is_empty() {
            return Ok(false);
        }
        let is_new = |entry: &&SegmentEntry| {
            let mut known = state.quarantined.iter();
            found.why(entry).is_some() && known.all(|known| known.id != entry.id)
        };
        let new = state.segments.iter().filter(is_new);
        let new: Vec<(u64, String)> = new
            .filter_map(|entry| Some((entry.id, found.why(entry)?.to_owned())))
            .collect();
        if backup.is_none() {
            refuse_strange_absence(&self.dir, state, found)?;
        }
        if !new.is_empty() && !self.options.dry_run {
            let edit = quarantine::edit(new, state.sealed_through);
            self.manifest()?.append(&edit)?;
        }
        let mut tried: Vec<Vec<String>> = vec![Vec::new(); standings.len()];
        for place in &damaged {
            let (Some(entry), Some(standing), Some(tried)) = (
                state.segments.get(*place),
                standings.get_mut(*place),
                tried.get_mut(*place),
            ) else {
                continue;
            };
            if let Standing::Lost { applied_through } = *standing {
                match self.take_from_backup(entry, backup)? {
                    Ok(()) => {
                        *standing = Standing::Back {
                            outcome: Outcome::FromBackup,
                            applied_through,
                        }
                    }
                    Err(why) => tried.push(why),
                }
            }
        }
        let plan = self.replace(state, found, &standings, &mut tried)?;
        for place in damaged {
            let (Some(entry), Some(standing)) = (state.segments.get(place), standings.get(place))
            else {
                continue;
            };
            let outcome = plan.outcome(place, standing);
            let known = state.quarantined.iter().find(|known| known.id == entry.id);
            let why = known.map(|known| known.why.clone());
            let tried = tried.get_mut(place).map(std::mem::take);
            let was = known.map_or(WrittenOff::No, |known| known.written_off);
            let stays = outcome == Outcome::Lost;
            let has_accounts = stays && was != WrittenOff::Whole && self.has_accounts(state, place);
            let was_written_off = match was {
                WrittenOff::No => false,
                WrittenOff::Whole => true,
                WrittenOff::ButAccounts => has_accounts,
            };
            self.report.segments.push(RepairedSegment {
                file: name_of(entry),
                first_seq: entry.first_seq,
                last_seq: entry.last_seq,
                first_time_us: entry.first_time_us,
                last_time_us: entry.last_time_us,
                why: why.unwrap_or_else(|| found.why(entry).unwrap_or_default().to_owned()),
                outcome,
                tried: tried.unwrap_or_default(),
                is_written_off: stays && (was_written_off || self.options.write_off),
                has_accounts,
            });
        }
        Ok(plan.heals(&standings))
    }

    /// Whether the file of the segment at `place` still gives its accounts.
    fn has_accounts(&self, state: &State, place: usize) -> bool {
        let before = place
            .checked_sub(1)
            .and_then(|place| state.segments.get(place));
        let first_actor = before.map_or(0, |entry| entry.actors_end);
        state.segments.get(place).is_some_and(|entry| {
            Remains::of_entry(&*self.fs, &self.dir, entry, first_actor).is_some()
        })
    }

    /// Says of what stays set aside, if that is asked for, that nothing brings it back: no event needs to wait for it.
    /// Accounts that only it knew may then get other ids, but where they can be read: those keep their ids.
    fn write_off(&mut self, state: &State, found: &Found, plan: &plan::Plan) -> Result<()> {
        if !self.options.write_off {
            return Ok(());
        }
        let mut entries = Vec::new();
        for place in &plan.stays {
            let Some(entry) = state.segments.get(*place) else {
                continue;
            };
            let known = state.quarantined.iter().find(|known| known.id == entry.id);
            let was = known.map_or(WrittenOff::No, |known| known.written_off);
            // What was given up stays so: accounts may have other ids since.
            let now = if was == WrittenOff::Whole || !self.has_accounts(state, *place) {
                WrittenOff::Whole
            } else {
                WrittenOff::ButAccounts
            };
            if was == now {
                continue;
            }
            let why = known.map(|known| known.why.as_str());
            entries.push(QuarantineEntry {
                id: entry.id,
                why: why
                    .or_else(|| found.why(entry))
                    .unwrap_or_default()
                    .to_owned(),
                applied_through: known.map_or(state.sealed_through, |known| known.applied_through),
                written_off: now,
            });
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.manifest()?.append(&Edit {
            quarantine: entries,
            ..Edit::default()
        })
    }

    /// Reads segments again and makes others anew, as far as that can be.
    fn replace(
        &mut self,
        state: &State,
        found: &Found,
        standings: &[Standing],
        tried: &mut [Vec<String>],
    ) -> Result<plan::Plan> {
        let mut refused: Vec<(usize, String)> = Vec::new();
        loop {
            let plan = plan::plan(state, standings, found.whole_from, &refused);
            if self.options.dry_run {
                plan.explain(state, standings, found.whole_from, &refused, tried);
                return Ok(plan);
            }
            // Before the log is applied again without it. The next attempt leaves no less set aside.
            self.write_off(state, found, &plan)?;
            if plan.heals(standings) {
                // What was derived without the segments is wrong once they are back.
                self.remove_derived()?;
            }
            let redone = match plan.redo_from {
                None => None,
                Some(place) => match redo::redo(self, place, &plan.stays)? {
                    Ok(redone) => Some(redone),
                    Err(why) => {
                        refused.push((place, why));
                        continue;
                    }
                },
            };
            if plan.heals(standings) {
                self.install(state, standings, &plan, redone)?;
            }
            plan.explain(state, standings, found.whole_from, &refused, tried);
            return Ok(plan);
        }
    }

    /// The edit that everything before was for, and what may be removed after it.
    fn install(
        &mut self,
        state: &State,
        standings: &[Standing],
        plan: &plan::Plan,
        redone: Option<redo::Redone>,
    ) -> Result<()> {
        let before = plan.redo_from.unwrap_or(state.segments.len());
        let release = standings.iter().zip(&state.segments).enumerate();
        let release: Vec<u64> = release
            .filter(|(place, (standing, _))| {
                *place < before
                    && matches!(standing, Standing::Back { .. })
                    && !plan.stays.contains(place)
            })
            .map(|(_, (_, entry))| entry.id)
            .collect();
        let removed = state.segments.get(before..).unwrap_or_default();
        let counts: Option<Counts> = match (&redone, plan.stays.is_empty()) {
            (_, false) => None,
            (Some(redone), true) => Some(redone.counts),
            (None, true) => Some(redo::counts(&self.fs, &self.dir, state)?),
        };
        let add = redone.map(|redone| redone.entries).unwrap_or_default();
        self.report.written.extend(add.iter().map(name_of));
        if !release.is_empty() {
            // An attempt before may have put a file in its place and failed here.
            self.sync_dir(SEGMENTS)?;
        }
        self.manifest()?.append(&Edit {
            add,
            remove: removed.iter().map(|entry| entry.id).collect(),
            release,
            counts,
            ..Edit::default()
        })?;
        for (place, entry) in state.segments.iter().enumerate().skip(before) {
            let is_damaged = matches!(standings.get(place), Some(Standing::Lost { .. }));
            self.put_away(&name_of(entry), is_damaged)?;
        }
        Ok(())
    }
}
