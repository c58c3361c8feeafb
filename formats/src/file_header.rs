//! The headers of files that are appended to: logs, manifests and files of cached values. Magic, version, six zeros, a
//! number that the file's name has too, what else its kind has, and a checksum of all that.

use crate::bytes::{Reader, put_u16, put_u64};
use crate::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Where the zeros stand.
const RESERVED_AT: u64 = 10;

/// What sets the headers of one kind of file apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) magic: [u8; 8],
    /// The header's name in errors.
    pub(crate) section: &'static str,
    /// The kind of file.
    pub(crate) kind: &'static str,
    /// The oldest version that is read.
    pub(crate) oldest: u16,
    /// The version that is written.
    pub(crate) version: u16,
}

/// A header that was read: `N` bytes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read<const N: usize> {
    pub(crate) version: u16,
    pub(crate) number: u64,
    pub(crate) own: [u8; N],
}

impl Form {
    /// The bytes of a header: 32 and those of its own.
    pub(crate) fn encode(&self, number: u64, own: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + own.len());
        out.extend_from_slice(&self.magic);
        put_u16(&mut out, self.version);
        out.extend_from_slice(&[0; 6]);
        put_u64(&mut out, number);
        out.extend_from_slice(own);
        let checksum = xxh3_64(&out);
        put_u64(&mut out, checksum);
        out
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or [`Error::Version`] for a sound header of a version not read here.
    pub(crate) fn decode<const N: usize>(&self, bytes: &[u8]) -> Result<Read<N>> {
        let mut reader = Reader::new(self.section, bytes);
        let magic: [u8; 8] = reader.array()?;
        if magic != self.magic {
            let (expected, found) = (
                format!("the magic of a {}", self.kind),
                format!("{magic:02x?}"),
            );
            return Err(Error::corrupt(self.section, 0, expected, found));
        }
        let version = reader.u16()?;
        let reserved: [u8; 6] = reader.array()?;
        let number = reader.u64()?;
        let own = reader.array()?;
        let at = reader.position();
        let found = reader.u64()?;
        let expected = bytes.get(..at as usize).map_or(0, xxh3_64);
        if found != expected {
            let (expected, found) = (format!("checksum {expected:#x}"), format!("{found:#x}"));
            return Err(Error::corrupt(self.section, at, expected, found));
        }
        if !(self.oldest..=self.version).contains(&version) {
            return Err(Error::Version {
                file: String::new(),
                kind: self.kind,
                found: version,
                oldest: self.oldest,
                newest: self.version,
            });
        }
        if reserved != [0; 6] {
            let found = format!("{reserved:02x?}");
            return Err(Error::corrupt(self.section, RESERVED_AT, "zeros", found));
        }
        Ok(Read {
            version,
            number,
            own,
        })
    }
}
