//! One segment of a merge: which of its rows live, what they use, and which number what has in the new
//! segment.

use std::ops::Range;

use super::spill::Spooled;
use super::{MergeInput, bad};
use crate::chunks::Region;
use crate::monotone::Monotone;
use crate::segment::Segment;
use crate::segment::build::{KEY_SLACK_US, count};
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::{ROWS_MAX, Section, SegmentInfo};
use crate::segment::links::{KnownHot, LinkCursor, LinkTargets};
use crate::segment::rows::{BLOCK, PackedRow, RowBlock, Rows};
use crate::segment::workspace::{Env, Workspace};
use crate::{Error, Result};

/// No id in the new segment.
pub(super) const GONE: u32 = u32::MAX;

/// A set of numbers below a bound.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    #[inline]
    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.0.get((number / 64) as usize);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    #[inline]
    pub(super) fn insert(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut((number / 64) as usize) {
            *word |= 1 << (number % 64);
        }
    }
}

/// Rows between two sums.
const SUM_ROWS: u32 = 256;

/// The rows that live, and their numbers in the new segment.
pub(super) struct LiveRows {
    words: Vec<u64>,
    /// Live rows before each 256th row.
    sums: Vec<u32>,
    /// The number of the first one in the new segment.
    first: u32,
    live: u32,
    rows: u32,
}

impl LiveRows {
    fn new<W: Workspace>(
        env: &mut Env<'_, W>,
        rows: u32,
        first: u32,
        is_dropped: &dyn Fn(u32) -> bool,
    ) -> Result<Self, W::Error> {
        let mut words = vec![0u64; rows.div_ceil(64) as usize];
        let mut sums = Vec::with_capacity(rows.div_ceil(SUM_ROWS) as usize);
        let mut live = 0;
        for (number, word) in (0u32..).zip(&mut words) {
            if number.is_multiple_of(SUM_ROWS / 64) {
                sums.push(live);
            }
            let start = number * 64;
            for bit in 0..(rows - start).min(64) {
                *word |= u64::from(!is_dropped(start + bit)) << bit;
            }
            live += word.count_ones();
            env.stepped(64)?;
        }
        Ok(Self {
            words,
            sums,
            first,
            live,
            rows,
        })
    }

    /// The number of `row` in the new segment; `None` for a dead one.
    #[inline]
    pub(super) fn number(&self, row: u32) -> Option<u32> {
        if self.live == self.rows {
            return (row < self.rows).then(|| self.first + row);
        }
        let at = (row / 64) as usize;
        let word = *self.words.get(at)?;
        if word >> (row % 64) & 1 == 0 {
            return None;
        }
        let mut number = self.first + *self.sums.get((row / SUM_ROWS) as usize)?;
        let start = (row / SUM_ROWS * (SUM_ROWS / 64)) as usize;
        for word in self.words.get(start..at)? {
            number += word.count_ones();
        }
        Some(number + (word & ((1 << (row % 64)) - 1)).count_ones())
    }

    #[inline]
    pub(super) fn contains(&self, row: u32) -> bool {
        let word = self.words.get((row / 64) as usize);
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// A shape of a segment.
pub(super) struct Shape {
    pub(super) collection: u32,
    /// Path and links.
    pub(super) runs: Vec<(u32, u32)>,
    /// Links in all.
    pub(super) links: u64,
    pub(super) is_used: bool,
}

pub(super) struct Part<'a, W: Workspace> {
    pub(super) segment: &'a Segment,
    pub(super) live: LiveRows,
    pub(super) shapes: Vec<Shape>,
    /// Keys that are no TIDs and that a live row or a used target has.
    pub(super) used_keys: Bits,
    /// Targets that a live row links to.
    pub(super) used_targets: Bits,
    /// Old ids to new ones.
    pub(super) collections: Vec<u32>,
    pub(super) paths: Vec<u32>,
    pub(super) sources: Vec<u32>,
    pub(super) new_shapes: Vec<u32>,
    /// As `u32` each.
    pub(super) keys: Option<Spooled<W>>,
    /// As a monotone list.
    pub(super) targets: Option<Spooled<W>>,
}

impl<'a, W: Workspace> Part<'a, W> {
    /// Looks at all rows and links. Counts rows and links of the new segment, and widens its window of
    /// keys.
    pub(super) fn scan(
        env: &mut Env<'_, W>,
        input: &MergeInput<'a>,
        info: &mut SegmentInfo,
    ) -> Result<Self, W::Error> {
        let segment = input.segment;
        let old = segment.info();
        let live = LiveRows::new(env, old.rows, info.rows, input.is_dropped)?;
        let rows = info.rows as usize + live.live as usize;
        info.rows = count("rows of a segment", rows, ROWS_MAX)?;
        let keys = segment.strings(Section::Keys)?.count();
        if u64::from(keys) > u64::from(old.rows) + u64::from(old.targets) {
            return Err(bad(0, "at most one key a row and target", keys).into());
        }
        let mut part = Self {
            segment,
            live,
            shapes: shapes(segment)?,
            used_keys: Bits::new(keys),
            used_targets: Bits::new(old.targets),
            collections: Vec::new(),
            paths: Vec::new(),
            sources: Vec::new(),
            new_shapes: Vec::new(),
            keys: None,
            targets: None,
        };
        let window = info.first_time_us.saturating_sub(KEY_SLACK_US)
            ..=info.last_time_us.saturating_add(KEY_SLACK_US);
        let mut links = u64::from(info.links);
        let mut scan = RowScan::new(segment)?;
        let mut targets = LinkScan::new(segment)?;
        let mut before = None;
        while let Some(block) = scan.next()? {
            for row in block.rows() {
                if before >= Some(row.seq) || !(old.first_seq..=old.last_seq).contains(&row.seq) {
                    let expected = "rising seqs in the range of the segment";
                    return Err(block.damaged(expected, row.seq).into());
                }
                before = Some(row.seq);
                if !part.live.contains(row.number) {
                    continue;
                }
                match row.key {
                    PackedKey::Str(id) => part.used_keys.insert(id),
                    PackedKey::Tid(tid) if window.contains(&(tid >> 10)) => {
                        let time_us = tid >> 10;
                        if info.key_first_us > info.key_last_us {
                            (info.key_first_us, info.key_last_us) = (time_us, time_us);
                        }
                        info.key_first_us = info.key_first_us.min(time_us);
                        info.key_last_us = info.key_last_us.max(time_us);
                    }
                    PackedKey::Tid(_) => {}
                }
                let count = u64::from(row.links_count);
                match part.shapes.get_mut(row.shape as usize) {
                    Some(shape) if shape.links == count => shape.is_used = true,
                    _ => {
                        let expected = format!("a shape with {count} links");
                        return Err(block.damaged(&expected, row.shape).into());
                    }
                }
                for link in row.links() {
                    part.used_targets.insert(targets.target(link)?);
                }
                links += count;
            }
            env.stepped(BLOCK)?;
        }
        info.links = count("links of a segment", links as usize, ROWS_MAX)?;
        Ok(part)
    }

    /// The new number of a key that is no TID.
    #[inline]
    pub(super) fn key(&self, key: PackedKey) -> PackedKey {
        match (key, &self.keys) {
            (PackedKey::Str(id), Some(keys)) => {
                let new = keys.bytes().get(4 * id as usize..);
                let new = new.and_then(<[u8]>::first_chunk);
                PackedKey::Str(new.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
            }
            (key, _) => key,
        }
    }

    /// The new ordinals of targets, in order.
    pub(super) fn new_targets(&self) -> Result<Monotone<'_>> {
        let bytes = self.targets.as_ref().map_or(&[][..], Spooled::bytes);
        Monotone::open(Region::over("map of targets", bytes))
    }

    /// The same by old ordinal, within the memory of one sort.
    pub(super) fn target_map(&self, env: &Env<'_, W>) -> Result<TargetMap<'_>> {
        TargetMap::new(self.new_targets()?, env.workspace.sort_bytes())
    }
}

/// All shapes of a segment.
fn shapes(segment: &Segment) -> Result<Vec<Shape>> {
    let mut shapes = Vec::new();
    for id in 0..segment.info().shapes {
        let (collection, count, mut reader) = segment.shape(id)?;
        let mut shape = Shape {
            collection,
            runs: Vec::new(),
            links: 0,
            is_used: false,
        };
        let mut parse = || -> Result<()> {
            for _ in 0..count {
                let (path, links) = (reader.varint_u32()?, reader.varint_u32()?);
                shape.links += u64::from(links);
                shape.runs.push((path, links));
            }
            Ok(())
        };
        if let Err(error) = parse() {
            return Err(segment.section(Section::Shapes)?.in_file(error));
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

/// The rows of a segment, block by block.
pub(super) struct RowScan<'a> {
    rows: Rows<'a>,
    links: Region<'a>,
    is_links_only: bool,
    block: RowBlock,
    next: u32,
}

/// A block of rows.
pub(super) struct ScannedBlock<'s, 'a> {
    scan: &'s RowScan<'a>,
    first_row: u32,
}

/// A row in its old segment.
#[derive(Clone, Copy)]
pub(super) struct ScannedRow {
    pub(super) number: u32,
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) actor: u32,
    pub(super) shape: u32,
    pub(super) key: PackedKey,
    first_link: u32,
    pub(super) links_count: u32,
}

impl ScannedRow {
    /// Its links, by their place among those of the segment.
    #[inline]
    pub(super) fn links(&self) -> Range<u32> {
        // As many as there are to the first of the next row.
        self.first_link..self.first_link.saturating_add(self.links_count)
    }
}

impl<'a> RowScan<'a> {
    pub(super) fn new(segment: &'a Segment) -> Result<Self> {
        Ok(Self {
            rows: segment.rows()?,
            links: segment.section(Section::Links)?,
            is_links_only: false,
            block: RowBlock::default(),
            next: 0,
        })
    }

    /// The same for their numbers, shapes and links: nothing else is told of them.
    pub(super) fn of_links(segment: &'a Segment) -> Result<Self> {
        Ok(Self {
            is_links_only: true,
            ..Self::new(segment)?
        })
    }

    /// The next block.
    pub(super) fn next(&mut self) -> Result<Option<ScannedBlock<'_, 'a>>> {
        let number = self.next;
        if number >= self.rows.blocks() {
            return Ok(None);
        }
        self.next += 1;
        match self.is_links_only {
            false => self.rows.decode(number, &mut self.block)?,
            true => self.rows.decode_links(number, &mut self.block)?,
        }
        Ok(Some(ScannedBlock {
            first_row: number * BLOCK,
            scan: self,
        }))
    }
}

impl ScannedBlock<'_, '_> {
    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = ScannedRow> {
        let rows = &self.scan.block.rows;
        let ends = rows.iter().skip(1).map(|row| row.first_link);
        let ends = ends.chain([self.scan.block.end_link]);
        let number = self.first_row..;
        number
            .zip(rows.iter().zip(ends))
            .map(|(number, (row, end))| {
                let &PackedRow {
                    seq,
                    time_ms,
                    actor,
                    shape,
                    first_link,
                    key,
                } = row;
                ScannedRow {
                    number,
                    seq,
                    time_ms,
                    actor,
                    shape,
                    key,
                    first_link,
                    // First links rise, which was checked when they were decoded.
                    links_count: end.saturating_sub(first_link),
                }
            })
    }

    #[cold]
    pub(super) fn damaged(&self, expected: &str, found: impl ToString) -> Error {
        self.scan.links.corrupt(0, expected, found)
    }
}

/// The targets of the links of a segment, asked for by rising place: a block of links is read when the first of them is
/// asked for.
pub(super) struct LinkScan<'a> {
    links: LinkTargets<'a>,
    cursor: LinkCursor<'a>,
    known: KnownHot,
    block: Option<u32>,
    targets: [u32; BLOCK as usize],
    /// How many of them are the block's.
    count: usize,
}

impl<'a> LinkScan<'a> {
    pub(super) fn new(segment: &'a Segment) -> Result<Self> {
        let links = segment.link_targets()?;
        Ok(Self {
            cursor: links.from(0),
            links,
            known: KnownHot::default(),
            block: None,
            targets: [0; BLOCK as usize],
            count: 0,
        })
    }

    /// The target of a link.
    #[inline]
    pub(super) fn target(&mut self, link: u32) -> Result<u32> {
        let block = link / BLOCK;
        if self.block != Some(block) {
            self.load(link, block)?;
        }
        let targets = self.targets.get(..self.count).unwrap_or_default();
        match targets.get((link % BLOCK) as usize) {
            Some(&target) if target < self.links.targets => Ok(target),
            Some(&target) => Err(self.damaged("target", self.links.targets, target)),
            None => Err(self.no_link(link)),
        }
    }

    /// Reads the block of a link.
    fn load(&mut self, link: u32, block: u32) -> Result<()> {
        if link >= self.links.links {
            return Err(self.no_link(link));
        }
        self.block = None;
        let Self {
            cursor,
            known,
            targets,
            ..
        } = self;
        self.count = cursor.decode(block, targets, known)?;
        self.block = Some(block);
        Ok(())
    }

    #[cold]
    fn no_link(&self, link: u32) -> Error {
        self.damaged("link", self.links.links, link)
    }

    #[cold]
    fn damaged(&self, what: &str, below: u32, found: u32) -> Error {
        let expected = format!("a {what} below {below}");
        self.links.data.corrupt(0, expected, found)
    }
}

/// Old ordinals of the targets of a part to new ones, asked for in no order.
pub(super) struct TargetMap<'p> {
    map: Monotone<'p>,
    /// All of them, where they are few.
    decoded: Vec<u32>,
}

impl<'p> TargetMap<'p> {
    /// At most `bytes` of memory are taken.
    fn new(map: Monotone<'p>, bytes: usize) -> Result<Self> {
        let mut decoded = Vec::new();
        if map.len() as usize <= bytes / size_of::<u32>() {
            decoded.reserve_exact(map.len() as usize);
            for new in map.iter_from(0) {
                decoded.push(new?);
            }
        }
        Ok(Self { map, decoded })
    }

    #[inline]
    pub(super) fn get(&self, target: u32) -> Result<u32> {
        match self.decoded.get(target as usize) {
            Some(new) => Ok(*new),
            None => self.map.get(target),
        }
    }
}
