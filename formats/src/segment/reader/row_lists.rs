//! The long lists that the links of many rows are in, for whoever moves all of an account's rows at once. Lists are
//! looked up in the order of their targets, so that neighbours are read together and one that many rows are in is read
//! once.

use super::Segment;
use crate::Result;
use crate::monotone::Monotone;
use crate::segment::layout::Section;
use crate::segment::lists::Postings;
use crate::segment::rows::Rows;

/// Links that are gathered before their lists are looked up.
const BATCH: usize = 1 << 14;
/// A source, and how many links a shape has there.
type Run = (u32, u64);

/// See the module's description.
pub(super) struct RowLists<'s> {
    segment: &'s Segment,
    rows: Rows<'s>,
    starts: Monotone<'s>,
    postings: Postings<'s>,
    longer_than: u32,
    /// Sources and links of the shapes seen lately.
    shapes: Vec<(u32, Vec<Run>)>,
    /// Target and source of the links to look up.
    links: Vec<(u32, u32)>,
}

/// Shapes that are kept: a record of many links may have one of its own.
const SHAPES_KEPT: usize = 64;

impl<'s> RowLists<'s> {
    pub(super) fn new(segment: &'s Segment, longer_than: u32) -> Result<Self> {
        Ok(Self {
            segment,
            rows: segment.rows()?,
            starts: Monotone::open(segment.section(Section::ListStarts)?)?,
            postings: segment.postings()?,
            longer_than,
            shapes: Vec::new(),
            links: Vec::new(),
        })
    }

    /// Calls `each` with every long list that one of `rows` is in, once for each link, and gives how many links they
    /// have.
    pub(super) fn read(&mut self, rows: &[u32], each: &mut dyn FnMut(u32, u32)) -> Result<u64> {
        let mut targets = self.segment.link_targets()?.from(0);
        let mut count = 0_u64;
        for &row in rows {
            let shape = self.rows.shape(row)?;
            targets.seek(self.rows.first_link(row)?);
            let place = self.runs_of(shape)?;
            let runs = self.shapes.get(place).map_or(0, |(_, runs)| runs.len());
            for run in 0..runs {
                let run = self.shapes.get(place).and_then(|(_, runs)| runs.get(run));
                let Some(&(source, links)) = run else {
                    break;
                };
                for _ in 0..links {
                    self.links.push((targets.read()?, source));
                    if self.links.len() >= BATCH {
                        self.look_up(each)?;
                    }
                }
                count = count.saturating_add(links);
            }
        }
        self.look_up(each)?;
        Ok(count)
    }

    /// Where in `shapes` a shape stands.
    fn runs_of(&mut self, shape: u32) -> Result<usize> {
        if let Some(place) = self.shapes.iter().position(|(known, _)| *known == shape) {
            return Ok(place);
        }
        let (collection, count, mut reader) = self.segment.shape(shape)?;
        let mut runs = Vec::new();
        for _ in 0..count {
            let run = reader
                .varint_u32()
                .and_then(|path| Ok((path, reader.varint()?)));
            let (path, links) = run.map_err(|error| {
                let shapes = self.segment.section(Section::Shapes);
                shapes.map_or_else(|error| error, |shapes| shapes.in_file(error))
            })?;
            match self.segment.find_source_ids(collection, path)? {
                Some(source) => runs.push((source, links)),
                None => return Err(self.damaged(format!("a source of path {path}"))),
            }
        }
        if self.shapes.len() >= SHAPES_KEPT {
            self.shapes.clear();
        }
        self.shapes.push((shape, runs));
        Ok(self.shapes.len() - 1)
    }

    /// Looks up what was gathered.
    fn look_up(&mut self, each: &mut dyn FnMut(u32, u32)) -> Result<()> {
        let mut links = std::mem::take(&mut self.links);
        links.sort_unstable();
        for same in links.chunk_by(|a, b| a == b) {
            let Some(&(target, source)) = same.first() else {
                continue;
            };
            let (low, end) = self.starts.pair(target)?;
            let list = self.find(low, end.min(self.segment.info.lists), source)?;
            let Some(list) = list else {
                return Err(self.damaged(format!("a list of target {target}")));
            };
            if self.postings.len(list)? > self.longer_than {
                // At most 2^28 links.
                each(list, same.len() as u32);
            }
        }
        links.clear();
        self.links = links;
        Ok(())
    }

    /// Of the lists of one target that with the source.
    fn find(&self, low: u32, end: u32, source: u32) -> Result<Option<u32>> {
        let (mut low, mut high) = (low, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.postings.source(middle)?.cmp(&source) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }

    #[cold]
    fn damaged(&self, expected: String) -> crate::Error {
        match self.segment.section(Section::Lists) {
            Ok(lists) => lists.corrupt(0, expected, "none"),
            Err(error) => error,
        }
    }
}

impl Segment {
    /// Calls `each` with every list of more than `longer_than` rows that one of `rows` is in, and how many of their links
    /// it has; one list may come several times. Gives how many links the rows have. For many rows, which should rise:
    /// cheaper than [`each_list`](Self::each_list) for each of them.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn long_lists_of(
        &self,
        rows: &[u32],
        longer_than: u32,
        each: &mut dyn FnMut(u32, u32),
    ) -> Result<u64> {
        RowLists::new(self, longer_than)?.read(rows, each)
    }
}
