//! Where a merge works: scratch files that vanish with their last reader, the file of the new segment, and the
//! pace that leaves the machine to ingest and queries.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_formats::segment::{Scratch, Workspace};
use orrery_formats::sink::Sink;

use crate::Error;
use crate::io::fs::TEMPORARY_SUFFIX;
use crate::io::{File, Fs, Mapped};

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 128 << 10;
/// The new segment is synced each time that so much was written, so that its last sync does not hold up the
/// log's.
const SYNC_BYTES: u64 = 8 << 20;
/// A merge looks at the room on disk each time that it wrote so much.
pub(crate) const ROOM_BYTES: u64 = 4 << 20;
/// The shortest stretch of work that is followed by a rest: sleeping is not exact enough for less.
const STRETCH: Duration = Duration::from_millis(2);
/// The longest rest at once, so that a stop is noticed.
const REST_MAX: Duration = Duration::from_millis(100);

/// Why a merge ended early. Nothing of it counts: the manifest does not name its file.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The store closes.
    Cancelled,
    /// It cannot be done.
    Failed(Error),
}

impl From<orrery_formats::Error> for Stopped {
    fn from(error: orrery_formats::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How much of the time a merge works.
pub(crate) struct Pace<'a> {
    /// The share of time, above 0 and up to 1.
    pub(crate) share: f64,
    /// Whether merges have fallen behind and must not rest.
    pub(crate) is_urgent: &'a dyn Fn() -> bool,
    pub(crate) is_cancelled: &'a AtomicBool,
    since: Option<Instant>,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(
        share: f64,
        is_urgent: &'a dyn Fn() -> bool,
        is_cancelled: &'a AtomicBool,
    ) -> Self {
        Self {
            share: share.clamp(0.01, 1.0),
            is_urgent,
            is_cancelled,
            since: None,
        }
    }

    /// Rests as long as the work since the last rest asks for.
    fn keep(&mut self) -> Result<(), Stopped> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        let Some(since) = self.since else {
            self.since = Some(Instant::now());
            return Ok(());
        };
        let worked = since.elapsed();
        if worked >= STRETCH && self.share < 1.0 && !(self.is_urgent)() {
            let rest = worked.mul_f64((1.0 - self.share) / self.share);
            std::thread::sleep(rest.min(REST_MAX));
            self.since = Some(Instant::now());
        }
        Ok(())
    }
}

/// Scratch files in a directory of their own.
pub(crate) struct FileWorkspace<'a> {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    number: u64,
    pace: Pace<'a>,
    room: RoomWatch<'a>,
    /// Bytes that may be written before room is looked at again.
    unchecked: u64,
}

/// How a merge learns that room on disk runs short.
#[derive(Clone, Copy)]
pub(crate) struct RoomWatch<'a> {
    /// Whether what is written until the next look fits beside what the writer needs.
    pub(crate) look: &'a dyn Fn() -> Result<(), Error>,
    /// Whether to look at once.
    pub(crate) is_asked: &'a AtomicBool,
}

impl<'a> FileWorkspace<'a> {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: &Path, pace: Pace<'a>, room: RoomWatch<'a>) -> Self {
        Self {
            fs,
            dir: dir.to_owned(),
            number: 0,
            pace,
            room,
            unchecked: 0,
        }
    }
}

impl Workspace for FileWorkspace<'_> {
    type Error = Stopped;
    type Scratch = ScratchFile;

    fn scratch(&mut self) -> Result<ScratchFile, Stopped> {
        self.number += 1;
        let path = self.dir.join(format!("{}.scratch", self.number));
        let file = self.fs.create(&path).map_err(Error::io("create", &path))?;
        Ok(ScratchFile {
            out: Buffered::new(file, path.clone()),
            name: Name::new(Arc::clone(&self.fs), path),
        })
    }

    fn progress(&mut self, bytes: u64) -> Result<(), Stopped> {
        self.pace.keep()?;
        self.unchecked = self.unchecked.saturating_sub(bytes);
        if self.unchecked == 0 || self.room.is_asked.load(Ordering::Relaxed) {
            (self.room.look)()?;
            self.unchecked = ROOM_BYTES;
        }
        Ok(())
    }
}

/// A file's name, removed when dropped. What a crash leaves is removed when the directory is opened.
#[derive(Debug)]
struct Name {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    is_gone: bool,
}

impl Name {
    fn new(fs: Arc<dyn Fs>, path: PathBuf) -> Self {
        Self {
            fs,
            path,
            is_gone: false,
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.is_gone {
            return;
        }
        if let Err(error) = self.fs.unlink(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a scratch file stays until the next start");
        }
    }
}

/// Writes at the end of a file.
#[derive(Debug)]
struct Buffered {
    file: Box<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
}

impl Buffered {
    fn new(file: Box<dyn File>, path: PathBuf) -> Self {
        Self {
            file,
            path,
            buffer: Vec::new(),
            written: 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > BUFFER_BYTES {
            return self.put(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_at(self.written, bytes)
            .map_err(Error::io("write", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let buffer = std::mem::take(&mut self.buffer);
        self.put(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }
}

/// Scratch space being written.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    out: Buffered,
    name: Name,
}

impl Sink for ScratchFile {
    type Error = Stopped;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        Ok(self.out.write(bytes)?)
    }
}

/// Scratch space being read.
#[derive(Debug)]
pub(crate) struct ScratchBytes {
    mapped: Mapped,
    /// Dropped after the mapping.
    _name: Name,
}

impl Deref for ScratchBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.mapped
    }
}

impl Scratch for ScratchFile {
    type Bytes = ScratchBytes;

    fn finish(mut self) -> Result<ScratchBytes, Stopped> {
        self.out.flush()?;
        let path = &self.name.path;
        let mapped = self.name.fs.map(path).map_err(Error::io("map", path))?;
        Ok(ScratchBytes {
            mapped,
            _name: self.name,
        })
    }
}

/// The file of a new segment, under a temporary name until [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct SegmentFile {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    name: String,
    temporary: Name,
    out: Buffered,
    synced: u64,
}

impl SegmentFile {
    /// Begins the file `name` in `dir`.
    pub(crate) fn create(fs: Arc<dyn Fs>, dir: &Path, name: String) -> Result<Self, Error> {
        let path = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let file = fs.create(&path).map_err(Error::io("create", &path))?;
        Ok(Self {
            out: Buffered::new(file, path.clone()),
            temporary: Name::new(Arc::clone(&fs), path),
            fs,
            dir: dir.to_owned(),
            name,
            synced: 0,
        })
    }

    /// Makes the file durable under its name: contents synced, renamed, directory synced. A crash leaves a file that the
    /// manifest does not name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.out.flush()?;
        let path = self.dir.join(&self.name);
        let temporary = &self.temporary.path;
        let file = &self.out.file;
        file.sync_all().map_err(Error::io("sync", temporary))?;
        self.fs
            .rename(temporary, &path)
            .map_err(Error::io("rename into place", &path))?;
        self.temporary.is_gone = true;
        self.fs
            .sync_dir(&self.dir)
            .map_err(Error::io("sync directory", &self.dir))
    }
}

impl Sink for SegmentFile {
    type Error = Stopped;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.out.write(bytes)?;
        if self.out.written - self.synced >= SYNC_BYTES {
            self.synced = self.out.written;
            let path = &self.out.path;
            self.out.file.sync_data().map_err(Error::io("sync", path))?;
        }
        Ok(())
    }
}
