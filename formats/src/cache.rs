//! Files of cached values (`SPEC.md`, section 10): a header and a row of entries, appended one after the other and never
//! changed. An entry says what a key's value is from there on, that the value it had is still good, or that it has none.
//!
//! The checksum of an entry is seeded with that of the file's header plus the entry's offset, so that an entry that
//! stands in another file or at another place is none there. Each entry also names the one before it by its checksum:
//! what an earlier, torn end of the file left behind does not join on to what was written over it.

pub mod index;

use crate::bytes::{Reader, pad_to_8, put_u16, put_u32, put_u64};
use crate::file_header::Form;
use crate::{Error, Result};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The version of files that this code writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// The first bytes of a file of values. The high bit and the line ends show damage by a text-mode transfer.
pub const MAGIC: [u8; 8] = *b"\x89ORV\r\n\x1a\n";
/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: usize = 48;
/// Bytes of an entry before its key.
pub const ENTRY_HEAD_BYTES: usize = 40;
/// Entries begin at multiples of this.
pub const ALIGNMENT: usize = 8;
/// The most bytes of a key; the least is one.
pub const KEY_BYTES_MAX: usize = 4_096;
/// The most bytes of a value.
pub const VALUE_BYTES_MAX: usize = 2 << 20;
/// The most bytes of an entry.
pub const ENTRY_BYTES_MAX: usize = ENTRY_HEAD_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX;
/// The least bytes of an entry.
pub const ENTRY_BYTES_MIN: usize = ENTRY_HEAD_BYTES + ALIGNMENT;

/// Values shorter than this are not compressed: a zstd frame of so little seldom saves anything.
const PACKED_FROM: usize = 96;
const COMPRESSION_LEVEL: i32 = 1;
/// Bytes of what a refreshed entry points to.
const BASE_BYTES: usize = 24;

const ENTRY_SECTION: &str = "cache entry";

const _: () = assert!(ENTRY_BYTES_MAX.is_multiple_of(ALIGNMENT));

/// The header of a file of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The number of the file, as in its name. Later files have greater ones.
    pub number: u64,
    /// The id of the data directory.
    pub directory_id: [u8; 16],
}

impl FileHeader {
    const FORM: Form = Form {
        magic: MAGIC,
        section: "cache file header",
        kind: "file of cached values",
        oldest: VERSION,
        version: VERSION,
    };

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Self::FORM.encode(self.number, &self.directory_id)
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or [`Error::Version`] for a sound header of a version not read here.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let read = Self::FORM.decode(bytes)?;
        Ok(Self {
            number: read.number,
            directory_id: read.own,
        })
    }

    /// What the checksums of this file's entries are seeded with, before their offset is added; also what stands for
    /// the checksum of the entry before the first.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let bytes = self.encode();
        bytes.get(..FILE_HEADER_BYTES - 8).map_or(0, xxh3_64)
    }
}

/// Where an entry stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The offset, in units of [`ALIGNMENT`].
    pub unit: u32,
    /// Its length in bytes.
    pub bytes: u32,
}

impl Place {
    /// The place of an entry of `bytes` at `offset`, a multiple of [`ALIGNMENT`]; `None` beyond what the format holds.
    #[must_use]
    pub fn new(offset: u64, bytes: usize) -> Option<Self> {
        Some(Self {
            unit: u32::try_from(offset / ALIGNMENT as u64).ok()?,
            bytes: u32::try_from(bytes)
                .ok()
                .filter(|bytes| *bytes as usize <= ENTRY_BYTES_MAX)?,
        })
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.unit as u64 * ALIGNMENT as u64
    }
}

/// The entry that a refreshed one says is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The number of its file.
    pub number: u64,
    /// Its checksum.
    pub checksum: u64,
    /// Its place there.
    pub place: Place,
}

/// What an entry says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// It has this value.
    Plain(&'a [u8]),
    /// It has the value of `raw_bytes` bytes that this zstd frame unpacks to.
    Packed {
        /// Length of the value.
        raw_bytes: u32,
        /// The frame, shorter than the value.
        frame: &'a [u8],
    },
    /// It has the value of that entry, whose own stamps are out of date.
    Refreshed(Base),
    /// It has none.
    Removed,
}

impl<'a> Content<'a> {
    /// A value as it takes the least bytes: compressed into `buffer` where that saves an eighth.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a value of more than [`VALUE_BYTES_MAX`] bytes.
    pub fn of(value: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<Self> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "a cached value",
                found: value.len() as u64,
                limit: VALUE_BYTES_MAX as u64,
            });
        }
        if value.len() < PACKED_FROM {
            return Ok(Self::Plain(value));
        }
        buffer.clear();
        let most = value.len() - value.len() / 8;
        buffer.reserve(zstd::zstd_safe::compress_bound(value.len()));
        let packed = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)
            .and_then(|mut compressor| compressor.compress_to_buffer(value, buffer));
        Ok(match packed {
            Ok(bytes) if bytes <= most => Self::Packed {
                raw_bytes: value.len() as u32,
                frame: buffer,
            },
            _ => Self::Plain(value),
        })
    }

    /// The value, where the entry has one of its own. Takes no more memory than the entry says that the value has,
    /// which is at most [`VALUE_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the frame is damaged.
    pub fn value(&self) -> Result<Option<Vec<u8>>> {
        match *self {
            Self::Plain(value) => Ok(Some(value.to_vec())),
            Self::Packed { raw_bytes, frame } => {
                let mut value = Vec::with_capacity((raw_bytes as usize).min(VALUE_BYTES_MAX));
                let damaged = |found: String| {
                    let expected = format!("a zstd frame of {raw_bytes} bytes");
                    Error::corrupt(ENTRY_SECTION, ENTRY_HEAD_BYTES as u64, expected, found)
                };
                let unpacked = zstd::bulk::Decompressor::new()
                    .and_then(|mut unpacker| unpacker.decompress_to_buffer(frame, &mut value))
                    .map_err(|error| damaged(error.to_string()))?;
                if unpacked != raw_bytes as usize {
                    return Err(damaged(format!("{unpacked} bytes")));
                }
                Ok(Some(value))
            }
            Self::Refreshed(_) | Self::Removed => Ok(None),
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Plain(_) => 0,
            Self::Packed { .. } => 1,
            Self::Refreshed(_) => 2,
            Self::Removed => 3,
        }
    }

    const fn stored_bytes(&self) -> usize {
        match self {
            Self::Plain(value) => value.len(),
            Self::Packed { frame, .. } => frame.len(),
            Self::Refreshed(_) => BASE_BYTES,
            Self::Removed => 0,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The space that the key is of; what spaces there are is the matter of whoever writes them.
    pub space: u8,
    /// The key.
    pub key: &'a [u8],
    /// The value takes all events up to this seq into account.
    pub as_of_seq: u64,
    /// When the value was last seen at its origin, in microseconds since 1970.
    pub checked_us: u64,
    /// What the entry says.
    pub content: Content<'a>,
}

impl Entry<'_> {
    /// Bytes of the entry in a file.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        (ENTRY_HEAD_BYTES + self.key.len() + self.content.stored_bytes())
            .next_multiple_of(ALIGNMENT)
    }

    /// Appends the entry to `out`, as it stands at `offset` of a file with that [`FileHeader::seed`] behind an entry of
    /// the checksum `previous`. Gives its own.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a key or a value that the format does not hold, or an empty key.
    pub fn encode(&self, seed: u64, offset: u64, previous: u64, out: &mut Vec<u8>) -> Result<u64> {
        let too_large = |what, found: usize, limit: usize| Error::TooLarge {
            what,
            found: found as u64,
            limit: limit as u64,
        };
        if self.key.is_empty() || self.key.len() > KEY_BYTES_MAX {
            let what = "the length of the key of a cached value";
            return Err(too_large(what, self.key.len(), KEY_BYTES_MAX));
        }
        let stored = self.content.stored_bytes();
        let raw = match self.content {
            Content::Plain(value) => value.len(),
            Content::Packed { raw_bytes, .. } => raw_bytes as usize,
            Content::Refreshed(_) | Content::Removed => 0,
        };
        if stored.max(raw) > VALUE_BYTES_MAX {
            return Err(too_large(
                "a cached value",
                stored.max(raw),
                VALUE_BYTES_MAX,
            ));
        }
        let start = out.len();
        put_u64(out, 0);
        put_u32(out, previous as u32);
        out.push(self.content.kind());
        out.push(self.space);
        put_u16(out, self.key.len() as u16);
        put_u32(out, stored as u32);
        put_u32(out, raw as u32);
        put_u64(out, self.as_of_seq);
        put_u64(out, self.checked_us);
        out.extend_from_slice(self.key);
        match self.content {
            Content::Plain(bytes) | Content::Packed { frame: bytes, .. } => {
                out.extend_from_slice(bytes);
            }
            Content::Refreshed(base) => {
                put_u64(out, base.number);
                put_u64(out, base.checksum);
                put_u32(out, base.place.unit);
                put_u32(out, base.place.bytes);
            }
            Content::Removed => {}
        }
        let mut padded = out.split_off(start);
        pad_to_8(&mut padded);
        let checksum = padded
            .get(8..)
            .map_or(0, |rest| checksum_of(rest, seed, offset));
        if let Some(place) = padded.get_mut(..8) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        out.append(&mut padded);
        Ok(checksum)
    }
}

/// An entry with what binds it to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// Its checksum.
    pub checksum: u64,
    /// The low half of the checksum of the entry before it, or of the header for the first.
    pub previous: u32,
}

/// Bytes of the entry that begins with `head`, as far as its lengths can be believed: at most [`ENTRY_BYTES_MAX`].
///
/// # Errors
/// [`Error::Corrupt`] if no entry begins so.
pub fn entry_bytes(head: &[u8; ENTRY_HEAD_BYTES], offset: u64) -> Result<usize> {
    let mut reader = Reader::at(ENTRY_SECTION, head, offset);
    // Checksum, the one before, kind and space.
    reader.bytes(14)?;
    let key = usize::from(reader.u16()?);
    let stored = reader.u32()? as usize;
    if key == 0 || key > KEY_BYTES_MAX || stored > VALUE_BYTES_MAX {
        return Err(reader.corrupt(
            "lengths of a key and a value",
            format!("{key} and {stored}"),
        ));
    }
    Ok((ENTRY_HEAD_BYTES + key + stored).next_multiple_of(ALIGNMENT))
}

/// Reads the entry that `bytes` are, at `offset` of a file with that [`FileHeader::seed`]. Copies nothing.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8], seed: u64, offset: u64) -> Result<Read<'_>> {
    let mut reader = Reader::at(ENTRY_SECTION, bytes, offset);
    let checksum = reader.u64()?;
    let expected = bytes
        .get(8..)
        .map_or(0, |rest| checksum_of(rest, seed, offset));
    if checksum != expected {
        let expected = format!("checksum {expected:#x}");
        return Err(Error::corrupt(
            ENTRY_SECTION,
            offset,
            expected,
            format!("{checksum:#x}"),
        ));
    }
    let previous = reader.u32()?;
    let kind = reader.u8()?;
    let space = reader.u8()?;
    let key_bytes = usize::from(reader.u16()?);
    let stored_bytes = reader.u32()? as usize;
    let raw_bytes = reader.u32()?;
    let as_of_seq = reader.u64()?;
    let checked_us = reader.u64()?;
    if !(1..=KEY_BYTES_MAX).contains(&key_bytes) {
        return Err(reader.corrupt("the length of a key", key_bytes));
    }
    let most = VALUE_BYTES_MAX;
    if stored_bytes > most || raw_bytes as usize > most {
        let found = stored_bytes.max(raw_bytes as usize);
        return Err(reader.corrupt(format!("at most {most} bytes of a value"), found));
    }
    let key = reader.bytes(key_bytes)?;
    let content = match (kind, stored_bytes, raw_bytes as usize) {
        (0, stored, raw) if stored == raw => Content::Plain(reader.bytes(stored)?),
        (1, stored, raw) if stored < raw => Content::Packed {
            raw_bytes,
            frame: reader.bytes(stored)?,
        },
        (2, BASE_BYTES, 0) => {
            let base = Base {
                number: reader.u64()?,
                checksum: reader.u64()?,
                place: Place {
                    unit: reader.u32()?,
                    bytes: reader.u32()?,
                },
            };
            let bytes = base.place.bytes as usize;
            if !(ENTRY_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&bytes) {
                return Err(reader.corrupt("the length of an entry", bytes));
            }
            Content::Refreshed(base)
        }
        (3, 0, 0) => Content::Removed,
        (kind, stored, raw) => {
            let found = format!("kind {kind} with {stored} bytes of {raw}");
            return Err(reader.corrupt("a kind of entry with lengths of that kind", found));
        }
    };
    if reader.remaining() >= ALIGNMENT || !bytes.len().is_multiple_of(ALIGNMENT) {
        return Err(reader.corrupt("the end of the entry", reader.remaining()));
    }
    reader.zeros(reader.remaining())?;
    Ok(Read {
        entry: Entry {
            space,
            key,
            as_of_seq,
            checked_us,
            content,
        },
        checksum,
        previous,
    })
}

/// The checksum of an entry: over everything behind it, padding included.
fn checksum_of(rest: &[u8], seed: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(rest, seed.wrapping_add(offset))
}

/// The fingerprint of a key: the XXH3-64 of the space and the key, seeded with a secret of the directory, so that
/// nobody outside can aim for two keys with one fingerprint.
#[must_use]
pub fn fingerprint(seed: u64, space: u8, key: &[u8]) -> u64 {
    const STACK: usize = 256;
    let mut buffer = [0_u8; STACK];
    if let Some((first, rest)) = buffer.split_first_mut()
        && let Some(room) = rest.get_mut(..key.len())
    {
        *first = space;
        room.copy_from_slice(key);
        let joined = buffer.get(..=key.len()).unwrap_or_default();
        return xxh3_64_with_seed(joined, seed);
    }
    let mut joined = Vec::with_capacity(1 + key.len());
    joined.push(space);
    joined.extend_from_slice(key);
    xxh3_64_with_seed(&joined, seed)
}

#[cfg(test)]
mod tests;
