//! The files of the cache, newest first. The list is replaced as a whole, so that readers walk one that stays.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use orrery_formats::cache::{Base, Content, Place};
use parking_lot::{Mutex, RwLock};

use super::Inner;
use super::file::{CacheFile, index_name, values_name};
use crate::io::Fs;
use crate::{Error, Result};

/// Files, newest first.
pub(super) type List = Arc<[Arc<CacheFile>]>;

/// The files of a cache.
#[derive(Debug)]
pub(super) struct Files {
    /// Held for the time of a pointer's copy, and while a list of at most [`Limits::files_max`](super::Limits) is made.
    list: RwLock<List>,
    /// Held while files leave, or get another form: by those who remove them, by no reader.
    leaving: Mutex<()>,
}

/// The file with the newest entry of a fingerprint, and its place there.
///
/// # Errors
/// Where an index is damaged: what older files say is not the newest then.
pub(super) fn find(files: &List, fingerprint: u64) -> Result<Option<(&CacheFile, Place)>> {
    for file in files.iter() {
        if let Some(place) = file.find(fingerprint)? {
            return Ok(Some((file, place)));
        }
    }
    Ok(None)
}

/// Reads the entry that `base` names, if it is still there and of that key, and gives its file and what it says.
///
/// # Errors
/// Where it is damaged.
pub(super) fn read_base<'a, 'b>(
    files: &'a List,
    base: &Base,
    space: u8,
    key: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Result<Option<(&'a CacheFile, Content<'b>)>> {
    let Some(file) = files.iter().find(|file| file.number == base.number) else {
        return Ok(None);
    };
    let read = file.read(base.place, buffer)?;
    let is_it =
        read.checksum == base.checksum && (read.entry.space, read.entry.key) == (space, key);
    Ok(is_it.then_some((file, read.entry.content)))
}

impl Files {
    /// Of files in any order.
    pub(super) fn new(mut files: Vec<Arc<CacheFile>>) -> Self {
        files.sort_unstable_by_key(|file| std::cmp::Reverse(file.number));
        Self {
            list: RwLock::new(files.into()),
            leaving: Mutex::new(()),
        }
    }

    /// The files of now.
    pub(super) fn snapshot(&self) -> List {
        Arc::clone(&self.list.read())
    }

    /// Bytes on disk, at most.
    pub(super) fn bytes(&self) -> u64 {
        self.snapshot().iter().map(|file| file.bytes()).sum()
    }

    /// Files that are full and not closed.
    pub(super) fn unclosed(&self) -> usize {
        // They are the newest but for the one being written; two are as bad as more.
        let list = self.snapshot();
        let newest = list.iter().take(3);
        newest.filter(|file| file.is_to_be_closed()).count()
    }

    /// Whether the newest file is that one, and may still be appended to.
    pub(super) fn is_newest(&self, file: &CacheFile) -> bool {
        let list = self.snapshot();
        list.first()
            .is_some_and(|newest| newest.number == file.number)
    }

    /// A new file, with a greater number than any other.
    pub(super) fn push(&self, file: Arc<CacheFile>) {
        let mut list = self.list.write();
        *list = std::iter::once(file).chain(list.iter().cloned()).collect();
    }

    /// Puts a closed file in the place of itself, and tells whether it was still there.
    pub(super) fn replace(&self, file: CacheFile) -> bool {
        let _leaving = self.leaving.lock();
        let mut list = self.list.write();
        let mut files = list.to_vec();
        let Some(place) = files.iter_mut().find(|known| known.number == file.number) else {
            return false;
        };
        *place = Arc::new(file);
        *list = files.into();
        true
    }

    /// Removes the oldest file, unless it is the one that is `kept`, and gives how many bytes it had; 0 where there is
    /// none. It leaves the list after its names are gone, so that no more is on disk than the list tells. Who reads it
    /// keeps it open.
    ///
    /// A crash may bring the names back: all the others are newer, and say what is so since.
    ///
    /// # Errors
    /// [`Error::Io`], and then it leaves the list too.
    pub(super) fn remove_oldest(&self, fs: &dyn Fs, dir: &Path, kept: Option<u64>) -> Result<u64> {
        let _leaving = self.leaving.lock();
        let list = self.snapshot();
        let Some(oldest) = list.last().filter(|file| Some(file.number) != kept) else {
            return Ok(0);
        };
        let removed = remove(fs, &dir.join(values_name(oldest.number)))
            .and_then(|()| remove(fs, &dir.join(index_name(oldest.number))));
        let mut now = self.list.write();
        *now = now
            .iter()
            .filter(|file| file.number != oldest.number)
            .cloned()
            .collect();
        drop(now);
        removed.map(|()| oldest.bytes())
    }
}

/// Removes a file that may not be there.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn remove(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.unlink(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

impl Inner {
    /// Removes the oldest file but for the one that is `kept`, and gives its bytes. Where that fails nothing more is
    /// written: the bound would not hold.
    pub(super) fn evict(&self, kept: Option<u64>) -> u64 {
        match self.files.remove_oldest(&*self.fs, &self.dir, kept) {
            Ok(0) => 0,
            Ok(bytes) => {
                self.counts.evicted_files.fetch_add(1, Ordering::Relaxed);
                bytes
            }
            Err(error) => {
                self.off.switch(&error);
                0
            }
        }
    }

    /// See [`ValueCache::give_way`](super::ValueCache::give_way).
    pub(super) fn give_way(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            match self.evict(None) {
                0 => break,
                gone => freed += gone,
            }
        }
        if freed > 0 {
            self.must_ask.store(true, Ordering::Relaxed);
            // A writer that is at work does it itself with its next entry.
            if let Some(mut appender) = self.appender.try_lock() {
                appender.let_go(&self.files);
            }
        }
        freed
    }
}
