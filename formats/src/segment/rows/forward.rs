//! The targets of the links of many rows.

use super::{BLOCK, Rows};
use crate::Result;
use crate::chunks::Region;
use crate::segment::Segment;
use crate::segment::links::{KnownHot, LinkCursor};
use crate::segment::lists::width_below;

/// Most links of a row at one path in a segment with a single target. These take no bytes, so that their number
/// is not bounded by the section; more than one is a record that says the same again.
const SAME_MAX: u64 = 1 << 16;

/// A block of rows with where its links begin.
struct Place {
    number: u32,
    /// The first link of the block; that of each row, less it, and the row's shape.
    base: u64,
    firsts: [u64; BLOCK as usize],
    shapes: [u32; BLOCK as usize],
}

/// Reads the targets of the links of many rows at one path: the head of a block is read once for all rows that
/// follow in it.
pub struct TargetsAt<'s> {
    segment: &'s Segment,
    rows: Rows<'s>,
    /// `None` when no row of the segment links at the path.
    path: Option<u32>,
    targets: LinkCursor<'s>,
    /// The block of links that was read in last, and the one whose links stand in `links`, all but those behind the
    /// count.
    last_block: Option<u32>,
    decoded: Option<(u32, usize)>,
    links: Box<[u32; BLOCK as usize]>,
    hot: KnownHot,
    /// The section that they stand in, and how many targets there are.
    data: Region<'s>,
    target_count: u32,
    place: Option<Box<Place>>,
    /// The shape seen last; what is known of it stands in `runs`.
    shape: Option<u32>,
    /// Links at the path: how many links of the row come before, and how many they are.
    runs: Vec<(u64, u64)>,
}

impl<'s> TargetsAt<'s> {
    pub(in crate::segment) fn new(
        segment: &'s Segment,
        rows: Rows<'s>,
        path: Option<u32>,
    ) -> Result<Self> {
        let targets = segment.link_targets()?;
        Ok(Self {
            segment,
            rows,
            path,
            data: targets.data,
            target_count: targets.targets,
            targets: targets.from(0),
            last_block: None,
            decoded: None,
            links: Box::new([0; BLOCK as usize]),
            hot: KnownHot::default(),
            place: None,
            shape: None,
            runs: Vec::new(),
        })
    }

    fn turn(rows: &Rows<'s>, row: u32) -> Result<Box<Place>> {
        let (block, _) = rows.locate(row)?;
        let number = row / BLOCK;
        let mut place = Box::new(Place {
            number,
            base: rows.directory.u32_at(rows.entry(number) + 4)?.into(),
            firsts: [0; BLOCK as usize],
            shapes: [0; BLOCK as usize],
        });
        let of_block = rows.shapes_of(&block)?;
        of_block.all(&mut place.shapes, &mut place.firsts)?;
        Ok(place)
    }

    /// The target of a link, which the caller compares with the count of targets.
    #[inline]
    fn target(&mut self, link: u32) -> Result<u32> {
        let place = (link % BLOCK) as usize;
        match self.decoded {
            Some((block, count)) if block == link / BLOCK && place < count => {
                Ok(self.links.get(place).copied().unwrap_or_default())
            }
            _ => self.target_elsewhere(link),
        }
    }

    /// The same of a link whose block is not decoded. A block of links that is read in twice in a row is read as a whole.
    #[inline(never)]
    fn target_elsewhere(&mut self, link: u32) -> Result<u32> {
        let block = link / BLOCK;
        if self.last_block == Some(block) && self.decoded.is_none_or(|(known, _)| known != block) {
            self.decoded = None;
            let count = self.targets.decode(block, &mut self.links, &mut self.hot)?;
            self.decoded = Some((block, count));
            if ((link % BLOCK) as usize) < count {
                return self.target(link);
            }
        }
        self.last_block = Some(block);
        self.targets.seek(link);
        self.targets.read()
    }

    /// What a shape has at the path.
    fn turn_shape(&mut self, shape: u32, path: u32) -> Result<()> {
        self.shape = None;
        self.runs.clear();
        let (_, runs, mut reader) = self.segment.shape(shape)?;
        let mut before = 0u64;
        for _ in 0..runs {
            let run = reader
                .varint_u32()
                .and_then(|path| Ok((path, reader.varint()?)));
            let (at, count) = run.map_err(|error| self.data.in_file(error))?;
            if at == path {
                self.runs.push((before, count));
            }
            before = before.saturating_add(count);
        }
        self.shape = Some(shape);
        Ok(())
    }

    /// Puts the targets of the links of `row` at the path into `targets`, in the order of its shape.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    pub fn get(&mut self, row: u32, targets: &mut Vec<u32>) -> Result<()> {
        targets.clear();
        self.each_of(row, |_, target| targets.push(target))
    }

    /// Calls `each` with the links at the path of those of `rows` (at most 128) whose bits are set in `wanted`: the place
    /// of the row among them, the link's place among those of the row, and the target. In the order of rows, and of the
    /// shape of each.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    pub fn each(
        &mut self,
        rows: &[u32],
        wanted: u128,
        mut each: impl FnMut(u32, u32, u32),
    ) -> Result<()> {
        for half in [0, 64] {
            let mut left = (wanted >> half) as u64;
            while left != 0 {
                let place = half + left.trailing_zeros();
                left &= left - 1;
                let Some(&row) = rows.get(place as usize) else {
                    return Ok(());
                };
                self.each_of(row, |link, target| each(place, link, target))?;
            }
        }
        Ok(())
    }

    #[inline]
    fn each_of(&mut self, row: u32, mut each: impl FnMut(u32, u32)) -> Result<()> {
        let Some(path) = self.path else {
            return Ok(());
        };
        let place = match &mut self.place {
            Some(place) if place.number == row / BLOCK && row < self.rows.count => place,
            place => place.insert(Self::turn(&self.rows, row)?),
        };
        let i = (row % BLOCK) as usize;
        let known = place.firsts.get(i).zip(place.shapes.get(i));
        let (first, shape) = known.map_or((u64::MAX, 0), |(first, shape)| (*first, *shape));
        let first = first.saturating_add(place.base);
        if self.shape != Some(shape) {
            self.turn_shape(shape, path)?;
        }
        let mut number = 0;
        for run in 0..self.runs.len() {
            let Some(&(before, count)) = self.runs.get(run) else {
                break;
            };
            let links = first.saturating_add(before);
            let links = links..links.saturating_add(count);
            if links.end > u64::from(self.rows.links) {
                let expected = format!("links below {}", self.rows.links);
                return Err(self.data.corrupt(0, expected, links.end));
            }
            if count > SAME_MAX && width_below(self.target_count) == 0 {
                let expected = format!("at most {SAME_MAX} links of a row to one target");
                return Err(self.data.corrupt(0, expected, count));
            }
            for link in links {
                // Below 2^32: so are all links of the segment.
                let target = self.target(link as u32)?;
                if target >= self.target_count {
                    let expected = format!("a target below {}", self.target_count);
                    return Err(self.data.corrupt(0, expected, target));
                }
                each(number, target);
                number += 1;
            }
        }
        Ok(())
    }
}
