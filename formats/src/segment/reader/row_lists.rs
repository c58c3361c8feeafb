//! The long lists that the links of many rows are in, for whoever moves all of an account's rows at once. Lists are
//! looked up in the order of their targets, so that neighbours are read together and one that many rows are in is read
//! once.

use super::{LinkRef, Segment};
use crate::monotone::Monotone;
use crate::segment::layout::Section;
use crate::segment::lists::Postings;
use crate::{Error, Result};

/// Links that are gathered before their lists are looked up.
const BATCH: usize = 1 << 14;
/// Lists that are fetched from memory together.
const AHEAD: usize = 32;
/// Sources that are kept: most segments have few more.
const SOURCES_KEPT: usize = 64;

/// See the module's description.
struct RowLists<'s> {
    segment: &'s Segment,
    starts: Monotone<'s>,
    postings: Postings<'s>,
    longer_than: u32,
    /// Sources seen lately, by collection and path.
    sources: Vec<((u32, u32), u32)>,
    /// Target, source and row of the links to look up.
    links: Vec<(u32, u32, u32)>,
}

impl RowLists<'_> {
    /// Gives how many links the rows have.
    fn read(
        &mut self,
        rows: &[u32],
        each: &mut dyn FnMut(u32, u32),
        each_link: &mut dyn FnMut(u32, LinkRef),
    ) -> Result<u64> {
        let mut count = 0;
        self.segment.each_row(rows, &mut |row, collection, links| {
            for link in links {
                let link = link?;
                each_link(row, link);
                let source = self.source_of(collection, link.path)?;
                self.links.push((link.target, source, row));
                count += 1;
                if self.links.len() >= BATCH {
                    self.look_up(each)?;
                }
            }
            Ok(())
        })?;
        self.look_up(each)?;
        Ok(count)
    }

    fn source_of(&mut self, collection: u32, path: u32) -> Result<u32> {
        let wanted = (collection, path);
        if let Some((_, source)) = self.sources.iter().find(|(known, _)| *known == wanted) {
            return Ok(*source);
        }
        let source = self.segment.find_source_ids(collection, path)?;
        let source = source.ok_or_else(|| self.damaged(format!("a source of path {path}")))?;
        if self.sources.len() >= SOURCES_KEPT {
            self.sources.clear();
        }
        self.sources.push((wanted, source));
        Ok(source)
    }

    /// Looks up what was gathered.
    fn look_up(&mut self, each: &mut dyn FnMut(u32, u32)) -> Result<()> {
        self.links.sort_unstable();
        let mut of_lists = self.links.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let (mut some, mut lists) = (Vec::with_capacity(AHEAD), Vec::with_capacity(AHEAD));
        loop {
            some.clear();
            some.extend(of_lists.by_ref().take(AHEAD));
            if some.is_empty() {
                break;
            }
            for (target, ..) in some.iter().filter_map(|same| same.first()) {
                self.starts.fetch(*target);
            }
            lists.clear();
            for (target, ..) in some.iter().filter_map(|same| same.first()) {
                let (start, end) = self.starts.pair(*target)?;
                self.postings.fetch(start);
                lists.push(start..end.min(self.segment.info.lists));
            }
            for (same, lists) in some.iter().zip(lists.drain(..)) {
                let Some(&(target, source, _)) = same.first() else {
                    continue;
                };
                let Some((list, rows)) = self.postings.find(lists, source)? else {
                    return Err(self.damaged(format!("a list of target {target}")));
                };
                if rows > self.longer_than {
                    same.iter().for_each(|(_, _, row)| each(list, *row));
                }
            }
        }
        self.links.clear();
        Ok(())
    }

    #[cold]
    fn damaged(&self, expected: String) -> Error {
        match self.segment.section(Section::Lists) {
            Ok(region) => region.corrupt(0, expected, "none"),
            Err(error) => error,
        }
    }
}

impl Segment {
    /// Calls `each` with every list of more than `longer_than` rows and every one of `rows` that is in it, once for each of the
    /// row's links there; those of one list mostly come one after the other. Calls `each_link` with every row and each of its
    /// links, in order. Gives how many links the rows have. For many rows, which should rise: cheaper than [`each_list`](Self::each_list) for each of
    /// them.
    ///
    /// # Errors
    /// See [`Segment`].
    pub fn long_lists_of(
        &self,
        rows: &[u32],
        longer_than: u32,
        each: &mut dyn FnMut(u32, u32),
        each_link: &mut dyn FnMut(u32, LinkRef),
    ) -> Result<u64> {
        let mut lists = RowLists {
            segment: self,
            starts: self.list_starts()?,
            postings: self.postings()?,
            longer_than,
            sources: Vec::new(),
            links: Vec::new(),
        };
        lists.read(rows, each, each_link)
    }
}
