//! Recognises redelivered events: for every key that the kept log touched, the highest rev applied
//! to it and where its newest event stands. The file being written has them on the heap (`active.rs`); each closed file has a
//! sealed index next to it, read from its mapping (`index.rs`). Both are derived from the log.
//!
//! The same indexes tell readers where the newest event of a key stands (`view.rs`), also that of an account's own events.
//! The writer's questions and those of readers differ: what was applied under the highest rev is a repeat, and
//! what was applied last is the newest, which may have a lower one where a clock was ahead.

mod active;
mod hash;
mod index;
mod view;

use self::active::{ActiveKeys, ActivePlace};
pub(crate) use self::hash::Fingerprints;
pub use self::hash::KeyHasher;
use self::index::ReadKeys;
pub(crate) use self::view::{ClosedKeys, KeyView, Place, SharedKeys, Within};
use super::closed::Missing;
use super::recovery::Replayed;
use super::{LogFile, Position, keys_name};
use crate::error::{Error, Result};
use crate::io::Fs;
use orrery_formats::keys::{FRAME_UNIT, fingerprint};
use orrery_formats::manifest::GapEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an event means for the index: its actor, the [`KeyHasher::hash`] of its key, and its rev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyWrite {
    /// The actor.
    pub actor: u32,
    /// The hash of collection and record key.
    pub hash: u64,
    /// The rev.
    pub rev: u64,
}

/// What a replayed event means for the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It has no key.
    Nothing,
    /// It was applied to a key.
    Write(KeyWrite),
    /// It has a key of an account whose id is lost.
    Lost,
}

/// Tells what a replayed event means for the index.
pub type KeyOf<'a> = dyn FnMut(&Replayed<'_>) -> Result<Meaning> + 'a;

/// The least keys that the file being written has room for at first.
const ACTIVE_EXPECTED_MIN: u32 = 1_024;

/// What the window has to know of.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Whether no log file was ever trimmed.
    pub complete: bool,
    /// The first seq that was not trimmed.
    pub floor: u64,
    /// The seq behind the last one of the log.
    pub next_seq: u64,
    /// What was lost before the index had it.
    pub losses: Vec<GapEntry>,
}

/// The key indexes of the kept log.
#[derive(Debug)]
pub struct KeyWindow {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    directory_id: [u8; 16],
    complete: bool,
    losses: Vec<GapEntry>,
    /// The keys of all events from this seq on are known, as far as they were not trimmed: above it no frame and
    /// no file was missing when its keys were read.
    known_from: u64,
    /// Of each frame of the file being written: its offset in [`FRAME_UNIT`]s, and its first seq less that of the file.
    active_frames: Vec<(u32, u32)>,
    active: Arc<ActiveKeys>,
    /// Oldest first.
    sealed: Vec<Arc<ClosedKeys>>,
    /// Readers know of no event below that they might have to.
    whole_from: u64,
    shared: Arc<SharedKeys>,
}

impl KeyWindow {
    /// Opens the indexes of `files`, the closed log files of `dir`, oldest first. An index that is missing,
    /// stale or damaged is made anew from its log file, whose events `key_of` explains. Files wholly below
    /// the floor of what is `kept` (the manifest knows), which a crash kept from being removed, are removed, and
    /// so is what belongs to no log file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] where a log file that must be read is damaged in a way that hides
    /// all of it, and what `key_of` fails with.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        directory_id: [u8; 16],
        kept: Kept,
        files: &[LogFile],
        key_of: &mut KeyOf<'_>,
    ) -> Result<Self> {
        let active = Arc::new(ActiveKeys::new(ACTIVE_EXPECTED_MIN));
        let view = KeyView {
            files: Vec::new(),
            active: Arc::clone(&active),
            whole_from: kept.next_seq,
        };
        // What was lost was accepted once, and may not come again.
        let lost = kept.losses.iter();
        let lost = lost.map(|gap| {
            gap.last_seq
                .map_or(kept.next_seq, |last| last.saturating_add(1))
        });
        let whole_from = lost.fold(kept.floor, u64::max);
        let mut window = Self {
            fs,
            dir: dir.to_owned(),
            directory_id,
            complete: kept.complete,
            losses: kept.losses,
            known_from: 0,
            active_frames: Vec::new(),
            sealed: Vec::new(),
            whole_from: whole_from.max(1),
            shared: Arc::new(SharedKeys::new(view)),
            active,
        };
        window.remove_orphans(files)?;
        window.known_from = window.behind_missing_files(kept.floor, kept.next_seq, files);
        for log in files {
            if log.last_seq < kept.floor {
                window.remove(log.first_seq)?;
                continue;
            }
            let keys = match window.load(log) {
                Ok(keys) => keys,
                Err(error) => {
                    let file = keys_name(log.first_seq);
                    let is_missing = matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
                    if is_missing {
                        // The file that was written when the process ended has none.
                        tracing::debug!(%file, "a key index is made out of its log file");
                    } else {
                        tracing::info!(%error, %file, "a key index cannot be used and is made anew out of its log file");
                    }
                    let read = window.rebuild_one(log, key_of)?;
                    window.take_over(&read);
                    read.keys
                }
            };
            window.sealed.push(Arc::new(ClosedKeys {
                log: log.clone(),
                keys,
            }));
        }
        window.publish();
        Ok(window)
    }

    fn take_over(&mut self, read: &ReadKeys) {
        self.known_from = self.known_from.max(read.known_from);
        self.whole_from = self.whole_from.max(read.whole_from);
    }

    /// What readers share with this window.
    pub(crate) fn shared(&self) -> &Arc<SharedKeys> {
        &self.shared
    }

    /// Readers see what there is now.
    fn publish(&self) {
        self.shared.publish(KeyView {
            files: self.sealed.clone(),
            active: Arc::clone(&self.active),
            whole_from: self.whole_from.max(self.known_from),
        });
    }

    /// Notes that the event with that seq at `position`, in the file being written, was applied to a key.
    ///
    /// # Errors
    /// [`Error::Config`] for a position behind 32 GiB of its file, or in another file than before without a
    /// [`KeyWindow::seal`].
    #[inline]
    pub fn insert(&mut self, key: KeyWrite, seq: u64, position: Position) -> Result<()> {
        if position.file != self.active.file() {
            self.begin(position.file)?;
        }
        let frame = frame_unit(position)?;
        // A file holds no more events than a memtable, which a `u32` counts.
        let seq = seq.saturating_sub(position.file) as u32;
        if self.active_frames.last().is_none_or(|last| last.0 != frame) {
            let first = seq.saturating_sub(position.ordinal);
            self.active_frames.push((frame, first));
        }
        let place = ActivePlace { frame, seq };
        self.active
            .insert(fingerprint(key.actor, key.hash), key.rev, place);
        Ok(())
    }

    /// The highest rev applied to a key within the window. O(files): one bucket of each.
    ///
    /// # Errors
    /// [`Error::Format`] for a damaged index, which names the file: see [`KeyWindow::rebuild`].
    #[inline]
    pub fn last_rev(&self, actor: u32, hash: u64) -> Result<Option<u64>> {
        let fingerprint = fingerprint(actor, hash);
        let mut highest = self.active.last_rev(fingerprint);
        // A revision from a clock that is ahead may stand in an older file than a lower one.
        for sealed in &self.sealed {
            let entry = sealed.keys.find(fingerprint)?;
            highest = highest.max(entry.map(|entry| entry.rev));
        }
        Ok(highest)
    }

    /// Whether that revision of a key, or a higher one, was applied within the window. As
    /// [`last_rev`](Self::last_rev), but files with lower revisions alone are not asked, so that one of the present costs
    /// the file being written and no other.
    ///
    /// # Errors
    /// As [`last_rev`](Self::last_rev).
    #[inline]
    pub fn has_reached(&self, actor: u32, hash: u64, rev: u64) -> Result<bool> {
        let fingerprint = fingerprint(actor, hash);
        if self.active.last_rev(fingerprint) >= Some(rev) {
            return Ok(true);
        }
        for sealed in self.sealed.iter().rev() {
            if sealed.keys.header().max_rev >= rev
                && let Some(entry) = sealed.keys.find(fingerprint)?
                && entry.rev >= rev
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the index of the file being written, which has been closed as `log`, and begins an empty one.
    ///
    /// # Errors
    /// [`Error::Io`] if the index cannot be written, [`Error::Config`] if `log` is another file. The window
    /// then answers as before.
    pub fn seal(&mut self, log: &LogFile) -> Result<()> {
        if self.active.file() != log.first_seq {
            // The file holds no keyed event.
            self.begin(log.first_seq)?;
        }
        let keys = self.write(log, self.active_entries())?;
        self.sealed.push(Arc::new(ClosedKeys {
            log: log.clone(),
            keys,
        }));
        // The next file probably has as many.
        let expected = self.active.len().max(ACTIVE_EXPECTED_MIN);
        self.active = Arc::new(ActiveKeys::new(expected));
        self.active_frames.clear();
        self.publish();
        Ok(())
    }

    /// Makes the indexes anew that fail their checks, after a lookup met damage, and tells how many.
    ///
    /// # Errors
    /// As [`KeyWindow::open`].
    pub fn rebuild(&mut self, key_of: &mut KeyOf<'_>) -> Result<usize> {
        let mut rebuilt = 0;
        let mut sealed = std::mem::take(&mut self.sealed);
        let mut result = Ok(());
        for file in &mut sealed {
            let Err(error) = file.keys.verify() else {
                continue;
            };
            tracing::error!(%error, "a key index is damaged and is made anew");
            match self.rebuild_one(&file.log, key_of) {
                Ok(read) => {
                    self.take_over(&read);
                    *file = Arc::new(ClosedKeys {
                        log: file.log.clone(),
                        keys: read.keys,
                    });
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            rebuilt += 1;
        }
        self.sealed = sealed;
        self.publish();
        result.map(|()| rebuilt)
    }

    /// The time of the first event in the oldest closed file that is kept; events older than it are not
    /// in the window. `None` without closed files, when [`super::LogWriter::first_time_us`] tells.
    #[must_use]
    pub fn floor_time_us(&self) -> Option<u64> {
        self.sealed
            .iter()
            .find_map(|sealed| sealed.log.first_time_us)
    }

    /// The first seq of the oldest closed file that is kept.
    #[must_use]
    pub fn floor_seq(&self) -> Option<u64> {
        self.sealed.first().map(|sealed| sealed.log.first_seq)
    }

    /// Whether nothing was ever trimmed: but for what is [missing](Self::known_from), a key that the window does not
    /// know never was.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.complete
    }

    /// The keys of all events from this seq on are known, of those that were not trimmed; 0 where none is missing
    /// for damage.
    #[must_use]
    pub const fn known_from(&self) -> u64 {
        self.known_from
    }

    /// Bytes of the closed log files and their indexes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sealed
            .iter()
            .map(|sealed| sealed.log.bytes + sealed.keys.file_bytes())
            .sum()
    }

    /// Bytes of the closed log files with only seqs below `floor`, and of their indexes.
    #[must_use]
    pub fn bytes_below(&self, floor: u64) -> u64 {
        let below = self.sealed.iter();
        below
            .take_while(|sealed| sealed.log.last_seq < floor)
            .map(|sealed| sealed.log.bytes + sealed.keys.file_bytes())
            .sum()
    }

    /// The closed files that are kept, oldest first.
    pub fn files(&self) -> impl Iterator<Item = &LogFile> {
        self.sealed.iter().map(|sealed| &sealed.log)
    }

    /// How far the log should be trimmed so that the window takes at most `bytes_max` and holds no file
    /// with only events before `older_than_us`, as far as at least `bytes_min` are left of it: a new floor, of which
    /// only files sealed through `sealed_through` are below; `None` if nothing is to be trimmed. The floor (and that
    /// the window is not complete any more) must be durable in the manifest before [`KeyWindow::trim_below`].
    #[must_use]
    pub fn plan_trim(
        &self,
        bytes_max: u64,
        bytes_min: u64,
        older_than_us: u64,
        sealed_through: u64,
    ) -> Option<u64> {
        let mut bytes = self.bytes();
        let mut floor = None;
        for (index, sealed) in self.sealed.iter().enumerate() {
            // Times rise with seqs closely enough: the first event of the next file stands for the last of
            // this one.
            let next = self
                .sealed
                .get(index + 1)
                .and_then(|next| next.log.first_time_us);
            let is_old = next.is_some_and(|next| next < older_than_us);
            if sealed.log.last_seq > sealed_through || (bytes <= bytes_max && !is_old) {
                break;
            }
            let left = bytes.saturating_sub(sealed.log.bytes + sealed.keys.file_bytes());
            if left < bytes_min {
                break;
            }
            bytes = left;
            floor = Some(sealed.log.last_seq + 1);
        }
        floor
    }

    /// Removes the log files with only seqs below `floor`, with their indexes, and tells how many bytes that
    /// frees.
    ///
    /// # Errors
    /// [`Error::Io`]; what is left is removed when the window is opened again with that floor.
    pub fn trim_below(&mut self, floor: u64) -> Result<u64> {
        let mut freed = 0;
        let end = self
            .sealed
            .partition_point(|sealed| sealed.log.last_seq < floor);
        if end == 0 {
            return Ok(freed);
        }
        self.complete = false;
        self.whole_from = self.whole_from.max(floor);
        // Readers let go of them first: who finds a file gone takes the view anew. A crash in between leaves files below
        // the floor, and so does an error: the next open removes them.
        let gone: Vec<_> = self.sealed.drain(..end).collect();
        self.publish();
        for file in gone {
            self.remove(file.log.first_seq)?;
            freed += file.log.bytes + file.keys.file_bytes();
        }
        if freed > 0 {
            self.fs
                .sync_dir(&self.dir)
                .map_err(Error::io("sync directory", &self.dir))?;
        }
        Ok(freed)
    }

    #[cold]
    fn begin(&mut self, file: u64) -> Result<()> {
        if self.active.len() > 0 {
            return Err(Error::Config(format!(
                "an event of log file {file:#x} before the keys of {:#x} were sealed",
                self.active.file()
            )));
        }
        self.active.begin(file);
        Ok(())
    }

    /// The seq behind the last one between `floor` and `next_seq` that is in none of the files, 0 where all are.
    fn behind_missing_files(&self, floor: u64, next_seq: u64, files: &[LogFile]) -> u64 {
        let mut missing = Missing::new(&self.losses, floor.max(1));
        for log in files {
            missing.meet(log.first_seq, log.last_seq);
        }
        missing.arrive(next_seq);
        behind(missing.through())
    }
}

/// The seq behind the last one that is missing, 0 where none is.
const fn behind(missing_through: u64) -> u64 {
    match missing_through {
        0 => 0,
        through => through.saturating_add(1),
    }
}

fn frame_unit(position: Position) -> Result<u32> {
    u32::try_from(position.frame / FRAME_UNIT).map_err(|_| {
        Error::Config(format!(
            "a log file of more than 32 GiB (frame at {}) cannot be indexed",
            position.frame
        ))
    })
}
