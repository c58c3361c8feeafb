//! The full check of a data directory: every byte of every file that the store would read. Nothing is
//! written, and damage in one file does not stop the others.
//!
//! | file | checks |
//! | --- | --- |
//! | `manifest.rs` | the manifest, down to its last edit |
//! | `segments.rs` | each segment: size, whole checksum, chunks, sections, and what its parts say of each other |
//! | `log.rs` | each frame and event of the log, and that none is missing |
//! | `keys.rs` | the key indexes, against their log files |
//! | `masks.rs` | the masks, against kills and account states |
//! | `cache.rs` | the cache of fetched values, by itself |
//! | `exclusions.rs` | the exclude list |
//! | `backup.rs` | a backup: each file that its catalog names |
//! | `sealed.rs` | the envelope of any sealed file |

mod backup;
mod cache;
mod exclusions;
mod keys;
mod log;
mod manifest;
mod masks;
mod sealed;
mod segments;

pub(super) use crate::log::is_known_loss;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::manifest::State;

use super::directory::found;
use crate::exclusions::EXCLUSIONS;
use crate::io::fs::TEMPORARY_SUFFIX;
use crate::io::{Fs, OsFs};
use crate::lock::LOCK_NAME;
use crate::log::parse_name;
use crate::recovery::is_set_aside;
use crate::store::{LOG, SEGMENTS, segment_name};
use crate::{Error, Result};

/// One place where a directory is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, from the data directory on.
    pub file: String,
    /// The part of the file.
    pub section: String,
    /// The offset in the file.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            section,
            offset,
            expected,
            found,
        } = self;
        write!(
            f,
            "{file}: section {section}, offset {offset}: expected {expected}, found {found}"
        )
    }
}

/// What a check looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// How many damages were told.
    pub damages: u64,
    /// What is worth knowing and no damage, such as files that nothing names.
    pub notes: Vec<String>,
}

/// Checks the data directory or the backup at `path` and calls `each` with every damage. With `quick` only what checksums
/// cover is checked: not what segments, logs and indexes say of each other. Memory: the keys of
/// one log file or of one file of the cache, one bit for each row of a segment, and one entry for each hidden account.
///
/// # Errors
/// [`Error::Io`] where the directory itself cannot be read; [`Error::Inconsistent`] where it never was a data directory or a backup;
/// [`Error::Format`] for segments of a version that this build does not
/// read. Damage is no error.
pub fn verify(path: &Path, quick: bool, each: &mut dyn FnMut(&Damage)) -> Result<Report> {
    verify_with_fs(&OsFs::shared(), path, quick, each)
}

/// As [`verify`], on another file layer.
///
/// # Errors
/// As [`verify`].
pub fn verify_with_fs(
    fs: &Arc<dyn Fs>,
    path: &Path,
    quick: bool,
    each: &mut dyn FnMut(&Damage),
) -> Result<Report> {
    let mut check = Check {
        fs: Arc::clone(fs),
        path: path.to_owned(),
        quick,
        each,
        other_version: None,
        report: Report::default(),
    };
    // A path that is no directory is told as such, not as a missing manifest.
    fs.list(path).map_err(Error::io("list", path))?;
    if check.is_backup()? {
        check.backup()?;
        return match check.other_version.take() {
            Some(error) => Err(error.into()),
            None => Ok(check.report),
        };
    }
    check.refuse_what_is_none()?;
    let state = check.manifest()?;
    check.strangers(state.as_ref())?;
    check.exclusions()?;
    check.segments(state.as_ref())?;
    if let Some(error) = check.other_version.take() {
        // No damage: another build reads it. What stands on it cannot be checked without it.
        return Err(error.into());
    }
    let logs = check.log(state.as_ref())?;
    check.key_indexes(state.as_ref(), &logs)?;
    check.masks(state.as_ref())?;
    check.cache(state.as_ref())?;
    Ok(check.report)
}

/// A check under way.
struct Check<'a> {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    quick: bool,
    each: &'a mut dyn FnMut(&Damage),
    /// The first segment that this build does not read, by its version.
    other_version: Option<FormatError>,
    report: Report,
}

impl Check<'_> {
    /// Refuses a directory that has neither a manifest nor what would be lost with one.
    fn refuse_what_is_none(&self) -> Result<()> {
        let has = |within: &Path, is_own: &dyn Fn(&str) -> bool| match self.fs.list(within) {
            Ok(entries) => entries.iter().any(|entry| is_own(&entry.name)),
            // What is there and cannot be listed is told where it is checked.
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        let is_one = has(&self.path, &|name| name.starts_with("MANIFEST-"))
            || has(&self.path.join(SEGMENTS), &|name| name.ends_with(".seg"))
            || has(&self.path.join(LOG), &|name| {
                parse_name(name, "log").is_some()
            });
        if is_one {
            return Ok(());
        }
        Err(Error::Inconsistent {
            path: self.path.clone(),
            what: "this is no data directory and no backup: it has no manifest, no segments and no log".to_owned(),
        })
    }

    fn tell(&mut self, damage: &Damage) {
        self.report.damages += 1;
        (self.each)(damage);
    }

    /// Tells of damage in `file`, a path from the data directory on.
    fn damage(
        &mut self,
        file: &str,
        section: &str,
        offset: u64,
        expected: impl Into<String>,
        found: impl ToString,
    ) {
        self.tell(&Damage {
            file: file.to_owned(),
            section: section.to_owned(),
            offset,
            expected: expected.into(),
            found: found.to_string(),
        });
    }

    /// Tells of an error met in `file`; its offset is moved by `base`.
    fn format_error(&mut self, file: &str, base: u64, error: FormatError) {
        match error {
            FormatError::Corrupt(corruption) => self.tell(&Damage {
                file: file.to_owned(),
                section: corruption.section.to_owned(),
                offset: corruption.offset.saturating_add(base),
                expected: corruption.expected,
                found: corruption.found,
            }),
            FormatError::Version {
                found,
                oldest,
                newest,
                kind,
                ..
            } => self.damage(
                file,
                "header",
                8,
                format!("a {kind} of version {oldest} to {newest}"),
                format!("version {found}"),
            ),
            other => self.damage(file, "file", 0, "sound contents", other),
        }
    }

    fn error(&mut self, file: &str, error: Error) {
        match error {
            Error::Format(error) => self.format_error(file, 0, error),
            Error::Io { source, op, .. } => {
                self.damage(
                    file,
                    "file",
                    0,
                    "a readable file",
                    format!("{op}: {source}"),
                );
            }
            other => self.damage(file, "file", 0, "a file that can be checked", other),
        }
    }

    fn read(&mut self, bytes: u64) {
        self.report.files += 1;
        self.report.bytes += bytes;
    }

    fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }

    /// The state in the manifest now, if it can be read: a running store may have changed it.
    fn state_now(&self) -> Option<State> {
        let look = crate::manifest::Manifest::look(&*self.fs, &self.path);
        look.ok().flatten().map(|look| look.state)
    }

    /// Notes files that nothing names. A crash may leave some; the next start removes them.
    fn strangers(&mut self, state: Option<&State>) -> Result<()> {
        for entry in self
            .fs
            .list(&self.path)
            .map_err(Error::io("list", &self.path))?
        {
            let is_known = [LOCK_NAME, EXCLUSIONS].contains(&&*entry.name)
                || entry.name.starts_with("MANIFEST-");
            if !is_known || entry.name.ends_with(TEMPORARY_SUFFIX) {
                self.note(format!("{}: nothing names this file", entry.name));
            }
        }
        let named: Option<BTreeSet<String>> = state.map(|state| {
            let segments = state.segments.iter();
            segments
                .map(|entry| segment_name(entry.first_seq, entry.last_seq, entry.id))
                .collect()
        });
        for (dir, is_known) in [
            (
                SEGMENTS,
                &(|name: &str| named.as_ref().is_none_or(|named| named.contains(name)))
                    as &dyn Fn(&str) -> bool,
            ),
            (LOG, &|name| {
                parse_name(name, "log").is_some() || parse_name(name, "keys").is_some()
            }),
        ] {
            for file in found(&*self.fs, &self.path.join(dir), |_| Some(0))? {
                if is_set_aside(&file.name) {
                    self.note(format!(
                        "{dir}/{}: kept by a repair; nothing reads it",
                        file.name
                    ));
                } else if !is_known(&file.name) {
                    self.note(format!("{dir}/{}: nothing names this file", file.name));
                }
            }
        }
        Ok(())
    }
}
