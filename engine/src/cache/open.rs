//! What a start finds in the directory of the cache. Whatever is wrong there costs values and nothing else: no start
//! fails for it.
//!
//! 1. A file of a newer format: the cache is off, and everything stays as it is. Where it cannot be opened for another reason,
//!    it is removed: 4. must be done before the log goes on.
//! 2. What was left half-made, files of another data directory and files without a sound header are removed; so are
//!    all that are older than one that is missing, since it would have told what they do not know.
//! 3. A file whose index says that it is as it was closed is not read. Any other is read through and cut at its first bad entry;
//!    the newest is gone on with, the others are closed. One that was closed and has lost its end is removed with the older ones.
//! 4. Entries of a later seq than the log has were made before a power cut took that end of the log, and these seqs are
//!    given again: the file is cut there too.
//! 5. The oldest go until the bound holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use orrery_formats::Error as FormatError;
use orrery_formats::cache::index::CacheIndex;
use orrery_formats::cache::{FILE_HEADER_BYTES, FileHeader};
use parking_lot::{Condvar, Mutex};

use super::append::Appender;
use super::file::{CacheFile, Open, index_name, parse_name, values_name};
use super::files::{Files, remove};
use super::limits::{CacheOptions, Limits};
use super::off::Off;
use super::scan::scan;
use super::status::Counts;
use super::{Due, Hasher, Inner, RoomOf, ValueCache};
use crate::io::fs::{TEMPORARY_SUFFIX, read_exact_at};
use crate::io::{File, Fs};
use crate::lock::DirLock;
use crate::store::CACHE;
use crate::{Error, Result};

/// What a cache is opened with.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) fs: Arc<dyn Fs>,
    /// The data directory.
    pub(crate) dir: PathBuf,
    pub(crate) directory_id: [u8; 16],
    pub(crate) secret: [u8; 32],
    /// The last event that the log has.
    pub(crate) last_seq: u64,
    pub(crate) room: Arc<RoomOf>,
    pub(crate) lock: Option<Arc<DirLock>>,
}

/// Opens the cache of a data directory. `None` where there is to be none or it cannot be opened, of which the operator
/// is told.
pub(crate) fn open(opening: Opening, options: CacheOptions) -> Option<ValueCache> {
    let dir = opening.dir.join(CACHE);
    if options.most_bytes == 0 {
        if let Err(error) = remove_all(&*opening.fs, &dir) {
            tracing::warn!(%error, "the files of a cache that is off cannot be removed");
        }
        return None;
    }
    match open_or_retry(&opening, Limits::new(options)) {
        Ok(inner) => Some(ValueCache::new(inner, true)),
        Err(Error::Format(error @ FormatError::Version { .. })) => {
            tracing::warn!(
                %error,
                "the cache of fetched values was written by a newer version of this program, and is not used; to have one, \
                 stop, and delete the directory {CACHE}"
            );
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the cache of fetched values cannot be opened, and is removed");
            remove_unopened(&*opening.fs, &dir);
            None
        }
    }
}

/// As [`open_within`], and once more after a failure that may pass. That of a sync does not: the second would tell nothing.
fn open_or_retry(opening: &Opening, limits: Limits) -> Result<Inner> {
    match open_within(opening.clone(), limits) {
        Err(Error::Io { op, .. }) if !op.starts_with("sync") => {
            open_within(opening.clone(), limits)
        }
        opened => opened,
    }
}

/// Removes a cache that cannot be opened: the log goes on, and what it has lost would be told later, by the seqs that are given
/// again now.
fn remove_unopened(fs: &dyn Fs, dir: &Path) {
    if let Err(error) = remove_all(fs, dir) {
        tracing::error!(
            %error,
            "the cache of fetched values can neither be opened nor removed, and may tell values that are out of date when it \
             can be opened again; to prevent that, stop, and delete the directory {CACHE}"
        );
    }
}

/// Does to a cache that nobody asks what must be done before the log goes on: cuts off what it knows of events that
/// the log has lost, whose seqs are now given to others. Gives it where there is one, to make room for others out of it.
pub(crate) fn cut(opening: Opening) -> Option<ValueCache> {
    let dir = opening.dir.join(CACHE);
    let is_there = listed(&*opening.fs, &dir).map_or(true, |files| {
        files.iter().any(|(name, _)| parse_name(name).is_some())
    });
    let limits = Limits::with_files(u64::MAX, u64::MAX);
    if !is_there {
        return None;
    }
    match open_or_retry(&opening, limits) {
        Ok(inner) => Some(ValueCache::new(inner, false)),
        // One of a newer format is left alone, and whoever reads it looks at its seqs.
        Err(Error::Format(error @ FormatError::Version { .. })) => {
            tracing::info!(%error, "the cache of fetched values is left as it is");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the cache of fetched values cannot be opened, and is removed");
            remove_unopened(&*opening.fs, &dir);
            None
        }
    }
}

/// Removes the files of a cache, of any version.
fn remove_all(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let mut is_changed = false;
    for (name, _) in listed(fs, dir)? {
        if parse_name(&name).is_some() || is_left_over(&name) {
            remove(fs, &dir.join(name))?;
            is_changed = true;
        }
    }
    if is_changed {
        fs.sync_dir(dir).map_err(Error::io("sync directory", dir))?;
    }
    Ok(())
}

/// Names and lengths of files, none where there is no directory.
fn listed(fs: &dyn Fs, dir: &Path) -> Result<Vec<(String, u64)>> {
    match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => {
            let listed = listed.map_err(Error::io("list", dir))?;
            Ok(listed
                .into_iter()
                .map(|entry| (entry.name, entry.bytes))
                .collect())
        }
    }
}

fn is_left_over(name: &str) -> bool {
    let stem = name.strip_suffix(TEMPORARY_SUFFIX);
    stem.is_some_and(|stem| parse_name(stem).is_some())
}

/// As [`open`], with other limits and without a thread.
///
/// # Errors
/// [`FormatError::Version`] where a file is of a newer format; [`Error::Io`].
pub(super) fn open_within(opening: Opening, limits: Limits) -> Result<Inner> {
    let dir = opening.dir.join(CACHE);
    let fs = Arc::clone(&opening.fs);
    fs.create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    let before = listed(&*fs, &dir)?;
    let found = Found::read(&*fs, &dir, opening.directory_id)?;
    let numbers = found.sort_out(&*fs, &dir)?;
    let mut inner = Inner {
        fs,
        dir,
        directory_id: opening.directory_id,
        limits,
        hasher: Hasher::new(&opening.secret),
        files: Files::new(Vec::new()),
        appender: Mutex::new(Appender::new(None, 1)),
        off: Off::default(),
        counts: Counts::default(),
        room: opening.room,
        must_ask: AtomicBool::new(false),
        upkeep: Mutex::new(()),
        due: Mutex::new(Due::default()),
        wake: Condvar::new(),
        has_thread: AtomicBool::new(false),
        _lock: opening.lock,
    };
    inner.take_in(&numbers, opening.last_seq)?;
    // What was removed may know of seqs that are given again now: it must not come back behind that.
    let after = listed(&*inner.fs, &inner.dir)?;
    let is_left = |name: &String| after.iter().any(|(left, _)| left == name);
    if !before.iter().all(|(name, _)| is_left(name)) {
        let synced = inner.fs.sync_dir(&inner.dir);
        synced.map_err(Error::io("sync directory", &inner.dir))?;
    }
    Ok(inner)
}

/// What the files of values say of themselves, by number.
struct Found {
    /// Why a file is not one of this cache.
    values: BTreeMap<u64, Option<String>>,
    indexes: Vec<u64>,
    left_over: Vec<String>,
}

impl Found {
    /// Looks at all files and changes nothing.
    fn read(fs: &dyn Fs, dir: &Path, directory_id: [u8; 16]) -> Result<Self> {
        let mut found = Self {
            values: BTreeMap::new(),
            indexes: Vec::new(),
            left_over: Vec::new(),
        };
        for (name, _) in listed(fs, dir)? {
            match parse_name(&name) {
                Some((number, true)) => {
                    let why = why_not(fs, dir, &name, number, directory_id)?;
                    found.values.insert(number, why);
                }
                Some((number, false)) => {
                    let opened = open_index(fs, dir, number);
                    if let Err(Error::Format(error @ FormatError::Version { .. })) = opened {
                        return Err(error.into());
                    }
                    found.indexes.push(number);
                }
                None if is_left_over(&name) => found.left_over.push(name),
                None => {}
            }
        }
        Ok(found)
    }

    /// Removes what is of no use, and gives the numbers of the files that are, oldest first.
    fn sort_out(self, fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>> {
        for name in &self.left_over {
            remove(fs, &dir.join(name))?;
        }
        // From the newest on, as long as none is missing. An index tells of its file too; one without an index may be
        // missing for a crash, and then nothing is known to be newer than the others.
        let mut numbers: Vec<u64> = Vec::new();
        let lost = self.indexes.iter().copied();
        let lost = lost.filter(|number| !matches!(self.values.get(number), Some(None)));
        let lost = lost.max();
        for (number, why) in self.values.iter().rev() {
            let misses = numbers.last().is_some_and(|newer| newer - number != 1)
                || lost.is_some_and(|lost| *number < lost);
            let why = why
                .as_deref()
                .or(misses.then_some("a newer one is missing"));
            match why {
                None => numbers.push(*number),
                Some(why) => {
                    let name = values_name(*number);
                    tracing::info!(file = %name, why, "removing a file of cached values");
                    remove(fs, &dir.join(name))?;
                }
            }
        }
        for number in self.indexes {
            if !numbers.contains(&number) {
                remove(fs, &dir.join(index_name(number)))?;
            }
        }
        numbers.reverse();
        Ok(numbers)
    }
}

/// Why a file of values is none of this cache; `None` where it is one.
///
/// # Errors
/// [`FormatError::Version`] where it is of a newer format; [`Error::Io`].
fn why_not(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    number: u64,
    directory_id: [u8; 16],
) -> Result<Option<String>> {
    let path = dir.join(name);
    let file = fs.open(&path).map_err(Error::io("open", &path))?;
    let mut bytes = [0; FILE_HEADER_BYTES];
    let is_whole = read_exact_at(&*file, 0, &mut bytes).map_err(Error::io("read", &path))?;
    if !is_whole {
        return Ok(Some("it has no header".to_owned()));
    }
    Ok(match FileHeader::decode(&bytes) {
        Ok(header) if header.directory_id != directory_id => {
            Some("it is of another data directory".to_owned())
        }
        Ok(header) if header.number != number => Some("it has another number".to_owned()),
        Ok(_) => None,
        Err(error @ FormatError::Version { .. }) => return Err(error.in_file(name).into()),
        Err(error) => Some(error.to_string()),
    })
}

fn open_index(fs: &dyn Fs, dir: &Path, number: u64) -> Result<CacheIndex> {
    let name = index_name(number);
    let path = dir.join(&name);
    let mapped = fs.map(&path).map_err(Error::io("map", &path))?;
    mapped.advise_random();
    Ok(CacheIndex::open(name, mapped)?)
}

impl Inner {
    /// Takes the files in that are there, oldest first.
    fn take_in(&mut self, numbers: &[u64], last_seq: u64) -> Result<()> {
        let newest = numbers.last().copied();
        let mut active = None;
        for number in numbers {
            let Some(file) = self.take_file(*number, last_seq)? else {
                // It would have told what neither the older ones nor what is left of it know.
                while self.evict(None) > 0 {}
                remove(&*self.fs, &self.values_path(*number))?;
                continue;
            };
            let file = Arc::new(file);
            self.files.push(Arc::clone(&file));
            if file.unclosed().is_none() {
                continue;
            }
            if Some(*number) == newest {
                active = Some(file);
            } else if let Err(error) = self.close(&file) {
                // On a full disk the cache is what makes room: it is opened, with what is newer.
                tracing::warn!(%error, "a file of cached values cannot be closed, and is removed with the older ones");
                drop(file);
                while self.evict(None) > 0 {}
                let name = format!("{}{TEMPORARY_SUFFIX}", index_name(*number));
                remove(&*self.fs, &self.dir.join(name))?;
            }
        }
        let next = newest.map_or(1, |newest| newest.saturating_add(1));
        self.appender = Mutex::new(Appender::new(active, next));
        // The bound may be lower than it was.
        while self.files.bytes() > self.limits.most_bytes && !self.off.is_off() {
            if self.evict(None) == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes one file in. `None` where it was closed, and has not all any more that it had then.
    fn take_file(&self, number: u64, last_seq: u64) -> Result<Option<CacheFile>> {
        let path = self.values_path(number);
        let file = self.fs.open_rw(&path).map_err(Error::io("open", &path))?;
        let file: Arc<dyn File> = Arc::from(file);
        let len = file.len().map_err(Error::io("stat", &path))?;
        let header = FileHeader {
            number,
            directory_id: self.directory_id,
        };
        let mut had = 0;
        let mut was_closed = true;
        let opened = open_index(&*self.fs, &self.dir, number);
        if let Err(Error::Io { source, .. }) = &opened {
            was_closed = source.kind() != std::io::ErrorKind::NotFound;
        }
        if let Ok(index) = opened {
            let of = index.header();
            had = of.values_bytes;
            let is_of =
                (of.directory_id, of.number, of.values_bytes) == (self.directory_id, number, len);
            if is_of && of.max_as_of_seq <= last_seq {
                return Ok(Some(CacheFile::closed(header, file, index)));
            }
        }
        // Whatever is wrong with the index, it is made anew.
        remove(&*self.fs, &self.dir.join(index_name(number)))?;
        let seed = header.seed();
        let mut open = Open::new(seed);
        let end = scan(&*file, seed, &mut |place, read| {
            let entry = &read.entry;
            if entry.as_of_seq > last_seq {
                return false;
            }
            let fingerprint = self.hasher.of(entry.space, entry.key);
            open.push(fingerprint, place, read.checksum, entry.as_of_seq);
            true
        });
        let end = end.map_err(Error::io("read", &path))?;
        if was_closed && (end.why.is_some() || len < had) {
            tracing::warn!(file = %path.display(), "a file of cached values is damaged, and is removed with the older ones");
            return Ok(None);
        }
        if end.offset < len {
            let why = end.why.map(|why| why.to_string());
            let why = why.as_deref().unwrap_or("of events that the log has lost");
            tracing::info!(file = %path.display(), at = end.offset, why, "the end of a file of cached values is cut off");
            // The index is gone for good before the file is shorter than it says, which would be damage.
            self.fs
                .sync_dir(&self.dir)
                .map_err(Error::io("sync directory", &self.dir))?;
            file.truncate(end.offset)
                .map_err(Error::io("truncate", &path))?;
            // Durable before anything is written behind it: what was cut off for its seqs must not come back when the
            // log has other events under them.
            file.sync_data().map_err(Error::io("sync", &path))?;
        }
        Ok(Some(CacheFile::open(header, file, open)))
    }
}
