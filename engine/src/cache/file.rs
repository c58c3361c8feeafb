//! One file of values. While it is written its index is a map on the heap; once it is full and synced its index is a
//! file beside it, mapped and read in place. Values are read by plain reads, so that a bad disk is an error.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_formats::cache::index::{self, CacheIndex, IndexEntry, IndexHeader};
use orrery_formats::cache::{
    self, ENTRY_BYTES_MAX, ENTRY_BYTES_MIN, FILE_HEADER_BYTES, FileHeader, Place, Read,
};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::io::File;
use crate::io::fs::read_exact_at;
use crate::log::keys::Fingerprints;
use crate::store::CACHE;
use crate::{Error, Result};

const VALUES_SUFFIX: &str = ".values";
const INDEX_SUFFIX: &str = ".index";

/// The name of a file of values.
pub(crate) fn values_name(number: u64) -> String {
    format!("{number:016x}{VALUES_SUFFIX}")
}

/// The name of the index beside it.
pub(crate) fn index_name(number: u64) -> String {
    format!("{number:016x}{INDEX_SUFFIX}")
}

/// The number in the name of a file, and whether it is one of values; else it is an index.
pub(crate) fn parse_name(name: &str) -> Option<(u64, bool)> {
    let stem = name
        .strip_suffix(VALUES_SUFFIX)
        .or_else(|| name.strip_suffix(INDEX_SUFFIX))?;
    let number = u64::from_str_radix(stem, 16).ok()?;
    let is_values = values_name(number) == name;
    (is_values || index_name(number) == name).then_some((number, is_values))
}

/// The index of a file that is not closed.
#[derive(Debug)]
pub(super) struct Open {
    places: HashMap<u64, Place, BuildHasherDefault<Fingerprints>>,
    /// Where the next entry goes.
    pub(super) end: u64,
    pub(super) last_checksum: u64,
    pub(super) max_as_of_seq: u64,
    /// Whether nothing is appended any more, and the file is to be closed.
    pub(super) is_full: bool,
}

impl Open {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            places: HashMap::default(),
            end: FILE_HEADER_BYTES as u64,
            last_checksum: seed,
            max_as_of_seq: 0,
            is_full: false,
        }
    }

    /// The entry at `place`, which is at the end, joins.
    pub(super) fn push(&mut self, fingerprint: u64, place: Place, checksum: u64, as_of_seq: u64) {
        self.places.insert(fingerprint, place);
        self.end = place.offset() + u64::from(place.bytes);
        self.last_checksum = checksum;
        self.max_as_of_seq = self.max_as_of_seq.max(as_of_seq);
    }

    /// Keys of the file, with one that may be new.
    pub(super) fn count_with_one(&self) -> usize {
        self.places.len() + 1
    }

    /// Bytes on disk, of the index too that the file will have.
    fn bytes(&self) -> u64 {
        self.end + index::file_bytes(self.places.len())
    }

    /// The same with one more entry, of `bytes`.
    pub(super) fn bytes_with(&self, bytes: u64) -> u64 {
        self.end + bytes + index::file_bytes(self.count_with_one())
    }

    /// The bytes of the file's index.
    pub(super) fn index(&self, header: FileHeader) -> Result<Vec<u8>> {
        let entries = self.places.iter();
        let entries = entries.map(|(fingerprint, place)| IndexEntry {
            fingerprint: *fingerprint,
            place: *place,
        });
        let of = IndexHeader {
            directory_id: header.directory_id,
            number: header.number,
            values_bytes: self.end,
            last_checksum: self.last_checksum,
            max_as_of_seq: self.max_as_of_seq,
        };
        Ok(index::build(&of, entries.collect())?)
    }
}

#[derive(Debug)]
enum Index {
    Open(RwLock<Open>),
    Closed(CacheIndex),
}

/// One bit for many keys each: which of them were asked for since the file was opened.
#[derive(Debug)]
struct Marks(Box<[AtomicU64]>);

impl Marks {
    /// Words of the bits: 16 KiB, for files of up to 229,376 keys.
    const WORDS: usize = 2_048;

    fn new() -> Self {
        Self((0..Self::WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, fingerprint: u64) -> Option<(&AtomicU64, u64)> {
        // The upper bits of a fingerprint tell buckets apart.
        let bit = fingerprint as usize % (Self::WORDS * 64);
        Some((self.0.get(bit / 64)?, 1 << (bit % 64)))
    }

    fn set(&self, fingerprint: u64) {
        if let Some((word, bit)) = self.word(fingerprint)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn has(&self, fingerprint: u64) -> bool {
        self.word(fingerprint)
            .is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

/// One file of values.
#[derive(Debug)]
pub(super) struct CacheFile {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) file: Arc<dyn File>,
    index: Index,
    marks: Arc<Marks>,
    /// Bytes on disk, of the index too; of one that is not closed, that which it will have.
    bytes: AtomicU64,
}

impl CacheFile {
    /// A file that is not closed, of which `open` tells what is in it.
    pub(super) fn open(header: FileHeader, file: Arc<dyn File>, open: Open) -> Self {
        let bytes = open.bytes();
        Self {
            number: header.number,
            seed: header.seed(),
            file,
            index: Index::Open(RwLock::new(open)),
            marks: Arc::new(Marks::new()),
            bytes: AtomicU64::new(bytes),
        }
    }

    /// A file with its index.
    pub(super) fn closed(header: FileHeader, file: Arc<dyn File>, index: CacheIndex) -> Self {
        let bytes = index.header().values_bytes + index.file_bytes();
        Self {
            number: header.number,
            seed: header.seed(),
            file,
            index: Index::Closed(index),
            marks: Arc::new(Marks::new()),
            bytes: AtomicU64::new(bytes),
        }
    }

    /// The same file, closed.
    pub(super) fn with_index(&self, index: CacheIndex) -> Self {
        let bytes = index.header().values_bytes + index.file_bytes();
        Self {
            number: self.number,
            seed: self.seed,
            file: Arc::clone(&self.file),
            index: Index::Closed(index),
            marks: Arc::clone(&self.marks),
            bytes: AtomicU64::new(bytes),
        }
    }

    /// Bytes on disk, at most.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What is in a file that is not closed.
    pub(super) fn unclosed(&self) -> Option<RwLockReadGuard<'_, Open>> {
        match &self.index {
            Index::Open(open) => Some(open.read()),
            Index::Closed(_) => None,
        }
    }

    /// Changes what is known to be in a file that is not closed.
    pub(super) fn change(&self, change: impl FnOnce(&mut Open)) {
        if let Index::Open(open) = &self.index {
            let mut open = open.write();
            change(&mut open);
            self.bytes.store(open.bytes(), Ordering::Relaxed);
        }
    }

    /// Whether nothing is appended any more and the file is not closed.
    pub(super) fn is_to_be_closed(&self) -> bool {
        self.unclosed().is_some_and(|open| open.is_full)
    }

    /// The newest entry of a fingerprint in this file.
    pub(super) fn find(&self, fingerprint: u64) -> Result<Option<Place>> {
        match &self.index {
            Index::Open(open) => Ok(open.read().places.get(&fingerprint).copied()),
            Index::Closed(index) => Ok(index.find(fingerprint)?),
        }
    }

    /// Calls `each` with the fingerprints of a closed file that were asked for, until it gives `false`.
    pub(super) fn each_marked(&self, each: &mut dyn FnMut(u64) -> bool) {
        let Index::Closed(index) = &self.index else {
            return;
        };
        // What stands in damaged chunks is left out.
        for entry in index.entries().flatten() {
            if self.marks.has(entry.fingerprint) && !each(entry.fingerprint) {
                return;
            }
        }
    }

    /// A key was asked for.
    pub(super) fn touch(&self, fingerprint: u64) {
        self.marks.set(fingerprint);
    }

    /// Reads the entry at `place` into `buffer`.
    ///
    /// # Errors
    /// [`Error::Format`] where it is damaged, [`Error::Io`].
    pub(super) fn read<'a>(&self, place: Place, buffer: &'a mut Vec<u8>) -> Result<Read<'a>> {
        let name = || values_name(self.number);
        let bytes = place.bytes as usize;
        if !(ENTRY_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&bytes) {
            return Err(self.cut(place.offset(), bytes).into());
        }
        buffer.clear();
        buffer.resize(bytes, 0);
        let path = Path::new(CACHE).join(name());
        let is_whole = read_exact_at(&*self.file, place.offset(), buffer);
        if !is_whole.map_err(Error::io("read", &path))? {
            return Err(self.cut(place.offset(), bytes).into());
        }
        let read = cache::decode(buffer, self.seed, place.offset());
        Ok(read.map_err(|error| error.in_file(&name()))?)
    }

    #[cold]
    fn cut(&self, offset: u64, bytes: usize) -> orrery_formats::Error {
        let expected = format!("an entry of {bytes} bytes");
        orrery_formats::Error::corrupt("cache entry", offset, expected, "another")
            .in_file(&values_name(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_in_no_other_form() {
        assert_eq!(values_name(0x2a), "000000000000002a.values");
        for number in [0, 1, u64::MAX] {
            assert_eq!(parse_name(&values_name(number)), Some((number, true)));
            assert_eq!(parse_name(&index_name(number)), Some((number, false)));
        }
        for name in [
            "",
            ".values",
            "2a.values",
            "000000000000002A.values",
            "000000000000002a.values.tmp",
            "0000000000000002a.index",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
