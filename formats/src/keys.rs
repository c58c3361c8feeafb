//! The key index of one log file (`SPEC.md`, section 5): for each key that the file's commits touch,
//! the highest rev applied there and where in the log its newest event stands. A sealed file, read in place;
//! derived from its log file, which rebuilds it.
//!
//! A key is known by a 64-bit fingerprint of actor, collection and record key, made with a secret of
//! the directory, so that nobody outside can aim for two keys with one fingerprint; by chance, two of
//! the 20 million keys of a window share one with a probability of about 10^-5.

use crate::bytes::{Reader, put_u32, put_u64};
use crate::chunks::{Region, SealedFile};
use crate::envelope::{FileBuilder, FileKind};
use crate::{Error, Result};
use std::ops::Deref;
use xxhash_rust::xxh3::Xxh3;

/// The version of key indexes that this code writes, and the only one it reads: an index of another
/// version is rebuilt from its log file.
pub const VERSION: u16 = 2;
/// Bytes of the header section.
pub const HEADER_BYTES: usize = 72;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 24;
/// Frames are named by their offset in units of this many bytes (`frame::ALIGNMENT`).
pub const FRAME_UNIT: u64 = 8;
/// Entries that a bucket of the directory holds on average, at most.
const BUCKET_ENTRIES: usize = 8;

mod section {
    pub(super) const HEADER: u16 = 1;
    pub(super) const DIRECTORY: u16 = 2;
    pub(super) const ENTRIES: u16 = 3;
}

/// The seeded XXH3-64 of `collection`, a zero byte and `rkey`.
#[must_use]
pub fn key_hash(seed: u64, collection: &str, rkey: &str) -> u64 {
    const STACK: usize = 256;
    let (c, r) = (collection.as_bytes(), rkey.as_bytes());
    let length = c.len() + 1 + r.len();
    // One pass over a copy on the stack is several times as fast as the streaming hasher, whose state
    // alone is 576 bytes; both give the same value.
    let mut buffer = [0_u8; STACK];
    if let Some(room) = buffer.get_mut(..length)
        && let Some((first, rest)) = room.split_at_mut_checked(c.len())
        && let Some(last) = rest.get_mut(1..)
    {
        first.copy_from_slice(c);
        last.copy_from_slice(r);
        return xxhash_rust::xxh3::xxh3_64_with_seed(room, seed);
    }
    let mut hasher = Xxh3::with_seed(seed);
    hasher.update(c);
    hasher.update(&[0]);
    hasher.update(r);
    hasher.digest()
}

/// The fingerprint of a key: its [`key_hash`] mixed with its actor. For one actor it is a bijection of
/// the hash. The constants are those of MurmurHash3's 64-bit finalizer (Appleby 2011).
#[must_use]
#[inline]
pub const fn fingerprint(actor: u32, hash: u64) -> u64 {
    let mut x = hash ^ (actor as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// What the index knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    /// [`fingerprint`] of the key.
    pub fingerprint: u64,
    /// The highest rev applied to it.
    pub rev: u64,
    /// Offset of the frame with its newest event, in units of [`FRAME_UNIT`].
    pub frame: u32,
    /// That event's place in the frame.
    pub ordinal: u32,
}

/// What a key index says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysHeader {
    /// The first seq of the log file, which names it.
    pub first_seq: u64,
    /// The last seq of the log file.
    pub last_seq: u64,
    /// The length of the log file. An index whose log file has another length is stale.
    pub log_bytes: u64,
    /// The seed of the checksums of the log file ([`crate::frame::FileHeader::seed`]).
    pub log_seed: u64,
    /// The least rev in the index, 0 without entries.
    pub min_rev: u64,
    /// The greatest rev in the index, 0 without entries.
    pub max_rev: u64,
    /// Number of entries.
    pub count: u32,
    /// The directory has 2 to this power buckets, by the top bits of the fingerprint.
    pub bucket_bits: u32,
}

/// Builds the index of the log file that `of` names (its `first_seq`, `last_seq`, `log_bytes` and
/// `log_seed`; the rest is found out) from entries in any order, each fingerprint once.
///
/// # Errors
/// [`Error::TooLarge`] for more entries than a `u32` counts.
pub fn build(of: KeysHeader, mut entries: Vec<KeyEntry>) -> Result<Vec<u8>> {
    let Ok(count) = u32::try_from(entries.len()) else {
        return Err(Error::TooLarge {
            what: "the number of keys of a log file",
            found: entries.len() as u64,
            limit: u64::from(u32::MAX),
        });
    };
    entries.sort_unstable_by_key(|entry| entry.fingerprint);
    let bucket_bits = (entries.len() / BUCKET_ENTRIES)
        .next_power_of_two()
        .trailing_zeros();
    let mut header = Vec::with_capacity(HEADER_BYTES);
    put_u64(&mut header, of.first_seq);
    put_u64(&mut header, of.last_seq);
    put_u64(&mut header, of.log_bytes);
    put_u64(&mut header, of.log_seed);
    put_u64(
        &mut header,
        entries.iter().map(|entry| entry.rev).min().unwrap_or(0),
    );
    put_u64(
        &mut header,
        entries.iter().map(|entry| entry.rev).max().unwrap_or(0),
    );
    put_u32(&mut header, count);
    put_u32(&mut header, bucket_bits);
    header.resize(HEADER_BYTES, 0);

    let mut directory = Vec::with_capacity((1 << bucket_bits) * 4 + 4);
    let mut rows = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    let mut buckets = 0;
    for (index, entry) in entries.iter().enumerate() {
        while buckets <= bucket_of(entry.fingerprint, bucket_bits) {
            put_u32(&mut directory, index as u32);
            buckets += 1;
        }
        put_u64(&mut rows, entry.fingerprint);
        put_u64(&mut rows, entry.rev);
        put_u32(&mut rows, entry.frame);
        put_u32(&mut rows, entry.ordinal);
    }
    while buckets <= 1 << bucket_bits {
        put_u32(&mut directory, count);
        buckets += 1;
    }
    let mut file = FileBuilder::new(FileKind::KeyIndex, VERSION);
    file.section(section::HEADER, &header);
    file.section(section::DIRECTORY, &directory);
    file.section(section::ENTRIES, &rows);
    Ok(file.finish())
}

/// The bucket of a fingerprint: its top bits.
const fn bucket_of(fingerprint: u64, bucket_bits: u32) -> u64 {
    // A shift by 64, for a single bucket, is what `checked_shr` leaves out.
    match fingerprint.checked_shr(64 - bucket_bits) {
        Some(bucket) => bucket,
        None => 0,
    }
}

/// An open key index.
#[derive(Debug)]
pub struct KeysFile {
    file: SealedFile,
    header: KeysHeader,
}

impl KeysFile {
    /// Opens the bytes of an index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`]; either way the index is to be rebuilt.
    pub fn open(
        name: String,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let file = SealedFile::open(name, data, FileKind::KeyIndex, VERSION..=VERSION)?;
        let header = read_header(&file).map_err(|error| error.in_file(file.name()))?;
        Ok(Self { file, header })
    }

    /// What the index says of itself.
    #[must_use]
    pub const fn header(&self) -> &KeysHeader {
        &self.header
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_len()
    }

    /// The entry with that fingerprint. O(1) expected: one bucket of the directory, about eight entries.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the bytes are damaged.
    pub fn find(&self, fingerprint: u64) -> Result<Option<KeyEntry>> {
        let directory = self.file.section(section::DIRECTORY)?.named("directory");
        let entries = self.file.section(section::ENTRIES)?.named("entries");
        let at = bucket_of(fingerprint, self.header.bucket_bits) * 4;
        let (begin, end) = (directory.u32_at(at)?, directory.u32_at(at + 4)?);
        if begin > end || end > self.header.count {
            return Err(directory.corrupt(at, "rising buckets", format!("{begin} to {end}")));
        }
        for index in begin..end {
            let entry = entry_at(&entries, index)?;
            if entry.fingerprint >= fingerprint {
                return Ok((entry.fingerprint == fingerprint).then_some(entry));
            }
        }
        Ok(None)
    }

    /// Every entry, by fingerprint.
    ///
    /// # Errors
    /// Each item fails where the bytes are damaged.
    pub fn entries(&self) -> impl Iterator<Item = Result<KeyEntry>> + '_ {
        (0..self.header.count).map(|index| {
            let entries = self.file.section(section::ENTRIES)?.named("entries");
            entry_at(&entries, index)
        })
    }

    /// Checks all checksums, and that entries and directory agree.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damage.
    pub fn verify(&self) -> Result<()> {
        self.file.verify_all()?;
        let directory = self.file.section(section::DIRECTORY)?.named("directory");
        let mut previous = None;
        for (index, entry) in (0..).zip(self.entries()) {
            let entry = entry?;
            let bucket = bucket_of(entry.fingerprint, self.header.bucket_bits) * 4;
            let range = directory.u32_at(bucket)?..directory.u32_at(bucket + 4)?;
            let in_range = (self.header.min_rev..=self.header.max_rev).contains(&entry.rev);
            if !range.contains(&index) || previous >= Some(entry.fingerprint) || !in_range {
                let entries = self.file.section(section::ENTRIES)?.named("entries");
                let at = u64::from(index) * ENTRY_BYTES as u64;
                return Err(entries.corrupt(at, "an entry in its bucket", format!("{entry:?}")));
            }
            previous = Some(entry.fingerprint);
        }
        // Buckets without an entry, which the loop above does not meet.
        let buckets = 1_u64 << self.header.bucket_bits;
        let mut begin = 0;
        for at in (0..=buckets).map(|bucket| bucket * 4) {
            let end = directory.u32_at(at)?;
            if end < begin || (at == 0 && end != 0) {
                return Err(directory.corrupt(at, format!("{begin} or more"), end));
            }
            begin = end;
        }
        if begin != self.header.count {
            let expected = format!("{} entries", self.header.count);
            return Err(directory.corrupt(buckets * 4, expected, begin));
        }
        Ok(())
    }
}

fn entry_at(entries: &Region<'_>, index: u32) -> Result<KeyEntry> {
    let bytes: [u8; ENTRY_BYTES] = entries.array_at(u64::from(index) * ENTRY_BYTES as u64)?;
    let mut reader = Reader::new("entries", &bytes);
    Ok(KeyEntry {
        fingerprint: reader.u64()?,
        rev: reader.u64()?,
        frame: reader.u32()?,
        ordinal: reader.u32()?,
    })
}

fn read_header(file: &SealedFile) -> Result<KeysHeader> {
    let region = file.section(section::HEADER)?.named("header");
    let mut reader = Reader::new("header", region.get(0, HEADER_BYTES)?);
    let header = KeysHeader {
        first_seq: reader.u64()?,
        last_seq: reader.u64()?,
        log_bytes: reader.u64()?,
        log_seed: reader.u64()?,
        min_rev: reader.u64()?,
        max_rev: reader.u64()?,
        count: reader.u32()?,
        bucket_bits: reader.u32()?,
    };
    reader.zeros(HEADER_BYTES - 56)?;
    let entries = file.section(section::ENTRIES)?.len();
    let directory = file.section(section::DIRECTORY)?.len();
    if header.bucket_bits > 32
        || directory != ((1 << header.bucket_bits) + 1) * 4
        || entries != u64::from(header.count) * ENTRY_BYTES as u64
    {
        return Err(region.corrupt(
            48,
            format!("{entries} bytes of entries and {directory} of directory"),
            format!(
                "{} entries in 2^{} buckets",
                header.count, header.bucket_bits
            ),
        ));
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
