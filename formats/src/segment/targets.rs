//! Targets in the order (DIDs by actor; records by actor, collection and key, TIDs before other keys;
//! other strings by byte). A target's ordinal is its place.
//!
//! DIDs are a monotone list of actors, other targets a table of strings. Records stand in blocks of 128:
//!
//! ```text
//! directory, 8 bytes a block
//!   u32   byte offset of the block
//!   u32   actor of its first record
//! block
//!   u8 u8 Elias–Fano head of the actors
//!   u8    collections in the block, less one
//!   u16   byte offset in the block of the keys
//!   bits  actor - actor of the first record         Elias–Fano
//!   bits  the collections, in rising order, at the segment's width of collections
//!   bits  each record's index into them
//!   keys  a block of keys, from a whole byte on
//! ```

use super::ef::EfHead;
use super::keyblock::{self, PackedKey};
use super::rows::{BLOCK, offset_u64};
use crate::Result;
use crate::bits::{BitReader, BitWriter, read_bits, width_for};
use crate::bytes::{put_u16, put_u32};
use crate::chunks::Region;

const DIRECTORY_ENTRY: u64 = 8;
const HEAD: u64 = 5;
/// Bytes of a block up to its keys, about: most of it, where actors and collections are close together.
const BEFORE_KEYS: u64 = 192;

/// A record target; its order is that of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackedRecord {
    pub(super) actor: u32,
    pub(super) collection: u32,
    pub(super) key: PackedKey,
}

impl PackedRecord {
    /// The record as one number, in the same order.
    pub(super) fn to_u128(self) -> u128 {
        u128::from(self.actor) << 96
            | u128::from(self.collection) << 64
            | u128::from(self.key.to_u64())
    }

    /// The reverse of [`to_u128`](Self::to_u128).
    pub(super) fn from_u128(value: u128) -> Self {
        Self {
            actor: (value >> 96) as u32,
            collection: (value >> 64) as u32,
            key: PackedKey::from_u64(value as u64),
        }
    }
}

/// Encodes records in order, block by block.
pub(super) struct RecordsWriter {
    collection_width: u32,
    block: Vec<PackedRecord>,
    values: Vec<u64>,
    collections: Vec<u32>,
    keys: Vec<PackedKey>,
    bits: BitWriter,
    packed: Vec<u8>,
    /// Bytes of the finished blocks.
    written: u64,
}

impl RecordsWriter {
    /// A writer for a segment whose collections have that width.
    pub(super) fn new(collection_width: u32) -> Self {
        Self {
            collection_width,
            block: Vec::with_capacity(BLOCK as usize),
            values: Vec::new(),
            collections: Vec::new(),
            keys: Vec::new(),
            bits: BitWriter::new(),
            packed: Vec::new(),
            written: 0,
        }
    }

    /// Appends a record. What is finished goes to the end of `directory` and `out`.
    pub(super) fn push(
        &mut self,
        record: PackedRecord,
        directory: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.block.push(record);
        if self.block.len() == BLOCK as usize {
            return self.flush(directory, out);
        }
        Ok(())
    }

    /// Writes the block being filled. To be called once at the end.
    pub(super) fn flush(&mut self, directory: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        let Self {
            block,
            values,
            collections,
            keys,
            bits,
            packed,
            ..
        } = self;
        let Some(&first) = block.first() else {
            return Ok(());
        };
        put_u32(
            directory,
            offset_u64(self.written, "bytes of targets in a segment")?,
        );
        put_u32(directory, first.actor);
        let before = out.len();
        values.clear();
        values.extend(
            block
                .iter()
                .map(|record| u64::from(record.actor - first.actor)),
        );
        let head = EfHead::choose(values.len() as u64, values.last().copied().unwrap_or(0));
        head.write(values, bits);
        collections.clear();
        collections.extend(block.iter().map(|record| record.collection));
        collections.sort_unstable();
        collections.dedup();
        for &collection in collections.iter() {
            bits.write(u64::from(collection), self.collection_width);
        }
        let collections_less_one = collections.len().saturating_sub(1);
        let index_width = width_for(collections_less_one as u64);
        for record in block.iter() {
            let index = collections.partition_point(|&other| other < record.collection);
            bits.write(index as u64, index_width);
        }
        packed.clear();
        bits.finish_into(packed);
        out.extend_from_slice(&[head.low, head.high_max, collections_less_one as u8]);
        // 128 records of three columns of at most 57 bits: far below 2^16.
        put_u16(out, HEAD as u16 + packed.len() as u16);
        out.extend_from_slice(packed);
        keys.clear();
        keys.extend(block.iter().map(|record| record.key));
        keyblock::encode(keys, values, out);
        self.written += (out.len() - before) as u64;
        block.clear();
        Ok(())
    }
}

/// Where the entry of a record's block stands.
fn entry_of(index: u32) -> u64 {
    u64::from(index / BLOCK) * DIRECTORY_ENTRY
}

/// The record targets of a segment.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
    pub(super) count: u32,
    pub(super) collection_width: u32,
}

/// A record, and where the rest of it stands.
struct RecordPlace {
    /// Its block: the byte where it begins, and how many records and collections it has.
    start: u64,
    count: u64,
    collections: u64,
    actor: u32,
    /// A bit, and a byte.
    behind_actors: u64,
    keys: u64,
}

impl Records<'_> {
    fn first_actor(&self, block: u32) -> Result<u32> {
        self.directory
            .u32_at(u64::from(block) * DIRECTORY_ENTRY + 4)
    }

    /// Has the processor fetch the head of a record's block, which says where the rest is.
    pub(super) fn fetch_head(&self, index: u32) {
        // What cannot be read is told to whoever reads it next.
        if let Ok(start) = self.directory.u32_at(entry_of(index)) {
            self.data.fetch(start.into(), BEFORE_KEYS);
        }
    }

    /// Has the processor fetch the key of a record, the head of whose block it has.
    pub(super) fn fetch_key(&self, index: u32) {
        if index >= self.count {
            return;
        }
        let entry = entry_of(index);
        let is_last = index / BLOCK + 1 >= self.count.div_ceil(BLOCK);
        let end = match is_last {
            true => Ok(self.data.len()),
            false => self
                .directory
                .u32_at(entry + DIRECTORY_ENTRY)
                .map(u64::from),
        };
        if let (Ok(start), Ok(end)) = (self.directory.u32_at(entry), end) {
            let keys = self.data.u16_at(u64::from(start) + HEAD - 2);
            let keys = u64::from(start) + u64::from(keys.unwrap_or(0));
            let keys_in_block = u64::from((self.count - index / BLOCK * BLOCK).min(BLOCK));
            // They are of about one length.
            let own = end.saturating_sub(keys) * u64::from(index % BLOCK) / keys_in_block.max(1);
            self.data.fetch(keys, 1);
            self.data.fetch(keys + own, 1);
        }
    }

    /// The actor of the record at `index`.
    pub(super) fn actor(&self, index: u32) -> Result<u32> {
        Ok(self.locate(index)?.actor)
    }

    /// The record at `index`.
    pub(super) fn get(&self, index: u32) -> Result<PackedRecord> {
        let place = self.locate(index)?;
        let width = width_for(place.collections - 1);
        let own = u64::from(index % BLOCK);
        let indexes = place.behind_actors + place.collections * u64::from(self.collection_width);
        let index = read_bits(self.data, indexes + own * u64::from(width), width)?;
        if index >= place.collections {
            return Err(self
                .data
                .corrupt(place.start, "the index of a collection", index));
        }
        let bit = place.behind_actors + index * u64::from(self.collection_width);
        let collection = read_bits(self.data, bit, self.collection_width)? as u32;
        Ok(PackedRecord {
            actor: place.actor,
            collection,
            key: keyblock::read(self.data, place.keys, place.count, own)?,
        })
    }

    fn locate(&self, index: u32) -> Result<RecordPlace> {
        if index >= self.count {
            return Err(self.directory.corrupt(
                0,
                format!("a record target below {}", self.count),
                index,
            ));
        }
        let (block, i) = (index / BLOCK, u64::from(index % BLOCK));
        let count = u64::from((self.count - block * BLOCK).min(BLOCK));
        let start = u64::from(self.directory.u32_at(entry_of(index))?);
        let [low, high_max, collections, k0, k1] =
            self.data.array_at::<{ HEAD as usize }>(start)?;
        let actors = EfHead { low, high_max };
        let bit = (start + HEAD) * 8;
        let above = actors.read(self.data, bit, count, i)?;
        let actor = u64::from(self.first_actor(block)?).saturating_add(above);
        let Ok(actor) = u32::try_from(actor) else {
            return Err(self.data.corrupt(start, "an actor below 2^32", actor));
        };
        Ok(RecordPlace {
            start,
            count,
            actor,
            collections: u64::from(collections) + 1,
            behind_actors: bit + actors.bit_len(count),
            keys: start + u64::from(u16::from_le_bytes([k0, k1])),
        })
    }

    /// Decodes the block `number` to `out`.
    pub(super) fn decode(
        &self,
        number: u32,
        keys: &mut Vec<PackedKey>,
        out: &mut Vec<PackedRecord>,
    ) -> Result<()> {
        out.clear();
        let before = number.saturating_mul(BLOCK);
        let count = self.count.saturating_sub(before).min(BLOCK);
        let entry = u64::from(number) * DIRECTORY_ENTRY;
        let start = u64::from(self.directory.u32_at(entry)?);
        let end = if self.count - before > BLOCK {
            u64::from(self.directory.u32_at(entry + DIRECTORY_ENTRY)?)
        } else {
            self.data.len()
        };
        let Some(len) = end.checked_sub(start) else {
            return Err(self.directory.corrupt(entry, "rising offsets", end));
        };
        let bytes = self.data.get(start, len as usize)?;
        let first = self.first_actor(number)?;
        let decoded = self.decode_columns(bytes, first, count as usize, keys, out);
        decoded.filter(|()| out.is_sorted()).ok_or_else(|| {
            let expected = format!("a sound block {number} of record targets");
            self.data.corrupt(start, expected, "another")
        })
    }

    fn decode_columns(
        &self,
        bytes: &[u8],
        first: u32,
        count: usize,
        keys: &mut Vec<PackedKey>,
        out: &mut Vec<PackedRecord>,
    ) -> Option<()> {
        let (&[low, high_max, collections, k0, k1], _) = bytes.split_first_chunk()?;
        let head = EfHead { low, high_max };
        let mut actors = [0u64; BLOCK as usize];
        let actors = actors.get_mut(..count)?;
        head.decode(bytes, HEAD * 8, actors)?;
        keys.clear();
        let keys_at = usize::from(u16::from_le_bytes([k0, k1]));
        keyblock::decode(bytes.get(keys_at..)?, count, keys)?;
        let mut bits = BitReader::new(bytes, (HEAD * 8 + head.bit_len(count as u64)) as usize);
        let mut distinct = [0u32; 256];
        for collection in distinct.iter_mut().take(usize::from(collections) + 1) {
            *collection = bits.read(self.collection_width)? as u32;
        }
        let width = width_for(collections.into());
        for (actor, &key) in actors.iter().zip(keys.iter()) {
            let index = bits.read(width)?;
            out.push(PackedRecord {
                actor: u32::try_from(u64::from(first).checked_add(*actor)?).ok()?,
                collection: *distinct.get(index as usize)?,
                key,
            });
        }
        Some(())
    }

    /// The place of `record`. O(log n) reads.
    pub(super) fn find(&self, record: PackedRecord) -> Result<Option<u32>> {
        let blocks = self.count.div_ceil(BLOCK);
        let before = |limit: u64| -> Result<u32> {
            let (mut low, mut high) = (0, blocks);
            while low < high {
                let middle = low + (high - low) / 2;
                if u64::from(self.first_actor(middle)?) < limit {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        };
        // The last block that begins below the actor may hold it, and all that begin with it.
        let actor = u64::from(record.actor);
        let mut low = before(actor)?.saturating_sub(1).saturating_mul(BLOCK);
        let mut high = before(actor + 1)?.saturating_mul(BLOCK).min(self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)?.cmp(&record) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }
}
