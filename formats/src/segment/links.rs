//! The targets of links, in the order of rows and of their shapes. Few targets get a large part of all
//! links, so these have a table of their own, the *hot targets*, in three classes: a link to one is its place
//! in its class, and a link to any other target is the target.
//!
//! Without hot targets every link has the width of targets. With them links stand in blocks of 128, found
//! by a directory of byte offsets (u32):
//!
//! ```text
//! bits  one for each link of the block: the lower bit of its class
//! bits  one for each link: the upper bit of its class
//! bits  each link in turn: in class 0 the target at the width of targets; else the place of its target
//!       in the class, at the width of the class
//! ```
//!
//! The hot targets stand class by class, rising in each, at the width of targets. With w the width of class
//! 1, the first 2^w are of class 1, and so on; the last of them may have fewer.

mod write;

pub(super) use write::{HotSet, HotTargets, LinksWriter};

use super::lists::width_below;
use super::rows::BLOCK;
use crate::Result;
use crate::bits::{BitReader, below, bits_of, read_bits, unpack};
use crate::chunks::Region;

/// The links of a segment.
#[derive(Clone, Copy)]
pub(super) struct LinkTargets<'a> {
    pub(super) data: Region<'a>,
    pub(super) directory: Region<'a>,
    pub(super) hot: Region<'a>,
    /// Links, targets and hot targets of the segment.
    pub(super) links: u32,
    pub(super) targets: u32,
    pub(super) hot_targets: u32,
    pub(super) hot_widths: [u8; 3],
}

impl<'a> LinkTargets<'a> {
    /// A cursor that stands at link `next`.
    pub(super) fn from(self, next: u32) -> LinkCursor<'a> {
        let [one, two, three] = self.hot_widths;
        LinkCursor {
            widths: [
                width_below(self.targets),
                one.into(),
                two.into(),
                three.into(),
            ],
            links: self,
            next,
            block: None,
            bytes: &[],
            lower: 0,
            upper: 0,
            first_bit: 0,
        }
    }

    /// Has the processor fetch what a link is read of.
    pub(super) fn fetch(&self, link: u32) {
        if self.hot_targets == 0 {
            let bit = u64::from(link) * u64::from(width_below(self.targets));
            return self.data.fetch(bit / 8, 1);
        }
        // What cannot be read is told to whoever reads it next.
        if let Ok(start) = self.directory.u32_at(u64::from(link / BLOCK) * 4) {
            self.data.fetch(start.into(), BLOCK_BYTES);
        }
    }

    /// The hot target at that place.
    pub(super) fn hot_target(&self, place: u32) -> Result<u32> {
        if place >= self.hot_targets {
            let expected = format!("a hot target below {}", self.hot_targets);
            return Err(self.data.corrupt(0, expected, place));
        }
        let width = width_below(self.targets);
        Ok(read_bits(self.hot, u64::from(place) * u64::from(width), width)? as u32)
    }
}

/// Bytes of a block of links, about.
const BLOCK_BYTES: u64 = 256;

/// No target: a segment has fewer.
const NONE: u32 = u32::MAX;
/// Most hot targets of a segment, whose classes have at most 16 bits.
const HOT_MAX: u32 = 3 << 16;

/// The hot targets that whole blocks of links have met, by their places.
#[derive(Default)]
pub(super) struct KnownHot(Vec<u32>);

impl KnownHot {
    #[inline]
    fn target(&mut self, links: &LinkTargets<'_>, place: u32) -> Result<u32> {
        match self.0.get(place as usize) {
            Some(&target) if target != NONE => Ok(target),
            _ => self.read(links, place),
        }
    }

    #[cold]
    fn read(&mut self, links: &LinkTargets<'_>, place: u32) -> Result<u32> {
        let target = links.hot_target(place)?;
        if self.0.is_empty() {
            self.0 = vec![NONE; links.hot_targets.min(HOT_MAX) as usize];
        }
        if let Some(known) = self.0.get_mut(place as usize) {
            *known = target;
        }
        Ok(target)
    }
}

/// Reads links one after the other.
#[derive(Clone, Copy)]
pub(super) struct LinkCursor<'a> {
    links: LinkTargets<'a>,
    /// Of each class.
    widths: [u32; 4],
    next: u32,
    /// The block that was read last, its bytes, the two bits of each class, and the bit of its first link.
    block: Option<u32>,
    bytes: &'a [u8],
    lower: u128,
    upper: u128,
    first_bit: u32,
}

impl LinkCursor<'_> {
    /// Goes to a link.
    pub(super) const fn seek(&mut self, link: u32) {
        self.next = link;
    }

    /// Reads all links of a block at once, the first to the first place; gives how many there are. Callers compare them
    /// with the count of targets.
    pub(super) fn decode(
        &mut self,
        block: u32,
        targets: &mut [u32; BLOCK as usize],
        known: &mut KnownHot,
    ) -> Result<usize> {
        let first = block.saturating_mul(BLOCK);
        let count = self.links.links.saturating_sub(first).min(BLOCK) as usize;
        let some = targets.get_mut(..count).unwrap_or_default();
        if self.links.hot_targets == 0 {
            let [width, ..] = self.widths;
            if width == 0 {
                some.fill(0);
                return Ok(count);
            }
            let (start, width_bits) = (u64::from(first) * u64::from(width), width as usize);
            let (byte, bit) = (start / 8, (start % 8) as usize);
            // At most 513 bytes.
            let len = (bit + count * width_bits).div_ceil(8);
            let bytes = self.links.data.get(byte, len)?;
            let unpacked = unpack(bytes, bit, width, some);
            return unpacked.map_or_else(|| Err(self.damaged(block)), |()| Ok(count));
        }
        if self.block != Some(block) {
            self.load(block)?;
        }
        let [_, one, two, _] = self.widths;
        let starts = [0, 0, 1 << one, (1 << one) + (1 << two)];
        let mut bits = BitReader::new(self.bytes, self.first_bit as usize);
        let mut classes = (self.lower, self.upper);
        for half in some.chunks_mut(64) {
            let (mut lower, mut upper) = (classes.0 as u64, classes.1 as u64);
            classes = (classes.0 >> 64, classes.1 >> 64);
            for target in half {
                let class = (lower & 1 | (upper & 1) << 1) as usize;
                (lower, upper) = (lower >> 1, upper >> 1);
                let width = self.widths.get(class).copied().unwrap_or(0);
                let Some(entry) = bits.read(width) else {
                    return Err(self.damaged(block));
                };
                *target = match class {
                    0 => entry as u32,
                    // At most 3 * 2^16.
                    _ => {
                        let start: u32 = starts.get(class).copied().unwrap_or(0);
                        known.target(&self.links, start + entry as u32)?
                    }
                };
            }
        }
        Ok(count)
    }

    /// The target of the next link, which the caller compares with the count of targets.
    #[inline]
    pub(super) fn read(&mut self) -> Result<u32> {
        let next = self.next;
        if next >= self.links.links {
            let expected = format!("a link below {}", self.links.links);
            return Err(self.links.data.corrupt(0, expected, next));
        }
        self.next = next + 1;
        if self.links.hot_targets == 0 {
            let [width, ..] = self.widths;
            let at = u64::from(next) * u64::from(width);
            return Ok(read_bits(self.links.data, at, width)? as u32);
        }
        if self.block != Some(next / BLOCK) {
            self.load(next / BLOCK)?;
        }
        let place = next % BLOCK;
        let (lower, upper) = (self.lower >> place & 1 == 1, self.upper >> place & 1 == 1);
        let before = below(place.into());
        let (low, high) = (self.lower & before, self.upper & before);
        let [cold, one, two, three] = self.widths;
        let both = (low & high).count_ones();
        let ones = low.count_ones() - both;
        let twos = high.count_ones() - both;
        let bit = self.first_bit
            + (place - both - ones - twos) * cold
            + ones * one
            + twos * two
            + both * three;
        // Where the class begins in the table of hot targets.
        let (width, start) = match (lower, upper) {
            (false, false) => (cold, None),
            (true, false) => (one, Some(0)),
            (false, true) => (two, Some(1 << one)),
            (true, true) => (three, Some((1 << one) + (1 << two))),
        };
        let Some(entry) = bits_of(self.bytes, bit as usize, width) else {
            return Err(self.damaged(next / BLOCK));
        };
        match start {
            // At most 3 * 2^16.
            Some(start) => self.links.hot_target(start + entry as u32),
            None => Ok(entry as u32),
        }
    }

    fn load(&mut self, block: u32) -> Result<()> {
        let LinkTargets {
            data, directory, ..
        } = self.links;
        let entry = 4 * u64::from(block);
        let links = self.links.links - block * BLOCK;
        let start = u64::from(directory.u32_at(entry)?);
        let end = if links > BLOCK {
            u64::from(directory.u32_at(entry + 4)?)
        } else {
            data.len()
        };
        let links = links.min(BLOCK);
        // No class is wider than targets or 16 bits.
        let most = u64::from(links) * (2 + 32) / 8 + 1;
        let Some(len) = end.checked_sub(start).filter(|&len| len <= most) else {
            return Err(directory.corrupt(entry, "rising offsets of blocks of links", end));
        };
        self.bytes = data.get(start, len as usize)?;
        self.block = None;
        let classes = |from: u32| {
            let mut classes = 0;
            for part in 0..links.div_ceil(32) {
                let width = (links - part * 32).min(32);
                let bits = bits_of(self.bytes, (from + 32 * part) as usize, width)?;
                classes |= u128::from(bits) << (32 * part);
            }
            Some(classes)
        };
        let Some((lower, upper)) = classes(0).zip(classes(links)) else {
            return Err(self.damaged(block));
        };
        (self.lower, self.upper) = (lower, upper);
        self.first_bit = 2 * links;
        self.block = Some(block);
        Ok(())
    }

    #[cold]
    fn damaged(&self, block: u32) -> crate::Error {
        let expected = format!("a whole block {block} of links");
        self.links.data.corrupt(0, expected, "a shorter one")
    }
}
