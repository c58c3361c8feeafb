//! Which targets are hot, and writing links.

use std::cmp::Reverse;

use crate::Result;
use crate::bits::BitWriter;
use crate::bytes::put_u32;
use crate::segment::lists::width_below;
use crate::segment::rows::{BLOCK, offset_u64};

/// Most bits of the place of a hot target.
const HOT_BITS: u32 = 16;
/// Rows that link to a hot target at least.
const HOT_ROWS: u64 = 32;

/// Finds the hot targets from how many rows link to each target.
#[derive(Default)]
pub(in crate::segment) struct HotTargets {
    /// Rows, most first, and targets: those with the most so far, and some more.
    most: Vec<(Reverse<u64>, u32)>,
    rows: u64,
}

impl HotTargets {
    /// Notes that so many rows link to `target`.
    #[inline]
    pub(in crate::segment) fn push(&mut self, target: u32, rows: u64) {
        self.rows += rows;
        if rows < HOT_ROWS {
            return;
        }
        self.most.push((Reverse(rows), target));
        // Memory does not grow with the segment.
        if self.most.len() >= 2 << HOT_BITS {
            self.most.select_nth_unstable(1 << HOT_BITS);
            self.most.truncate(1 << HOT_BITS);
        }
    }

    /// The targets that make the links shortest when they are hot, of `targets`.
    pub(in crate::segment) fn finish(mut self, targets: u32) -> HotSet {
        self.most.sort_unstable();
        let mut sums = vec![0];
        let mut sum = 0;
        for (Reverse(rows), _) in &self.most {
            sum += rows;
            sums.push(sum);
        }
        let width = u64::from(width_below(targets));
        let known = self.most.len();
        // Places and bits of a class of that width behind the first `taken`.
        let class = |bits: u32, taken: usize| {
            let end = known.min(taken + (1 << bits));
            let rows = sums.get(end).zip(sums.get(taken));
            let rows = rows.map_or(0, |(end, start)| end - start);
            (end, rows * u64::from(bits))
        };
        let mut best = (self.rows * width, 0, [0; 3]);
        for one in 0..=HOT_BITS {
            let (end_one, bits_one) = class(one, 0);
            for two in one..=HOT_BITS {
                let (end_two, bits_two) = class(two, end_one);
                for three in two..=HOT_BITS {
                    let (end, bits) = class(three, end_two);
                    let hot = sums.get(end).copied().unwrap_or(0);
                    let cost = 2 * self.rows
                        + bits_one
                        + bits_two
                        + bits
                        + (self.rows - hot + end as u64) * width;
                    if cost < best.0 {
                        best = (cost, end, [one, two, three]);
                    }
                }
            }
        }
        let (_, taken, widths) = best;
        self.most.truncate(taken);
        HotSet::new(self.most, widths, targets)
    }
}

/// The hot targets.
pub(in crate::segment) struct HotSet {
    /// Class by class.
    hot: Vec<u32>,
    widths: [u32; 3],
    targets: u32,
    /// A bit for each target, set where it is hot, and how many are before each word.
    words: Vec<u64>,
    before: Vec<u32>,
    /// Class and place of each hot target, in the order of targets.
    places: Vec<(u8, u32)>,
}

impl HotSet {
    fn new(mut most: Vec<(Reverse<u64>, u32)>, widths: [u32; 3], targets: u32) -> Self {
        let mut hot = Vec::with_capacity(most.len());
        let mut places = Vec::with_capacity(most.len());
        let mut rest = most.as_mut_slice();
        for (class, width) in (1u8..).zip(widths) {
            let (of_class, behind) = rest.split_at_mut(rest.len().min(1 << width));
            rest = behind;
            of_class.sort_unstable_by_key(|(_, target)| *target);
            for (place, &(_, target)) in (0u32..).zip(of_class.iter()) {
                hot.push(target);
                places.push((target, class, place));
            }
        }
        places.sort_unstable();
        let mut words = Vec::new();
        if !hot.is_empty() {
            words.resize(targets.div_ceil(64) as usize, 0u64);
        }
        for &target in &hot {
            if let Some(word) = words.get_mut((target / 64) as usize) {
                *word |= 1 << (target % 64);
            }
        }
        let before = words.iter().scan(0, |sum, word| {
            let before = *sum;
            *sum += word.count_ones();
            Some(before)
        });
        let before = before.collect();
        let places = places.into_iter().map(|(_, class, place)| (class, place));
        Self {
            hot,
            widths,
            targets,
            words,
            before,
            places: places.collect(),
        }
    }

    /// How many there are.
    pub(in crate::segment) const fn len(&self) -> u32 {
        // At most 3 * 2^16.
        self.hot.len() as u32
    }

    /// The widths of the classes.
    pub(in crate::segment) fn widths(&self) -> [u8; 3] {
        self.widths.map(|width| width as u8)
    }

    /// Their section.
    pub(in crate::segment) fn encode(&self) -> Vec<u8> {
        let mut bits = BitWriter::new();
        for &target in &self.hot {
            bits.write(target.into(), width_below(self.targets));
        }
        bits.finish()
    }

    /// The class and the place in it of a hot target.
    #[inline]
    fn place(&self, target: u32) -> Option<(u8, u32)> {
        let at = (target / 64) as usize;
        let word = *self.words.get(at)?;
        if word >> (target % 64) & 1 == 0 {
            return None;
        }
        let inside = (word & ((1 << (target % 64)) - 1)).count_ones();
        let number = *self.before.get(at)? + inside;
        self.places.get(number as usize).copied()
    }
}

/// Encodes links in order.
pub(in crate::segment) struct LinksWriter<'h> {
    hot: &'h HotSet,
    /// Of each class.
    widths: [u32; 4],
    /// Targets of the block being filled.
    block: Vec<u32>,
    /// Links, while there are no hot targets.
    plain: BitWriter,
    /// Bytes of the finished blocks.
    written: u64,
}

impl<'h> LinksWriter<'h> {
    pub(in crate::segment) fn new(hot: &'h HotSet) -> Self {
        let [one, two, three] = hot.widths;
        Self {
            widths: [width_below(hot.targets), one, two, three],
            hot,
            block: Vec::with_capacity(BLOCK as usize),
            plain: BitWriter::new(),
            written: 0,
        }
    }

    /// Appends a link. What is finished goes to the end of `directory` and `out`.
    #[inline]
    pub(in crate::segment) fn push(
        &mut self,
        target: u32,
        directory: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.hot.len() == 0 {
            let [width, ..] = self.widths;
            self.plain.write(target.into(), width);
            return Ok(());
        }
        self.block.push(target);
        if self.block.len() == BLOCK as usize {
            return self.flush(directory, out);
        }
        Ok(())
    }

    /// Moves to `out` what has been written of links without hot targets.
    pub(in crate::segment) fn drain_into(&mut self, out: &mut Vec<u8>) {
        self.plain.drain_into(out);
    }

    fn flush(&mut self, directory: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        let (mut lower, mut upper) = (0u128, 0u128);
        let before = out.len();
        let mut bits = BitWriter::behind(std::mem::take(out));
        let [cold, one, two, three] = self.widths;
        let mut entries = [(0u32, 0u32); BLOCK as usize];
        for (i, (&target, entry)) in self.block.iter().zip(&mut entries).enumerate() {
            let (class, place) = self.hot.place(target).unwrap_or((0, target));
            lower |= u128::from(class & 1) << i;
            upper |= u128::from(class >> 1) << i;
            let width = match class {
                0 => cold,
                1 => one,
                2 => two,
                _ => three,
            };
            *entry = (place, width);
        }
        let links = self.block.len() as u32;
        for classes in [lower, upper] {
            bits.write(classes as u64, links.min(64));
            bits.write((classes >> 64) as u64, links.saturating_sub(64));
        }
        for &(entry, width) in entries.iter().take(self.block.len()) {
            bits.write(entry.into(), width);
        }
        put_u32(
            directory,
            offset_u64(self.written, "bytes of links in a segment")?,
        );
        *out = bits.finish();
        self.written += (out.len() - before) as u64;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(in crate::segment) fn finish(
        mut self,
        directory: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if !self.block.is_empty() {
            self.flush(directory, out)?;
        }
        out.extend_from_slice(&self.plain.finish());
        Ok(())
    }
}
