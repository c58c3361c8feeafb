//! Where keys are: for each block of 1,024 rows the range of times in which nearly all its keys that are
//! TIDs lie, the same for each group of 64 such blocks, and a list of the keys outside of their block's
//! range, by hash.
//!
//! The range leaves out what lies far from the middle of the block's times, so that a clock that is wrong
//! does not widen it. Keys that are no TIDs are listed too, unless a block has many.
//!
//! ```text
//! key ranges, 12 bytes each: the groups, then the blocks
//!   u48   first time in ms; bit 47: keys that are no TIDs are not listed
//!   u48   last time in ms; below the first where no key has a place in the range
//! far keys
//!         monotone list of the upper 32 bits of the hash of each listed key
//! blocks of far keys
//!   bits  for each of them its block; in the order of hashes, then of blocks, each pair once
//! ```

use super::hash;
use super::layout::ROWS_MAX;
use super::value::RecordKey;
use crate::bits::{BitWriter, read_bits, width_for};
use crate::chunks::Region;
use crate::monotone::Monotone;
use crate::{Error, Result};

/// Rows a block.
pub(super) const KEY_BLOCK: u32 = 1024;
/// Bits of the number of a block, of at most 2^28 rows.
const BLOCK_BITS: u32 = 18;
const _: () = assert!(ROWS_MAX / KEY_BLOCK == 1 << BLOCK_BITS);
/// Blocks of 1,024 rows a group.
pub(super) const GROUP: u32 = 64;
const ENTRY_BYTES: usize = 12;
/// Blocks that are so few that to look into all costs less than to find which of them are an actor's.
pub(super) const FEW: usize = 3;
/// The groups of 4 M rows: to read the ranges of more costs more than to find the blocks of an actor.
const GROUPS_LOOKED_THROUGH: u32 = 64;
/// The bit of the first time that says that a block's strings are not listed.
const STRINGS_UNLISTED: u64 = 1 << 47;
const TIME_MASK: u64 = STRINGS_UNLISTED - 1;
/// One in so many of a block's TIDs is left aside at each end to find the middle of its times.
const ASIDE: usize = 16;
/// At most one in so many of a block's rows is listed for its string.
const LISTED_STRINGS: usize = 8;

/// Bits of a block's number.
fn block_width(rows: u32) -> u32 {
    width_for(u64::from(rows.div_ceil(KEY_BLOCK).saturating_sub(1)))
}

/// The time of a TID in milliseconds, below 2^44.
const fn tid_ms(tid: u64) -> u64 {
    (tid >> 10) / 1000
}

/// What hashes say of a listed key.
pub(super) fn key_hash(actor: u32, collection: &str, rkey: &str) -> u32 {
    far_hash(hash::stray(actor, collection, rkey))
}

/// The same of one whose hash as a stray key is known.
pub(super) const fn far_hash(stray: u64) -> u32 {
    (stray >> 32) as u32
}

/// The times that the keys of a block or of a group have, without those listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub(super) first_ms: u64,
    /// Below the first where there is no time.
    pub(super) last_ms: u64,
    pub(super) strings_unlisted: bool,
}

impl KeyRange {
    pub(super) const EMPTY: Self = Self {
        first_ms: 1,
        last_ms: 0,
        strings_unlisted: false,
    };

    /// Whether `key` has its place in the range rather than in the list.
    pub(super) fn holds(self, key: RecordKey<'_>) -> bool {
        match key {
            RecordKey::Tid(tid) => (self.first_ms..=self.last_ms).contains(&tid_ms(tid)),
            RecordKey::Str(_) => self.strings_unlisted,
        }
    }

    /// Whether an entry's range holds the time of a TID: [`read`](Self::read) and [`holds`](Self::holds), for many of them.
    #[inline]
    fn entry_holds(entry: &[u8; ENTRY_BYTES], time_ms: u64) -> bool {
        let words = entry.first_chunk::<8>().zip(entry.last_chunk::<8>());
        words.is_some_and(|(first, last)| {
            let first_ms = u64::from_le_bytes(*first) & TIME_MASK;
            let last_ms = u64::from_le_bytes(*last) >> 16;
            (first_ms <= time_ms) & (time_ms <= last_ms)
        })
    }

    /// Widened to what `other` holds.
    pub(super) fn join(self, other: Self) -> Self {
        let (first_ms, last_ms) = if other.first_ms > other.last_ms {
            (self.first_ms, self.last_ms)
        } else if self.first_ms > self.last_ms {
            (other.first_ms, other.last_ms)
        } else {
            (
                self.first_ms.min(other.first_ms),
                self.last_ms.max(other.last_ms),
            )
        };
        Self {
            first_ms,
            last_ms,
            strings_unlisted: self.strings_unlisted || other.strings_unlisted,
        }
    }

    /// Widened to the time of `tid`.
    pub(super) fn with(self, tid: u64) -> Self {
        self.join(Self {
            first_ms: tid_ms(tid),
            last_ms: tid_ms(tid),
            strings_unlisted: false,
        })
    }

    fn put(self, out: &mut Vec<u8>) {
        let flag = u64::from(self.strings_unlisted) * STRINGS_UNLISTED;
        for time in [self.first_ms | flag, self.last_ms] {
            out.extend(time.to_le_bytes().iter().take(ENTRY_BYTES / 2));
        }
    }

    fn read(entry: &[u8; ENTRY_BYTES]) -> Self {
        let [a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5] = *entry;
        let first = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, 0, 0]);
        Self {
            first_ms: first & TIME_MASK,
            last_ms: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, 0, 0]),
            strings_unlisted: first & STRINGS_UNLISTED != 0,
        }
    }

    /// The range of those of `times` that lie together: a time further from the middle seven eighths than
    /// these are wide is left out. Sorts `times`.
    fn around(times: &mut [u64]) -> Self {
        times.sort_unstable();
        let aside = times.len() / ASIDE;
        let ends = times.len().checked_sub(1 + aside);
        let (Some(&low), Some(&high)) = (times.get(aside), ends.and_then(|at| times.get(at)))
        else {
            return Self::EMPTY;
        };
        let wide = high - low;
        let inside = low.saturating_sub(wide)..=high.saturating_add(wide);
        let mut kept = times.iter().copied().filter(|time| inside.contains(time));
        let first_ms = kept.next().unwrap_or(low);
        Self {
            first_ms,
            last_ms: kept.next_back().unwrap_or(first_ms),
            strings_unlisted: false,
        }
    }
}

/// Makes the ranges, row by row.
pub(super) struct KeyRangesWriter<'a> {
    rows: u32,
    /// Of the block being filled.
    tids: Vec<(u64, u32, &'a str)>,
    strings: Vec<u32>,
    times: Vec<u64>,
    group: KeyRange,
    /// At most 4,096 of them.
    groups: Vec<u8>,
    /// The ranges of finished blocks, which the caller may move out.
    pub(super) ranges: Vec<u8>,
    /// Far keys of finished blocks as pairs of hash and block, each as one number in the order of pairs;
    /// the caller moves them out, sorts them and takes each once.
    pub(super) far: Vec<u64>,
}

impl<'a> KeyRangesWriter<'a> {
    pub(super) const fn new() -> Self {
        Self {
            rows: 0,
            tids: Vec::new(),
            strings: Vec::new(),
            times: Vec::new(),
            group: KeyRange::EMPTY,
            groups: Vec::new(),
            ranges: Vec::new(),
            far: Vec::new(),
        }
    }

    /// Appends a row.
    pub(super) fn push(&mut self, actor: u32, collection: &'a str, key: RecordKey<'_>) {
        match key {
            RecordKey::Tid(tid) => self.tids.push((tid, actor, collection)),
            RecordKey::Str(rkey) => self.strings.push(key_hash(actor, collection, rkey)),
        }
        self.rows = self.rows.saturating_add(1);
        if self.rows.is_multiple_of(KEY_BLOCK) {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let block = (self.rows.saturating_sub(1)) / KEY_BLOCK;
        self.times.clear();
        self.times
            .extend(self.tids.iter().map(|(tid, ..)| tid_ms(*tid)));
        let rows = self.tids.len() + self.strings.len();
        let range = KeyRange {
            strings_unlisted: self.strings.len() > rows / LISTED_STRINGS,
            ..KeyRange::around(&mut self.times)
        };
        let pair = |hash: u32| u64::from(hash) << BLOCK_BITS | u64::from(block);
        for (tid, actor, collection) in self.tids.drain(..) {
            let key = RecordKey::Tid(tid);
            if !range.holds(key) {
                self.far
                    .push(pair(key_hash(actor, collection, &key.text())));
            }
        }
        if !range.strings_unlisted {
            self.far.extend(self.strings.iter().map(|hash| pair(*hash)));
        }
        self.strings.clear();
        range.put(&mut self.ranges);
        self.group = self.group.join(range);
        if (block + 1).is_multiple_of(GROUP) {
            self.close_group();
        }
    }

    fn close_group(&mut self) {
        self.group.put(&mut self.groups);
        self.group = KeyRange::EMPTY;
    }

    /// Ends the ranges: what is left goes to `ranges` and `far`. Gives the ranges of groups, which stand
    /// before those of blocks.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if !self.rows.is_multiple_of(KEY_BLOCK) {
            self.close_block();
        }
        if !self.rows.div_ceil(KEY_BLOCK).is_multiple_of(GROUP) {
            self.close_group();
        }
        std::mem::take(&mut self.groups)
    }
}

/// Makes the list of far keys from their pairs, in order, each once.
pub(super) struct FarKeysWriter {
    width: u32,
    /// The blocks; the caller may move out whole bytes at any time.
    pub(super) blocks: BitWriter,
}

impl FarKeysWriter {
    /// A writer for a segment with that many rows.
    pub(super) fn new(rows: u32) -> Self {
        Self {
            width: block_width(rows),
            blocks: BitWriter::new(),
        }
    }

    /// Appends a pair. Gives its hash, for the monotone list.
    pub(super) fn push(&mut self, pair: u64) -> u32 {
        // The width is at most that of a block's number, so the bits of the hash are left out.
        self.blocks.write(pair, self.width);
        (pair >> BLOCK_BITS) as u32
    }
}

/// The ranges of a segment.
#[derive(Clone, Copy)]
pub(super) struct KeyRanges<'a> {
    region: Region<'a>,
    blocks: u32,
}

impl<'a> KeyRanges<'a> {
    /// The ranges of a segment with that many rows.
    pub(super) fn open(region: Region<'a>, rows: u32) -> Result<Self> {
        let ranges = Self {
            region,
            blocks: rows.div_ceil(KEY_BLOCK),
        };
        let entries = u64::from(ranges.groups()) + u64::from(ranges.blocks);
        let bytes = entries * ENTRY_BYTES as u64;
        if region.len() != bytes {
            return Err(region.corrupt(0, format!("{bytes} bytes"), region.len()));
        }
        Ok(ranges)
    }

    /// Blocks of 1,024 rows.
    pub(super) const fn blocks(&self) -> u32 {
        self.blocks
    }

    pub(super) const fn groups(&self) -> u32 {
        self.blocks.div_ceil(GROUP)
    }

    fn entry(&self, index: u32) -> Result<KeyRange> {
        let at = u64::from(index) * ENTRY_BYTES as u64;
        Ok(KeyRange::read(&self.region.array_at(at)?))
    }

    pub(super) fn group(&self, group: u32) -> Result<KeyRange> {
        self.entry(group)
    }

    pub(super) fn block(&self, block: u32) -> Result<KeyRange> {
        self.entry(self.groups().saturating_add(block))
    }

    /// The blocks whose range holds `key`, rising, and how many they are; `None` where there are many, or many groups to
    /// look through, and for a key that is no TID.
    pub(super) fn few_blocks(&self, key: RecordKey<'_>) -> Result<Option<([u32; FEW], usize)>> {
        let RecordKey::Tid(tid) = key else {
            return Ok(None);
        };
        if self.groups() > GROUPS_LOOKED_THROUGH {
            return Ok(None);
        }
        let time_ms = tid_ms(tid);
        let (mut found, mut count) = ([0; FEW], 0);
        let mut group = self.next_group(0, key)?;
        while group < self.groups() {
            let first = group * GROUP;
            let blocks = (self.blocks - first).min(GROUP);
            let at = u64::from(self.groups() + first) * ENTRY_BYTES as u64;
            let bytes = self.region.get(at, blocks as usize * ENTRY_BYTES)?;
            let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
            for (block, entry) in (first..).zip(entries) {
                if KeyRange::entry_holds(entry, time_ms) {
                    let Some(slot) = found.get_mut(count) else {
                        return Ok(None);
                    };
                    *slot = block;
                    count += 1;
                }
            }
            group = self.next_group(group + 1, key)?;
        }
        Ok(Some((found, count)))
    }

    /// The first group from `group` on that may hold `key`; the count of groups when there is none.
    pub(super) fn next_group(&self, group: u32, key: RecordKey<'_>) -> Result<u32> {
        let left = self.groups().saturating_sub(group);
        let at = u64::from(group) * ENTRY_BYTES as u64;
        // At most 4,096 groups of a segment.
        let bytes = self.region.get(at, left as usize * ENTRY_BYTES)?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        let mut groups = (group..).zip(entries);
        let found = match key {
            RecordKey::Tid(tid) => {
                let time_ms = tid_ms(tid);
                groups.find(|(_, entry)| KeyRange::entry_holds(entry, time_ms))
            }
            RecordKey::Str(_) => groups.find(|(_, entry)| KeyRange::read(entry).holds(key)),
        };
        Ok(found.map_or(self.groups(), |(group, _)| group))
    }
}

/// The keys listed by hash.
#[derive(Clone, Copy)]
pub(super) struct FarKeys<'a> {
    hashes: Monotone<'a>,
    blocks: Region<'a>,
    width: u32,
}

impl<'a> FarKeys<'a> {
    /// The list of a segment with that many rows.
    pub(super) fn new(hashes: Monotone<'a>, blocks: Region<'a>, rows: u32) -> Self {
        Self {
            hashes,
            blocks,
            width: block_width(rows),
        }
    }

    pub(super) const fn len(&self) -> u32 {
        self.hashes.len()
    }

    /// Checks the list of hashes. See [`Monotone::verify`].
    pub(super) fn verify(&self) -> Result<()> {
        self.hashes.verify()
    }

    /// The place of the first entry with that hash or a greater one.
    pub(super) fn lower_bound(&self, hash: u32) -> Result<u32> {
        self.hashes.lower_bound(hash)
    }

    /// The block of the entry at `place`, if that is of `hash`.
    pub(super) fn block_of(&self, place: u32, hash: u32) -> Result<Option<u32>> {
        if place >= self.hashes.len() || self.hashes.get(place)? != hash {
            return Ok(None);
        }
        self.block_at(place).map(Some)
    }

    fn block_at(&self, place: u32) -> Result<u32> {
        let at = u64::from(place) * u64::from(self.width);
        Ok(read_bits(self.blocks, at, self.width)? as u32)
    }

    /// Whether the list has that pair. O(log n).
    pub(super) fn holds(&self, hash: u32, block: u32) -> Result<bool> {
        let mut low = self.hashes.lower_bound(hash)?;
        let end = match hash.checked_add(1) {
            Some(next) => self.hashes.lower_bound(next)?,
            None => self.hashes.len(),
        };
        let mut high = end;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block_at(middle)? < block {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low < end && self.block_at(low)? == block)
    }

    /// Damage in the blocks.
    #[cold]
    pub(super) fn corrupt(&self, found: u32) -> Error {
        self.blocks.corrupt(0, "the number of a block", found)
    }
}
