//! A manifest that cannot be read. Without one the directory has no identity, and its secret stands in no other file
//! of it: an older manifest has both, and so has a backup. From there on segments are named again as where a manifest
//! lost its end (`adopt.rs`).
//!
//! The new one is written first, under the highest number, then damaged files are renamed: a crash between leaves the new
//! one, which is read in place of all others, and the next start removes these.

use std::path::Path;
use std::sync::Arc;

use orrery_formats::backup::Catalog;
use orrery_formats::manifest::{SelectionEntry, State};

use super::Repair;
use super::files::Backup;
use crate::io::Fs;
use crate::log::{LogReader, parse_name};
use crate::manifest::{self, Manifest};
use crate::offline::directory::found;
use crate::offline::is_catalog;
use crate::quarantine::is_damage;
use crate::recovery::{did_seed, no_manifest};
use crate::store::{LOG, SEGMENTS, parse_segment_name};
use crate::{Error, Result};

/// Refuses a path that is no data directory, before it gets a lock file.
pub(super) fn refuse_strange(fs: &dyn Fs, dir: &Path, has_backup: bool) -> Result<()> {
    if manifest::is_there(fs, dir)? {
        return Ok(());
    }
    if has_backup && lost_its_manifest(fs, dir)? {
        return Ok(());
    }
    Err(no_manifest(fs, dir))
}

/// Whether the path has the log or the segments of a data directory, and is no backup.
fn lost_its_manifest(fs: &dyn Fs, dir: &Path) -> Result<bool> {
    let files = |within: &str, is_meant: &dyn Fn(&str) -> bool| {
        found(fs, &dir.join(within), |name| is_meant(name).then_some(0))
    };
    Ok(files("", &is_catalog)?.is_empty()
        && !(files(SEGMENTS, &|name| parse_segment_name(name).is_some())?.is_empty()
            && files(LOG, &|name| parse_name(name, "log").is_some())?.is_empty()))
}

impl Repair<'_> {
    /// What the manifest says, once there is one that can be read.
    pub(super) fn state(&mut self) -> Result<State> {
        let error = match Manifest::read(&*self.fs, &self.dir) {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => Error::Inconsistent {
                path: self.dir.clone(),
                what: "it has no manifest".to_owned(),
            },
            Err(error) if is_damage(&error) => error,
            Err(error) => return Err(error),
        };
        let numbers = manifest::numbers(&*self.fs, &self.dir)?;
        let mut older = numbers.iter().rev().skip(1);
        let older = older.find_map(|number| {
            let state = Manifest::read_number(&*self.fs, &self.dir, *number).ok()?;
            Some((*number, state))
        });
        // All above it failed to be read.
        let sound = older.as_ref().map(|(number, _)| *number);
        let (from, mut state) = match (older, &self.options.backup) {
            (Some((number, state)), _) => (manifest::name(number), state),
            (None, Some(backup)) => {
                // Damaged catalogs are told when the backup is opened.
                let catalog = Backup::catalog(&self.fs, backup, &mut Vec::new())?;
                self.refuse_other(backup, &catalog)?;
                (backup.display().to_string(), catalog.state)
            }
            (None, None) => {
                return Err(Error::Inconsistent {
                    path: self.dir.clone(),
                    what: format!(
                        "{error}. Without a manifest nothing here is read; with a backup of this directory, which may \
                         be older, `orrery repair --backup` makes the manifest anew from the files that are here. \
                         Leave them as they are"
                    ),
                });
            }
        };
        self.report.manifest = Some(format!("{error}; it is made anew from {from}"));
        let forgotten = self.forget_selections(&state, state.sealed_through);
        state.selections.extend(forgotten);
        if !self.options.dry_run {
            let number = numbers.last().copied().unwrap_or(0).saturating_add(1);
            Manifest::write_new(Arc::clone(&self.fs), &self.dir, number, state.clone())?;
            for number in numbers.iter().filter(|number| Some(**number) > sound) {
                self.keep_damaged("", &manifest::name(*number))?;
            }
        }
        Ok(state)
    }

    /// What to add to the selections of `state` where later ones may be lost: another may have left out what the last
    /// that is known takes. Nothing where none is known anyway.
    pub(super) fn forget_selections(
        &mut self,
        state: &State,
        sealed_through: u64,
    ) -> Option<SelectionEntry> {
        let last = state.selections.last()?;
        if last.is_unknown() {
            return None;
        }
        self.report.notes.push(
            "which collections were taken last is not known any more: answers tell no coverage until a source is \
             followed again, or files are loaded where none was, and then from there on"
                .to_owned(),
        );
        Some(SelectionEntry::unknown(sealed_through.saturating_add(1)))
    }

    /// Refuses a backup whose catalog does not fit to the log and the segments that are here: of another directory, or
    /// of one that was restored from the same backup and went apart. Its secret would make all of them unreadable, or
    /// its segments stand among those of other events.
    fn refuse_other(&self, backup: &Path, catalog: &Catalog) -> Result<()> {
        let of_another = |what: &str| {
            Err(Error::Config(format!(
                "{} is a backup of another data directory: {what}",
                backup.display()
            )))
        };
        let (mut is_known, mut is_empty) = (false, true);
        let log = self.dir.join(LOG);
        for file in found(&*self.fs, &log, |name| parse_name(name, "log"))? {
            is_empty = false;
            match LogReader::directory_of(&*self.fs, &log.join(&file.name))? {
                Some(id) if id == catalog.state.directory.id => is_known = true,
                Some(_) => return of_another(&format!("{LOG}/{} is not of it", file.name)),
                // Its frames tell nothing that the header does not.
                None => {}
            }
        }
        let seed = did_seed(&catalog.state.directory);
        for file in found(&*self.fs, &self.dir.join(SEGMENTS), |_| Some(0))? {
            let Some((first_seq, last_seq, id)) = parse_segment_name(&file.name) else {
                continue;
            };
            is_empty = false;
            let Ok((sealed, checksum)) = self.open_plainly(&file, id) else {
                continue;
            };
            if sealed.segment.info().did_seed != seed {
                return of_another(&format!("{SEGMENTS}/{} is not of it", file.name));
            }
            is_known = true;
            let mut entries = catalog.state.segments.iter();
            let Some(entry) = entries.find(|entry| entry.id == id) else {
                continue;
            };
            let is_range = (entry.first_seq, entry.last_seq) == (first_seq, last_seq);
            // A damaged file has another checksum too.
            if !is_range || (entry.checksum != checksum && sealed.segment.verify().is_ok()) {
                return Err(Error::Inconsistent {
                    path: backup.to_owned(),
                    what: format!(
                        "it holds a backup of another history of this directory: its segment {id}, seq {} to {}, is \
                         another than {SEGMENTS}/{}",
                        entry.first_seq, entry.last_seq, file.name
                    ),
                });
            }
        }
        if is_known || is_empty {
            return Ok(());
        }
        of_another("no log file and no segment here can be read that would be of it")
    }
}
