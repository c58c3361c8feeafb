//! A data directory out of a backup. Every byte is checked on the way; the manifest is written last, so a
//! directory whose restoration was interrupted has none, and no store opens it.

use std::path::Path;
use std::sync::Arc;

use super::directory::found;
use super::{catalog, copy};
use crate::exclusions::EXCLUSIONS;
use crate::io::fs::write_sealed;
use crate::io::{Fs, OsFs};
use crate::lock::{DirLock, LOCK_NAME};
use crate::mask::files::MASKS;
use crate::store::{CACHE, LOG, SEGMENTS};
use crate::{Error, Result};

/// What a restoration did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreReport {
    /// The number of the catalog.
    pub number: u64,
    /// Files copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All events up to this seq are in segments.
    pub sealed_through: u64,
    /// What is worth knowing: a newer catalog that is damaged.
    pub notes: Vec<String>,
}

/// Makes a data directory at `to`, which is empty or not there, out of the newest backup in `from`.
///
/// # Errors
/// [`Error::Config`] where `from` holds no backup or `to` is not empty; [`Error::Inconsistent`] for a damaged
/// file, naming it; [`Error::Locked`]; [`Error::Io`].
pub fn restore(from: &Path, to: &Path) -> Result<RestoreReport> {
    restore_with_fs(&OsFs::shared(), from, to)
}

/// As [`restore`], on another file layer.
///
/// # Errors
/// As [`restore`].
pub fn restore_with_fs(fs: &Arc<dyn Fs>, from: &Path, to: &Path) -> Result<RestoreReport> {
    let (newest, errors) = catalog::newest(&**fs, from)?;
    let Some((number, catalog)) = newest else {
        let why = errors.first().map_or_else(
            || "no backup was ever completed there".to_owned(),
            ToString::to_string,
        );
        return Err(Error::Config(format!(
            "{} holds no backup: {why}",
            from.display()
        )));
    };
    let _lock = claim_empty(&**fs, to)?;
    let mut report = RestoreReport {
        number,
        sealed_through: catalog.state.sealed_through,
        notes: errors
            .iter()
            .map(|error| {
                format!("an older backup is restored, since the newest is damaged: {error}")
            })
            .collect(),
        ..RestoreReport::default()
    };
    for file in &catalog.files {
        let source = from.join(&file.name);
        let opened = fs.open(&source).map_err(Error::io("open", &source))?;
        let (dir, name) = file.name.split_once('/').unwrap_or((LOG, &file.name));
        copy::copy_sealed(
            &**fs,
            (opened.as_ref(), &source),
            file.bytes,
            Some(file.checksum),
            (&to.join(dir), name),
        )?;
        report.files += 1;
        report.bytes += file.bytes;
    }
    if let Some(exclusions) = &catalog.exclusions {
        write_sealed(&**fs, to, EXCLUSIONS, exclusions)?;
    }
    let manifest = crate::manifest::name(orrery_formats::backup::MANIFEST_NUMBER);
    settle(&**fs, to, &manifest, &catalog.manifest()?)?;
    Ok(report)
}

/// Makes the directories of a data directory and takes its lock.
///
/// # Errors
/// [`Error::Config`] where it holds files.
pub(super) fn claim_empty(fs: &dyn Fs, to: &Path) -> Result<DirLock> {
    for dir in [SEGMENTS, LOG, MASKS] {
        let dir = to.join(dir);
        fs.create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    }
    let lock = DirLock::acquire(fs, to)?;
    // A cache knows of a history that the new directory may not have.
    for dir in ["", SEGMENTS, LOG, MASKS, CACHE] {
        let files = found(fs, &to.join(dir), |name| {
            (!dir.is_empty() || name != LOCK_NAME).then_some(0)
        })?;
        if let Some(file) = files.first() {
            return Err(Error::Config(format!(
                "{} is not empty: it holds {}; name an empty or a new directory",
                to.join(dir).display(),
                file.name
            )));
        }
    }
    Ok(lock)
}

/// Makes the copied files' names durable, then the manifest with them.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn settle(fs: &dyn Fs, to: &Path, name: &str, manifest: &[u8]) -> Result<()> {
    for dir in [SEGMENTS, LOG, MASKS] {
        let dir = to.join(dir);
        fs.sync_dir(&dir)
            .map_err(Error::io("sync directory", &dir))?;
    }
    write_sealed(fs, to, name, manifest).map(drop)
}
