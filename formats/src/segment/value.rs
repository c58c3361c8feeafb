//! Values read out of a segment that are kept packed there: record keys, targets and DIDs, and how they
//! become text without the heap.

use std::fmt;
use std::ops::Deref;

use orrery_links::syntax::Tid;

use super::TargetKey;

/// A record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKey<'s> {
    /// A TID, as its number.
    Tid(u64),
    /// Any other key.
    Str(&'s str),
}

impl<'s> RecordKey<'s> {
    /// Classifies a key: [`RecordKey::Tid`] exactly for the strings that are TIDs.
    #[must_use]
    pub fn parse(text: &'s str) -> Self {
        match tid(text) {
            Some(tid) => Self::Tid(tid),
            None => Self::Str(text),
        }
    }

    /// The text of the key, on the stack.
    #[must_use]
    pub fn text(&self) -> Text<'s> {
        match *self {
            Self::Tid(value) => Tid::from_u64(value).map_or(Text(Inner::Borrowed("")), |tid| {
                Text::from_ascii(&tid.to_digits())
            }),
            Self::Str(text) => Text(Inner::Borrowed(text)),
        }
    }
}

impl RecordKey<'_> {
    /// The order of record targets of one collection in every segment: TIDs as numbers, then other keys by
    /// their bytes.
    #[must_use]
    pub fn order(&self, other: &RecordKey<'_>) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Tid(a), RecordKey::Tid(b)) => a.cmp(b),
            (Self::Str(a), RecordKey::Str(b)) => (*a).cmp(*b),
            (Self::Tid(_), RecordKey::Str(_)) => std::cmp::Ordering::Less,
            (Self::Str(_), RecordKey::Tid(_)) => std::cmp::Ordering::Greater,
        }
    }
}

impl fmt::Display for RecordKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl PartialEq<str> for RecordKey<'_> {
    fn eq(&self, other: &str) -> bool {
        *self == RecordKey::parse(other)
    }
}

/// The number of `text` if it is a TID.
pub(super) fn tid(text: &str) -> Option<u64> {
    if text.len() != 13 {
        return None;
    }
    Tid::parse(text).ok().map(Tid::to_u64)
}

/// A target read from a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetRef<'s> {
    /// A DID, by its id.
    Did(u32),
    /// A record.
    Record {
        /// The authority.
        actor: u32,
        /// The collection.
        collection: &'s str,
        /// The record key.
        rkey: RecordKey<'s>,
    },
    /// Any other target.
    Other(&'s str),
}

impl<'s> TargetRef<'s> {
    /// The same target as a key; `text` takes the digits of a TID.
    ///
    /// ```
    /// use orrery_formats::segment::{RecordKey, TargetKey, TargetRef, Text};
    ///
    /// let target = TargetRef::Record { actor: 7, collection: "a.b.c", rkey: RecordKey::Str("self") };
    /// let mut text = Text::default();
    /// assert_eq!(target.key(&mut text), TargetKey::Record { actor: 7, collection: "a.b.c", rkey: "self" });
    /// ```
    #[must_use]
    pub fn key<'b>(&self, text: &'b mut Text<'s>) -> TargetKey<'b>
    where
        's: 'b,
    {
        match *self {
            Self::Did(actor) => TargetKey::Did(actor),
            Self::Other(other) => TargetKey::Other(other),
            Self::Record {
                actor,
                collection,
                rkey,
            } => {
                *text = rkey.text();
                TargetKey::Record {
                    actor,
                    collection,
                    rkey: text,
                }
            }
        }
    }
}

/// A DID read from a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DidRef<'s> {
    /// `did:plc:` and 24 base-32 digits, the most significant first.
    Plc([u8; 15]),
    /// Any other DID.
    Str(&'s str),
}

const PLC: &str = "did:plc:";
/// RFC 4648 base 32, in lower case.
const BASE32: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz234567";

/// The eight digits of 40 bits, the most significant first: all eight at once, a byte each.
const fn base32([a, b, c, d, e]: [u8; 5]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let value = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    // Halves, quarters and digits, of which the first goes to the lower place.
    let halves = value >> 20 | (value & 0xf_ffff) << 32;
    let quarters = halves >> 10 & 0x0000_03ff_0000_03ff | (halves & 0x0000_03ff_0000_03ff) << 16;
    let digits = quarters >> 5 & 0x001f_001f_001f_001f | (quarters & 0x001f_001f_001f_001f) << 8;
    // 26 and more are '2' and on, the others 'a' and on; no byte overflows.
    let are_numbers = (digits + EACH * (0x80 - 26)) >> 7 & EACH;
    let text = digits + EACH * b'a' as u64 - are_numbers * (b'a' as u64 + 26 - b'2' as u64);
    text.to_le_bytes()
}

/// Set in the value of a byte that is no digit of [`BASE32`].
const NO_DIGIT: u8 = 0x80;
/// Value of each byte as a digit.
const DIGITS: [u8; 256] = digits();

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated at compile time; every index is below the length"
)]
const fn digits() -> [u8; 256] {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 32 {
        digits[BASE32[value] as usize] = value as u8;
        value += 1;
    }
    digits
}

impl<'s> DidRef<'s> {
    /// The text of the DID, on the stack.
    #[must_use]
    pub fn text(&self) -> Text<'s> {
        match *self {
            Self::Plc(bytes) => Text::from_ascii(&plc_text(bytes)),
            Self::Str(text) => Text(Inner::Borrowed(text)),
        }
    }
}

impl fmt::Display for DidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The text of a DID of [`DidRef::Plc`].
pub(super) fn plc_text(bytes: [u8; 15]) -> [u8; 32] {
    let mut out = [0u8; 32];
    let (prefix, digits) = out.split_at_mut(PLC.len());
    prefix.copy_from_slice(PLC.as_bytes());
    let (groups, _) = bytes.as_chunks::<5>();
    let (eights, _) = digits.as_chunks_mut::<8>();
    for (group, digits) in groups.iter().zip(eights) {
        *digits = base32(*group);
    }
    out
}

/// The 15 bytes of a DID that is `did:plc:` and 24 digits and nothing else: exactly the DIDs that
/// [`DidRef::Plc`] prints back byte for byte.
pub(super) fn plc_bytes(did: &str) -> Option<[u8; 15]> {
    let digits = did.strip_prefix(PLC)?.as_bytes();
    if digits.len() != 24 {
        return None;
    }
    let mut out = [0u8; 15];
    for (digits, group) in digits.chunks_exact(8).zip(out.chunks_exact_mut(5)) {
        let (mut value, mut all) = (0u64, 0u8);
        for &byte in digits {
            let digit = DIGITS.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT);
            all |= digit;
            value = value << 5 | u64::from(digit);
        }
        if all & NO_DIGIT != 0 {
            return None;
        }
        let [_, _, _, bytes @ ..] = value.to_be_bytes();
        group.copy_from_slice(&bytes);
    }
    Some(out)
}

/// A short text: borrowed from the segment, or at most 32 ASCII bytes on the stack. Derefs to `str`.
#[derive(Debug, Clone, Copy)]
pub struct Text<'s>(Inner<'s>);

#[derive(Debug, Clone, Copy)]
enum Inner<'s> {
    Borrowed(&'s str),
    Ascii(Digits, u8),
}

/// ASCII, with zeros behind it. So aligned, and asked for in whole pieces, it is found to be text a word at a time.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Digits([u8; 32]);

/// Bytes of a piece.
const PIECE: usize = 16;

impl Text<'_> {
    /// Copies at most 32 bytes of ASCII.
    fn from_ascii(ascii: &[u8]) -> Self {
        let mut bytes = [0u8; 32];
        let len = ascii.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), ascii.get(..len)) {
            to.copy_from_slice(from);
        }
        Self(Inner::Ascii(Digits(bytes), len as u8))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Inner::Borrowed(text) => text,
            Inner::Ascii(Digits(bytes), len) => bytes
                .get(..usize::from(*len).next_multiple_of(PIECE))
                .and_then(|bytes| std::str::from_utf8(bytes).ok()?.get(..usize::from(*len)))
                .unwrap_or_default(),
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Inner::Borrowed(""))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
