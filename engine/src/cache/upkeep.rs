//! What is done beside the requests that write: full files are closed, and the oldest goes, so that there is room for the next.
//!
//! Closing: (1) the values are synced; (2) the index is written and synced under a temporary name, renamed, and the
//! directory synced; (3) readers find the file with its index mapped, and the map on the heap goes. A crash before (2) is done
//! leaves a file without an index, which is read through at the next start.
//!
//! The oldest: what was asked for since the file was opened, and is still the newest of its key, is appended to the
//! newest file as anything else is, up to a quarter of the bytes that go; then the file is removed. A crash between
//! leaves it there, with nothing in it that is the newest but what was not worth moving.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use orrery_formats::cache::index::CacheIndex;
use orrery_formats::cache::{Content, Entry, FileHeader};

use super::append::{Appender, Make};
use super::file::{CacheFile, index_name};
use super::files::{self, List, remove};
use super::limits::Limits;
use super::{Inner, ValueCache};
use crate::io::fs::write_sealed;
use crate::{Error, Result};

impl Inner {
    /// Closes what is full, and makes room for a whole new file.
    pub(super) fn keep_up(&self) {
        let _upkeep = self.upkeep.lock();
        if self.off.is_off() {
            return;
        }
        let done = self.close_full().and_then(|()| self.make_room());
        if let Err(error) = done {
            self.off.switch(&error);
        }
    }

    fn close_full(&self) -> Result<()> {
        // The oldest first: what is closed behind a file that is not says nothing of that one.
        for file in self.files.snapshot().iter().rev() {
            if file.is_to_be_closed() {
                self.close(file)?;
            }
        }
        Ok(())
    }

    /// Closes a file that is full.
    ///
    /// # Errors
    /// [`Error::Io`]: nothing may be written after that.
    pub(super) fn close(&self, file: &CacheFile) -> Result<()> {
        let path = self.values_path(file.number);
        file.file.sync_data().map_err(Error::io("sync", &path))?;
        let header = FileHeader {
            number: file.number,
            directory_id: self.directory_id,
        };
        let bytes = match file.unclosed() {
            Some(open) => open.index(header)?,
            None => return Ok(()),
        };
        let name = index_name(file.number);
        let path = write_sealed(&*self.fs, &self.dir, &name, &bytes)?;
        drop(bytes);
        let mapped = self.fs.map(&path).map_err(Error::io("map", &path))?;
        mapped.advise_random();
        let index = CacheIndex::open(name, mapped)?;
        if !self.files.replace(file.with_index(index)) {
            // It gave way meanwhile.
            remove(&*self.fs, &path)?;
        }
        Ok(())
    }

    /// Removes the oldest files until there is room for a whole new one.
    fn make_room(&self) -> Result<()> {
        loop {
            let list = self.files.snapshot();
            // The newest is the one being written, or full, and then a new one is begun any moment.
            let closed: u64 = list.iter().skip(1).map(|file| file.bytes()).sum();
            let Some(oldest) = list.last().filter(|_| list.len() > 1) else {
                return Ok(());
            };
            if closed <= self.limits.closed_max() {
                return Ok(());
            }
            self.move_marked(oldest)?;
            let newest = list.first().map(|file| file.number);
            if self.evict(newest) == 0 {
                return Ok(());
            }
        }
    }

    /// Appends what was asked for in the oldest file to the newest.
    fn move_marked(&self, oldest: &CacheFile) -> Result<()> {
        let mut left = Limits::moved_max(oldest.bytes());
        let mut done = Ok(());
        oldest.each_marked(&mut |fingerprint| {
            // Taken for each entry: writers are not to wait for all of them.
            let mut appender = self.appender.lock();
            match self.move_one(&mut appender, oldest, fingerprint, &mut left) {
                Ok(goes_on) => goes_on,
                Err(error) => {
                    done = Err(error);
                    false
                }
            }
        });
        done
    }

    /// Moves the newest entry of a fingerprint if it gives a value that stands in `oldest`. Gives whether there is room
    /// for more.
    ///
    /// # Errors
    /// [`Error::Io`] of a write. What cannot be read stays behind.
    fn move_one(
        &self,
        appender: &mut Appender,
        oldest: &CacheFile,
        fingerprint: u64,
        left: &mut u64,
    ) -> Result<bool> {
        let list = self.files.snapshot();
        let (mut buffer, mut before) = (Vec::new(), Vec::new());
        let entry = match value_in(&list, oldest.number, fingerprint, &mut buffer, &mut before) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(true),
            Err(error) => {
                self.note_damage(&error);
                return Ok(true);
            }
        };
        let bytes = entry.bytes() as u64;
        let Some(rest) = left.checked_sub(bytes) else {
            return Ok(false);
        };
        if self.off.is_off() || !self.append_to(appender, fingerprint, &entry, Make::None)? {
            return Ok(false);
        }
        *left = rest;
        self.counts.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(true)
    }
}

/// The newest entry of a fingerprint, with its value, where that stands in the file of that number.
///
/// # Errors
/// Where something is damaged.
fn value_in<'a>(
    list: &List,
    number: u64,
    fingerprint: u64,
    buffer: &'a mut Vec<u8>,
    before: &'a mut Vec<u8>,
) -> Result<Option<Entry<'a>>> {
    let Some((file, place)) = files::find(list, fingerprint)? else {
        return Ok(None);
    };
    let entry = file.read(place, buffer)?.entry;
    match entry.content {
        Content::Plain(_) | Content::Packed { .. } => Ok((file.number == number).then_some(entry)),
        Content::Refreshed(base) if base.number == number => {
            let read = files::read_base(list, &base, entry.space, entry.key, before)?;
            Ok(read.map(|(_, content)| Entry { content, ..entry }))
        }
        Content::Refreshed(_) | Content::Removed => Ok(None),
    }
}

/// Runs the upkeep of `inner` whenever it is due, until the cache is dropped.
fn run(inner: &Inner) {
    loop {
        let mut due = inner.due.lock();
        while !due.is_due && !due.is_over {
            inner.wake.wait(&mut due);
        }
        if due.is_over {
            return;
        }
        due.is_due = false;
        drop(due);
        inner.keep_up();
    }
}

impl ValueCache {
    /// With a thread for the upkeep, or without one, when writers do it themselves.
    pub(super) fn new(inner: Inner, with_thread: bool) -> Self {
        let inner = Arc::new(inner);
        let of_thread = Arc::clone(&inner);
        let upkeep = with_thread.then(|| {
            std::thread::Builder::new()
                .name("cache".to_owned())
                .spawn(move || run(&of_thread))
        });
        let upkeep = upkeep.and_then(Result::ok);
        inner.has_thread.store(upkeep.is_some(), Ordering::Relaxed);
        Self { inner, upkeep }
    }
}
