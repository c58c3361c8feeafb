//! The writer. An entry goes to the end of the newest file in one write, and is found from then on. Nothing is synced
//! here. A file that is full is left to the upkeep, and a new one begun.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use orrery_formats::cache::{Entry, FILE_HEADER_BYTES, FileHeader, Place, index};

use super::Inner;
use super::file::{CacheFile, Open, values_name};
use super::files::Files;
use crate::{Error, Result};

/// What the writer knows.
#[derive(Debug, Default)]
pub(super) struct Appender {
    /// The file being written, if one is.
    active: Option<Arc<CacheFile>>,
    /// The number of the next file.
    pub(super) next_number: u64,
    /// Bytes that may be written before room on disk is asked for again.
    granted: u64,
    /// Nothing is kept before.
    paused_until: Option<Instant>,
    buffer: Vec<u8>,
}

/// What may be done for an entry that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    /// Older values go.
    Room,
    /// Nothing: it is an older value itself.
    None,
}

impl Appender {
    /// Lets go of a file that gave way to others: as long as it is open its bytes stay on disk.
    pub(super) fn let_go(&mut self, files: &Files) {
        self.active.take_if(|active| !files.is_newest(active));
    }

    /// Goes on with `active`, if that is there.
    pub(super) fn new(active: Option<Arc<CacheFile>>, next_number: u64) -> Self {
        Self {
            active,
            next_number,
            ..Self::default()
        }
    }
}

impl Inner {
    /// Appends an entry, and tells whether it is kept. Where it is not, its key has no value from here on.
    pub(super) fn append(&self, fingerprint: u64, entry: &Entry<'_>) -> bool {
        let mut appender = self.appender.lock();
        let is_kept = !self.off.is_off()
            && match self.append_to(&mut appender, fingerprint, entry, Make::Room) {
                Ok(is_kept) => is_kept,
                Err(error) => {
                    self.off.switch(&error);
                    false
                }
            };
        if !is_kept && self.off.is_off() {
            self.off.hide(fingerprint);
        }
        is_kept
    }

    /// Appends an entry if there is room or can be made. Where there is none although older values may go, there is no
    /// value left of any key.
    ///
    /// # Errors
    /// [`Error::Io`]: nothing may be written after that.
    pub(super) fn append_to(
        &self,
        appender: &mut Appender,
        fingerprint: u64,
        entry: &Entry<'_>,
        make: Make,
    ) -> Result<bool> {
        let bytes = entry.bytes();
        let Some(file) = self.file_for(appender, bytes as u64, make)? else {
            return Ok(false);
        };
        let Some((end, last_checksum)) = file.unclosed().map(|open| (open.end, open.last_checksum))
        else {
            return Err(Error::Internal("a closed cache file is written".to_owned()));
        };
        let mut buffer = std::mem::take(&mut appender.buffer);
        buffer.clear();
        let checksum = entry.encode(file.seed, end, last_checksum, &mut buffer)?;
        let Some(place) = Place::new(end, buffer.len()) else {
            return Err(Error::Internal(format!("a cache file of {end} bytes")));
        };
        let path = self.values_path(file.number);
        file.file
            .write_at(end, &buffer)
            .map_err(Error::io("write", &path))?;
        file.change(|open| open.push(fingerprint, place, checksum, entry.as_of_seq));
        appender.granted = appender.granted.saturating_sub(bytes as u64);
        // A long value leaves a long buffer.
        if buffer.capacity() <= BUFFER_BYTES {
            appender.buffer = buffer;
        }
        let appended = &self.counts.appended_bytes;
        appended.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// A file that an entry of `bytes` fits into, with the room for it on disk.
    fn file_for(
        &self,
        appender: &mut Appender,
        bytes: u64,
        make: Make,
    ) -> Result<Option<Arc<CacheFile>>> {
        if appender
            .paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(None);
        }
        appender.paused_until = None;
        appender.let_go(&self.files);
        let is_full = |active: &Arc<CacheFile>| {
            active.unclosed().is_none_or(|open| {
                open.bytes_with(bytes) > self.limits.file_bytes
                    || open.count_with_one() > self.limits.entries_max
            })
        };
        if let Some(full) = appender.active.take_if(|active| is_full(active)) {
            full.change(|open| open.is_full = true);
            self.tell_due();
        }
        let more = match &appender.active {
            Some(active) => active.unclosed().map_or(0, |open| {
                open.bytes_with(bytes).saturating_sub(active.bytes())
            }),
            None => FILE_HEADER_BYTES as u64 + bytes + index::file_bytes(1),
        };
        if !self.find_room(appender, more, make)? {
            return Ok(None);
        }
        if appender.active.is_none() {
            appender.active = Some(self.create(appender)?);
        }
        Ok(appender.active.clone())
    }

    /// Makes sure that there is room for `more` bytes: below the cache's own bound, and on disk.
    fn find_room(&self, appender: &mut Appender, more: u64, make: Make) -> Result<bool> {
        loop {
            let active = appender.active.as_ref().map(|active| active.number);
            let is_new = active.is_none();
            let too_many = is_new && self.files.snapshot().len() >= self.limits.files_max;
            let fits = self.files.bytes() + more <= self.limits.most_bytes;
            if fits && !too_many && self.is_granted(appender, more) {
                return Ok(true);
            }
            if make == Make::None {
                return Ok(false);
            }
            let freed = self.evict(active);
            if self.off.is_off() {
                return Ok(false);
            }
            if freed == 0 {
                return Ok(self.give_up(appender));
            }
        }
    }

    /// Whether the disk has room for `more` bytes. It is asked every so many bytes only.
    fn is_granted(&self, appender: &mut Appender, more: u64) -> bool {
        if self.must_ask.swap(false, Ordering::Relaxed) {
            appender.granted = 0;
        }
        if appender.granted < more {
            let room = (self.room)();
            appender.granted = room.min(self.limits.grant().max(more));
        }
        appender.granted >= more
    }

    /// There is no room although all other files are gone. The last goes too, so that no value is left that is out of
    /// date, and nothing is kept for a while.
    fn give_up(&self, appender: &mut Appender) -> bool {
        appender.active = None;
        if self.evict(None) > 0 {
            tracing::info!("there is no room on disk for the cache of fetched values");
        }
        appender.paused_until = Instant::now().checked_add(self.limits.pause);
        false
    }

    /// Begins a file. A crash may leave it without its name, or empty, or torn: it is removed then, or cut.
    fn create(&self, appender: &mut Appender) -> Result<Arc<CacheFile>> {
        let header = FileHeader {
            number: appender.next_number,
            directory_id: self.directory_id,
        };
        let path = self.values_path(header.number);
        let file = self.fs.create(&path).map_err(Error::io("create", &path))?;
        file.write_at(0, &header.encode())
            .map_err(Error::io("write", &path))?;
        appender.next_number += 1;
        let open = Open::new(header.seed());
        let file = Arc::new(CacheFile::open(header, Arc::from(file), open));
        self.files.push(Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn values_path(&self, number: u64) -> PathBuf {
        self.dir.join(values_name(number))
    }
}

/// A buffer that is kept for the next entry.
const BUFFER_BYTES: usize = 64 << 10;
