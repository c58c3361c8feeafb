//! Room on disk. Before the writer appends or seals it makes sure that the largest thing it may write next
//! fits, below the limit of the directory and above what is to stay free; where it does not, the writer
//! pauses before anything changed. Running into a full disk instead would cost it its files: a failed
//! write is final.

use std::path::Path;

use crate::compaction::want::window_min;
use crate::io::Fs;
use crate::mask::files::MASKS;
use crate::store::{CACHE, LOG, SCRATCH, SEGMENTS, Shared};
use crate::writer::Writer;
use crate::{Error, Options, Result};

/// Edits of the manifest, file names, and the ends of blocks.
const SLACK_BYTES: u64 = 64 << 10;
/// Bytes of an event in the log beside its own.
const EVENT_OVERHEAD: usize = 64;
/// Of that, an effect may take so many.
const EFFECT_OVERHEAD: usize = 8;
/// Fixed parts of a segment file.
const SEGMENT_BYTES: u64 = 64 << 10;

/// What bounds the bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskLimit {
    /// The most bytes that the data directory may take.
    Directory(u64),
    /// The bytes that are to stay free on the file system.
    Reserve(u64),
}

impl std::fmt::Display for DiskLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(bytes) => write!(
                f,
                "the data directory may take {} (raise the disk limit, or shorten the log window)",
                Size(*bytes)
            ),
            Self::Reserve(bytes) => write!(
                f,
                "{} are to stay free on the file system (free some space there, or lower the reserve)",
                Size(*bytes)
            ),
        }
    }
}

/// The room on disk, and what bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskRoom {
    /// What all files of the data directory take.
    pub used_bytes: u64,
    /// What the file system has left. `None` where it does not tell.
    pub free_bytes: Option<u64>,
    /// What the data directory may take.
    pub limit_bytes: Option<u64>,
    /// What is to stay free on the file system.
    pub reserve_bytes: u64,
    /// What may still be written. `None` where nothing tells of a bound.
    pub left_bytes: Option<u64>,
}

/// Why events wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// There is too little room on disk.
    Room,
    /// An event may be of what only a damaged segment knows.
    Repair,
}

/// A number of bytes for people.
pub(crate) struct Size(pub(crate) u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => {
                write!(f, "{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
            }
            bytes if bytes >= 1 << 20 => {
                write!(f, "{:.1} MiB", bytes as f64 / (1_u64 << 20) as f64)
            }
            bytes => write!(f, "{:.1} KiB", bytes as f64 / 1024.0),
        }
    }
}

impl Options {
    /// The least bytes of [`disk_limit`](Self::disk_limit): a batch of the log with what it adds to a segment, the
    /// fixed parts of that, and the manifest. With less nothing could be written at all.
    #[must_use]
    pub fn disk_limit_min(&self) -> u64 {
        let batch = self.commit_bytes as u64;
        log_need(self.commit_bytes) + 3 * batch + SEGMENT_BYTES + 2 * SLACK_BYTES
    }

    /// That the disk limit lets anything be written.
    ///
    /// # Errors
    /// [`Error::Config`], with the least that would.
    pub(crate) fn check_disk_limit(&self) -> Result<()> {
        let least = self.disk_limit_min();
        match self.disk_limit {
            Some(limit) if limit < least => Err(Error::Config(format!(
                "a disk limit of {} is too small for anything to be written; the least is {}",
                Size(limit),
                Size(least.next_multiple_of(1 << 20))
            ))),
            _ => Ok(()),
        }
    }
}

/// How much may still be written, and what bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) limit: DiskLimit,
}

impl DiskRoom {
    /// The room of the data directory `dir`.
    pub(crate) fn of(fs: &dyn Fs, dir: &Path, options: &Options) -> Self {
        let used_bytes = used_bytes(fs, dir);
        let free_bytes = fs.free_bytes(dir).ok();
        let below_limit = options
            .disk_limit
            .map(|limit| limit.saturating_sub(used_bytes));
        let above_reserve = free_bytes.map(|free| free.saturating_sub(options.disk_reserve));
        Self {
            used_bytes,
            free_bytes,
            limit_bytes: options.disk_limit,
            reserve_bytes: options.disk_reserve,
            left_bytes: below_limit.into_iter().chain(above_reserve).min(),
        }
    }
}

impl Room {
    /// The room left in the data directory `dir`. Where the system does not tell, there is room: a write
    /// will tell then.
    pub(crate) fn of(fs: &dyn Fs, dir: &Path, options: &Options) -> Self {
        let mut room = Self {
            bytes: free_bytes(fs, dir).saturating_sub(options.disk_reserve),
            limit: DiskLimit::Reserve(options.disk_reserve),
        };
        if let Some(limit) = options.disk_limit {
            let left = limit.saturating_sub(used_bytes(fs, dir));
            if left < room.bytes {
                room = Self {
                    bytes: left,
                    limit: DiskLimit::Directory(limit),
                };
            }
        }
        room
    }

    /// Whether `need` bytes fit.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub(crate) fn check(self, need: u64) -> Result<()> {
        if need <= self.bytes {
            return Ok(());
        }
        Err(Error::DiskFull {
            need,
            free: self.bytes,
            limit: self.limit,
        })
    }
}

/// What the file system of `dir` has left.
fn free_bytes(fs: &dyn Fs, dir: &Path) -> u64 {
    fs.free_bytes(dir).unwrap_or_else(|error| {
        tracing::debug!(%error, dir = %dir.display(), "the free space is not known");
        u64::MAX
    })
}

/// The lengths of all files of a data directory.
pub(crate) fn used_bytes(fs: &dyn Fs, dir: &Path) -> u64 {
    let below = [SEGMENTS, LOG, MASKS, SCRATCH, CACHE].map(|name| dir.join(name));
    let dirs = std::iter::once(dir).chain(below.iter().map(|dir| &**dir));
    dirs.filter_map(|dir| fs.list(dir).ok())
        .flatten()
        .map(|file| file.bytes)
        .sum()
}

impl Writer {
    /// Before an event that takes `bytes`: makes sure that it fits on disk, and the seal after it too, and
    /// does what had to wait for room. Where it does not, what was accepted is sealed early, if that fits.
    ///
    /// # Errors
    /// [`Error::DiskFull`], after which nothing has changed; otherwise as [`Writer::seal`].
    pub(crate) fn prepare(&mut self, bytes: usize) -> Result<()> {
        self.adopt_damage()?;
        self.check_sure()?;
        if self.must_seal {
            self.seal()?;
        }
        // Whoever applies a large batch without a tick must not outgrow a frame. The cursor is still that
        // of the batch before.
        if self.journal.batch_is_full() {
            self.commit()?;
        }
        let batch = self.journal.batch_bytes() + bytes + EVENT_OVERHEAD;
        if batch <= self.granted_bytes {
            return Ok(());
        }
        let grant = batch.max(self.shared.options.commit_bytes);
        match self.find_room(self.need_of(grant)) {
            // Sealed, it takes less than was kept free for it, and its part of the log can give way.
            Err(Error::DiskFull {
                limit: DiskLimit::Directory(_),
                ..
            }) if self.events > 0 => {
                self.seal()?;
                self.find_room(self.need_of(grant))?;
            }
            done => done?,
        }
        self.granted_bytes = grant;
        Ok(())
    }

    /// The most that is written for events that take `grant` bytes, and by the seal after them.
    fn need_of(&self, grant: usize) -> u64 {
        // About what the events add to a segment; the seal asks again for what it takes in truth.
        log_need(grant) + self.seal_need() + 3 * grant as u64
    }

    /// Before an event is accepted whose effect takes `effect` bytes and itself `bytes`: whether its effect fits on disk
    /// too. The event itself does, and waits for no effect: below a small limit it could wait for ever.
    ///
    /// # Errors
    /// A failure of the trimming, which poisons the writer.
    pub(crate) fn has_room_for_effect(&mut self, bytes: usize, effect: usize) -> Result<bool> {
        if effect <= EFFECT_OVERHEAD {
            return Ok(true);
        }
        let batch = self.journal.batch_bytes() + bytes + EVENT_OVERHEAD;
        let whole = batch + effect;
        if whole <= self.granted_bytes {
            return Ok(true);
        }
        // Of the effect a segment takes nothing.
        let segment = 3 * batch.max(self.granted_bytes) as u64;
        let fits = self.make_room(log_need(whole) + self.seal_need() + segment)?;
        if fits.is_ok() {
            self.granted_bytes = whole;
        }
        Ok(fits.is_ok())
    }

    /// Makes sure that `need` bytes fit, and pauses or goes on accordingly.
    ///
    /// # Errors
    /// [`Error::DiskFull`]; otherwise as [`make_room`](Self::make_room).
    pub(crate) fn find_room(&mut self, need: u64) -> Result<()> {
        let fits = self.make_room(need)?;
        // The log grows until the seal about as much as the seal takes.
        let compaction = &self.shared.compaction;
        compaction.keep_free(match &fits {
            Ok(()) => compaction.keeps_free().max(need.saturating_mul(2)),
            Err(_) => 0,
        });
        self.pause_unless(fits)
    }

    /// Tells whether `need` bytes fit. The cache gives way first. Where the directory's own limit
    /// is in the way, the room that a merge takes in passing is had back, then the log's window gives way. A merge
    /// that found no room before comes first: for it the window gives way down to its least size.
    ///
    /// # Errors
    /// A failure of the trimming, which poisons the writer.
    fn make_room(&mut self, need: u64) -> Result<Result<()>> {
        let mut room = self.room();
        // The cache first, whatever bounds the room: it is the only thing that costs nothing but fetching again.
        if room.bytes < need && self.shared.cache_gives_way(need - room.bytes) {
            room = self.room();
        }
        let is_short =
            |room: &Room| room.bytes < need && matches!(room.limit, DiskLimit::Directory(_));
        if let (true, DiskLimit::Directory(limit)) = (is_short(&room), room.limit)
            && self.shared.compaction.want().bytes().is_some()
        {
            let short = need - room.bytes + SLACK_BYTES;
            let trimmed = self.journal.give_up_window_above(short, window_min(limit));
            if self.poison_on_error(trimmed)? {
                self.note_durable();
                room = self.room();
            }
        }
        // What a merge takes comes back by itself; what is trimmed of the window does not. Without a window
        // a merge is what may end the pause.
        let compaction = &self.shared.compaction;
        if is_short(&room) && self.journal.has_window() && compaction.give_way(&self.shared) {
            room = self.room();
        }
        if is_short(&room) {
            // The trimming itself takes some room in the manifest.
            let short = need - room.bytes + SLACK_BYTES;
            let trimmed = self.journal.give_up_window(short);
            if self.poison_on_error(trimmed)? {
                self.note_durable();
                room = self.room();
            }
        }
        self.journal.reserve_ahead(room.bytes.saturating_sub(need));
        Ok(room.check(need))
    }

    /// After a seal: where a merge found no room below the directory's limit, gives up of the log's window what it
    /// needs, if that leaves the window its least size. See `compaction/want.rs`.
    ///
    /// # Errors
    /// A failure of the trimming; the writer is then to be poisoned.
    pub(crate) fn give_window_to_merge(&mut self) -> Result<()> {
        let compaction = &self.shared.compaction;
        let Some(wanted) = compaction.want().bytes().filter(|bytes| *bytes > 0) else {
            return Ok(());
        };
        let need = wanted
            .saturating_add(compaction.left_by_merges())
            .saturating_add(SLACK_BYTES);
        let mut room = self.room();
        if give_all_or_none(&self.shared, room.bytes, need) {
            room = self.room();
        }
        let is_there = match room.limit {
            _ if room.bytes >= need => true,
            DiskLimit::Directory(limit) => self
                .journal
                .give_up_window_above(need - room.bytes, window_min(limit))?,
            DiskLimit::Reserve(_) => false,
        };
        if is_there {
            self.shared.compaction.tell_of_room();
        }
        Ok(())
    }

    /// Whether writing waits for room.
    pub(crate) fn is_paused(&self) -> bool {
        self.shared.durable.lock().paused.is_some()
    }

    fn room(&self) -> Room {
        Room::of(&*self.shared.fs, &self.shared.dir, &self.shared.options)
    }

    /// Makes sure that what was accepted can be made durable; for that the reserve is there.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub(crate) fn find_room_to_commit(&mut self) -> Result<()> {
        let need = log_need(self.journal.batch_bytes()) + self.journal.manifest_need();
        let bytes = free_bytes(&*self.shared.fs, &self.shared.dir);
        let limit = DiskLimit::Reserve(0);
        match (Room { bytes, limit }).check(need) {
            Ok(()) => Ok(()),
            full => self.pause_unless(full),
        }
    }

    /// The most that a seal writes beside the log.
    pub(crate) fn seal_need(&self) -> u64 {
        // An event leaves an entry in the key index and a passed key.
        let keys = (64 + 16) * u64::from(self.events);
        let changes = 16 * self.kills.len() as u64 + 64 * self.states.touched_len() as u64;
        self.generation.memtable.segment_bytes_max()
            + SEGMENT_BYTES
            + keys
            + changes
            + self.journal.manifest_need()
    }

    /// Tells the store whether writing is paused.
    fn pause_unless(&self, room: Result<()>) -> Result<()> {
        let paused = room.as_ref().err().map(ToString::to_string);
        let mut durable = self.shared.durable.lock();
        if durable.paused != paused {
            durable.paused = paused;
        }
        drop(durable);
        room
    }
}

/// Where `need` bytes do not fit into `room`, makes room out of the cache, if that is enough. Tells whether it did.
pub(crate) fn give_all_or_none(shared: &Shared, room: u64, need: u64) -> bool {
    need > room && need - room <= shared.cache_bytes() && shared.cache_gives_way(need - room)
}

/// What a batch of `bytes` may take in the log: compression can make it longer by little.
pub(crate) fn log_need(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes + bytes / 64 + SLACK_BYTES
}

#[cfg(test)]
mod tests;
