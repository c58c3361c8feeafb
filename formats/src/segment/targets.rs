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
use super::rows::{BLOCK, offset_u32};
use crate::Result;
use crate::bits::{BitWriter, read_bits, width_for};
use crate::bytes::{put_u16, put_u32};
use crate::chunks::Region;

const DIRECTORY_ENTRY: u64 = 8;
const HEAD: u64 = 5;

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

/// The directory and the blocks of records, which are in order.
pub(super) fn encode(
    records: impl Iterator<Item = PackedRecord>,
    collection_width: u32,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut directory, mut out) = (Vec::new(), Vec::new());
    let mut block = Vec::with_capacity(BLOCK as usize);
    let (mut values, mut collections, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = records.peekable();
    while let Some(&first) = records.peek() {
        block.clear();
        block.extend(records.by_ref().take(BLOCK as usize));
        put_u32(
            &mut directory,
            offset_u32(out.len(), "bytes of targets in a segment")?,
        );
        put_u32(&mut directory, first.actor);
        values.clear();
        values.extend(
            block
                .iter()
                .map(|record| u64::from(record.actor - first.actor)),
        );
        let head = EfHead::choose(values.len() as u64, values.last().copied().unwrap_or(0));
        let mut bits = BitWriter::new();
        head.write(&values, &mut bits);
        collections.clear();
        collections.extend(block.iter().map(|record| record.collection));
        collections.sort_unstable();
        collections.dedup();
        for &collection in &collections {
            bits.write(u64::from(collection), collection_width);
        }
        let collections_less_one = collections.len().saturating_sub(1);
        let index_width = width_for(collections_less_one as u64);
        for record in &block {
            let index = collections.partition_point(|&other| other < record.collection);
            bits.write(index as u64, index_width);
        }
        let bits = bits.finish();
        out.extend_from_slice(&[head.low, head.high_max, collections_less_one as u8]);
        // 128 records of three columns of at most 57 bits: far below 2^16.
        put_u16(&mut out, HEAD as u16 + bits.len() as u16);
        out.extend_from_slice(&bits);
        keys.clear();
        keys.extend(block.iter().map(|record| record.key));
        keyblock::encode(&keys, &mut values, &mut out);
    }
    Ok((directory, out))
}

/// The record targets of a segment.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub(super) directory: Region<'a>,
    pub(super) data: Region<'a>,
    pub(super) count: u32,
    pub(super) collection_width: u32,
}

impl Records<'_> {
    fn first_actor(&self, block: u32) -> Result<u32> {
        self.directory
            .u32_at(u64::from(block) * DIRECTORY_ENTRY + 4)
    }

    /// The record at `index`.
    pub(super) fn get(&self, index: u32) -> Result<PackedRecord> {
        if index >= self.count {
            return Err(self.directory.corrupt(
                0,
                format!("a record target below {}", self.count),
                index,
            ));
        }
        let (block, i) = (index / BLOCK, u64::from(index % BLOCK));
        let count = u64::from((self.count - block * BLOCK).min(BLOCK));
        let entry = u64::from(block) * DIRECTORY_ENTRY;
        let start = u64::from(self.directory.u32_at(entry)?);
        let [low, high_max, collections, k0, k1] =
            self.data.array_at::<{ HEAD as usize }>(start)?;
        let actors = EfHead { low, high_max };
        let mut bit = (start + HEAD) * 8;
        let above = actors.read(self.data, bit, count, i)?;
        let actor = u64::from(self.first_actor(block)?).saturating_add(above);
        let Ok(actor) = u32::try_from(actor) else {
            return Err(self.data.corrupt(start, "an actor below 2^32", actor));
        };
        bit += actors.bit_len(count);
        let collections = u64::from(collections) + 1;
        let width = width_for(collections - 1);
        let indexes = bit + collections * u64::from(self.collection_width);
        let index = read_bits(self.data, indexes + i * u64::from(width), width)?;
        if index >= collections {
            return Err(self.data.corrupt(start, "the index of a collection", index));
        }
        bit += index * u64::from(self.collection_width);
        let collection = read_bits(self.data, bit, self.collection_width)? as u32;
        let keys = start + u64::from(u16::from_le_bytes([k0, k1]));
        Ok(PackedRecord {
            actor,
            collection,
            key: keyblock::read(self.data, keys, count, i)?,
        })
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
