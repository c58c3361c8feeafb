//! The rows whose visibility an account event changed. An account may have millions: the first are told with
//! their links, further ones by their seqs, and beyond that it is only told that there are more.

use std::ops::Range;

use super::links::{BYTES_KEPT, Links, varint_len};
use super::{EFFECT_BYTES_MAX, Effect, INLINE_BYTES_MAX, INLINE_LINKS_MAX, put_name, read_name};
use crate::Result;
use crate::bytes::{Reader, put_str, put_varint};

/// A row and its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The collection of its record.
    pub collection: &'a str,
    /// The key of its record.
    pub rkey: &'a str,
    /// Its links, at least one.
    pub links: Links<'a>,
}

/// Rows with their links, encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rows<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let mut reader = Reader::new(super::SECTION, self.bytes);
        let mut collection = None;
        // They were checked when they were decoded.
        (0..self.count).map_while(move |_| read_row(&mut reader, &mut collection).ok())
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
        // Each takes two names, the number of its links, and one of them.
        if count as usize > reader.remaining() / 5 {
            return Err(start.corrupt("a number of rows", count));
        }
        let rows = reader.clone();
        let mut collection = None;
        for _ in 0..count {
            read_row(reader, &mut collection)?;
        }
        let length = (reader.position() - rows.position()) as usize;
        let bytes = rows.clone().bytes(length)?;
        Ok(Self { count, bytes })
    }
}

fn read_row<'a>(reader: &mut Reader<'a>, collection: &mut Option<&'a str>) -> Result<Row<'a>> {
    Ok(Row {
        collection: read_name(reader, collection)?,
        rkey: reader.str()?,
        links: Links::decode(reader)?,
    })
}

/// Seqs of rows, rising, encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seqs<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Seqs<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, rising.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut reader = Reader::new(super::SECTION, self.bytes);
        let mut seq = 0;
        // They were checked when they were decoded.
        (0..self.count).map_while(move |_| read_seq(&mut reader, &mut seq).ok())
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
        if count as usize > reader.remaining() {
            return Err(start.corrupt("a number of seqs", count));
        }
        let seqs = reader.clone();
        let mut seq = 0;
        for _ in 0..count {
            read_seq(reader, &mut seq)?;
        }
        let length = (reader.position() - seqs.position()) as usize;
        let bytes = seqs.clone().bytes(length)?;
        Ok(Self { count, bytes })
    }
}

/// Reads the seq that follows `seq`.
fn read_seq(reader: &mut Reader<'_>, seq: &mut u64) -> Result<u64> {
    let start = reader.clone();
    let step = reader.varint()?;
    let next = seq.checked_add(step).filter(|_| step > 0);
    *seq = next.ok_or_else(|| start.corrupt("a step to a later seq", step))?;
    Ok(*seq)
}

/// Collects the rows of an account event, as far as there is room. Its buffers are kept from event to event.
#[derive(Debug, Clone, Default)]
pub struct AccountBuf {
    rows: Vec<u8>,
    row_count: u32,
    links: u32,
    /// Where in `rows` the last collection stands.
    collection: Option<Range<usize>>,
    seqs: Vec<u8>,
    seq_count: u32,
    last_seq: u64,
    is_cut: bool,
}

impl AccountBuf {
    /// Drops all.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.rows.shrink_to(BYTES_KEPT);
        self.row_count = 0;
        self.links = 0;
        self.collection = None;
        self.seqs.clear();
        self.seqs.shrink_to(BYTES_KEPT);
        self.seq_count = 0;
        self.last_seq = 0;
        self.is_cut = false;
    }

    /// Whether a row with so many links may still be told with them.
    #[must_use]
    pub fn has_room(&self, links: u32) -> bool {
        self.rows.len() < INLINE_BYTES_MAX && self.links.saturating_add(links) <= INLINE_LINKS_MAX
    }

    /// Adds a row. False, with nothing done, where it has no links or there is no room for them: its seq is then to
    /// be told.
    pub fn push_row(&mut self, row: &Row<'_>) -> bool {
        let bytes = row.collection.len() + row.rkey.len() + row.links.encoded_len() + 20;
        if row.links.is_empty()
            || !self.has_room(row.links.len())
            || self.rows.len().saturating_add(bytes) > INLINE_BYTES_MAX
        {
            return false;
        }
        let known = self.collection.clone().and_then(|at| self.rows.get(at));
        let is_same = known == Some(row.collection.as_bytes());
        put_name(&mut self.rows, row.collection, is_same);
        if !is_same {
            let end = self.rows.len();
            self.collection = Some(end - row.collection.len()..end);
        }
        put_str(&mut self.rows, row.rkey);
        row.links.encode(&mut self.rows);
        self.row_count = self.row_count.saturating_add(1);
        self.links += row.links.len();
        true
    }

    /// Adds a row by its seq; they are to rise. Where there is no room, and for a seq that does not rise, it is only
    /// told that there are more rows.
    pub fn push_seq(&mut self, seq: u64) {
        // Kind, two counts and a step take less.
        const LAST: usize = 32;
        if seq <= self.last_seq || self.rows.len() + self.seqs.len() + LAST > EFFECT_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        put_varint(&mut self.seqs, seq - self.last_seq);
        self.last_seq = seq;
        self.seq_count = self.seq_count.saturating_add(1);
    }

    /// Tells that there may be more rows than are put in.
    pub const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// What was put in.
    #[must_use]
    pub fn effect(&self) -> Effect<'_> {
        Effect::Account {
            rows: Rows {
                count: self.row_count,
                bytes: &self.rows,
            },
            seqs: Seqs {
                count: self.seq_count,
                bytes: &self.seqs,
            },
            is_cut: self.is_cut,
        }
    }
}
