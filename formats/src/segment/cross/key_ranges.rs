//! The ranges of keys and the list of far ones against the rows.

use super::wrong;
use crate::Result;
use crate::segment::key_ranges::{FarKeys, GROUP, KEY_BLOCK, KeyRange, KeyRanges, key_hash};
use crate::segment::layout::Section;
use crate::segment::rows::{BLOCK, RowBlock, Rows};
use crate::segment::{RecordKey, Segment};

/// Each range is just that of its keys, and the list has just the keys outside.
pub(super) fn check(segment: &Segment) -> Result<()> {
    let mut blocks = Blocks {
        segment,
        rows: segment.rows()?,
        ranges: segment.key_ranges()?,
        far: segment.far_keys()?,
        decoded: RowBlock::default(),
        hashes: Vec::with_capacity(KEY_BLOCK as usize),
        listed: 0,
    };
    blocks.far.verify()?;
    let mut group = KeyRange::EMPTY;
    for block in 0..blocks.ranges.blocks() {
        let range = blocks.ranges.block(block)?;
        let found = blocks.compare(block, range)?;
        if found != range {
            return wrong(
                segment,
                Section::KeyRanges,
                format!("{found:?} of block {block}"),
                format!("{range:?}"),
            );
        }
        group = group.join(range);
        if (block + 1).is_multiple_of(GROUP) || block + 1 == blocks.ranges.blocks() {
            let number = block / GROUP;
            let stored = blocks.ranges.group(number)?;
            if stored != group {
                return wrong(
                    segment,
                    Section::KeyRanges,
                    format!("{group:?} of group {number}"),
                    format!("{stored:?}"),
                );
            }
            group = KeyRange::EMPTY;
        }
    }
    let (listed, stored) = (blocks.listed, blocks.far.len());
    if listed != u64::from(stored) {
        return wrong(segment, Section::FarKeys, format!("{listed} keys"), stored);
    }
    Ok(())
}

struct Blocks<'s> {
    segment: &'s Segment,
    rows: Rows<'s>,
    ranges: KeyRanges<'s>,
    far: FarKeys<'s>,
    decoded: RowBlock,
    hashes: Vec<u32>,
    /// Keys that the list must have, so far.
    listed: u64,
}

impl Blocks<'_> {
    /// The range of those keys of `block` that have their place in `range`. The others must be listed.
    fn compare(&mut self, block: u32, range: KeyRange) -> Result<KeyRange> {
        let segment = self.segment;
        let mut found = KeyRange::EMPTY;
        self.hashes.clear();
        let first = block * (KEY_BLOCK / BLOCK);
        for small in first..(first + KEY_BLOCK / BLOCK).min(self.rows.blocks()) {
            self.rows.decode(small, &mut self.decoded)?;
            for row in &self.decoded.rows {
                let key = segment.record_key(row.key)?;
                match key {
                    RecordKey::Tid(tid) if range.holds(key) => found = found.with(tid),
                    RecordKey::Str(_) if range.holds(key) => found.strings_unlisted = true,
                    _ => {
                        let (collection, ..) = segment.shape(row.shape)?;
                        let collection = segment.strings(Section::Collections)?.get(collection)?;
                        let hash = key_hash(row.actor, collection, &key.text());
                        self.hashes.push(hash);
                    }
                }
            }
        }
        self.hashes.sort_unstable();
        self.hashes.dedup();
        for &hash in &self.hashes {
            if !self.far.holds(hash, block)? {
                return wrong(
                    segment,
                    Section::FarKeys,
                    format!("a key of block {block} with the hash {hash:08x}"),
                    "none",
                );
            }
        }
        self.listed = self.listed.saturating_add(self.hashes.len() as u64);
        Ok(found)
    }
}
