//! The names of many records: who wrote each, in which collection, under which key.

use super::shapes::BlockShapes;
use super::{BLOCK, Block, Rows};
use crate::Result;
use crate::segment::keyblock::KeyBlock;
use crate::segment::layout::Section;
use crate::segment::{RecordKey, Segment};

/// The name of the record of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowName<'s> {
    /// The author.
    pub actor: u32,
    /// The collection.
    pub collection: &'s str,
    /// The record's key.
    pub rkey: RecordKey<'s>,
}

/// A block of rows with what is read of its head for every row.
struct Place<'s> {
    number: u32,
    block: Block<'s>,
    actors: u64,
    shapes: BlockShapes<'s>,
    keys: KeyBlock<'s>,
}

/// Reads the names of many records: the head of a block is read once for all rows that follow in it.
pub struct RowNames<'s> {
    segment: &'s Segment,
    rows: Rows<'s>,
    place: Option<Place<'s>>,
    /// The shape seen last, with its collection.
    shape: Option<(u32, &'s str)>,
}

impl<'s> RowNames<'s> {
    pub(in crate::segment) const fn new(segment: &'s Segment, rows: Rows<'s>) -> Self {
        Self {
            segment,
            rows,
            place: None,
            shape: None,
        }
    }

    fn turn(rows: &Rows<'s>, row: u32) -> Result<Place<'s>> {
        let (block, _) = rows.locate(row)?;
        let shapes = rows.shapes_of(&block)?;
        Ok(Place {
            number: row / BLOCK,
            block,
            actors: block.actor_bit(),
            shapes,
            keys: KeyBlock::open(block.region, block.keys, block.count)?,
        })
    }

    /// The name of the record of `row`. O(1); cheapest for rows in rising or falling order.
    ///
    /// # Errors
    /// When the segment is damaged there, or has no such row.
    pub fn get(&mut self, row: u32) -> Result<RowName<'s>> {
        let place = match &mut self.place {
            Some(place) if place.number == row / BLOCK && row < self.rows.count => place,
            place => place.insert(Self::turn(&self.rows, row)?),
        };
        let block = &place.block;
        let i = u64::from(row % BLOCK);
        let shape = place.shapes.of(i)?;
        let collection = match self.shape {
            Some((known, collection)) if known == shape => collection,
            _ => {
                let (collection, ..) = self.segment.shape(shape)?;
                let collections = self.segment.strings(Section::Collections)?;
                let collection = collections.get(collection)?;
                self.shape = Some((shape, collection));
                collection
            }
        };
        Ok(RowName {
            actor: block.actor(place.actors, i)?,
            collection,
            rkey: self.segment.record_key(place.keys.get(i)?)?,
        })
    }
}
