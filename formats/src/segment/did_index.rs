//! The index of DIDs: from the hash of a DID to the few actors of the segment that may have it.
//!
//! The actors stand in the order of their hashes, in groups of about 64 that the upper bits of the hash
//! choose. Inside a group the next six bits choose one of 64 buckets, and six more are kept as a
//! fingerprint, so that of the DIDs that are not in the segment one in 64 is compared with one that is.
//!
//! ```text
//! bits  for each group, without gaps:
//!         for each of its buckets as many ones as it has actors, then a zero
//!         each actor's fingerprint, 6 bits
//!         each actor's index, at the width of actors
//! u32   for each group, from a whole byte on: actors in the groups before it
//! ```
//!
//! A group of n actors has `64 + n (7 + width)` bits, so its place follows from the number of actors
//! before it. With g groups a hash belongs to group `hash g / 2^64`; the upper six bits of the fraction
//! are the bucket, the next six the fingerprint.

use super::ef::select;
use super::lists::width_below;
use crate::Result;
use crate::bits::{BitWriter, read_bits};
use crate::bytes::put_u32;
use crate::chunks::Region;

/// Actors of a group on average, and buckets of a group.
const GROUP: u32 = 64;
const BUCKET_BITS: u32 = 6;
const FINGERPRINT_BITS: u32 = 6;
const _: () = assert!(1 << BUCKET_BITS == GROUP);

/// Where a hash belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    group: u32,
    bucket: u32,
    fingerprint: u64,
}

impl Place {
    #[inline]
    fn of(hash: u64, groups: u32) -> Self {
        let product = u128::from(hash) * u128::from(groups);
        let fraction = product as u64;
        Self {
            group: (product >> 64) as u32,
            bucket: (fraction >> (64 - BUCKET_BITS)) as u32,
            fingerprint: fraction << BUCKET_BITS >> (64 - FINGERPRINT_BITS),
        }
    }
}

const fn groups(actors: u32) -> u32 {
    actors.div_ceil(GROUP)
}

/// Bits of an actor, besides those of the buckets.
fn actor_bits(actors: u32) -> u64 {
    u64::from(1 + FINGERPRINT_BITS + width_below(actors))
}

/// Makes the index from actors in the order of their hashes.
pub(super) struct DidIndexWriter {
    actors: u32,
    groups: u32,
    /// Groups written.
    done: u32,
    /// Actors in them.
    before: u32,
    /// Bucket, fingerprint and index of the actors of the group being filled.
    pending: Vec<(u32, u64, u32)>,
    starts: Vec<u8>,
    bits: BitWriter,
}

impl DidIndexWriter {
    /// A writer for that many actors.
    pub(super) fn new(actors: u32) -> Self {
        Self {
            actors,
            groups: groups(actors),
            done: 0,
            before: 0,
            pending: Vec::new(),
            starts: Vec::new(),
            bits: BitWriter::new(),
        }
    }

    /// Appends the actor at `index`; hashes rise, and indexes where hashes are equal.
    pub(super) fn push(&mut self, hash: u64, index: u32, out: &mut Vec<u8>) {
        let place = Place::of(hash, self.groups);
        while self.done < place.group {
            self.flush(out);
        }
        self.pending.push((place.bucket, place.fingerprint, index));
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        put_u32(&mut self.starts, self.before);
        let mut bucket = 0;
        for &(of, ..) in &self.pending {
            while bucket < of {
                self.bits.write(0, 1);
                bucket += 1;
            }
            self.bits.write(1, 1);
        }
        self.bits.write(0, GROUP - bucket);
        for &(_, fingerprint, _) in &self.pending {
            self.bits.write(fingerprint, FINGERPRINT_BITS);
        }
        let width = width_below(self.actors);
        for &(.., index) in &self.pending {
            self.bits.write(u64::from(index), width);
        }
        // There are at most as many as the actors promised.
        self.before = self.before.saturating_add(self.pending.len() as u32);
        self.pending.clear();
        self.done += 1;
        self.bits.drain_into(out);
    }

    /// Writes what is left.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        while self.done < self.groups {
            self.flush(out);
        }
        out.extend_from_slice(&self.bits.finish());
        out.extend_from_slice(&self.starts);
    }
}

/// The index of a segment with that many actors.
#[derive(Clone, Copy)]
pub(super) struct DidIndex<'a> {
    pub(super) region: Region<'a>,
    pub(super) actors: u32,
}

impl<'a> DidIndex<'a> {
    /// Bits of the groups together.
    fn bits(&self) -> u64 {
        u64::from(self.actors) * actor_bits(self.actors)
            + u64::from(groups(self.actors)) * u64::from(GROUP)
    }

    /// Actors in the groups before `group`.
    fn start(&self, group: u32) -> Result<u32> {
        if group >= groups(self.actors) {
            return Ok(self.actors);
        }
        self.region
            .u32_at(self.bits().div_ceil(8) + 4 * u64::from(group))
    }

    /// Actors in the groups before `group`, and before the next one.
    fn range(&self, group: u32) -> Result<(u32, u32)> {
        if group.saturating_add(1) >= groups(self.actors) {
            return Ok((self.start(group)?, self.actors));
        }
        let at = self.bits().div_ceil(8) + 4 * u64::from(group);
        let two = self.region.u64_at(at)?;
        Ok((two as u32, (two >> 32) as u32))
    }

    /// The indexes of the actors that may have a DID with that hash. Reads one group, of 64 actors on
    /// average.
    pub(super) fn candidates(&self, hash: u64) -> Result<Candidates<'a>> {
        let groups = groups(self.actors);
        let mut found = Candidates {
            region: self.region,
            fingerprint: 0,
            fingerprints: 0,
            indexes: 0,
            width: width_below(self.actors),
            actors: self.actors,
            next: 0,
            end: 0,
        };
        if groups == 0 {
            return Ok(found);
        }
        let place = Place::of(hash, groups);
        let (start, end) = self.range(place.group)?;
        if start > end || end > self.actors {
            let at = self.bits().div_ceil(8) + 4 * u64::from(place.group);
            return Err(self.region.corrupt(at, "rising starts of groups", end));
        }
        let count = u64::from(end - start);
        let at =
            u64::from(start) * actor_bits(self.actors) + u64::from(place.group) * u64::from(GROUP);
        found.fingerprint = place.fingerprint;
        found.fingerprints = at + u64::from(GROUP) + count;
        found.indexes = found.fingerprints + count * u64::from(FINGERPRINT_BITS);
        (found.next, found.end) = self.bucket(at, u64::from(GROUP) + count, place.bucket)?;
        Ok(found)
    }

    /// The places in their group of the actors of `bucket`, from the `len` bits from `start`.
    fn bucket(&self, start: u64, len: u64, bucket: u32) -> Result<(u64, u64)> {
        // As many zeros end the buckets before this one; the next one ends it.
        let (mut seen, mut begin, mut at) = (0, (bucket == 0).then_some(0), 0);
        while at < len {
            let width = (len - at).min(64);
            let ones = read_bits(self.region, start + at, width as u32)?;
            let zeros = match width {
                64 => !ones,
                width => !ones & ((1 << width) - 1),
            };
            let end = seen + zeros.count_ones();
            if begin.is_none() && end >= bucket {
                begin = Some(at + u64::from(select(zeros, bucket - 1 - seen)) + 1);
            }
            if let Some(begin) = begin
                && end > bucket
            {
                let place = at + u64::from(select(zeros, bucket - seen));
                // As many bits before the run are zeros as there are buckets before it.
                let before = u64::from(bucket);
                return Ok((begin - before, place - before));
            }
            seen = end;
            at += width;
        }
        Err(self
            .region
            .corrupt(start / 8, "a zero for each of 64 buckets", "fewer"))
    }
}

/// Indexes of actors whose DID has a hash like the one looked for.
pub(super) struct Candidates<'a> {
    region: Region<'a>,
    fingerprint: u64,
    /// Bit where the fingerprints of the group begin.
    fingerprints: u64,
    /// Bit where its indexes begin.
    indexes: u64,
    width: u32,
    actors: u32,
    /// Places in the group.
    next: u64,
    end: u64,
}

impl Candidates<'_> {
    fn step(&mut self) -> Result<Option<u32>> {
        while self.next < self.end {
            let at = self.next;
            self.next += 1;
            let bit = self.fingerprints + at * u64::from(FINGERPRINT_BITS);
            if read_bits(self.region, bit, FINGERPRINT_BITS)? != self.fingerprint {
                continue;
            }
            let bit = self.indexes + at * u64::from(self.width);
            let index = read_bits(self.region, bit, self.width)? as u32;
            if index >= self.actors {
                let expected = format!("an index below {}", self.actors);
                return Err(self.region.corrupt(bit / 8, expected, index));
            }
            return Ok(Some(index));
        }
        Ok(None)
    }
}

impl Iterator for Candidates<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.next = self.end;
        }
        step.transpose()
    }
}
