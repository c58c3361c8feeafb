//! A record as the cache keeps it (`SPEC.md`, section on cached values): a version, the content id, and the record's JSON.
//! The envelope around it has the checksum.

use crate::bytes::{Reader, put_str};
use crate::{Error, Result};

/// The version that this code writes, and the only one there is.
pub const VERSION: u8 = 1;

/// A record of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedRecord<'a> {
    /// The content id as text; empty where there is none.
    pub cid: &'a str,
    /// The record, a JSON object, as it came.
    pub json: &'a [u8],
}

impl<'a> CachedRecord<'a> {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.json.len() + self.cid.len() + 4);
        out.push(VERSION);
        put_str(out, self.cid);
        out.extend_from_slice(self.json);
    }

    /// Reads it. That `json` is JSON is for the caller to see.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is another version or the content id does not fit in.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new("cached record", bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Error::corrupt(
                "cached record",
                0,
                format!("version {VERSION}"),
                version,
            ));
        }
        let cid = reader.str()?;
        let json = reader.bytes(reader.remaining())?;
        Ok(Self { cid, json })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let record = CachedRecord {
            cid: "bafy",
            json: b"{}",
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(bytes, b"\x01\x04bafy{}");
        assert_eq!(CachedRecord::decode(&bytes).unwrap(), record);
    }

    #[test]
    fn another_version_and_a_cut_are_no_record() {
        for bad in [
            &b""[..],
            b"\x02\x00{}",
            b"\x01",
            b"\x01\x04baf",
            b"\x01\x01\xff{}",
        ] {
            assert!(CachedRecord::decode(bad).is_err(), "{bad:?}");
        }
    }
}
