//! Making a filter: keys are peeled off a random hypergraph, each edge of which is a key's three
//! positions, and fingerprints are then set in the opposite order.

use super::{
    EXTRA_SEGMENTS, SEGMENT_LEN_MAX, SHARD_BITS_MAX, SHARD_KEYS, Shape, fingerprint, mix, shard_of,
};
use crate::bytes::{put_u32, put_u64};

/// Tries with one size before the filter grows. A try fails rarely with many keys, and every so often
/// with a handful.
const TRIES_BEFORE_GROWTH: u32 = 32;

/// The filter of `keys`, in which duplicates count once. O(n log n), with 8 bytes of memory for each key
/// while it runs, and what [`Writer`] needs.
///
/// ```
/// use orrery_formats::chunks::Region;
/// use orrery_formats::filter::{Filter, build};
///
/// let bytes = build(&[10, 20, 30]);
/// let filter = Filter::open(Region::over("filter", &bytes))?;
/// assert!(filter.contains(20)?);
/// # Ok::<(), orrery_formats::Error>(())
/// ```
pub fn build(keys: &[u64]) -> Vec<u8> {
    let mut mixed: Vec<u64> = keys.iter().map(|key| mix(*key)).collect();
    mixed.sort_unstable();
    mixed.dedup();
    let mut out = Vec::new();
    let mut writer = Writer::new(mixed.len() as u64);
    for key in mixed {
        writer.push(key, &mut out);
    }
    writer.finish(&mut out);
    out
}

/// Makes a filter from keys in order, shard by shard. About 60 bytes of memory for each key of a shard,
/// and a shard has [`SHARD_KEYS`] keys on average at most.
#[derive(Debug)]
pub struct Writer {
    shard_bits: u32,
    /// Shards written.
    done: u64,
    /// Bytes of them.
    written: u64,
    /// Where each of them begins.
    directory: Vec<u8>,
    /// Keys of the shard being filled.
    pending: Vec<u64>,
}

impl Writer {
    /// A writer for that many distinct keys.
    #[must_use]
    pub fn new(keys: u64) -> Self {
        let mut shard_bits = 0;
        while shard_bits < SHARD_BITS_MAX && keys > SHARD_KEYS << shard_bits {
            shard_bits += 1;
        }
        Self {
            shard_bits,
            done: 0,
            written: 0,
            directory: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Appends a key, spread by [`mix`](super::mix); they rise. Appends to `out` what is finished.
    pub fn push(&mut self, mixed: u64, out: &mut Vec<u8>) {
        while self.done < shard_of(mixed, self.shard_bits) {
            self.flush(out);
        }
        self.pending.push(mixed);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        put_u64(&mut self.directory, self.written);
        let before = out.len();
        build_shard(&self.pending, out);
        self.written += (out.len() - before) as u64;
        self.pending.clear();
        self.done += 1;
    }

    /// Appends the rest of the filter.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        while self.done < 1 << self.shard_bits {
            self.flush(out);
        }
        if self.shard_bits > 0 {
            out.extend_from_slice(&self.directory);
        }
        put_u32(out, self.shard_bits);
    }
}

/// Appends the shard of `keys`, which are mixed and distinct.
fn build_shard(keys: &[u64], out: &mut Vec<u8>) {
    let mut seeds = SplitMix64(0);
    let mut shape = Shape {
        seed: seeds.next(),
        segment_len: segment_len(keys.len()),
        segment_count: segment_count(keys.len()),
    };
    let mut tries = 0;
    let fingerprints = loop {
        if let Some(fingerprints) = try_build(shape, keys) {
            break fingerprints;
        }
        tries += 1;
        if tries % TRIES_BEFORE_GROWTH == 0 {
            shape.segment_count = shape
                .segment_count
                .saturating_add(1 + shape.segment_count / 8);
        }
        shape.seed = seeds.next();
    };
    put_u64(out, shape.seed);
    put_u32(out, shape.segment_len);
    put_u32(out, shape.segment_count);
    out.extend_from_slice(&fingerprints);
}

/// One position while keys are peeled: how many keys have it, and the exclusive or of their hashes and
/// of which of the key's three positions it is. With one key left, these are that key's own.
#[derive(Clone, Copy, Default)]
struct Slot {
    hashes: u64,
    keys: u32,
    which: u8,
}

/// Upper bits of a hash by which hashes are put together.
const GROUP_BITS: u32 = 10;

/// The hashes of `keys`, those with the same upper bits together. The first position rises with the hash: nearly in order,
/// the passes over positions walk through memory.
fn spread(shape: Shape, keys: &[u64]) -> Vec<u64> {
    let group = |hash: u64| (hash >> (u64::BITS - GROUP_BITS)) as usize;
    let mut places = [0usize; 1 << GROUP_BITS];
    for key in keys {
        if let Some(count) = places.get_mut(group(shape.hash(*key))) {
            *count += 1;
        }
    }
    let mut before = 0;
    for place in &mut places {
        before += std::mem::replace(place, before);
    }
    let mut hashes = vec![0; keys.len()];
    for key in keys {
        let hash = shape.hash(*key);
        if let Some(place) = places.get_mut(group(hash)) {
            if let Some(slot) = hashes.get_mut(*place) {
                *slot = hash;
            }
            *place += 1;
        }
    }
    hashes
}

/// The fingerprints for distinct `keys`, or `None` when the seed does not let all of them be peeled.
fn try_build(shape: Shape, keys: &[u64]) -> Option<Vec<u8>> {
    let len = usize::try_from(shape.fingerprints()).ok()?;
    let hashes = spread(shape, keys);
    let mut slots = vec![Slot::default(); len];
    for hash in &hashes {
        for (which, position) in (0..).zip(shape.positions(*hash)) {
            let slot = slots.get_mut(position as usize)?;
            slot.hashes ^= hash;
            slot.keys += 1;
            slot.which ^= which;
        }
    }
    // Positions that may have one key; checked again when their turn comes.
    let single = |(position, slot): (usize, &Slot)| (slot.keys == 1).then_some(position);
    let mut queue: Vec<usize> = slots.iter().enumerate().filter_map(single).collect();
    let mut peeled: Vec<(u64, u8)> = Vec::with_capacity(hashes.len());
    while let Some(position) = queue.pop() {
        let slot = *slots.get(position)?;
        if slot.keys != 1 {
            continue;
        }
        peeled.push((slot.hashes, slot.which));
        for (which, position) in (0..).zip(shape.positions(slot.hashes)) {
            let position = position as usize;
            let other = slots.get_mut(position)?;
            other.hashes ^= slot.hashes;
            other.keys -= 1;
            other.which ^= which;
            if other.keys == 1 {
                queue.push(position);
            }
        }
    }
    if peeled.len() != hashes.len() {
        return None;
    }
    // Backwards, a key's own position is free when its turn comes, and the other two are final.
    let mut fingerprints = vec![0_u8; len];
    for (hash, own) in peeled.into_iter().rev() {
        let mut value = fingerprint(hash);
        let positions = shape.positions(hash);
        for (which, position) in (0..).zip(positions) {
            if which != own {
                value ^= fingerprints.get(position as usize)?;
            }
        }
        let position = positions.get(usize::from(own))?;
        *fingerprints.get_mut(*position as usize)? = value;
    }
    Some(fingerprints)
}

/// The paper's segment length for three positions: 2 to the power of `floor(log_3.33(n) + 2.25)`.
fn segment_len(keys: usize) -> u32 {
    const BASE: f64 = 3.33;
    // The length is 4 for one key and doubles at 3.33^0.75 keys, 3.33^1.75 and so on. Products, quotients
    // and square roots are exact to the last bit on every machine; logarithms are not.
    let mut keys_for_next = BASE / BASE.sqrt().sqrt();
    let mut length = 4_u32;
    while keys as f64 >= keys_for_next && length < SEGMENT_LEN_MAX {
        keys_for_next *= BASE;
        length *= 2;
    }
    length
}

/// Segments for the first position, so that all segments together have the paper's
/// `0.875 + 0.25 ln(10^6) / ln(n)` positions a key, at least 1.125.
fn segment_count(keys: usize) -> u32 {
    if keys == 0 {
        return 0;
    }
    let keys = keys as u64;
    // A binary logarithm with the fraction taken linearly: at most 0.09 too small, which errs on the
    // side of space.
    let whole = keys.ilog2();
    let log2 = f64::from(whole) + (keys as f64 / (1_u64 << whole) as f64 - 1.0);
    const LOG2_OF_MILLION: f64 = 19.931_568_569_324_174;
    let factor = if keys < 2 {
        0.0
    } else {
        (0.875 + 0.25 * LOG2_OF_MILLION / log2).max(1.125)
    };
    let positions = (keys as f64 * factor).round() as u64;
    let segments = positions.div_ceil(u64::from(segment_len(keys as usize)));
    u32::try_from(segments.saturating_sub(EXTRA_SEGMENTS).max(1)).unwrap_or(u32::MAX)
}

/// The seeds: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
/// OOPSLA 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }
}
