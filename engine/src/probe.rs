//! What can be told of a directory before a store is opened in it: how fast its disk is, whether another process has it, how much it
//! holds, and whether a store would be made there. Nothing of a store is read or changed.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::io::fs::{File, Fs, OsFs, TEMPORARY_SUFFIX};
use crate::lock::LOCK_NAME;
use crate::recovery::refuse_contents;
use crate::{Error, Result, manifest};

/// The most that is written.
const BYTES: usize = 32 << 20;
/// Written and synced at once: a full batch of the log.
const BATCH: usize = 4 << 20;
/// The same of a quiet stream.
const SMALL: usize = 64 << 10;
/// Small syncs at most.
const SYNCS: usize = 24;
/// Reads at places of their own at most, of so many bytes: a page of postings.
const READS: usize = 128;
const READ: usize = 4 << 10;
/// Time for each of the four.
const TIME: Duration = Duration::from_millis(1_500);
/// Free bytes with less of which nothing is written.
const FREE_MIN: u64 = 2 * BYTES as u64;

/// How fast a disk is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskSpeed {
    /// Bytes that were written and read.
    pub bytes: u64,
    /// Bytes a second, written in batches of 4 MiB and each of these synced.
    pub write_per_second: f64,
    /// How long it took to write and sync 64 KiB: as a rule.
    pub sync: Duration,
    /// And the longest of all.
    pub sync_slowest: Duration,
    /// Bytes a second, read in order. Where the system does not let go of what it has in memory, that is what was measured.
    pub read_per_second: f64,
    /// How long it took to read 4 KiB somewhere, as a rule.
    pub read: Duration,
}

/// Measures the disk of a directory by a file of its own, which has no name once it is made, so that however this ends nothing stays.
/// Takes up to six seconds and 32 MiB, and longer where a single sync does.
///
/// # Errors
/// [`Error::Io`] naming the step that failed; [`Error::Config`] where less than 64 MiB are free.
pub fn disk_speed(dir: &Path) -> Result<DiskSpeed> {
    disk_speed_with_fs(&OsFs, dir)
}

/// As [`disk_speed`], on another file system.
///
/// # Errors
/// As there.
pub fn disk_speed_with_fs(fs: &dyn Fs, dir: &Path) -> Result<DiskSpeed> {
    let free = fs
        .free_bytes(dir)
        .map_err(Error::io("ask for free space of", dir))?;
    if free < FREE_MIN {
        return Err(Error::Config(format!(
            "{} are free, too little to try the disk",
            crate::disk::Size(free)
        )));
    }
    let path = dir.join(format!("probe-{}{TEMPORARY_SUFFIX}", std::process::id()));
    let file = fs.create(&path).map_err(Error::io("create", &path))?;
    fs.unlink(&path).map_err(Error::io("remove", &path))?;
    let file = &*file;

    let batch = noise(BATCH);
    let started = Instant::now();
    let mut bytes = 0;
    while bytes < BYTES && started.elapsed() < TIME {
        write(file, bytes, &batch, &path)?;
        bytes += BATCH;
    }
    let write_per_second = per_second(bytes, started.elapsed());

    let small = batch.get(..SMALL).unwrap_or_default();
    let mut syncs = Vec::with_capacity(SYNCS);
    let started = Instant::now();
    while syncs.len() < SYNCS && started.elapsed() < TIME {
        let one = Instant::now();
        write(file, (syncs.len() * SMALL) % bytes, small, &path)?;
        syncs.push(one.elapsed());
    }

    let mut buffer = vec![0; 1 << 20];
    file.forget_cached()
        .map_err(Error::io("let go of", &path))?;
    let started = Instant::now();
    let mut read = 0;
    while read < bytes && started.elapsed() < TIME {
        read += read_at(file, read, &mut buffer, &path)?;
    }
    let read_per_second = per_second(read, started.elapsed());

    file.forget_cached()
        .map_err(Error::io("let go of", &path))?;
    let page = buffer.get_mut(..READ).unwrap_or_default();
    let mut reads = Vec::with_capacity(READS);
    let started = Instant::now();
    let mut place = 1;
    while reads.len() < READS && started.elapsed() < TIME {
        place = step(place);
        let pages = (bytes / READ) as u64;
        let offset = (place % pages.max(1)) as usize * READ;
        let one = Instant::now();
        read_at(file, offset, page, &path)?;
        reads.push(one.elapsed());
    }
    Ok(DiskSpeed {
        bytes: bytes as u64,
        write_per_second,
        sync: middle(&mut syncs),
        sync_slowest: syncs.last().copied().unwrap_or_default(),
        read_per_second,
        read: middle(&mut reads),
    })
}

/// Whether another process has a store open in this directory. It takes the lock for a moment where none does, which a store that is
/// opened meanwhile waits out. A directory without a lock file is nobody's.
///
/// # Errors
/// [`Error::Io`] where that cannot be told.
pub fn is_in_use(dir: &Path) -> Result<bool> {
    let path = dir.join(LOCK_NAME);
    let files = OsFs.list(dir).map_err(Error::io("list", dir))?;
    if !files.iter().any(|file| file.name == LOCK_NAME) {
        return Ok(false);
    }
    let lock = OsFs.lock(&path).map_err(Error::io("lock", &path))?;
    Ok(lock.is_none())
}

/// Refuses a directory in which a store that is opened makes none anew: it has no manifest and holds what no data directory begins with.
/// One that has a manifest, or is not there, is not judged. Changes nothing.
///
/// # Errors
/// [`Error::Inconsistent`] saying what it holds, in the words of the start that would be refused; [`Error::Io`].
pub fn refuse_foreign(dir: &Path) -> Result<()> {
    match manifest::is_there(&OsFs, dir)? {
        true => Ok(()),
        false => refuse_contents(&OsFs, dir),
    }
}

/// The bytes of all files of a data directory; those of one that is not there are none.
#[must_use]
pub fn used_bytes(dir: &Path) -> u64 {
    crate::disk::used_bytes(&OsFs, dir)
}

fn write(file: &dyn File, offset: usize, bytes: &[u8], path: &Path) -> Result<()> {
    file.write_at(offset as u64, bytes)
        .map_err(Error::io("write", path))?;
    file.sync_data().map_err(Error::io("sync", path))
}

fn read_at(file: &dyn File, offset: usize, buffer: &mut [u8], path: &Path) -> Result<usize> {
    let read = file
        .read_at(offset as u64, buffer)
        .map_err(Error::io("read", path))?;
    match read {
        0 => Err(Error::io("read", path)(
            std::io::ErrorKind::UnexpectedEof.into(),
        )),
        read => Ok(read),
    }
}

fn per_second(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-9)
}

/// Sorts times, and gives the one in the middle.
fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Bytes that no file system makes shorter.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state = step(state);
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise
}

/// The next of a sequence without a pattern (xorshift64).
fn step(state: u64) -> u64 {
    let state = state ^ (state << 13);
    let state = state ^ (state >> 7);
    state ^ (state << 17)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::SimFs;
    use crate::lock::DirLock;
    use crate::{Options, Store};

    #[test]
    fn a_disk_is_measured_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let speed = disk_speed(dir.path()).unwrap();
        assert!(speed.bytes > 0 && speed.bytes <= BYTES as u64);
        assert!(speed.write_per_second > 0.0 && speed.read_per_second > 0.0);
        assert!(speed.sync > Duration::ZERO && speed.sync <= speed.sync_slowest);
        assert!(speed.read > Duration::ZERO);
        assert_eq!(OsFs.list(dir.path()).unwrap(), []);
    }

    #[test]
    fn a_directory_is_in_use_while_its_lock_is_held_and_no_lock_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_in_use(dir.path()).unwrap());
        assert_eq!(OsFs.list(dir.path()).unwrap(), []);
        let held = DirLock::acquire(&OsFs, dir.path()).unwrap();
        assert!(is_in_use(dir.path()).unwrap());
        drop(held);
        assert!(!is_in_use(dir.path()).unwrap());
        assert!(is_in_use(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_a_start_refuses_is_told_in_its_words_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (data, full) = (dir.path().join("data"), dir.path().join("full"));
        for fine in [&data, dir.path()] {
            refuse_foreign(fine).unwrap();
        }
        drop(Store::open(&data, Options::default()).unwrap());
        std::fs::write(data.join("notes.txt"), "").unwrap();
        refuse_foreign(&data).unwrap();
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("notes.txt"), "").unwrap();
        let told = refuse_foreign(&full).unwrap_err().to_string();
        let refused = Store::open(&full, Options::default()).err().unwrap();
        assert!(told.contains("notes.txt"), "{told}");
        assert_eq!(told, refused.to_string());
    }

    #[test]
    fn a_disk_that_fails_or_is_full_is_told_and_nothing_stays() {
        let dir = Path::new("/d");
        let fs = SimFs::new();
        fs.create_dir_all(dir).unwrap();
        fs.fail_sync(1);
        let failed = disk_speed_with_fs(&fs, dir).unwrap_err();
        assert!(failed.to_string().contains("sync /d/probe-"), "{failed}");
        fs.set_capacity(Some(60 << 20));
        let full = disk_speed_with_fs(&fs, dir).unwrap_err();
        assert!(full.to_string().contains("too little"), "{full}");
        assert_eq!(fs.list(dir).unwrap(), []);
    }
}
