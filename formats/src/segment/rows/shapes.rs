//! The shapes of the rows of a block, and where the links of its rows begin: links stand in the order of rows, and a
//! shape says how many a row has.

use super::{BLOCK, Block, Rows};
use crate::Result;
use crate::bits::{below, bitmap, read_bits, unpack, width_for};
use crate::chunks::Region;

/// What rows need of the section of shapes: 8 bytes for each shape, of which the last four are its links.
#[derive(Clone, Copy)]
pub(in crate::segment) struct ShapeTable<'a> {
    pub(in crate::segment) region: Region<'a>,
    pub(in crate::segment) count: u32,
    /// Of a shape in a block of rows.
    pub(in crate::segment) width: u32,
}

/// Bytes a shape in front of what the shapes are.
pub(in crate::segment) const SHAPE_ENTRY: u64 = 8;

impl ShapeTable<'_> {
    /// How many links a row of that shape has.
    #[inline]
    pub(in crate::segment) fn links(&self, shape: u32) -> Result<u32> {
        let at = u64::from(shape) * SHAPE_ENTRY + 4;
        if shape >= self.count {
            let expected = format!("a shape below {}", self.count);
            return Err(self.region.corrupt(at, expected, shape));
        }
        self.region.u32_at(at)
    }
}

/// The shapes of one block.
#[derive(Clone, Copy)]
pub(in crate::segment) struct BlockShapes<'a> {
    region: Region<'a>,
    table: ShapeTable<'a>,
    /// Byte of the block, its rows, and how many shapes these have.
    start: u64,
    rows: u64,
    count: u64,
    /// The bit of the first of the shapes.
    first: u64,
    /// Bits of a shape's index among them.
    width: u32,
    common: u64,
    /// The rows of another shape than the commonest, and the bit of the first such row's index.
    others: u128,
    indexes: u64,
}

impl BlockShapes<'_> {
    #[inline]
    fn checked(&self, index: u64) -> Result<u64> {
        match index < self.count {
            true => Ok(index),
            false => Err(self
                .region
                .corrupt(self.start, "the index of a shape", index)),
        }
    }

    /// The shape with that index in the block.
    fn shape(&self, index: u64) -> Result<u32> {
        let width = self.table.width;
        let bit = self.first + index * u64::from(width);
        Ok(read_bits(self.region, bit, width)? as u32)
    }

    /// The shape of the row in place `i`.
    pub(in crate::segment) fn of(&self, i: u64) -> Result<u32> {
        if self.others >> i & 1 == 0 {
            return self.shape(self.common);
        }
        let before = u64::from((self.others & below(i)).count_ones());
        let bit = self.indexes + before * u64::from(self.width);
        let index = read_bits(self.region, bit, self.width)?;
        self.shape(self.checked(index)?)
    }

    /// Links of the rows before place `i`.
    fn links_before(&self, i: u64) -> Result<u64> {
        let others = (self.others & below(i)).count_ones() as usize;
        let mut links = 0;
        if i > others as u64 {
            let common = self.table.links(self.shape(self.common)?)?;
            links = (i - others as u64) * u64::from(common);
        }
        if others == 0 {
            return Ok(links);
        }
        let mut indexes = [0; BLOCK as usize];
        let indexes = indexes.get_mut(..others).unwrap_or_default();
        self.read_indexes(indexes)?;
        let mut rows = [0u32; BLOCK as usize];
        for &index in &*indexes {
            if let Some(rows) = rows.get_mut(index as usize) {
                *rows += 1;
            }
        }
        let last = indexes.iter().fold(0, |a, b| a.max(*b));
        self.checked(last.into())?;
        for (&rows, index) in rows.iter().zip(0..=u64::from(last)) {
            if rows > 0 {
                let of_row = self.table.links(self.shape(index)?)?;
                links += u64::from(rows) * u64::from(of_row);
            }
        }
        Ok(links)
    }

    /// The indexes of the first rows of another shape than the commonest, below 2^7 each.
    fn read_indexes(&self, indexes: &mut [u32]) -> Result<()> {
        if indexes.is_empty() {
            return Ok(());
        }
        let (byte, bit) = (self.indexes / 8, (self.indexes % 8) as usize);
        let bits = bit + indexes.len() * self.width as usize;
        let bytes = self.region.get(byte, bits.div_ceil(8))?;
        unpack(bytes, bit, self.width, indexes)
            .ok_or_else(|| self.region.corrupt(byte, "indexes of shapes", "their end"))
    }

    /// The shape of each row, and its first link less that of the block.
    pub(super) fn all(
        &self,
        shapes: &mut [u32; BLOCK as usize],
        firsts: &mut [u64; BLOCK as usize],
    ) -> Result<()> {
        if self.others == 0 {
            // As in most blocks: all rows have one shape.
            let of_row = self.shape(self.common)?;
            let links = u64::from(self.table.links(of_row)?);
            shapes.fill(of_row);
            for (first, i) in firsts.iter_mut().zip(0..) {
                *first = links * i;
            }
            return Ok(());
        }
        // What is known of the shapes that were met.
        let mut known: [Option<(u32, u32)>; BLOCK as usize] = [None; BLOCK as usize];
        let mut indexes = [0; BLOCK as usize];
        let some = indexes.get_mut(..self.others.count_ones() as usize);
        self.read_indexes(some.unwrap_or_default())?;
        let mut indexes = indexes.iter();
        let mut next = 0;
        for ((shape, first), i) in shapes.iter_mut().zip(firsts).zip(0..self.rows) {
            let index = match self.others >> i & 1 {
                0 => self.common,
                _ => self.checked(indexes.next().copied().unwrap_or_default().into())?,
            };
            let (of_row, links) = match known.get(index as usize) {
                Some(Some(known)) => *known,
                _ => {
                    let shape = self.shape(index)?;
                    let found = (shape, self.table.links(shape)?);
                    if let Some(known) = known.get_mut(index as usize) {
                        *known = Some(found);
                    }
                    found
                }
            };
            (*shape, *first) = (of_row, next);
            next += u64::from(links);
        }
        Ok(())
    }
}

impl<'a> Rows<'a> {
    pub(in crate::segment) fn shapes_of(&self, block: &Block<'a>) -> Result<BlockShapes<'a>> {
        if block.shapes > block.count {
            let expected = format!("at most {} shapes", block.count);
            return Err(block.region.corrupt(block.start, expected, block.shapes));
        }
        let first = block.shape_bit();
        let width = width_for(block.shapes - 1);
        let at = first + block.shapes * u64::from(self.shapes.width);
        let map = at + u64::from(width);
        let mut shapes = BlockShapes {
            region: block.region,
            table: self.shapes,
            start: block.start,
            rows: block.count,
            count: block.shapes,
            first,
            width,
            common: 0,
            others: 0,
            indexes: map + block.count,
        };
        if width > 0 {
            shapes.common = shapes.checked(read_bits(block.region, at, width)?)?;
            shapes.others = bitmap(block.region, map, block.count)?;
        }
        Ok(shapes)
    }

    pub(in crate::segment) fn shape(&self, row: u32) -> Result<u32> {
        let (block, i) = self.locate(row)?;
        self.shapes_of(&block)?.of(i)
    }

    /// The shape of the row, and the index of its first link.
    pub(in crate::segment) fn links_of(&self, row: u32) -> Result<(u32, u32)> {
        let (block, i) = self.locate(row)?;
        self.links_in(&block, row, i)
    }

    fn links_in(&self, block: &Block<'a>, row: u32, i: u64) -> Result<(u32, u32)> {
        let shapes = self.shapes_of(block)?;
        let base = self.directory.u32_at(self.entry(row / BLOCK) + 4)?;
        let link = u64::from(base).saturating_add(shapes.links_before(i)?);
        match u32::try_from(link) {
            Ok(link) if link < self.links => Ok((shapes.of(i)?, link)),
            _ => {
                Err(block
                    .region
                    .corrupt(block.start, format!("a link below {}", self.links), link))
            }
        }
    }
}
