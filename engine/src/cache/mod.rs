//! A bounded store of byte values by space and key, in files of the directory `cache`: records and proofs fetched from
//! elsewhere, identities. It is never the truth. The directory may be deleted at any time that nothing runs, damage
//! makes values absent and nothing else, and a power cut takes the newest values.
//!
//! | file | idea |
//! | --- | --- |
//! | `limits.rs` | how much it may take, and of what |
//! | `file.rs` | one file: its index, on the heap while it is written and mapped once it is closed, and its entries |
//! | `files.rs` | the files, newest first; which file a key's newest entry is in; the oldest goes |
//! | `append.rs` | the writer: entries go to the end of the newest file |
//! | `upkeep.rs` | in the background: full files are closed, the oldest gives up what was read lately and goes |
//! | `open.rs`, `scan.rs` | what a start finds: files in order, indexes made anew, torn ends cut |
//! | `off.rs` | what holds once a write has failed |
//!
//! A key's newest entry is the truth about it: a value, or that it has none, or that the value of an older entry still
//! is good. Entries are looked for in the newest file first. Where an index or an entry is damaged, or where the
//! fingerprint is that of another key, the search ends: what an older file says of the key is not its newest.
//!
//! Files that are not closed are not synced. After a power cut such a file ends at its first bad entry, so that the newest values
//! and removals may be lost, and an older value may be back, with its older stamps, by which whoever asked for it judges.
//!
//! **Bytes written.** Each file is written once, and its index. When the oldest goes, what was read from it lately moves to
//! the newest, at most a quarter of its bytes. So of all bytes written at most a quarter were moved: values cost
//! at most 4/3 of their bytes.
//!
//! **Locks.** Readers take a lock for the copy of a pointer, and one for a look-up in the map of a file that is not
//! closed. The writer holds its own across its I/O, and no reader takes that.

mod append;
mod file;
mod files;
mod limits;
mod off;
mod open;
mod scan;
mod status;
mod upkeep;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use orrery_formats::cache::{Base, Content, Entry, KEY_BYTES_MAX, fingerprint};
use parking_lot::{Condvar, Mutex};

use crate::io::Fs;
use crate::lock::DirLock;
use append::Appender;
use files::Files;
use limits::Limits;
use off::Off;
use status::Counts;

pub(crate) use file::{index_name, parse_name, values_name};
pub use limits::CacheOptions;
pub(crate) use open::{Opening, cut, open};
pub(crate) use scan::scan;
pub use status::CacheStatus;

/// What kind of thing a key names. Keys of different spaces are different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum CacheSpace {
    /// A record, by its at-uri.
    Record = 0,
    /// The proof of a record.
    Proof = 1,
    /// What account a handle is of.
    Handle = 2,
    /// The document of an account.
    Document = 3,
}

/// A value with what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedValue {
    /// The value takes all events up to this seq into account.
    pub as_of_seq: u64,
    /// When it was last seen at its origin, in microseconds since 1970.
    pub checked_us: u64,
    /// The value.
    pub bytes: Vec<u8>,
}

/// Tells how many bytes the disk has left for the cache.
type RoomOf = dyn Fn() -> u64 + Send + Sync;

/// The cache of an open data directory. The directory stays locked as long as this is there.
pub struct ValueCache {
    inner: Arc<Inner>,
    upkeep: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for ValueCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValueCache")
            .field("dir", &self.inner.dir)
            .finish_non_exhaustive()
    }
}

/// What the cache and its thread share.
struct Inner {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    directory_id: [u8; 16],
    limits: Limits,
    hasher: Hasher,
    files: Files,
    appender: Mutex<Appender>,
    off: Off,
    counts: Counts,
    room: Arc<RoomOf>,
    /// Whether the room that was granted is not there any more.
    must_ask: AtomicBool,
    /// Held by whoever closes files and makes room. Taken before the appender.
    upkeep: Mutex<()>,
    due: Mutex<Due>,
    wake: Condvar,
    /// Whether files are closed by a thread.
    has_thread: AtomicBool,
    _lock: Option<Arc<DirLock>>,
}

#[derive(Debug, Default)]
struct Due {
    is_due: bool,
    is_over: bool,
}

/// Hashes keys with the directory's secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hasher {
    seed: u64,
    /// Of the fingerprint so many bits are kept: all, but in tests of keys that share one.
    mask: u64,
}

impl Hasher {
    /// From the secret of the data directory.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            seed: xxhash_rust::xxh3::xxh3_64(secret),
            mask: u64::MAX,
        }
    }

    /// The fingerprint of a key.
    pub(crate) fn of(self, space: u8, key: &[u8]) -> u64 {
        fingerprint(self.seed, space, key) & self.mask
    }
}

/// The newest entry of a key that has a value.
struct Found {
    as_of_seq: u64,
    checked_us: u64,
    value: Vec<u8>,
    /// The entry that the value stands in.
    base: Base,
}

/// What the newest entry of a key says.
enum Newest {
    /// It has a value.
    Value(Found),
    /// Nothing is known of it, or only that it has none any more.
    Unknown,
    /// There is an entry that gives no value, and is not the last word: it is of another key with the same
    /// fingerprint, or what it refers to is gone.
    Absent,
}

impl Inner {
    fn newest(&self, fingerprint: u64, space: u8, key: &[u8]) -> crate::Result<Newest> {
        let files = self.files.snapshot();
        let mut buffer = Vec::new();
        let Some((file, place)) = files::find(&files, fingerprint)? else {
            return Ok(Newest::Unknown);
        };
        let read = file.read(place, &mut buffer)?;
        let entry = read.entry;
        if (entry.space, entry.key) != (space, key) {
            return Ok(Newest::Absent);
        }
        file.touch(fingerprint);
        let (as_of_seq, checked_us) = (entry.as_of_seq, entry.checked_us);
        let base = match entry.content {
            Content::Removed => return Ok(Newest::Unknown),
            Content::Plain(_) | Content::Packed { .. } => {
                let value = entry.content.value()?.unwrap_or_default();
                let base = Base {
                    number: file.number,
                    checksum: read.checksum,
                    place,
                };
                return Ok(Newest::Value(Found {
                    as_of_seq,
                    checked_us,
                    value,
                    base,
                }));
            }
            Content::Refreshed(base) => base,
        };
        let mut before = Vec::new();
        let Some((file, old)) = files::read_base(&files, &base, space, key, &mut before)? else {
            return Ok(Newest::Absent);
        };
        file.touch(fingerprint);
        Ok(match old.value()? {
            Some(value) => Newest::Value(Found {
                as_of_seq,
                checked_us,
                value,
                base,
            }),
            None => Newest::Absent,
        })
    }

    /// What is damaged is not there; it is counted, and told once.
    fn note_damage(&self, error: &crate::Error) {
        if self.counts.damaged.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "a cached value cannot be read, and is taken to be absent");
        } else {
            tracing::debug!(%error, "a cached value cannot be read");
        }
    }

    /// Wakes the thread, where there is one.
    fn tell_due(&self) {
        self.due.lock().is_due = true;
        self.wake.notify_one();
    }

    /// Does what is due itself where there is no thread, or where it is behind by more than a file.
    fn catch_up(&self) {
        let has_thread = self.has_thread.load(Ordering::Relaxed);
        let is_behind = || self.files.unclosed() > 1;
        if is_behind() || (!has_thread && std::mem::take(&mut self.due.lock().is_due)) {
            self.keep_up();
        }
    }
}

impl ValueCache {
    /// The value that a key was given last, if it is still there. Reads at most two entries.
    #[must_use]
    pub fn get(&self, space: CacheSpace, key: &str) -> Option<CachedValue> {
        let inner = &*self.inner;
        let fingerprint = inner.hasher.of(space as u8, key.as_bytes());
        let found = if is_key(key) && !inner.off.hides(fingerprint) {
            match inner.newest(fingerprint, space as u8, key.as_bytes()) {
                Ok(Newest::Value(found)) => Some(found),
                Ok(Newest::Unknown | Newest::Absent) => None,
                Err(error) => {
                    inner.note_damage(&error);
                    None
                }
            }
        } else {
            None
        };
        inner.counts.asked(found.is_some());
        found.map(|found| CachedValue {
            as_of_seq: found.as_of_seq,
            checked_us: found.checked_us,
            bytes: found.value,
        })
    }

    /// Gives a key a value, and tells whether that is kept. Where it is not, the key has none from here on: never one
    /// that it had before. A value that it has already, with other stamps, costs an entry without the value.
    ///
    /// The seq must be one that is visible: where a start finds entries with a later one than the log has, they and what
    /// was written after them are gone, since that seq is given to another event.
    pub fn put(&self, space: CacheSpace, key: &str, value: &CachedValue) -> bool {
        if !is_key(key) {
            return false;
        }
        let inner = &*self.inner;
        inner.catch_up();
        let (space, key) = (space as u8, key.as_bytes());
        let fingerprint = inner.hasher.of(space, key);
        if value.bytes.len() > inner.limits.value_bytes_max {
            self.take_away(fingerprint, space, key);
            inner.counts.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let before = match inner.newest(fingerprint, space, key) {
            Ok(Newest::Value(found)) if found.value == value.bytes => Some(found),
            _ => None,
        };
        let is_same = |found: &Found| {
            (found.as_of_seq, found.checked_us) == (value.as_of_seq, value.checked_us)
        };
        if before.as_ref().is_some_and(is_same) && !inner.off.hides(fingerprint) {
            return true;
        }
        let mut buffer = Vec::new();
        let content = match before {
            Some(found) if value.bytes.len() > REFRESHED_FROM => Content::Refreshed(found.base),
            // No error: the length was looked at.
            _ => Content::of(&value.bytes, &mut buffer).unwrap_or(Content::Removed),
        };
        let entry = Entry {
            space,
            key,
            as_of_seq: value.as_of_seq,
            checked_us: value.checked_us,
            content,
        };
        let is_kept = inner.append(fingerprint, &entry);
        inner.counts.put(is_kept, &content);
        inner.catch_up();
        is_kept
    }

    /// Takes a key's value away.
    pub fn remove(&self, space: CacheSpace, key: &str) {
        if is_key(key) {
            let inner = &*self.inner;
            let (space, key) = (space as u8, key.as_bytes());
            self.take_away(inner.hasher.of(space, key), space, key);
            inner.counts.removed.fetch_add(1, Ordering::Relaxed);
            inner.catch_up();
        }
    }

    fn take_away(&self, fingerprint: u64, space: u8, key: &[u8]) {
        let inner = &*self.inner;
        // An absent one may hide behind another key whose fingerprint it has, and come out when that is damaged.
        if matches!(inner.newest(fingerprint, space, key), Ok(Newest::Unknown))
            && !inner.off.is_off()
        {
            return;
        }
        let entry = Entry {
            space,
            key,
            as_of_seq: 0,
            checked_us: 0,
            content: Content::Removed,
        };
        inner.append(fingerprint, &entry);
    }

    /// How the cache is doing.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        let inner = &*self.inner;
        let files = inner.files.snapshot();
        inner.counts.status(CacheStatus {
            most_bytes: inner.limits.most_bytes,
            bytes: inner.files.bytes(),
            files: files.len(),
            off: inner.off.why(),
            ..CacheStatus::default()
        })
    }

    /// Frees about `bytes` on disk, of the oldest values first, and gives how many were freed. Called by those who
    /// write the log and the index: it waits for no writer of the cache, and for no reader.
    pub(crate) fn give_way(&self, bytes: u64) -> u64 {
        self.inner.give_way(bytes)
    }

    /// Bytes that the cache has on disk, at most.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner.files.bytes()
    }
}

impl Drop for ValueCache {
    fn drop(&mut self) {
        self.inner.due.lock().is_over = true;
        self.inner.wake.notify_one();
        // The thread itself may be the last to hold the store, and with it this.
        let is_other =
            |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.upkeep.take().filter(is_other) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A value of no more bytes is written again where it is still good: what says so would take as many.
const REFRESHED_FROM: usize = 24;

fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}
