//! Backups: a copy of a data directory as of one moment, made beside a running store. Segments and closed log
//! files never change, so a further backup into the same place copies only what is new.
//!
//! Order, which an interruption may end anywhere:
//!
//! 1. The manifest is read, and the segments that it names are copied, each synced under a temporary name and
//!    renamed. If one vanishes meanwhile, a compaction has replaced it: the manifest is read again.
//! 2. The log is copied up to its last whole frame: files that are new are copied as segments are, and the one that
//!    grew since the last backup has the new frames appended, behind what that backup counts.
//! 3. Directories are synced, then the catalog is written and synced. From here on the backup counts.
//! 4. Older catalogs are removed, then files that the new one does not name.
//!
//! So until step 3 the backup before still restores, and files of the unfinished one are taken over by the next.

#[cfg(test)]
mod exclusion_tests;
mod finish;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orrery_formats::backup::CatalogFile;
use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{QuarantineEntry, State, WrittenOff};

use super::directory::{found, is_not_found};
use super::links::Span;
use super::succession::refuse_other_history;
use super::{Directory, FoundFile, catalog, copy};
use crate::exclusions::read_file;
use crate::io::fs::TEMPORARY_SUFFIX;
use crate::io::{Fs, OsFs};
use crate::lock::{DirLock, LOCK_NAME};
use crate::log::parse_name;
use crate::recovery::Orphans;
use crate::store::{LOG, SEGMENTS};
use crate::{Error, Result};

/// How often the manifest is read anew when files vanish while they are copied.
const ATTEMPTS: u32 = 10;
/// Pause between two looks at a directory that a running store changes.
const PAUSE: Duration = Duration::from_millis(25);

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// The number of its catalog.
    pub number: u64,
    /// Files copied, or to which bytes were appended.
    pub files_copied: u64,
    /// Bytes copied.
    pub bytes_copied: u64,
    /// Files that were there already.
    pub files_skipped: u64,
    /// Bytes that were there already.
    pub bytes_skipped: u64,
    /// Files removed that the backup does not need any more.
    pub files_removed: u64,
    /// All events up to this seq are in the copied segments.
    pub sealed_through: u64,
    /// The last event in the backup.
    pub last_seq: u64,
    /// The place in the source behind the last event.
    pub cursor: Option<SourceCursor>,
    /// What is worth knowing: damage in the log, an earlier backup that was interrupted.
    pub notes: Vec<String>,
    /// Segments that the backup lacks, or has as damaged as they are, with the reasons. In a directory restored
    /// from it they are set aside.
    pub incomplete: Vec<String>,
}

/// Backs the data directory at `from` up into `to`, which is made where it is not there. With `recheck`, files
/// that are there already are read and compared instead of believed.
///
/// # Errors
/// [`Error::Inconsistent`] for a damaged segment, naming it, or where `to` holds a backup of another directory;
/// [`Error::Locked`] while another backup goes into `to`; [`Error::Config`] where `to` is something else;
/// [`Error::Io`]. The backup before still counts then.
pub fn backup(from: &Path, to: &Path, recheck: bool) -> Result<BackupReport> {
    refuse_inside(from, to)?;
    backup_with_fs(&OsFs::shared(), from, to, recheck)
}

/// Nothing but a store makes files in a data directory.
fn refuse_inside(from: &Path, to: &Path) -> Result<()> {
    // The place of the backup may not be there yet.
    let there = std::path::absolute(to).ok();
    let resolved = there
        .iter()
        .flat_map(|path| path.ancestors())
        .find_map(|path| path.canonicalize().ok());
    match (from.canonicalize(), resolved) {
        (Ok(from), Some(to)) if to.starts_with(&from) => Err(Error::Config(format!(
            "{} lies in the data directory that is to be backed up; name a place outside of it",
            to.display()
        ))),
        _ => Ok(()),
    }
}

/// As [`backup`], on another file layer.
///
/// # Errors
/// As [`backup`].
pub fn backup_with_fs(
    fs: &Arc<dyn Fs>,
    from: &Path,
    to: &Path,
    recheck: bool,
) -> Result<BackupReport> {
    let source = open_whole(fs, from)?;
    let entries = match fs.list(to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(Error::io("list", to))?,
    };
    for entry in entries {
        let stem = entry.name.strip_suffix(TEMPORARY_SUFFIX);
        let stem = stem.unwrap_or(&entry.name);
        if entry.name != LOCK_NAME && catalog::number_of(stem).is_none() {
            return Err(Error::Config(format!(
                "{} is no place for a backup: it holds {}; name an empty or a new directory, or that of a backup before",
                to.display(),
                entry.name
            )));
        }
    }
    for dir in [SEGMENTS, LOG] {
        let dir = to.join(dir);
        fs.create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    }
    let _lock = DirLock::acquire(&**fs, to)?;
    let mut run = Run::begin(fs, from, to, recheck, &source)?;
    let state = run.copy_all(source)?;
    run.finish(state)
}

/// Opens the directory, unless its manifest has lost its end: the backup before, which may hold what is lost, must not
/// be replaced by one of that.
fn open_whole(fs: &Arc<dyn Fs>, from: &Path) -> Result<Directory> {
    let mut attempt = 1;
    loop {
        let source = Directory::open_with_fs(Arc::clone(fs), from)?;
        match Orphans::find(&**fs, from, source.state()).and_then(|orphans| orphans.refuse(from)) {
            Ok(()) => return Ok(source),
            // A running store has named and removed files meanwhile.
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        std::thread::sleep(PAUSE);
    }
}

/// A backup under way.
struct Run {
    fs: Arc<dyn Fs>,
    from: PathBuf,
    to: PathBuf,
    /// What the backup before counts, by name; what this one has copied replaces it.
    known: BTreeMap<String, CatalogFile>,
    /// Names in `known` that were looked at by this backup.
    done: BTreeMap<String, CatalogFile>,
    recheck: bool,
    /// The exclude list before the log was copied.
    excluded_before: Option<Vec<u8>>,
    /// All events up to this seq were in segments before that list was read.
    sealed_before: u64,
    report: BackupReport,
    /// Segments that were not there although the manifest named them. What a later manifest still names is missing,
    /// not merged.
    absent: BTreeSet<String>,
}

impl Run {
    fn begin(
        fs: &Arc<dyn Fs>,
        from: &Path,
        to: &Path,
        recheck: bool,
        source: &Directory,
    ) -> Result<Self> {
        let (before, errors) = catalog::newest(&**fs, to)?;
        let mut report = BackupReport {
            number: catalog::numbers(&**fs, to)?.last().copied().unwrap_or(0) + 1,
            ..BackupReport::default()
        };
        report.notes.extend(
            errors
                .iter()
                .map(|error| format!("a catalog is damaged: {error}")),
        );
        let mut known = BTreeMap::new();
        if let Some((_, before)) = before {
            if before.state.directory.id != source.state().directory.id {
                return Err(Error::Inconsistent {
                    path: to.to_owned(),
                    what: "it holds a backup of another data directory".to_owned(),
                });
            }
            refuse_other_history(fs, to, &before, source)?;
            known.extend(
                before
                    .files
                    .into_iter()
                    .map(|file| (file.name.clone(), file)),
            );
        }
        let mut strangers = 0;
        for dir in [SEGMENTS, LOG] {
            for file in found(&**fs, &to.join(dir), |_| Some(0))? {
                strangers += u64::from(!known.contains_key(&format!("{dir}/{}", file.name)));
            }
        }
        if strangers > 0 {
            report.notes.push(format!(
                "an earlier backup was interrupted: {strangers} of its files are there"
            ));
        }
        Ok(Self {
            fs: Arc::clone(fs),
            from: from.to_owned(),
            to: to.to_owned(),
            known,
            done: BTreeMap::new(),
            recheck,
            excluded_before: read_file(&**fs, from)?,
            sealed_before: source.state().sealed_through,
            report,
            absent: BTreeSet::new(),
        })
    }

    /// Copies segments and log, and gives the state that they make.
    fn copy_all(&mut self, first: Directory) -> Result<State> {
        let mut source = Some(first);
        for _ in 0..ATTEMPTS {
            let directory = match source.take() {
                Some(directory) => directory,
                None => Directory::open_with_fs(Arc::clone(&self.fs), &self.from)?,
            };
            match self.copy_once(&directory) {
                Ok(Some(state)) => return Ok(state),
                Ok(None) => {}
                Err(error) if is_not_found(&error) => {
                    tracing::debug!(%error, "replaced while it was copied");
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Inconsistent {
            path: self.from.clone(),
            what: "files vanish faster than they can be copied".to_owned(),
        })
    }

    /// `None` where a segment was not there for the first time, and where the log does not reach back to the segments
    /// any more.
    fn copy_once(&mut self, directory: &Directory) -> Result<Option<State>> {
        let mut state = directory.state().clone();
        self.report.incomplete.clear();
        let mut misses_any = false;
        for file in directory.segments() {
            let entry = &file.entry;
            let known = state.quarantined.iter().find(|known| known.id == entry.id);
            let known = known.map(|known| known.why.clone());
            let is_damaged = known.is_some();
            let why = match self.copy_segment(&file.name, entry.bytes, entry.checksum, is_damaged) {
                Ok(()) => known,
                Err(
                    error @ Error::Io {
                        op: "open" | "read",
                        ..
                    },
                ) if is_damaged => {
                    self.report.notes.push(format!("not copied: {error}"));
                    known
                }
                Err(error) if is_not_found(&error) && self.absent.insert(file.name.clone()) => {
                    // All that are missing are found in one pass, and a later manifest tells about each.
                    tracing::debug!(%error, "replaced, or missing");
                    misses_any = true;
                    None
                }
                Err(error) if is_not_found(&error) => {
                    let why = "its file was not there when it was backed up".to_owned();
                    state.quarantined.push(QuarantineEntry {
                        id: entry.id,
                        why: why.clone(),
                        applied_through: state.sealed_through,
                        written_off: WrittenOff::No,
                    });
                    Some(why)
                }
                Err(error) => return Err(error),
            };
            if let Some(why) = why {
                let lacking = format!("{SEGMENTS}/{}: {why}", file.name);
                self.report.incomplete.push(lacking);
            }
        }
        if misses_any {
            return Ok(None);
        }
        let files = found(&*self.fs, &self.from.join(LOG), |name| {
            parse_name(name, "log")
        })?;
        let first = files.first().map(|file| file.first_seq);
        if first.is_some_and(|first| first > state.sealed_through + 1) {
            return Ok(None);
        }
        // Files below the floor wait to be removed; each ends where the next begins.
        let mut kept: Vec<&FoundFile> = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let next = files.get(at + 1).map(|next| next.first_seq);
            if next.is_none_or(|next| next > state.log_floor) {
                kept.push(file);
            }
        }
        self.report.last_seq = state.sealed_through;
        self.report.cursor.clone_from(&state.source_cursor);
        for (at, file) in kept.iter().enumerate() {
            self.copy_log(file, at + 1 == kept.len(), &state)?;
        }
        if kept.is_empty() {
            // A store that sealed and trimmed everything meanwhile has newer segments.
            let now = Directory::open_with_fs(Arc::clone(&self.fs), &self.from)?;
            if now.state().sealed_through != state.sealed_through {
                return Ok(None);
            }
        }
        let floor = kept
            .first()
            .map_or(state.sealed_through + 1, |file| file.first_seq);
        if floor > 1 {
            state.log_floor = state.log_floor.max(floor);
            state.window_complete = false;
        }
        self.report.sealed_through = state.sealed_through;
        Ok(Some(state))
    }

    fn copy_segment(
        &mut self,
        name: &str,
        bytes: u64,
        checksum: u64,
        is_damaged: bool,
    ) -> Result<()> {
        let path = format!("{SEGMENTS}/{name}");
        if self.done.contains_key(&path) {
            return Ok(());
        }
        let wanted = CatalogFile {
            name: path.clone(),
            bytes,
            checksum,
        };
        if self.is_there(&wanted)? {
            self.skip(wanted);
            return Ok(());
        }
        let source = self.from.join(&path);
        let file = self.fs.open(&source).map_err(Error::io("open", &source))?;
        let (length, expected) = if is_damaged {
            self.report
                .notes
                .push(format!("{path} is quarantined and copied as it is"));
            let length = file
                .len()
                .map_err(Error::io("read the length of", &source))?;
            (length, None)
        } else {
            (bytes, Some(checksum))
        };
        let dir = self.to.join(SEGMENTS);
        let found = copy::copy_sealed(
            &*self.fs,
            (file.as_ref(), &source),
            length,
            expected,
            (&dir, name),
        )?;
        self.copied(CatalogFile {
            name: path,
            bytes: length,
            checksum: found,
        });
        Ok(())
    }

    /// Whether the backup has that file already. One that the backup before counts is believed, unless all are
    /// to be checked; one that an interrupted backup left is read.
    fn is_there(&self, wanted: &CatalogFile) -> Result<bool> {
        let target = self.to.join(&wanted.name);
        let Ok(file) = self.fs.open(&target) else {
            return Ok(false);
        };
        let length = file
            .len()
            .map_err(Error::io("read the length of", &target))?;
        if length < wanted.bytes {
            return Ok(false);
        }
        if self.known.get(&wanted.name) == Some(wanted) && !self.recheck {
            return Ok(true);
        }
        Ok(copy::checksum_of(&*self.fs, &target, wanted.bytes)? == wanted.checksum)
    }

    fn skip(&mut self, file: CatalogFile) {
        if !self.done.contains_key(&file.name) {
            self.report.files_skipped += 1;
            self.report.bytes_skipped += file.bytes;
        }
        self.note_done(file);
    }

    fn copied(&mut self, file: CatalogFile) {
        self.report.files_copied += 1;
        self.report.bytes_copied += file.bytes;
        self.note_done(file);
    }

    fn note_done(&mut self, file: CatalogFile) {
        // A further attempt goes on from what this one has.
        self.known.insert(file.name.clone(), file.clone());
        self.done.insert(file.name.clone(), file);
    }
}
