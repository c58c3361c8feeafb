//! Cursors: the place where a page ended, as opaque lower-case hex.
//!
//! A cursor names a place in the order of indexing (a seq, and for many-to-many lists the ordinal of a
//! link in its record), never an index in a list, so that it stays good while links come and go and while
//! the index is rewritten. It also remembers which form of the target the walk is about. The bytes are:
//! one tag (kind of list and direction), the content as LEB128 varints, and three bytes of XXH3 over
//! all before, so that arbitrary hex is refused instead of starting somewhere.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::CursorError;

/// Separates the checksum from other uses of the hash; part of what a cursor is.
const CHECK_SEED: u64 = 0x6f72_7265_7279_0001;
/// Bytes of the checksum.
const CHECK_BYTES: usize = 3;
/// Tag, three varints of at most ten bytes, checksum.
const BYTES_MAX: usize = 1 + 3 * 10 + CHECK_BYTES;

/// The kinds of list that can be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Records,
    DistinctDids,
    ManyItems,
    ManyCounts,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Records => "linking records",
            Self::DistinctDids => "linking accounts",
            Self::ManyItems => "many-to-many items",
            Self::ManyCounts => "many-to-many counts",
        }
    }

    fn tag(self, reverse: bool) -> u8 {
        let kind = match self {
            Self::Records => 1,
            Self::DistinctDids => 2,
            Self::ManyItems => 3,
            Self::ManyCounts => 4,
        };
        kind << 1 | u8::from(reverse)
    }

    fn of_tag(tag: u8) -> Option<(Self, bool)> {
        let kind = match tag >> 1 {
            1 => Self::Records,
            2 => Self::DistinctDids,
            3 => Self::ManyItems,
            4 => Self::ManyCounts,
            _ => return None,
        };
        Some((kind, tag & 1 == 1))
    }
}

/// A place in the order of indexing: a link of a record version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    /// Ordinal of the link among those of its record at the path; 0 for lists of whole records.
    pub(crate) link: u32,
}

/// Where a page of a list ended. Give it back with the same query to get what follows.
///
/// Shown and read as lower-case hexadecimal digits:
///
/// ```
/// use orrery_query::Cursor;
///
/// assert!("ab".parse::<Cursor>().is_err());
/// assert!("zz".parse::<Cursor>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    tag: u8,
    candidate: u8,
    seq: u64,
    link: u32,
}

impl Cursor {
    pub(crate) fn new(kind: Kind, reverse: bool, candidate: u8, last: Place) -> Self {
        Self {
            tag: kind.tag(reverse),
            candidate,
            seq: last.seq,
            link: last.link,
        }
    }

    /// Checks that the cursor is one of this list in this direction.
    pub(crate) fn check(&self, kind: Kind, reverse: bool) -> Result<(), CursorError> {
        let (found, found_reverse) = Kind::of_tag(self.tag).ok_or(CursorError::Damaged)?;
        if found != kind {
            return Err(CursorError::OtherList {
                found: found.name(),
                expected: kind.name(),
            });
        }
        if found_reverse != reverse {
            return Err(CursorError::OtherDirection {
                found: found_reverse,
                expected: reverse,
            });
        }
        Ok(())
    }

    /// Which form of the target the walk is about.
    pub(crate) fn candidate(&self) -> u8 {
        self.candidate
    }

    /// The place of the last item given.
    pub(crate) fn place(&self) -> Place {
        Place {
            seq: self.seq,
            link: self.link,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES_MAX);
        bytes.push(self.tag);
        put_varint(&mut bytes, u64::from(self.candidate));
        put_varint(&mut bytes, self.seq);
        if self.has_link() {
            put_varint(&mut bytes, u64::from(self.link));
        }
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn has_link(&self) -> bool {
        matches!(
            Kind::of_tag(self.tag),
            Some((Kind::ManyItems | Kind::ManyCounts, _))
        )
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let mut text = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            write!(text, "{byte:02x}")?;
        }
        f.pad(&text)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.as_bytes();
        if digits.is_empty() || digits.len() > 2 * BYTES_MAX || !digits.len().is_multiple_of(2) {
            return Err(CursorError::NotHex);
        }
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        for pair in digits.chunks_exact(2) {
            let &[high, low] = pair else {
                return Err(CursorError::NotHex);
            };
            bytes.push(nibble(high)? << 4 | nibble(low)?);
        }
        decode(&bytes).ok_or(CursorError::Damaged)
    }
}

fn decode(bytes: &[u8]) -> Option<Cursor> {
    let (body, found) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
    if check(body) != *found {
        return None;
    }
    let (&tag, mut rest) = body.split_first()?;
    Kind::of_tag(tag)?;
    let mut cursor = Cursor {
        tag,
        candidate: u8::try_from(take_varint(&mut rest)?).ok()?,
        seq: take_varint(&mut rest)?,
        link: 0,
    };
    if cursor.has_link() {
        cursor.link = u32::try_from(take_varint(&mut rest)?).ok()?;
    }
    // One place has one spelling: what does not print back is refused.
    (rest.is_empty() && cursor.bytes() == bytes).then_some(cursor)
}

fn nibble(digit: u8) -> Result<u8, CursorError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(CursorError::NotHex),
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, ..] = xxh3_64_with_seed(bytes, CHECK_SEED).to_le_bytes();
    [a, b, c]
}

/// Appends an unsigned LEB128 integer.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one from the front of `bytes`; `None` where there is none.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 4] = [
        Kind::Records,
        Kind::DistinctDids,
        Kind::ManyItems,
        Kind::ManyCounts,
    ];

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_fits_only_its_list(
            kind in 0usize..4, reverse: bool, candidate: u8, seq: u64, link: u32,
        ) {
            let kind = KINDS[kind];
            let link = if matches!(kind, Kind::ManyItems | Kind::ManyCounts) { link } else { 0 };
            let cursor = Cursor::new(kind, reverse, candidate, Place { seq, link });
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            prop_assert_eq!(text.parse::<Cursor>(), Ok(cursor));
            for other in KINDS {
                prop_assert_eq!(cursor.check(other, reverse).is_ok(), other == kind);
                prop_assert!(cursor.check(other, !reverse).is_err());
            }
        }

        #[test]
        fn a_changed_digit_is_refused(seq: u64, at in 0usize..100, by in 1u8..16) {
            let text = Cursor::new(Kind::Records, false, 0, Place { seq, link: 0 }).to_string();
            let at = at % text.len();
            let mut bytes = text.into_bytes();
            let digit = (nibble(bytes[at]).unwrap() + by) % 16;
            bytes[at] = b"0123456789abcdef"[usize::from(digit)];
            // Three bytes of check leave one chance in 2^24, which the fixed cases never hit.
            prop_assert!(String::from_utf8(bytes).unwrap().parse::<Cursor>().is_err());
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,100}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused_with_a_reason() {
        for text in ["", "a", "zz", "AB", "0x", "é", &"00".repeat(200)] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError::NotHex), "{text:?}");
        }
        for text in ["ab", "00", "020001", "deadbeef", "0200018080808080"] {
            assert_eq!(
                text.parse::<Cursor>(),
                Err(CursorError::Damaged),
                "{text:?}"
            );
        }
    }
}
