//! The system calls of the engine, as a trait, and their real implementation. Code above this module
//! never names `std::fs`: what it may do to the disk is what is listed here, and each of these calls
//! can be made to fail, or be the last one before a power cut, by `io::fault`.

use super::mmap::Mapped;
use crate::error::{Error, Result};
use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file system.
///
/// Durability follows POSIX in its weakest reading: what was written is on disk after a sync of that
/// file, and a name that was made, changed or removed is so on disk after a sync of its directory.
pub trait Fs: Debug + Send + Sync + 'static {
    /// Creates a directory and its missing parents; it is no error if it is there.
    ///
    /// # Errors
    /// The system's reason.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Creates a file for reading and writing. Fails with `AlreadyExists` if the name is taken.
    ///
    /// # Errors
    /// The system's reason.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's reason.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The system's reason.
    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Renames a file inside its directory, replacing what has the new name.
    ///
    /// # Errors
    /// The system's reason.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    ///
    /// # Errors
    /// The system's reason.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// The regular files of a directory, sorted by name. Names that are not UTF-8 are left out: none
    /// of ours are.
    ///
    /// # Errors
    /// The system's reason.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the names of a directory durable.
    ///
    /// # Errors
    /// The system's reason.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on a file, creating it; `None` if another holder has it. Dropping the
    /// guard, or the end of the process however it comes, releases it.
    ///
    /// # Errors
    /// The system's reason.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;
    /// Maps a sealed file read-only.
    ///
    /// # Errors
    /// The system's reason.
    fn map(&self, path: &Path) -> io::Result<Mapped>;
    /// The bytes that can still be written to the file system of `dir`, of which others may take some.
    ///
    /// # Errors
    /// The system's reason.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Positioned calls only: there is no cursor to share.
#[allow(
    clippy::len_without_is_empty,
    reason = "a system call, not a collection"
)]
pub trait File: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`, growing the file if need be.
    ///
    /// # Errors
    /// The system's reason; a part of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The system's reason.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// The system's reason.
    fn len(&self) -> io::Result<u64>;
    /// Makes the contents durable, and the length.
    ///
    /// # Errors
    /// The system's reason. What is durable after an error is unknown, and a second call may report
    /// success without having written anything: it must never be made.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the contents and all metadata durable.
    ///
    /// # Errors
    /// As for [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves space for `bytes` bytes from the start without changing the length. A hint: file
    /// systems that cannot do it do nothing.
    ///
    /// # Errors
    /// `StorageFull` and other reasons of the system.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
    /// Asks the system to let go of what it has of the file in memory, which is synced, so that it is read from the disk. A hint:
    /// file systems that cannot do it do nothing.
    ///
    /// # Errors
    /// The system's reason.
    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }
    /// Cuts the file to `bytes` and gives back what was reserved beyond.
    ///
    /// # Errors
    /// The system's reason.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// A held lock; dropping it releases.
pub trait LockGuard: Debug + Send + Sync {}

/// A file in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// The suffix of a file that is still being written. Such a file belongs to nobody after a crash.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// What [`write_sealed`] was at where it failed with the whole file in its place, perhaps not durably.
pub(crate) const SYNC_DIRECTORY: &str = "sync directory";

/// Writes a sealed file so that it is there whole or not at all: temporary name, contents synced,
/// renamed, directory synced. A crash before the last step leaves at most a file named `*.tmp` or a
/// whole file that nothing names yet.
///
/// # Errors
/// [`Error::Io`] naming the step that failed.
pub fn write_sealed(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    match fs.unlink(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove left-over", &temporary)(error));
        }
        _ => {}
    }
    let file = fs
        .create(&temporary)
        .map_err(Error::io("create", &temporary))?;
    file.write_at(0, bytes)
        .map_err(Error::io("write", &temporary))?;
    file.sync_all().map_err(Error::io("sync", &temporary))?;
    drop(file);
    fs.rename(&temporary, &path)
        .map_err(Error::io("rename into place", &path))?;
    fs.sync_dir(dir).map_err(Error::io(SYNC_DIRECTORY, dir))?;
    Ok(path)
}

/// Reads exactly `buffer.len()` bytes, or says with `false` that the file ends before.
pub(crate) fn read_exact_at(file: &dyn File, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    Ok(file.read_at(offset, buffer)? == buffer.len())
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFs;

impl OsFs {
    /// As a shared trait object.
    #[must_use]
    pub fn shared() -> Arc<dyn Fs> {
        Arc::new(Self)
    }
}

/// Another file system, with sealed files read onto the heap instead of mapped.
#[derive(Debug, Clone)]
pub struct HeapFs(Arc<dyn Fs>);

impl HeapFs {
    /// On `fs`, as a shared trait object.
    #[must_use]
    pub fn shared(fs: Arc<dyn Fs>) -> Arc<dyn Fs> {
        Arc::new(Self(fs))
    }
}

impl Fs for HeapFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open(path)
    }

    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open_rw(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.unlink(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.0.lock(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let file = self.0.open(path)?;
        let mut bytes = Vec::new();
        let mut block = vec![0; 1 << 20];
        loop {
            let read = file.read_at(bytes.len() as u64, &mut block)?;
            bytes.extend_from_slice(block.get(..read).unwrap_or_default());
            if read < block.len() {
                return Ok(Mapped::heap(bytes));
            }
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.0.free_bytes(dir)
    }
}

#[derive(Debug)]
struct OsFile(std::fs::File);

#[derive(Debug)]
struct OsLock(#[allow(dead_code, reason = "held, never read")] std::fs::File);

impl LockGuard for OsLock {}

impl Fs for OsFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OsFile(std::fs::File::open(path)?)))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // A file that is unlinked while the directory is read is not there any more.
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(Entry {
                    name,
                    bytes: metadata.len(),
                });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(OsLock(file)))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        Mapped::map(&std::fs::File::open(path)?, path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let system = rustix::fs::statvfs(dir)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

impl File for OsFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match std::os::unix::fs::FileExt::read_at(&self.0, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(
            &self.0,
            0,
            None,
            rustix::fs::Advice::DontNeed,
        )?)
    }

    #[cfg(not(target_os = "linux"))]
    fn preallocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_is_mapped_with_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_sealed(&OsFs, dir.path(), "one", b"hello").unwrap();
        let mapped = OsFs.map(&path).unwrap();
        assert!(mapped.is_mapped());
        mapped.advise_random();
        assert_eq!(&*mapped, b"hello");
        OsFs.unlink(&path).unwrap();
        assert_eq!(&*mapped, b"hello", "an unlinked file stays mapped");
        assert!(OsFs.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_file_can_be_read_onto_the_heap_instead() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| n as u8).collect();
        let path = write_sealed(&OsFs, dir.path(), "one", &bytes).unwrap();
        let mapped = HeapFs::shared(OsFs::shared()).map(&path).unwrap();
        assert!(!mapped.is_mapped());
        assert_eq!(&*mapped, bytes);
    }

    #[test]
    fn an_empty_file_maps_to_no_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_sealed(&OsFs, dir.path(), "none", b"").unwrap();
        assert!(OsFs.map(&path).unwrap().is_empty());
    }

    #[test]
    fn reserving_space_keeps_the_length() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsFs.create(&dir.path().join("f")).unwrap();
        file.preallocate(1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), 0);
        file.write_at(0, b"abc").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(1, &mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"bc");
        file.truncate(3).unwrap();
        assert_eq!(file.len().unwrap(), 3);
    }

    #[test]
    fn creating_a_name_that_is_taken_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        OsFs.create(&path).unwrap();
        let error = OsFs.create(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
