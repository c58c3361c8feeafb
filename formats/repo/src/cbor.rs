//! DAG-CBOR: a reader that takes canonical bytes only, and the bytes of single items.
//!
//! Canonical: lengths and integers in their shortest form and stated, floats of 64 bits and finite, the only
//! tag is 42 (a CID), the only simple values are false, true and null, map keys are text, in the order of
//! their length and then of their bytes, each once. Each value so has one form, and a hash one meaning.

use crate::cid::{Cid, check_link};
use crate::error::{Form, Found, RepoError};

/// Deepest nesting that may be asked for: readers of nested values call themselves.
pub const DEPTH_MOST: usize = 128;

/// One item: a scalar, or the head of a list or map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// An integer of the data model, which has 64 bits with sign.
    Integer(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text.
    Text(&'a str),
    /// A list of so many values.
    List(usize),
    /// A map of so many pairs of key and value.
    Map(usize),
    /// A link: the bytes of a CID, of version 1, with any codec and hash. [`Cid::from_bytes`] is stricter.
    Link(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// A float, which the data model does not have.
    Float(f64),
}

impl Item<'_> {
    /// What to call it in an error.
    pub(crate) const fn thing(&self) -> Found {
        Found::Thing(match self {
            Self::Integer(_) => "an integer",
            Self::Bytes(_) => "bytes",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Link(_) => "a link",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Float(_) => "a float",
        })
    }
}

/// Reads items one behind the other. Nothing is allocated, whatever lengths the bytes state.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next item.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes from one offset up to what was not read yet.
    #[must_use]
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] if not.
    pub fn finish(&self) -> Result<(), RepoError> {
        match self.bytes.get(self.at) {
            None => Ok(()),
            Some(byte) => Err(malformed(self.at, "the end", Found::Byte(*byte))),
        }
    }

    /// Reads the next item.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] if there is none, or none that is canonical. The reader may not be used
    /// after that.
    pub fn item(&mut self) -> Result<Item<'a>, RepoError> {
        let start = self.at;
        let head = self.byte()?;
        let (major, low) = (head >> 5, head & 0x1f);
        if major == 7 {
            return match low {
                20 => Ok(Item::Bool(false)),
                21 => Ok(Item::Bool(true)),
                22 => Ok(Item::Null),
                27 => self.float(start),
                _ => Err(malformed(
                    start,
                    "false, true, null or a float of 64 bits",
                    Found::Byte(head),
                )),
            };
        }
        let value = self.argument(start, low)?;
        match major {
            0 => match i64::try_from(value) {
                Ok(value) => Ok(Item::Integer(value)),
                Err(_) => Err(malformed(start, INTEGER, Found::Number(value))),
            },
            1 => match i64::try_from(value) {
                Ok(value) => Ok(Item::Integer(-1 - value)),
                Err(_) => Err(malformed(start, INTEGER, Found::Thing("one beyond"))),
            },
            2 => Ok(Item::Bytes(self.take(start, value)?)),
            3 => {
                let from = self.at;
                match std::str::from_utf8(self.take(start, value)?) {
                    Ok(text) => Ok(Item::Text(text)),
                    Err(error) => {
                        let at = from + error.valid_up_to();
                        Err(malformed(at, "UTF-8", Found::at(self.bytes, at)))
                    }
                }
            }
            4 => Ok(Item::List(self.count(start, value, 1)?)),
            5 => Ok(Item::Map(self.count(start, value, 2)?)),
            _ if value == 42 => self.link(),
            _ => Err(malformed(start, "tag 42 (a CID)", Found::Number(value))),
        }
    }

    /// Reads a key of a map and checks that it stands behind the one before it, in `last`.
    ///
    /// # Errors
    /// [`RepoError::Malformed`] if there is none, or if it stands in the wrong place.
    pub fn key(&mut self, last: &mut Option<&'a str>) -> Result<&'a str, RepoError> {
        let start = self.at;
        let key = match self.item()? {
            Item::Text(key) => key,
            other => return Err(malformed(start, "text as the key", other.thing())),
        };
        if let Some(last) = last {
            let order = (last.len(), last.as_bytes()).cmp(&(key.len(), key.as_bytes()));
            if order.is_ge() {
                return Err(malformed(
                    start,
                    "keys in the order of length, then bytes",
                    Found::Thing(if order.is_eq() {
                        "the same key again"
                    } else {
                        "an earlier key"
                    }),
                ));
            }
        }
        *last = Some(key);
        Ok(key)
    }

    /// Reads one value with all that is in it, and gives its bytes.
    ///
    /// # Errors
    /// As [`item`](Self::item), and [`RepoError::TooDeep`] below `depth` levels (at most [`DEPTH_MOST`]).
    pub fn value(&mut self, depth: usize) -> Result<&'a [u8], RepoError> {
        let start = self.at;
        self.skip(depth.min(DEPTH_MOST), depth.min(DEPTH_MOST))?;
        Ok(self.since(start))
    }

    fn skip(&mut self, left: usize, most: usize) -> Result<(), RepoError> {
        let start = self.at;
        let (count, is_map) = match self.item()? {
            Item::List(count) => (count, false),
            Item::Map(count) => (count, true),
            _ => return Ok(()),
        };
        let left = left.checked_sub(1).ok_or(too_deep(start, most))?;
        let mut last = None;
        for _ in 0..count {
            if is_map {
                self.key(&mut last)?;
            }
            self.skip(left, most)?;
        }
        Ok(())
    }

    /// Reads the key of a map that has this key in this place.
    pub(crate) fn named(&mut self, name: &'static str) -> Result<(), RepoError> {
        let start = self.at;
        match self.item()? {
            Item::Text(key) if key == name => Ok(()),
            Item::Text(_) => Err(malformed(start, name, Found::Thing("another key"))),
            other => Err(malformed(start, name, other.thing())),
        }
    }

    /// Reads the head of a map.
    pub(crate) fn map(&mut self) -> Result<usize, RepoError> {
        let start = self.at;
        match self.item()? {
            Item::Map(count) => Ok(count),
            other => Err(malformed(start, "a map", other.thing())),
        }
    }

    /// Reads the head of a list.
    pub(crate) fn list(&mut self) -> Result<usize, RepoError> {
        let start = self.at;
        match self.item()? {
            Item::List(count) => Ok(count),
            other => Err(malformed(start, "a list", other.thing())),
        }
    }

    /// Reads a link to a block of a repository.
    pub(crate) fn cid(&mut self) -> Result<Cid, RepoError> {
        let start = self.at;
        let cid = self.cid_or_null()?;
        cid.ok_or(malformed(start, "a link", Found::Thing("null")))
    }

    /// Reads a link to a block of a repository, or null.
    pub(crate) fn cid_or_null(&mut self) -> Result<Option<Cid>, RepoError> {
        let start = self.at;
        match self.item()? {
            Item::Null => Ok(None),
            Item::Link(bytes) => match Cid::from_bytes(bytes) {
                Ok(cid) => Ok(Some(cid)),
                Err(error) => Err(cid_at(error, self.at - bytes.len())),
            },
            other => Err(malformed(start, "a link or null", other.thing())),
        }
    }

    fn byte(&mut self) -> Result<u8, RepoError> {
        let byte = self.bytes.get(self.at).copied();
        let byte = byte.ok_or(malformed(self.at, "an item", Found::End))?;
        self.at += 1;
        Ok(byte)
    }

    /// The number behind an item's first byte.
    fn argument(&mut self, start: usize, low: u8) -> Result<u64, RepoError> {
        let len = match low {
            0..=23 => return Ok(u64::from(low)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => {
                return Err(malformed(
                    start,
                    "a stated length",
                    Found::Thing("an indefinite one"),
                ));
            }
            _ => {
                return Err(malformed(
                    start,
                    "a length of 0 to 8 bytes",
                    Found::at(self.bytes, start),
                ));
            }
        };
        let bytes = self.take(start, len)?;
        let value = bytes.iter().fold(0, |value, b| value << 8 | u64::from(*b));
        let least = match len {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if value < least {
            return Err(malformed(
                start,
                "a number in its shortest form",
                Found::Thing("a longer one"),
            ));
        }
        Ok(value)
    }

    fn float(&mut self, start: usize) -> Result<Item<'a>, RepoError> {
        let bytes = self.take(start, 8)?;
        let bits = bytes.iter().fold(0, |bits, b| bits << 8 | u64::from(*b));
        let value = f64::from_bits(bits);
        if value.is_finite() {
            Ok(Item::Float(value))
        } else {
            let found = Found::Thing("infinity or no number");
            Err(malformed(start, "a finite number", found))
        }
    }

    fn link(&mut self) -> Result<Item<'a>, RepoError> {
        let start = self.at;
        // Not through `item`, by which tags within tags would nest without a bound.
        let head = self.byte()?;
        if head >> 5 != 2 {
            return Err(malformed(start, "the bytes of a CID", Found::Byte(head)));
        }
        let len = self.argument(start, head & 0x1f)?;
        let from = self.at;
        let bytes = self.take(start, len)?;
        let Some((0, cid)) = bytes.split_first().map(|(first, cid)| (*first, cid)) else {
            let found = bytes.first().map_or(Found::End, |byte| Found::Byte(*byte));
            return Err(malformed(from, "byte 0x00 before a CID", found));
        };
        check_link(cid).map_err(|error| cid_at(error, from + 1))?;
        Ok(Item::Link(cid))
    }

    /// The number of items of a list or map, of which each takes at least `least` bytes.
    fn count(&self, start: usize, value: u64, least: usize) -> Result<usize, RepoError> {
        let left = self.rest().len() / least;
        match usize::try_from(value) {
            Ok(count) if count <= left => Ok(count),
            _ => Err(malformed(
                start,
                "no more items than bytes for them",
                Found::Number(value),
            )),
        }
    }

    fn take(&mut self, start: usize, len: u64) -> Result<&'a [u8], RepoError> {
        let taken = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest().get(..len));
        let taken = taken.ok_or(malformed(start, "as many bytes as stated", Found::End))?;
        self.at += taken.len();
        Ok(taken)
    }
}

/// Counts the offset of an error in a CID from where the bytes of that begin.
fn cid_at(error: RepoError, start: usize) -> RepoError {
    match error {
        RepoError::Malformed {
            offset,
            expected,
            found,
            ..
        } => malformed(start + offset, expected, found),
        other => other,
    }
}

const INTEGER: &str = "an integer of 64 bits with sign";

pub(crate) const fn malformed(offset: usize, expected: &'static str, found: Found) -> RepoError {
    RepoError::Malformed {
        form: Form::Cbor,
        offset,
        expected,
        found,
    }
}

pub(crate) const fn too_deep(offset: usize, most: usize) -> RepoError {
    RepoError::TooDeep {
        form: Form::Cbor,
        offset,
        most,
    }
}

/// Appends an item in its canonical form: of a list or map, the head.
///
/// ```
/// use orrery_repo::cbor::{Item, put};
///
/// let mut out = Vec::new();
/// put(&mut out, Item::List(2));
/// put(&mut out, Item::Integer(-1));
/// put(&mut out, Item::Text("a"));
/// assert_eq!(out, [0x82, 0x20, 0x61, b'a']);
/// ```
pub fn put(out: &mut Vec<u8>, item: Item<'_>) {
    match item {
        Item::Integer(value @ 0..) => put_head(out, 0, value.unsigned_abs()),
        Item::Integer(value) => put_head(out, 1, (-1 - value).unsigned_abs()),
        Item::Bytes(bytes) => {
            put_head(out, 2, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Item::Text(text) => {
            put_head(out, 3, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        Item::List(count) => put_head(out, 4, count as u64),
        Item::Map(count) => put_head(out, 5, count as u64),
        Item::Link(cid) => {
            out.extend_from_slice(&[0xd8, 42]);
            put_head(out, 2, cid.len() as u64 + 1);
            out.push(0);
            out.extend_from_slice(cid);
        }
        Item::Bool(value) => out.push(0xf4 | u8::from(value)),
        Item::Null => out.push(0xf6),
        Item::Float(value) => {
            out.push(0xfb);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn put_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let (head, all) = (major << 5, value.to_be_bytes());
    let (low, len) = match value {
        0..24 => (value as u8, 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(head | low);
    out.extend(all.iter().skip(8 - len));
}
