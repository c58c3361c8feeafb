//! Files in and out of their places: a segment out of a backup, damaged ones kept under other names, derived
//! ones removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_formats::backup::{Catalog, CatalogFile};
use orrery_formats::manifest::{SegmentEntry, State};

use super::find::Found;
use super::{Repair, name_of};
use crate::damage::remove_derived;
use crate::io::Fs;
use crate::offline::directory::{found, is_not_found};
use crate::offline::{catalog, copy};
use crate::recovery::{SET_ASIDE, open_segment};
use crate::store::{CACHE, SEGMENTS};
use crate::{Error, Result};

/// A backup to take segments from.
pub(super) struct Backup {
    path: PathBuf,
    catalog: Catalog,
}

impl Backup {
    /// Opens the backup at `path`, of the directory whose manifest says `state`.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none, or one of another directory.
    pub(super) fn open(
        fs: &Arc<dyn Fs>,
        path: &Path,
        state: &State,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let catalog = Self::catalog(fs, path, notes)?;
        if catalog.state.directory.id != state.directory.id {
            return Err(Error::Config(format!(
                "{} is a backup of another data directory",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            catalog,
        })
    }

    /// The newest catalog of the backup at `path`; damaged ones are told in `notes`.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no backup.
    pub(super) fn catalog(
        fs: &Arc<dyn Fs>,
        path: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Catalog> {
        let (newest, errors) = match catalog::newest(&**fs, path) {
            Err(error) if is_not_found(&error) => (None, Vec::new()),
            other => other?,
        };
        for error in &errors {
            notes.push(format!("a catalog of the backup is damaged: {error}"));
        }
        let Some((_, catalog)) = newest else {
            return Err(Error::Config(format!(
                "{} holds no backup that can be read",
                path.display()
            )));
        };
        Ok(catalog)
    }

    /// The backup's file of just this segment.
    fn file(&self, entry: &SegmentEntry) -> Option<&CatalogFile> {
        let name = format!("{SEGMENTS}/{}", name_of(entry));
        let mut files = self.catalog.files.iter();
        files.find(|file| {
            file.name == name && (file.bytes, file.checksum) == (entry.bytes, entry.checksum)
        })
    }
}

impl Repair<'_> {
    /// Puts the backup's copy of a segment in its place, durable and checked. The inner error says why there is none.
    pub(super) fn take_from_backup(
        &mut self,
        entry: &SegmentEntry,
        backup: Option<&Backup>,
    ) -> Result<Result<(), String>> {
        let Some(backup) = backup else {
            return Ok(Err("no backup was named".to_owned()));
        };
        let Some(file) = backup.file(entry) else {
            return Ok(Err("the backup does not hold the same file".to_owned()));
        };
        let source = backup.path.join(&file.name);
        // Read before anything is moved: a damaged copy takes the place of nothing.
        match copy::checksum_of(&*self.fs, &source, file.bytes) {
            Ok(checksum) if checksum == entry.checksum => {}
            Ok(checksum) => {
                return Ok(Err(format!(
                    "the backup's copy is damaged: its checksum is {checksum:#018x} in place of {:#018x}",
                    entry.checksum
                )));
            }
            Err(error) => return Ok(Err(format!("the backup's copy cannot be read: {error}"))),
        }
        if self.options.dry_run {
            return Ok(Ok(()));
        }
        let name = name_of(entry);
        self.put_away(&name, true)?;
        let dir = self.dir.join(SEGMENTS);
        let opened = self.fs.open(&source).map_err(Error::io("open", &source))?;
        copy::copy_sealed(
            &*self.fs,
            (opened.as_ref(), &source),
            file.bytes,
            Some(entry.checksum),
            (&dir, &name),
        )?;
        self.sync_dir(SEGMENTS)?;
        let sealed = open_segment(&*self.fs, &self.dir, &name, entry.id, entry.level)?;
        sealed.segment.verify()?;
        Ok(Ok(()))
    }

    /// Takes the file of a segment out of its place: a damaged one is kept under another name.
    pub(super) fn put_away(&mut self, name: &str, is_damaged: bool) -> Result<()> {
        if is_damaged {
            return self.keep_damaged(SEGMENTS, name);
        }
        copy::remove_if_there(&*self.fs, &self.dir.join(SEGMENTS).join(name))
    }

    /// Renames a damaged file so that nothing reads it again, where it is there.
    pub(super) fn keep_damaged(&mut self, within: &str, name: &str) -> Result<()> {
        let dir = self.dir.join(within);
        let files = found(&*self.fs, &dir, |_| Some(0))?;
        let is_taken = |name: &str| files.iter().any(|file| file.name == name);
        if !is_taken(name) {
            return Ok(());
        }
        let mut kept = format!("{name}{SET_ASIDE}");
        for number in 2..u32::MAX {
            if !is_taken(&kept) {
                break;
            }
            kept = format!("{name}{SET_ASIDE}-{number}");
        }
        let from = dir.join(name);
        self.fs
            .rename(&from, &dir.join(&kept))
            .map_err(Error::io("rename", &from))?;
        self.sync_dir(within)?;
        let kept = Path::new(within).join(kept);
        self.report.kept.push(kept.display().to_string());
        Ok(())
    }

    pub(super) fn sync_dir(&self, within: &str) -> Result<()> {
        let dir = self.dir.join(within);
        self.fs
            .sync_dir(&dir)
            .map_err(Error::io("sync directory", &dir))
    }

    /// Removes all masks and key indexes, durably. The next start makes them anew.
    pub(super) fn remove_derived(&self) -> Result<()> {
        remove_derived(&*self.fs, &self.dir)
    }

    /// Removes the masks and key indexes that are damaged, unless all are gone already, and damaged files of the cache.
    pub(super) fn derived(&mut self, found: &Found, all_are_gone: bool) -> Result<()> {
        for file in &found.derived {
            let is_gone = all_are_gone && !Path::new(file).starts_with(CACHE);
            if !self.options.dry_run && !is_gone {
                copy::remove_if_there(&*self.fs, &self.dir.join(file))?;
            }
            self.report.derived.push(file.clone());
        }
        Ok(())
    }
}
