//! A record's proof as the cache keeps it (`SPEC.md`, section 10): a version, the key that it was checked against, and the CAR. The
//! envelope around it has the checksum.

use crate::bytes::{Reader, put_str};
use crate::{Error, Result};

/// The version that this code writes, and the only one there is.
pub const VERSION: u8 = 1;

/// A proof of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedProof<'a> {
    /// The account's signing key, as its document had it.
    pub key: &'a str,
    /// The proof, as it came.
    pub car: &'a [u8],
}

impl<'a> CachedProof<'a> {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.car.len() + self.key.len() + 4);
        out.push(VERSION);
        put_str(out, self.key);
        out.extend_from_slice(self.car);
    }

    /// Reads it. That the CAR proves anything is for the caller to see.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is another version or the key does not fit in.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new("cached proof", bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Error::corrupt(
                "cached proof",
                0,
                format!("version {VERSION}"),
                version,
            ));
        }
        let key = reader.str()?;
        let car = reader.bytes(reader.remaining())?;
        Ok(Self { key, car })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let proof = CachedProof {
            key: "zQ3s",
            car: b"car",
        };
        let mut bytes = Vec::new();
        proof.encode(&mut bytes);
        assert_eq!(bytes, b"\x01\x04zQ3scar");
        assert_eq!(CachedProof::decode(&bytes).unwrap(), proof);
    }

    #[test]
    fn another_version_and_a_cut_are_no_proof() {
        for bad in [
            &b""[..],
            b"\x02\x00car",
            b"\x01",
            b"\x01\x04zQ3",
            b"\x01\x01\xff",
        ] {
            assert!(CachedProof::decode(bad).is_err(), "{bad:?}");
        }
    }
}
