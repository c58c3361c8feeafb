//! The index of a closed file of cached values (`SPEC.md`, section 10): for each key's fingerprint the newest entry in
//! the file. A sealed file, read in place; derived from its file of values, which makes it anew.

use std::ops::Deref;

use super::{ENTRY_BYTES_MAX, ENTRY_BYTES_MIN, Place};
use crate::bytes::{Reader, put_u32, put_u64};
use crate::chunks::{Region, SealedFile};
use crate::envelope::{
    CHUNK_BYTES, FileBuilder, FileKind, HEADER_BYTES as ENVELOPE_BYTES, SECTION_ENTRY_BYTES,
    TRAILER_BYTES,
};
use crate::{Error, Result};

/// The version of indexes that this code writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// Bytes of the header section.
const HEADER_BYTES: usize = 56;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 16;
/// Entries that a bucket of the directory holds on average, at most.
const BUCKET_ENTRIES: usize = 8;

mod section {
    pub(super) const HEADER: u16 = 1;
    pub(super) const DIRECTORY: u16 = 2;
    pub(super) const ENTRIES: u16 = 3;
}

/// The name of a section.
#[must_use]
pub const fn section_name(id: u16) -> &'static str {
    match id {
        section::HEADER => "header",
        section::DIRECTORY => "directory",
        section::ENTRIES => "entries",
        _ => "unknown section",
    }
}

/// What an index says of its file of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHeader {
    /// The id of the data directory.
    pub directory_id: [u8; 16],
    /// The number of the file.
    pub number: u64,
    /// The length of the file. An index whose file has another length is stale.
    pub values_bytes: u64,
    /// The checksum of the last entry.
    pub last_checksum: u64,
    /// The greatest `as_of_seq` of an entry.
    pub max_as_of_seq: u64,
}

/// The newest entry of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// [`fingerprint`](super::fingerprint) of the key.
    pub fingerprint: u64,
    /// Where the entry stands in the file of values.
    pub place: Place,
}

/// The binary logarithm of the number of buckets for `count` entries.
fn bucket_bits(count: usize) -> u32 {
    (count / BUCKET_ENTRIES)
        .next_power_of_two()
        .trailing_zeros()
}

/// The bucket of a fingerprint: its top bits.
const fn bucket_of(fingerprint: u64, bucket_bits: u32) -> u64 {
    // A shift by 64, for a single bucket, is what `checked_shr` leaves out.
    match fingerprint.checked_shr(64 - bucket_bits) {
        Some(bucket) => bucket,
        None => 0,
    }
}

/// Bytes of the index of so many entries. Does not fall as the count rises.
#[must_use]
pub fn file_bytes(count: usize) -> u64 {
    let directory = ((1_usize << bucket_bits(count)) + 1) * 4;
    let body = ENVELOPE_BYTES
        + HEADER_BYTES
        + directory.next_multiple_of(8)
        + count.saturating_mul(ENTRY_BYTES);
    let footer = 3 * SECTION_ENTRY_BYTES + 8 * body.div_ceil(CHUNK_BYTES) + TRAILER_BYTES;
    (body + footer) as u64
}

/// Builds an index from entries in any order, each fingerprint once.
///
/// # Errors
/// [`Error::TooLarge`] for more entries than a `u32` counts.
pub fn build(of: &IndexHeader, mut entries: Vec<IndexEntry>) -> Result<Vec<u8>> {
    let Ok(count) = u32::try_from(entries.len()) else {
        return Err(Error::TooLarge {
            what: "the number of keys of a file of cached values",
            found: entries.len() as u64,
            limit: u64::from(u32::MAX),
        });
    };
    entries.sort_unstable_by_key(|entry| entry.fingerprint);
    let bucket_bits = bucket_bits(entries.len());
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&of.directory_id);
    put_u64(&mut header, of.number);
    put_u64(&mut header, of.values_bytes);
    put_u64(&mut header, of.last_checksum);
    put_u64(&mut header, of.max_as_of_seq);
    put_u32(&mut header, count);
    put_u32(&mut header, bucket_bits);
    let mut directory = Vec::with_capacity((1 << bucket_bits) * 4 + 4);
    let mut rows = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    let mut buckets = 0;
    for (index, entry) in (0_u32..).zip(&entries) {
        while buckets <= bucket_of(entry.fingerprint, bucket_bits) {
            put_u32(&mut directory, index);
            buckets += 1;
        }
        put_u64(&mut rows, entry.fingerprint);
        put_u32(&mut rows, entry.place.unit);
        put_u32(&mut rows, entry.place.bytes);
    }
    while buckets <= 1 << bucket_bits {
        put_u32(&mut directory, count);
        buckets += 1;
    }
    let mut file = FileBuilder::new(FileKind::CacheIndex, VERSION);
    file.section(section::HEADER, &header);
    file.section(section::DIRECTORY, &directory);
    file.section(section::ENTRIES, &rows);
    Ok(file.finish())
}

/// An open index.
#[derive(Debug)]
pub struct CacheIndex {
    file: SealedFile,
    header: IndexHeader,
    count: u32,
    bucket_bits: u32,
}

impl CacheIndex {
    /// Opens the bytes of an index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`].
    pub fn open(
        name: String,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let file = SealedFile::open(name, data, FileKind::CacheIndex, VERSION..=VERSION)?;
        let (header, count, bucket_bits) =
            read_header(&file).map_err(|error| error.in_file(file.name()))?;
        Ok(Self {
            file,
            header,
            count,
            bucket_bits,
        })
    }

    /// What the index says of its file of values.
    #[must_use]
    pub const fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// Number of entries.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_len()
    }

    /// Where the newest entry of that fingerprint stands. One bucket of the directory, about eight entries.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the bytes are damaged.
    pub fn find(&self, fingerprint: u64) -> Result<Option<Place>> {
        let directory = self.directory()?;
        let entries = self.rows()?;
        let at = bucket_of(fingerprint, self.bucket_bits) * 4;
        let (begin, end) = (directory.u32_at(at)?, directory.u32_at(at + 4)?);
        if begin > end || end > self.count {
            return Err(directory.corrupt(at, "rising buckets", format!("{begin} to {end}")));
        }
        for index in begin..end {
            let entry = entry_at(&entries, index)?;
            if entry.fingerprint >= fingerprint {
                return Ok((entry.fingerprint == fingerprint).then_some(entry.place));
            }
        }
        Ok(None)
    }

    /// Every entry, by fingerprint.
    ///
    /// # Errors
    /// Each item fails where the bytes are damaged.
    pub fn entries(&self) -> impl Iterator<Item = Result<IndexEntry>> + '_ {
        (0..self.count).map(|index| entry_at(&self.rows()?, index))
    }

    fn directory(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::DIRECTORY)?.named("directory"))
    }

    fn rows(&self) -> Result<Region<'_>> {
        Ok(self.file.section(section::ENTRIES)?.named("entries"))
    }

    /// Checks all checksums, and that entries and directory agree.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damage.
    pub fn verify(&self) -> Result<()> {
        self.file.verify_all()?;
        let directory = self.directory()?;
        let mut previous = None;
        for (index, entry) in (0..).zip(self.entries()) {
            let entry = entry?;
            let bucket = bucket_of(entry.fingerprint, self.bucket_bits) * 4;
            let range = directory.u32_at(bucket)?..directory.u32_at(bucket + 4)?;
            let end = entry.place.offset() + u64::from(entry.place.bytes);
            let is_inside = end <= self.header.values_bytes
                && (ENTRY_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&(entry.place.bytes as usize));
            if !range.contains(&index) || previous >= Some(entry.fingerprint) || !is_inside {
                let at = u64::from(index) * ENTRY_BYTES as u64;
                let found = format!("{entry:?}");
                return Err(self.rows()?.corrupt(at, "an entry in its bucket", found));
            }
            previous = Some(entry.fingerprint);
        }
        // Buckets without an entry, which the loop above does not meet.
        let buckets = 1_u64 << self.bucket_bits;
        let mut begin = 0;
        for at in (0..=buckets).map(|bucket| bucket * 4) {
            let end = directory.u32_at(at)?;
            if end < begin || (at == 0 && end != 0) {
                return Err(directory.corrupt(at, format!("{begin} or more"), end));
            }
            begin = end;
        }
        if begin != self.count {
            let expected = format!("{} entries", self.count);
            return Err(directory.corrupt(buckets * 4, expected, begin));
        }
        Ok(())
    }
}

fn entry_at(entries: &Region<'_>, index: u32) -> Result<IndexEntry> {
    let bytes: [u8; ENTRY_BYTES] = entries.array_at(u64::from(index) * ENTRY_BYTES as u64)?;
    let mut reader = Reader::new("entries", &bytes);
    Ok(IndexEntry {
        fingerprint: reader.u64()?,
        place: Place {
            unit: reader.u32()?,
            bytes: reader.u32()?,
        },
    })
}

fn read_header(file: &SealedFile) -> Result<(IndexHeader, u32, u32)> {
    let region = file.section(section::HEADER)?.named("header");
    let mut reader = Reader::new("header", region.get(0, HEADER_BYTES)?);
    let header = IndexHeader {
        directory_id: reader.array()?,
        number: reader.u64()?,
        values_bytes: reader.u64()?,
        last_checksum: reader.u64()?,
        max_as_of_seq: reader.u64()?,
    };
    let (count, bucket_bits) = (reader.u32()?, reader.u32()?);
    let entries = file.section(section::ENTRIES)?.len();
    let directory = file.section(section::DIRECTORY)?.len();
    if bucket_bits > 32
        || directory != ((1 << bucket_bits) + 1) * 4
        || entries != u64::from(count) * ENTRY_BYTES as u64
    {
        return Err(region.corrupt(
            48,
            format!("{entries} bytes of entries and {directory} of directory"),
            format!("{count} entries in 2^{bucket_bits} buckets"),
        ));
    }
    Ok((header, count, bucket_bits))
}
