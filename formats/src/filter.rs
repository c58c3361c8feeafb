//! Binary fuse filters of eight bits (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor
//! Filters", JEA 27, 2022), with three positions a key: about 9 bits a key, no false negatives, a false
//! positive in 256 of the keys that were not put in. The layout is in SPEC.md, section 2.
//!
//! A filter of many keys is made of shards, each a filter of its own over the keys whose mixed bits begin
//! with its number, so that memory for one shard is enough to make it and every shard stays small enough
//! for a second-level cache while it is made.
//!
//! Keys are 64-bit hashes, which the caller makes. The same keys always give the same bytes: the seeds
//! come in a fixed order, and sizes are computed with operations that IEEE 754 defines to the last bit.

mod build;

pub use build::{Writer, build};

use crate::Result;
use crate::chunks::Region;

/// Bytes before the fingerprints of a shard: the seed (8), the segment length (4), the count of segments
/// in which a key's first position may lie (4).
pub const SHARD_HEADER_BYTES: usize = 16;
/// Bytes at the end of a filter: how many bits of a key choose its shard.
pub const TRAILER_BYTES: usize = 4;
/// Keys of a shard on average, at most.
pub const SHARD_KEYS: u64 = 1 << 19;

/// Most bits that choose a shard: enough for 2^35 keys.
const SHARD_BITS_MAX: u32 = 16;
/// Bytes of an entry of the directory of shards.
const DIRECTORY_ENTRY: u64 = 8;

/// The largest segment length: the paper's, so that three segments fit into a second-level cache.
const SEGMENT_LEN_MAX: u32 = 1 << 18;
/// Segments that the second and third position add behind the first one's.
const EXTRA_SEGMENTS: u64 = 2;

/// The shape of a filter: which positions belong to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    seed: u64,
    /// A power of two.
    segment_len: u32,
    /// Segments for the first position; zero in a filter without keys.
    segment_count: u32,
}

impl Shape {
    /// How many fingerprints the filter has.
    const fn fingerprints(&self) -> u64 {
        if self.segment_count == 0 {
            return 0;
        }
        (self.segment_count as u64 + EXTRA_SEGMENTS) * self.segment_len as u64
    }

    /// The hash of a mixed key, another for each seed. Distinct keys have distinct hashes.
    #[inline]
    const fn hash(&self, mixed: u64) -> u64 {
        mix(mixed.wrapping_add(self.seed))
    }

    /// The three positions of a hash, in three consecutive segments.
    #[inline]
    const fn positions(&self, hash: u64) -> [u64; 3] {
        let segment_len = self.segment_len as u64;
        let starts = self.segment_count as u64 * segment_len;
        let first = ((hash as u128 * starts as u128) >> 64) as u64;
        let mask = segment_len - 1;
        [
            first,
            (first + segment_len) ^ ((hash >> 18) & mask),
            (first + 2 * segment_len) ^ (hash & mask),
        ]
    }
}

/// The eight bits that stand for a hash.
#[inline]
const fn fingerprint(hash: u64) -> u8 {
    (hash ^ hash >> 32) as u8
}

/// Spreads the bits of a key: the finaliser of MurmurHash3, a bijection. [`Writer`] takes the results.
#[inline]
#[must_use]
pub const fn mix(key: u64) -> u64 {
    let mut hash = key;
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// The shard of a mixed key.
#[inline]
const fn shard_of(mixed: u64, shard_bits: u32) -> u64 {
    match shard_bits {
        0 => 0,
        bits => mixed >> (64 - bits),
    }
}

/// A filter in its encoded form.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    region: Region<'a>,
    shard_bits: u32,
    /// Where the directory of shards begins, which is where the last shard ends.
    directory: u64,
}

/// Bytes of a filter that is kept in memory, at most: of some 13,000 keys.
pub const KEPT_BYTES_MAX: u64 = 1 << 14;

/// What a filter of one shard says of itself, for whoever asks it again and again.
#[derive(Debug, Clone, Copy)]
pub struct Head(Shape);

impl Head {
    /// As [`Filter::contains`], of the filter that takes all of `region` and said this.
    ///
    /// # Errors
    /// The bytes are damaged.
    #[inline]
    pub fn contains(&self, region: Region<'_>, hash: u64) -> Result<bool> {
        if self.0.segment_count == 0 {
            return Ok(false);
        }
        let shard = Shard {
            shape: self.0,
            fingerprints: region.sub(SHARD_HEADER_BYTES as u64, self.0.fingerprints())?,
        };
        shard.contains(mix(hash))
    }
}

/// A small filter of one shard, read as a whole for whoever asks it again and again.
#[derive(Debug, Clone)]
pub struct Kept {
    shape: Shape,
    fingerprints: Box<[u8]>,
}

impl Kept {
    /// As [`Filter::contains`].
    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        if self.shape.segment_count == 0 {
            return false;
        }
        let hash = self.shape.hash(mix(hash));
        let byte = |position: u64| self.fingerprints.get(position as usize).copied();
        let [first, second, third] = self.shape.positions(hash).map(byte);
        match (first, second, third) {
            (Some(first), Some(second), Some(third)) => first ^ second ^ third == fingerprint(hash),
            // There are as many as the shape says.
            _ => true,
        }
    }
}

impl<'a> Filter<'a> {
    /// The filter itself, where it has one shard and is small: [`KEPT_BYTES_MAX`] at most.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn keep(&self) -> Result<Option<Kept>> {
        if self.shard_bits != 0 {
            return Ok(None);
        }
        let shard = self.shard(0)?;
        if shard.fingerprints.len() > KEPT_BYTES_MAX {
            return Ok(None);
        }
        Ok(Some(Kept {
            shape: shard.shape,
            fingerprints: shard.fingerprints.all()?.into(),
        }))
    }

    /// What the filter says of itself; `None` where it has several shards.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn head(&self) -> Result<Option<Head>> {
        match self.shard_bits {
            0 => Ok(Some(Head(self.shard(0)?.shape))),
            _ => Ok(None),
        }
    }

    /// Opens the filter that takes all of `region`. O(1).
    ///
    /// # Errors
    /// The bytes are not a filter, or are damaged.
    pub fn open(region: Region<'a>) -> Result<Self> {
        let trailer = region.len().saturating_sub(TRAILER_BYTES as u64);
        let shard_bits = region.u32_at(trailer)?;
        if shard_bits > SHARD_BITS_MAX {
            let expected = format!("at most {SHARD_BITS_MAX} bits for a shard");
            return Err(region.corrupt(trailer, expected, shard_bits));
        }
        let entries = match shard_bits {
            0 => 0,
            bits => (1 << bits) * DIRECTORY_ENTRY,
        };
        let Some(directory) = trailer.checked_sub(entries) else {
            return Err(region.corrupt(trailer, "a directory of shards", trailer));
        };
        Ok(Self {
            region,
            shard_bits,
            directory,
        })
    }

    /// Whether `hash` may be among the keys: always true for those that are, and for one in 256 of
    /// those that are not. Reads an entry of the directory, a header and three bytes.
    ///
    /// # Errors
    /// The bytes are damaged.
    #[inline]
    pub fn contains(&self, hash: u64) -> Result<bool> {
        let mixed = mix(hash);
        let start = match self.shard_bits {
            0 => 0,
            bits => self
                .region
                .u64_at(self.directory + shard_of(mixed, bits) * DIRECTORY_ENTRY)?,
        };
        self.shard(start)?.contains(mixed)
    }

    /// The shard at byte `start`.
    fn shard(&self, start: u64) -> Result<Shard<'a>> {
        let region = self.region;
        let damaged = |expected: &str, found: u64| Err(region.corrupt(start, expected, found));
        if start > self.directory {
            return damaged("a shard before the directory", start);
        }
        let head = region.array_at::<SHARD_HEADER_BYTES>(start)?;
        let [
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
            l0,
            l1,
            l2,
            l3,
            c0,
            c1,
            c2,
            c3,
        ] = head;
        let shape = Shape {
            seed: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            segment_len: u32::from_le_bytes([l0, l1, l2, l3]),
            segment_count: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        if !shape.segment_len.is_power_of_two() || shape.segment_len > SEGMENT_LEN_MAX {
            let expected = format!("a segment length of a power of two up to {SEGMENT_LEN_MAX}");
            return damaged(&expected, shape.segment_len.into());
        }
        let first = start + SHARD_HEADER_BYTES as u64;
        if first.saturating_add(shape.fingerprints()) > self.directory {
            return damaged(
                "a shard that ends before the directory",
                shape.fingerprints(),
            );
        }
        Ok(Shard {
            shape,
            fingerprints: region.sub(first, shape.fingerprints())?,
        })
    }

    /// Checks what opening does not: that the shards stand back to back. Costs a read for each shard.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<()> {
        let mut start = 0;
        for number in 0..1 << self.shard_bits {
            if self.shard_bits > 0 {
                let at = self.directory + number * DIRECTORY_ENTRY;
                let found = self.region.u64_at(at)?;
                if found != start {
                    let expected = format!("a shard that begins at {start}");
                    return Err(self.region.corrupt(at, expected, found));
                }
            }
            let shard = self.shard(start)?;
            start += SHARD_HEADER_BYTES as u64 + shard.fingerprints.len();
        }
        if start != self.directory {
            let expected = format!("shards of {} bytes", self.directory);
            return Err(self.region.corrupt(start, expected, start));
        }
        Ok(())
    }
}

/// One shard.
#[derive(Debug, Clone, Copy)]
struct Shard<'a> {
    shape: Shape,
    fingerprints: Region<'a>,
}

impl Shard<'_> {
    #[inline]
    fn contains(&self, mixed: u64) -> Result<bool> {
        if self.shape.segment_count == 0 {
            return Ok(false);
        }
        let hash = self.shape.hash(mixed);
        let mut left = fingerprint(hash);
        for position in self.shape.positions(hash) {
            left ^= self.fingerprints.u8_at(position)?;
        }
        Ok(left == 0)
    }
}

#[cfg(test)]
mod tests;
