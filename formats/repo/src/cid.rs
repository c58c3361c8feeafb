//! [`Cid`], the hash that names a block, and what else a record may link to.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::base;
use crate::error::{Form, Found, RepoError};

/// Length of a [`Cid`] in bytes.
pub const CID_BYTES: usize = 36;
/// Longest CID, in bytes, that a record may link to.
const LINK_BYTES_MOST: usize = 100;
const SHA_256: u8 = 0x12;

/// What the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Any bytes (`bafkrei…`): blobs.
    Raw,
    /// DAG-CBOR (`bafyrei…`): commits, tree nodes, records.
    DagCbor,
}

impl Codec {
    const fn code(self) -> u8 {
        match self {
            Self::Raw => 0x55,
            Self::DagCbor => 0x71,
        }
    }
}

/// The name of a block: a CID of version 1 with a SHA-256 hash. Repositories have no others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    codec: Codec,
    digest: [u8; 32],
}

impl Cid {
    /// The name of a block with these bytes.
    #[must_use]
    pub fn of(codec: Codec, block: &[u8]) -> Self {
        Self {
            codec,
            digest: Sha256::digest(block).into(),
        }
    }

    /// Reads the base32 text of a CID.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] for any other text.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        Self::from_bytes(&text_bytes(text)?)
    }

    /// Reads the bytes of a CID, and nothing behind it.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] for any others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RepoError> {
        let cid = Self::read(bytes)?;
        if bytes.len() != CID_BYTES {
            return Err(malformed(CID_BYTES, "the end", Found::at(bytes, CID_BYTES)));
        }
        Ok(cid)
    }

    /// Reads the CID with which `bytes` begin.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RepoError> {
        let at = |offset| Found::at(bytes, offset);
        if bytes.first() != Some(&1) {
            return Err(malformed(0, "version 1", at(0)));
        }
        let codec = match bytes.get(1) {
            Some(0x55) => Codec::Raw,
            Some(0x71) => Codec::DagCbor,
            _ => return Err(malformed(1, "codec dag-cbor (0x71) or raw (0x55)", at(1))),
        };
        if bytes.get(2) != Some(&SHA_256) {
            return Err(malformed(2, "hash function sha-256 (0x12)", at(2)));
        }
        if bytes.get(3) != Some(&32) {
            return Err(malformed(3, "a hash of 32 bytes", at(3)));
        }
        let digest = bytes
            .get(4..)
            .and_then(|rest| rest.first_chunk())
            .ok_or(malformed(bytes.len(), "a hash of 32 bytes", Found::End))?;
        Ok(Self {
            codec,
            digest: *digest,
        })
    }

    /// The CID's bytes, as a CAR has them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CID_BYTES] {
        let mut bytes = [0; CID_BYTES];
        let head = [1, self.codec.code(), SHA_256, 32];
        for (to, from) in bytes.iter_mut().zip(head.iter().chain(&self.digest)) {
            *to = *from;
        }
        bytes
    }

    /// What the block's bytes are.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The SHA-256 of the block's bytes.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// True if this is the name of a block with these bytes.
    #[must_use]
    pub fn is_of(&self, block: &[u8]) -> bool {
        *self == Self::of(self.codec, block)
    }
}

impl FromStr for Cid {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<Self, RepoError> {
        Self::parse(text)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&link_text(&self.to_bytes()))
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

/// Checks the bytes of a CID to which a record links. Records link to what they like: any codec and any hash
/// of a CID of version 1 will do, as long as the parts are there.
pub(crate) fn check_link(bytes: &[u8]) -> Result<(), RepoError> {
    let at = |offset| Found::at(bytes, offset);
    if bytes.len() > LINK_BYTES_MOST {
        return Err(RepoError::TooLarge {
            what: "CID in bytes",
            found: bytes.len() as u64,
            most: LINK_BYTES_MOST as u64,
        });
    }
    if bytes.first() != Some(&1) {
        return Err(malformed(0, "version 1", at(0)));
    }
    let mut offset = 1;
    let mut number = || -> Result<u64, RepoError> {
        let rest = bytes.get(offset..).unwrap_or_default();
        let (value, len) =
            varint(rest).ok_or(malformed(offset, "a shortest varint", at(offset)))?;
        offset += len;
        Ok(value)
    };
    let (_codec, _hash, digest) = (number()?, number()?, number()?);
    let left = bytes.len().saturating_sub(offset) as u64;
    if digest != left {
        return Err(malformed(
            offset,
            "a hash as long as stated",
            Found::Number(left),
        ));
    }
    if digest == 0 {
        return Err(malformed(offset, "a hash", Found::End));
    }
    Ok(())
}

/// The text of a CID's bytes.
pub(crate) fn link_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(1 + bytes.len() * 8 / 5 + 1);
    text.push('b');
    base::put_base32(bytes, &mut text);
    text
}

/// The bytes of a CID's text, unchecked but for their number.
pub(crate) fn text_bytes(text: &str) -> Result<Vec<u8>, RepoError> {
    let refused = |offset: usize, expected| RepoError::Malformed {
        form: Form::CidText,
        offset,
        expected,
        found: text
            .get(offset..)
            .and_then(|rest| rest.chars().next())
            .map_or(Found::End, Found::Character),
    };
    let digits = text
        .strip_prefix('b')
        .ok_or_else(|| refused(0, "base32 (\"b\")"))?;
    if digits.len() > LINK_BYTES_MOST * 8 / 5 {
        return Err(RepoError::TooLarge {
            what: "text of a CID in bytes",
            found: text.len() as u64,
            most: (LINK_BYTES_MOST * 8 / 5) as u64,
        });
    }
    base::base32(digits.as_bytes()).map_err(|at| refused(at + 1, "a base32 digit"))
}

/// The unsigned LEB128 number with which `bytes` begin, and its length. `None` where it does not end, has
/// more than 63 bits, or is longer than need be.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (at == 0 || *byte != 0).then_some((value, at + 1));
        }
    }
    None
}

const fn malformed(offset: usize, expected: &'static str, found: Found) -> RepoError {
    RepoError::Malformed {
        form: Form::Cid,
        offset,
        expected,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_blocks_have_their_known_names() {
        let raw = Cid::of(Codec::Raw, b"");
        assert_eq!(
            raw.to_string(),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
        assert_eq!(Cid::parse(&raw.to_string()), Ok(raw));
        assert_eq!(Cid::from_bytes(&raw.to_bytes()), Ok(raw));
        assert!(raw.is_of(b"") && !raw.is_of(b"x"));
    }

    #[test]
    fn every_part_of_a_cid_is_checked_at_its_place() {
        let good = Cid::of(Codec::DagCbor, b"x").to_bytes();
        for (at, byte) in [(0, 0), (1, 0x70), (2, 0x11), (3, 31)] {
            let mut bytes = good;
            bytes[at] = byte;
            assert!(
                matches!(Cid::from_bytes(&bytes), Err(RepoError::Malformed { offset, .. }) if offset == at)
            );
        }
        for len in 0..CID_BYTES {
            assert!(Cid::from_bytes(&good[..len]).is_err());
        }
        assert!(Cid::from_bytes(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_link_may_have_any_codec_and_hash_but_must_be_whole() {
        // dag-pb with sha-256, and raw with sha-1.
        let pb = [&[1, 0x70, 0x12, 32][..], &[7; 32]].concat();
        let sha1 = [&[1, 0x55, 0x11, 20][..], &[7; 20]].concat();
        for link in [&pb, &sha1] {
            assert_eq!(check_link(link), Ok(()));
            assert!(check_link(&link[..link.len() - 1]).is_err());
            assert!(check_link(&[&link[..], &[0]].concat()).is_err());
        }
        assert!(check_link(&[1, 0x55, 0x12, 0]).is_err(), "no hash");
        assert!(
            check_link(&[1, 0xd5, 0x00, 0x12, 1, 9]).is_err(),
            "a long varint"
        );
        assert!(check_link(&[0x12, 32]).is_err(), "version 0");
        assert!(check_link(&[1; 101]).is_err());
    }

    #[test]
    fn varints_are_shortest_and_bounded() {
        assert_eq!(varint(&[0]), Some((0, 1)));
        assert_eq!(varint(&[0xac, 0x02, 9]), Some((300, 2)));
        assert_eq!(varint(&[0x80, 0]), None);
        assert_eq!(varint(&[0x80]), None);
        assert_eq!(varint(&[0xff; 10]), None);
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Some((u64::MAX >> 1, 9))
        );
    }
}
