//! The links of one row: pairs of path and target, in the row's order, in which equal paths stand together.

use std::ops::Range;

use super::{put_name, read_name};
use crate::Result;
use crate::bytes::{Reader, put_str, put_varint};

/// The links of one row, encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links<'a> {
    pub(super) count: u32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Links<'a> {
    /// How many there are, at least one.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none, as only in a [`LinksBuf`] into which nothing was put.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Path (with its leading dot) and target of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = Reader::new(super::SECTION, self.bytes);
        let mut path = None;
        // They were checked when they were decoded.
        (0..self.count).map_while(move |_| read_link(&mut reader, &mut path).ok())
    }

    pub(super) fn encoded_len(&self) -> usize {
        varint_len(self.count.into()) + self.bytes.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count.into());
        out.extend_from_slice(self.bytes);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self> {
        let start = reader.clone();
        let count = reader.varint_u32()?;
        // Each takes two bytes at least.
        if count == 0 || count as usize > reader.remaining() / 2 {
            return Err(start.corrupt("a number of links", count));
        }
        let links = reader.clone();
        let mut path = None;
        for _ in 0..count {
            read_link(reader, &mut path)?;
        }
        let length = (reader.position() - links.position()) as usize;
        let bytes = links.clone().bytes(length)?;
        Ok(Self { count, bytes })
    }
}

fn read_link<'a>(
    reader: &mut Reader<'a>,
    path: &mut Option<&'a str>,
) -> Result<(&'a str, &'a str)> {
    let path = read_name(reader, path)?;
    Ok((path, reader.str()?))
}

/// The bytes that a varint takes.
pub(super) const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// The most bytes of a buffer that are kept for the next use.
pub(super) const BYTES_KEPT: usize = 256 << 10;

/// Collects the links of a row. Its buffer is kept from row to row.
#[derive(Debug, Clone, Default)]
pub struct LinksBuf {
    count: u32,
    bytes: Vec<u8>,
    /// Where in `bytes` the last path stands.
    path: Option<Range<usize>>,
}

impl LinksBuf {
    /// Drops all.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.bytes.shrink_to(BYTES_KEPT);
        self.path = None;
    }

    /// Adds one.
    pub fn push(&mut self, path: &str, target: &str) {
        let known = self.path.clone().and_then(|path| self.bytes.get(path));
        let is_same = known == Some(path.as_bytes());
        put_name(&mut self.bytes, path, is_same);
        if !is_same {
            let end = self.bytes.len();
            self.path = Some(end - path.len()..end);
        }
        put_str(&mut self.bytes, target);
        self.count = self.count.saturating_add(1);
    }

    /// The bytes that they take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// What was put in.
    #[must_use]
    pub fn links(&self) -> Links<'_> {
        Links {
            count: self.count,
            bytes: &self.bytes,
        }
    }
}
