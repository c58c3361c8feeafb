//! Binary fuse filters of eight bits (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor
//! Filters", JEA 27, 2022), with three positions a key: about 9 bits a key, no false negatives, a false
//! positive in 256 of the keys that were not put in. The layout is in SPEC.md, section 2.
//!
//! Keys are 64-bit hashes, which the caller makes. The same keys always give the same bytes: the seeds
//! come in a fixed order, and sizes are computed with operations that IEEE 754 defines to the last bit.

mod build;

pub use build::build;

use crate::Result;
use crate::chunks::Region;

/// Bytes before the fingerprints: the seed (8), the segment length (4), the count of segments in which
/// a key's first position may lie (4).
pub const HEADER_BYTES: usize = 16;

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

    /// Spreads the key's bits: the finaliser of MurmurHash3, a bijection for each seed, so that distinct
    /// keys stay distinct.
    #[inline]
    const fn hash(&self, key: u64) -> u64 {
        let mut hash = key.wrapping_add(self.seed);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
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

/// A filter in its encoded form.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    shape: Shape,
    fingerprints: Region<'a>,
}

impl<'a> Filter<'a> {
    /// Opens the filter that begins where `region` does; the region may be longer. O(1).
    ///
    /// # Errors
    /// The bytes are not the beginning of a filter, or end before it does, or are damaged.
    pub fn open(region: Region<'a>) -> Result<Self> {
        let shape = Shape {
            seed: region.u64_at(0)?,
            segment_len: region.u32_at(8)?,
            segment_count: region.u32_at(12)?,
        };
        if !shape.segment_len.is_power_of_two() || shape.segment_len > SEGMENT_LEN_MAX {
            return Err(region.corrupt(
                8,
                format!("a segment length that is a power of two up to {SEGMENT_LEN_MAX}"),
                shape.segment_len,
            ));
        }
        let fingerprints = region.sub(HEADER_BYTES as u64, shape.fingerprints())?;
        Ok(Self {
            shape,
            fingerprints,
        })
    }

    /// How many bytes of the region the filter takes.
    pub const fn encoded_len(&self) -> u64 {
        HEADER_BYTES as u64 + self.fingerprints.len()
    }

    /// Whether `hash` may be among the keys: always true for those that are, and for one in 256 of
    /// those that are not. Reads three bytes.
    ///
    /// # Errors
    /// The bytes are damaged.
    #[inline]
    pub fn contains(&self, hash: u64) -> Result<bool> {
        if self.shape.segment_count == 0 {
            return Ok(false);
        }
        let hash = self.shape.hash(hash);
        let mut left = fingerprint(hash);
        for position in self.shape.positions(hash) {
            left ^= self.fingerprints.u8_at(position)?;
        }
        Ok(left == 0)
    }
}

#[cfg(test)]
mod tests;
