//! Walks over rows, links, lists and kills.

use super::Segment;
use crate::Result;
use crate::bits::below;
use crate::bytes::Reader;
use crate::chunks::Region;
use crate::segment::actors::{ACTOR_BLOCK, BlockNumbers};
use crate::segment::layout::Section;
use crate::segment::links::LinkCursor;
use crate::segment::lists::Postings;
use crate::segment::rows::{BLOCK, Rows};

/// The rows by one actor, rising.
pub struct ActorRows<'s> {
    pub(super) rows: Rows<'s>,
    pub(super) actor: u32,
    /// Rows before this one are left out.
    pub(super) from: u32,
    /// Blocks of 2,048 rows still to look at.
    pub(super) blocks: BlockNumbers<'s>,
    /// Blocks of 128 rows still to look at.
    pub(super) small: u32,
    pub(super) small_end: u32,
    /// Rows found that were not given out, less `first`.
    pub(super) found: u128,
    pub(super) first: u32,
}

impl ActorRows<'_> {
    fn step(&mut self) -> Result<Option<u32>> {
        loop {
            if self.found != 0 {
                let row = self.first + self.found.trailing_zeros();
                self.found &= self.found - 1;
                return Ok(Some(row));
            }
            if self.small < self.small_end {
                let block = self.small;
                self.small += 1;
                self.first = block * BLOCK;
                let before = below(self.from.saturating_sub(self.first).into());
                self.found = self.rows.rows_by(block, self.actor)? & !before;
            } else if let Some(block) = self.blocks.next()? {
                let small = block * (ACTOR_BLOCK / BLOCK);
                self.small_end = (small + ACTOR_BLOCK / BLOCK).min(self.rows.blocks());
                self.small = small.max(self.from / BLOCK).min(self.small_end);
                self.rows.fetch(self.small..self.small_end)?;
            } else {
                return Ok(None);
            }
        }
    }
}

impl Iterator for ActorRows<'_> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.blocks.stop();
            (self.small, self.found) = (self.small_end, 0);
        }
        step.transpose()
    }
}

/// One link of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkRef {
    /// The path, by its id in the segment.
    pub path: u32,
    /// The target's ordinal in the segment.
    pub target: u32,
}

/// The links of a row.
pub struct RowLinks<'s> {
    pub(super) targets: LinkCursor<'s>,
    pub(super) shapes: Region<'s>,
    pub(super) shape: Reader<'s>,
    pub(super) runs: u64,
    pub(super) path: u32,
    pub(super) left: u64,
}

impl RowLinks<'_> {
    fn step(&mut self) -> Result<Option<LinkRef>> {
        while self.left == 0 {
            if self.runs == 0 {
                return Ok(None);
            }
            self.runs -= 1;
            let run = self
                .shape
                .varint_u32()
                .and_then(|path| Ok((path, self.shape.varint()?)));
            (self.path, self.left) = run.map_err(|error| self.shapes.in_file(error))?;
        }
        let target = self.targets.read()?;
        self.left -= 1;
        Ok(Some(LinkRef {
            path: self.path,
            target,
        }))
    }
}

impl Iterator for RowLinks<'_> {
    type Item = Result<LinkRef>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            (self.left, self.runs) = (0, 0);
        }
        step.transpose()
    }
}

impl Segment {
    /// Calls `each` with every link of a row, the id of the list that it belongs to, and how many rows that list has.
    /// No list is opened.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn each_list(&self, row: u32, each: &mut dyn FnMut(LinkRef, u32, u32)) -> Result<()> {
        let (collection, links) = self.links_of(row)?;
        let (starts, postings) = (self.list_starts()?, self.postings()?);
        // Neighbours often stand at one path.
        let mut source: Option<(u32, u32)> = None;
        for link in links {
            let link = link?;
            let of_path = match source {
                Some((path, source)) if path == link.path => Some(source),
                _ => self.find_source_ids(collection, link.path)?,
            };
            source = of_path.map(|source| (link.path, source));
            let list = match of_path {
                Some(source) => {
                    let (start, end) = starts.pair(link.target)?;
                    postings.find(start..end.min(self.info.lists), source)?
                }
                None => None,
            };
            let (list, rows) = list.ok_or_else(|| self.no_list(row, link.path, link.target))?;
            each(link, list, rows);
        }
        Ok(())
    }
}

/// What a target's list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListInfo<'s> {
    /// The list.
    pub id: u32,
    /// The source, by its id in the segment.
    pub source: u32,
    /// The collection that links.
    pub collection: &'s str,
    /// The path it links at.
    pub path: &'s str,
    /// Rows in the list.
    pub len: u32,
}

/// The lists of a target.
pub struct Lists<'s> {
    pub(super) segment: &'s Segment,
    pub(super) postings: Postings<'s>,
    pub(super) next: u32,
    pub(super) end: u32,
}

impl<'s> Lists<'s> {
    fn read(&self, id: u32) -> Result<ListInfo<'s>> {
        let source = self.postings.source(id)?;
        let (collection, path) = self.segment.source(source)?;
        Ok(ListInfo {
            id,
            source,
            collection: self
                .segment
                .strings(Section::Collections)?
                .get(collection)?,
            path: self.segment.path(path)?,
            len: self.postings.len(id)?,
        })
    }
}

impl<'s> Iterator for Lists<'s> {
    type Item = Result<ListInfo<'s>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let info = self.read(self.next);
        self.next = if info.is_ok() {
            self.next + 1
        } else {
            self.end
        };
        Some(info)
    }
}

/// The seqs that a segment kills, rising.
pub struct Kills<'s> {
    pub(super) region: Region<'s>,
    pub(super) reader: Reader<'s>,
    pub(super) left: u32,
    pub(super) before: u64,
}

impl Iterator for Kills<'_> {
    type Item = Result<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let delta = self.reader.varint();
        let seq = delta.and_then(|delta| match self.before.checked_add(delta) {
            Some(seq) => Ok(seq),
            None => Err(self.reader.corrupt("a seq below 2^64", delta)),
        });
        match &seq {
            Ok(seq) => self.before = *seq,
            Err(_) => self.left = 0,
        }
        Some(seq.map_err(|error| self.region.in_file(error)))
    }
}
