//! A manifest that cannot be read. Without one the directory has no identity, and its secret stands in no other file
//! of it: an older manifest has both, and so has a backup. From there on segments are named again as where a manifest
//! lost its end (`adopt.rs`).
//!
//! The damaged file is renamed first, then the new one is written: a crash between leaves a directory without a
//! manifest, which no store opens and a further repair mends.

use std::path::Path;
use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::manifest::{SelectionEntry, State};

use super::Repair;
use super::files::Backup;
use crate::io::Fs;
use crate::log::{LogReader, parse_name};
use crate::manifest::{self, Manifest};
use crate::offline::directory::found;
use crate::offline::is_catalog;
use crate::recovery::no_manifest;
use crate::store::{LOG, SEGMENTS, parse_segment_name};
use crate::{Error, Result};

/// Whether `error` says that the manifest's bytes are damaged.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Format(FormatError::Corrupt(_)))
}

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
            Some((manifest::name(*number), state))
        });
        let (from, mut state) = match (older, &self.options.backup) {
            (Some(older), _) => older,
            (None, Some(backup)) => {
                let state = Backup::state(&self.fs, backup)?;
                self.refuse_other(&state)?;
                (backup.display().to_string(), state)
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
            for number in &numbers {
                self.keep_damaged("", &manifest::name(*number))?;
            }
            let number = numbers.last().copied().unwrap_or(0).saturating_add(1);
            Manifest::write_new(Arc::clone(&self.fs), &self.dir, number, state.clone())?;
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
             followed again, and then from there on"
                .to_owned(),
        );
        Some(SelectionEntry::unknown(sealed_through.saturating_add(1)))
    }

    /// Refuses a backup of another directory than the one whose log is here.
    fn refuse_other(&self, state: &State) -> Result<()> {
        let log = self.dir.join(LOG);
        for file in found(&*self.fs, &log, |name| parse_name(name, "log"))? {
            let path = log.join(&file.name);
            LogReader::open_damaged(&*self.fs, &path, state.directory.id)?;
        }
        Ok(())
    }
}
