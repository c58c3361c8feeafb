//! Appends events to the log. Events collect in an open batch; a commit compresses it, writes it as one
//! frame and syncs the file. Only then are they durable. When to commit is the caller's decision, for
//! which [`LogWriter::should_commit`] has the policy.
//!
//! Durability order: a new file's header and first frame are written together, the file is synced, then
//! its directory; each further frame is written only after the frame before it was synced. So at most the
//! last frame of the last file can be torn or missing after a crash.

use super::{LogFile, Position, log_name};
use crate::error::{Error, Result};
use crate::io::{File, Fs};
use orrery_formats::effect::Effect;
use orrery_formats::event::Event;
use orrery_formats::frame::{FILE_HEADER_BYTES, FileHeader, FrameBuilder, SourceCursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most room for a batch that is made ready.
const ROOM_MAX: usize = 16 << 20;

/// When to commit, and how much room to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// An event waits at most this long for its commit.
    pub commit_interval: Duration,
    /// A batch is committed when its events take this many bytes, before compression.
    pub commit_bytes: usize,
    /// How far ahead of its end a file has room reserved on disk.
    pub preallocate_bytes: u64,
}

impl Default for LogOptions {
    /// 5 s and 4 MiB: each sync costs the life of a flash cell, and a source repeats a lost second.
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(5),
            commit_bytes: 4 << 20,
            preallocate_bytes: 8 << 20,
        }
    }
}

/// An event in the open batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its seq.
    pub seq: u64,
    /// Where it stands once it is committed.
    pub position: Position,
}

/// The writer of the log.
#[derive(Debug)]
pub struct LogWriter {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    directory_id: [u8; 16],
    options: LogOptions,
    batch: FrameBuilder,
    batch_since: Option<Instant>,
    /// Encoded bytes of the frame that is being written; kept for its capacity.
    out: Vec<u8>,
    active: Option<Active>,
    next_seq: u64,
    durable_seq: u64,
    poisoned: Option<String>,
}

/// The file that is being written.
#[derive(Debug)]
struct Active {
    file: Box<dyn File>,
    path: PathBuf,
    first_seq: u64,
    first_time_us: u64,
    seed: u64,
    /// Where the next frame goes; what is before is durable.
    offset: u64,
    reserved: u64,
}

impl LogWriter {
    /// A writer whose first event gets `next_seq`, in a new file of `dir` that the first commit makes.
    ///
    /// # Errors
    /// [`Error::Config`] for seq 0 or where the compressor's memory cannot be had.
    pub fn new(
        fs: Arc<dyn Fs>,
        dir: &Path,
        directory_id: [u8; 16],
        next_seq: u64,
        options: LogOptions,
    ) -> Result<Self> {
        if next_seq == 0 {
            return Err(Error::Config(
                "the first seq of a log is 1, not 0".to_owned(),
            ));
        }
        // What comes until somebody asks whether it is due takes some room more. None of it is memory before it is used.
        let room = options
            .commit_bytes
            .saturating_add(options.commit_bytes / 8);
        let batch = FrameBuilder::with_room(room.min(ROOM_MAX))
            .map_err(|error| Error::Config(format!("the log's compressor: {error}")))?;
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            directory_id,
            options,
            batch,
            batch_since: None,
            out: Vec::new(),
            active: None,
            next_seq,
            durable_seq: next_seq - 1,
            poisoned: None,
        })
    }

    /// Adds an event to the open batch, without an effect.
    ///
    /// # Errors
    /// As [`append_with_effect`](Self::append_with_effect).
    pub fn append(&mut self, event: &Event<'_>) -> Result<Appended> {
        self.append_with_effect(event, &Effect::Unknown)
    }

    /// Adds an event with what it undid to the open batch. Allocates nothing once the buffers have grown; does no I/O.
    ///
    /// # Errors
    /// [`Error::Format`] for an event or a batch too large for a frame, which changes nothing;
    /// [`Error::Poisoned`] after a failed commit.
    pub fn append_with_effect(
        &mut self,
        event: &Event<'_>,
        effect: &Effect<'_>,
    ) -> Result<Appended> {
        self.check()?;
        let ordinal = self.batch.push_with_effect(event, effect)?;
        if ordinal == 0 {
            self.batch_since = Some(Instant::now());
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let (file, frame) = match &self.active {
            Some(active) => (active.first_seq, active.offset),
            None => (seq - u64::from(ordinal), FILE_HEADER_BYTES as u64),
        };
        Ok(Appended {
            seq,
            position: Position {
                file,
                frame,
                ordinal,
            },
        })
    }

    /// Bytes of the events in the open batch, before compression.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.batch.raw_bytes()
    }

    /// The encoded bytes of the event appended last, and the time from which they tell its time; no bytes where the open
    /// batch is empty.
    #[must_use]
    pub fn last_event(&self) -> (&[u8], u64) {
        self.batch.last_event()
    }

    /// The first seq of the file being written, if it holds any.
    #[must_use]
    pub fn first_seq(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.first_seq)
    }

    /// Number of events in the open batch.
    #[must_use]
    pub const fn batch_events(&self) -> u32 {
        self.batch.event_count()
    }

    /// Whether the open batch is due.
    #[must_use]
    pub fn should_commit(&self, now: Instant) -> bool {
        self.batch_bytes() >= self.options.commit_bytes
            || self.batch_since.is_some_and(|since| {
                now.saturating_duration_since(since) >= self.options.commit_interval
            })
    }

    /// Changes how far ahead of its end a file has room reserved.
    pub fn set_preallocate(&mut self, bytes: u64) {
        self.options.preallocate_bytes = bytes;
    }

    /// The seq that the next event gets.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Lets the next event get `seq`, which is not below the next one, in a new file.
    ///
    /// # Errors
    /// [`Error::Config`] with events in the open batch or in the file being written: see
    /// [`LogWriter::rotate`].
    pub(crate) fn skip_to(&mut self, seq: u64) -> Result<()> {
        if self.batch.event_count() > 0 || self.active.is_some() || seq < self.next_seq {
            return Err(Error::Config(format!(
                "the log cannot go on with seq {seq} behind {}",
                self.next_seq
            )));
        }
        self.next_seq = seq;
        self.durable_seq = seq - 1;
        Ok(())
    }

    /// Every event up to this seq is durable; the writer's first seq less one if none is.
    #[must_use]
    pub const fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// The time of the first event in the file being written, if it holds any.
    #[must_use]
    pub fn first_time_us(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.first_time_us)
    }

    /// Bytes of the file being written.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.offset)
    }

    /// Why nothing is written any more, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Makes the open batch durable together with `cursor`, the place in the source behind its last
    /// event. Without events it does nothing: a cursor has no place of its own in the log.
    ///
    /// # Errors
    /// [`Error::Format`] for a cursor too large, which changes nothing. [`Error::Io`] if anything fails
    /// on disk; the writer is then poisoned, its open batch lost, and every later call fails with
    /// [`Error::Poisoned`]: after a failed sync nobody knows what the disk holds, and a second sync would
    /// only pretend.
    pub fn commit(&mut self, cursor: Option<&SourceCursor>) -> Result<()> {
        self.check()?;
        if self.batch.event_count() == 0 {
            return Ok(());
        }
        let first_seq = self.durable_seq + 1;
        let first_time_us = self.batch.first_time_us();
        self.out.clear();
        let (seed, offset) = match &self.active {
            Some(active) => (active.seed, active.offset),
            None => {
                let header = FileHeader {
                    first_seq,
                    directory_id: self.directory_id,
                };
                self.out.extend_from_slice(&header.encode());
                (header.seed(), FILE_HEADER_BYTES as u64)
            }
        };
        self.batch
            .finish(first_seq, cursor, seed, offset, &mut self.out)?;
        self.batch_since = None;
        let written = match &mut self.active {
            Some(active) => active.extend(&self.out, self.options.preallocate_bytes),
            None => self.begin_file(first_seq, first_time_us, seed),
        };
        self.poison_on_error(written)?;
        self.durable_seq = self.next_seq - 1;
        Ok(())
    }

    /// Closes the file being written, after committing the open batch, and tells what it holds; `None`
    /// if no event was written since the last rotation. The next commit makes a new file.
    ///
    /// # Errors
    /// As [`LogWriter::commit`].
    pub fn rotate(&mut self, cursor: Option<&SourceCursor>) -> Result<Option<LogFile>> {
        self.commit(cursor)?;
        let Some(active) = self.active.take() else {
            return Ok(None);
        };
        let closed = active
            .file
            .truncate(active.offset)
            .map_err(Error::io("release reserved space of", &active.path))
            .and_then(|()| {
                active
                    .file
                    .sync_all()
                    .map_err(Error::io("sync", &active.path))
            });
        self.poison_on_error(closed)?;
        Ok(Some(LogFile {
            first_seq: active.first_seq,
            last_seq: self.next_seq - 1,
            bytes: active.offset,
            first_time_us: Some(active.first_time_us),
        }))
    }

    fn begin_file(&mut self, first_seq: u64, first_time_us: u64, seed: u64) -> Result<()> {
        let path = self.dir.join(log_name(first_seq));
        let file = self.fs.create(&path).map_err(Error::io("create", &path))?;
        let mut active = Active {
            file,
            path,
            first_seq,
            first_time_us,
            seed,
            offset: 0,
            reserved: 0,
        };
        active.write(&self.out, self.options.preallocate_bytes)?;
        active
            .file
            .sync_all()
            .map_err(Error::io("sync", &active.path))?;
        self.fs
            .sync_dir(&self.dir)
            .map_err(Error::io("sync directory", &self.dir))?;
        active.offset = self.out.len() as u64;
        self.active = Some(active);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        match &self.poisoned {
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    fn poison_on_error(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            tracing::error!(%error, "the log cannot be written; the writer stops");
            self.poisoned = Some(error.to_string());
        }
        result
    }
}

impl Active {
    fn extend(&mut self, bytes: &[u8], reserve: u64) -> Result<()> {
        self.write(bytes, reserve)?;
        self.file
            .sync_data()
            .map_err(Error::io("sync", &self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], reserve: u64) -> Result<()> {
        let end = self.offset + bytes.len() as u64;
        if end > self.reserved && reserve > 0 {
            self.reserved = end + reserve;
            // Reserved room keeps the file in one piece and spares the syncs to come some metadata. Where
            // it cannot be had, the write itself says whether there is room for the events.
            if let Err(error) = self.file.preallocate(self.reserved) {
                tracing::debug!(%error, path = %self.path.display(), "no room reserved");
            }
        }
        self.file
            .write_at(self.offset, bytes)
            .map_err(Error::io("write", &self.path))
    }
}
