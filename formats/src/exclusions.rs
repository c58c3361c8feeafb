//! The exclude list (`SPEC.md`, section 11): what the operator has taken out of all answers, with the reason and the
//! time of each. The file is replaced whole with each change.

use std::ops::Deref;

use crate::bytes::{Reader, put_str, put_u64, put_varint};
use crate::chunks::SealedFile;
use crate::envelope::{FileBuilder, FileKind};
use crate::{Error, Result};

/// The version of lists that this code writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// The most entries of a list.
pub const ENTRIES_MAX: usize = 100_000;
/// The most bytes of what is excluded: more than any link has that is indexed.
pub const VALUE_BYTES_MAX: usize = 8_192;
/// The most bytes of a reason.
pub const REASON_BYTES_MAX: usize = 1_024;

const ENTRIES: u16 = 1;
/// Of the byte that an entry begins with: its kind, and this where it is being removed.
const LEAVING: u8 = 0x80;

/// The name of a section, for messages.
#[must_use]
pub const fn section_name(id: u16) -> &'static str {
    match id {
        ENTRIES => "entries",
        _ => "unknown section",
    }
}

/// What an entry takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExclusionKind {
    /// All that an account wrote; the value is its DID.
    Account = 0,
    /// A target of links; the value is its normalised string.
    Target = 1,
}

impl ExclusionKind {
    /// The name in messages and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Target => "target",
        }
    }
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusionEntry {
    /// What it takes out.
    pub kind: ExclusionKind,
    /// The DID or the target.
    pub value: String,
    /// When it was added, microseconds since 1970.
    pub time_us: u64,
    /// Why; may be empty.
    pub reason: String,
    /// Whether it was removed, and the index does not say so durably yet. It takes nothing out any more.
    pub is_leaving: bool,
}

/// The bytes of a list whose entries rise by kind and value, each once.
///
/// # Errors
/// [`Error::TooLarge`] beyond the bounds of this module.
pub fn encode(entries: &[ExclusionEntry]) -> Result<Vec<u8>> {
    let check = |what, found: usize, limit: usize| {
        let (found, limit) = (found as u64, limit as u64);
        match found <= limit {
            true => Ok(()),
            false => Err(Error::TooLarge { what, found, limit }),
        }
    };
    check("entries of an exclude list", entries.len(), ENTRIES_MAX)?;
    let mut out = Vec::new();
    put_varint(&mut out, entries.len() as u64);
    for entry in entries {
        let value = entry.value.len();
        check("bytes of an excluded name", value, VALUE_BYTES_MAX)?;
        let reason = entry.reason.len();
        check(
            "bytes of a reason in an exclude list",
            reason,
            REASON_BYTES_MAX,
        )?;
        let leaving = if entry.is_leaving { LEAVING } else { 0 };
        out.push(entry.kind as u8 | leaving);
        put_u64(&mut out, entry.time_us);
        put_str(&mut out, &entry.value);
        put_str(&mut out, &entry.reason);
    }
    let mut builder = FileBuilder::new(FileKind::Exclusions, VERSION);
    builder.section(ENTRIES, &out);
    Ok(builder.finish())
}

/// Reads a list, of which every byte is checked.
///
/// # Errors
/// [`Error::Corrupt`] or [`Error::Version`], naming `name`.
pub fn decode(
    name: &str,
    data: impl Deref<Target = [u8]> + Send + Sync + 'static,
) -> Result<Vec<ExclusionEntry>> {
    let versions = VERSION..=VERSION;
    let file = SealedFile::open(name.to_owned(), data, FileKind::Exclusions, versions)?;
    file.verify_all()?;
    read(&file).map_err(|error| error.in_file(name))
}

fn read(file: &SealedFile) -> Result<Vec<ExclusionEntry>> {
    let bytes = file.section(ENTRIES)?.named("entries").all()?;
    let mut reader = Reader::new("entries", bytes);
    let count = reader.varint()?;
    if count > ENTRIES_MAX as u64 {
        return Err(reader.corrupt(format!("at most {ENTRIES_MAX} entries"), count));
    }
    let mut entries: Vec<ExclusionEntry> = Vec::new();
    for _ in 0..count {
        let tag = reader.u8()?;
        let kind = match tag & !LEAVING {
            0 => ExclusionKind::Account,
            1 => ExclusionKind::Target,
            _ => return Err(reader.corrupt("the kind of an entry", tag)),
        };
        let time_us = reader.u64()?;
        let (value, reason) = (reader.str()?, reader.str()?);
        if value.len() > VALUE_BYTES_MAX || reason.len() > REASON_BYTES_MAX {
            let found = format!("{} and {} bytes", value.len(), reason.len());
            return Err(reader.corrupt("a name and a reason within their bounds", found));
        }
        let last = entries.last().map(|last| (last.kind, last.value.as_str()));
        if last.is_some_and(|last| last >= (kind, value)) {
            return Err(reader.corrupt("rising entries", value));
        }
        entries.push(ExclusionEntry {
            kind,
            value: value.to_owned(),
            time_us,
            reason: reason.to_owned(),
            is_leaving: tag & LEAVING != 0,
        });
    }
    reader.finish()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<ExclusionEntry> {
        let entry = |kind, value: &str, reason: &str, is_leaving| ExclusionEntry {
            kind,
            value: value.to_owned(),
            time_us: 1_725_911_162_330_202,
            reason: reason.to_owned(),
            is_leaving,
        };
        vec![
            entry(ExclusionKind::Account, "did:plc:aaaa", "", true),
            entry(
                ExclusionKind::Account,
                "did:plc:bbbb",
                "court order 12",
                false,
            ),
            entry(
                ExclusionKind::Target,
                "at://did:plc:aaaa/app.bsky.feed.post/3k",
                "asked for by its author",
                false,
            ),
            entry(
                ExclusionKind::Target,
                "https://example.org/a",
                "spam",
                false,
            ),
        ]
    }

    #[test]
    fn golden_bytes() {
        let bytes = encode(&sample()).unwrap();
        crate::testing::assert_golden("exclusions-v1", &bytes);
        assert_eq!(decode("e", bytes).unwrap(), sample());
        assert_eq!(decode("e", encode(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let bytes = encode(&sample()).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(decode("e", bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_neither_written_nor_read() {
        let long = |value, reason| {
            let entry = ExclusionEntry {
                value: "x".repeat(value),
                reason: "y".repeat(reason),
                ..sample().remove(1)
            };
            encode(&[entry])
        };
        assert!(long(VALUE_BYTES_MAX, REASON_BYTES_MAX).is_ok());
        assert!(long(VALUE_BYTES_MAX + 1, 0).is_err());
        assert!(long(1, REASON_BYTES_MAX + 1).is_err());
        let unordered: Vec<_> = sample().into_iter().rev().collect();
        let error = decode("e", encode(&unordered).unwrap()).unwrap_err();
        assert!(error.to_string().contains("rising entries"), "{error}");
        let twice = vec![sample().remove(1); 2];
        assert!(decode("e", encode(&twice).unwrap()).is_err());
        for contents in [&[1, 2][..], &[0xff, 0xff, 0x7f]] {
            let mut builder = FileBuilder::new(FileKind::Exclusions, VERSION);
            builder.section(ENTRIES, contents);
            assert!(decode("e", builder.finish()).is_err(), "{contents:?}");
        }
    }
}
