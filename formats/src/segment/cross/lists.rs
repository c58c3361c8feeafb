//! Lists of rows against the links of rows.

use super::wrong;
use crate::Result;
use crate::segment::Segment;
use crate::segment::layout::Section;
use crate::segment::reader::LinkRef;

/// Most links of a row that are kept in memory to count the distinct ones.
const LINKS_KEPT: usize = 1 << 16;

/// Targets that are told apart at a time in a row of more links than that: half a mebibyte of bits.
const TARGETS_AT_ONCE: u32 = 1 << 22;

/// How many distinct links the rows have together.
fn distinct_links(segment: &Segment) -> Result<u64> {
    let mut links: Vec<LinkRef> = Vec::new();
    let mut count = 0u64;
    for row in 0..segment.info().rows {
        links.clear();
        for link in segment.links(row)?.take(LINKS_KEPT + 1) {
            links.push(link?);
        }
        if links.len() > LINKS_KEPT {
            count = count.saturating_add(distinct_of_long_row(segment, row, TARGETS_AT_ONCE)?);
            continue;
        }
        links.sort_unstable_by_key(|link| (link.path, link.target));
        links.dedup();
        count = count.saturating_add(links.len() as u64);
    }
    Ok(count)
}

/// The same of one row, in memory that does not grow with it: the row is read once for so many targets of the segment.
pub(in crate::segment) fn distinct_of_long_row(
    segment: &Segment,
    row: u32,
    at_once: u32,
) -> Result<u64> {
    let targets = segment.info().targets;
    let mut seen = Seen {
        words: vec![0; targets.min(at_once).div_ceil(64) as usize],
        touched: Vec::new(),
    };
    let (mut count, mut from) = (0u64, 0u32);
    loop {
        // Links of one path stand together, as shapes that were checked have them.
        let mut path = None;
        for link in segment.links(row)? {
            let link = link?;
            if path.replace(link.path) != Some(link.path) {
                seen.clear();
            }
            let within = link.target.checked_sub(from);
            if let Some(at) = within.filter(|at| *at < at_once) {
                count = count.saturating_add(u64::from(seen.is_new(at)));
            }
        }
        match from.checked_add(at_once) {
            Some(next) if next < targets => from = next,
            _ => return Ok(count),
        }
        seen.clear();
    }
}

/// A bit for each of some targets.
struct Seen {
    words: Vec<u64>,
    /// Which words are not zero, as far as they are few.
    touched: Vec<u32>,
}

impl Seen {
    /// Whether that bit was not set since all were cleared; sets it.
    fn is_new(&mut self, at: u32) -> bool {
        let place = at / 64;
        let Some(word) = self.words.get_mut(place as usize) else {
            return false;
        };
        if *word == 0 && self.touched.len() <= LINKS_KEPT {
            self.touched.push(place);
        }
        let bit = 1 << (at % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Costs no more than setting the bits did.
    fn clear(&mut self) {
        if self.touched.len() > LINKS_KEPT {
            self.words.fill(0);
        }
        for place in self.touched.drain(..) {
            if let Some(word) = self.words.get_mut(place as usize) {
                *word = 0;
            }
        }
    }
}

/// Looks each link up in its list: slower than to count, in little memory whatever a row claims.
fn each_link_is_listed(segment: &Segment) -> Result<()> {
    for row in 0..segment.info().rows {
        let mut before = None;
        for link in segment.links(row)? {
            let link = link?;
            // Most of what a row has more than once stands together.
            if before == Some(link) {
                continue;
            }
            before = Some(link);
            let list = segment.list(segment.list_id(row, link.path, link.target)?)?;
            let place = list.lower_bound(row)?;
            if place >= list.len() || list.get(place)? != row {
                return wrong(
                    segment,
                    Section::Lists,
                    format!("row {row} in list {}", list.id()),
                    "none",
                );
            }
        }
    }
    Ok(())
}

/// How many links are read for each link of the segment to find those that rows of lists are there for. Rows of very many
/// links need more, and are looked up the other way round.
const SCANNED_MAX: u64 = 256;

/// Every row of a list links to its target from its source, and there are as many rows in lists as rows
/// have distinct links: so every link is in its list. To be called when the links of rows were walked.
pub(in crate::segment) fn lists_against_links(segment: &Segment) -> Result<()> {
    scan_lists(segment, SCANNED_MAX, &mut 0)
}

/// Counts in `read` the links that were read for rows of lists, at most so many for each link of the segment.
pub(in crate::segment) fn scan_lists(
    segment: &Segment,
    for_each: u64,
    read: &mut u64,
) -> Result<()> {
    let info = segment.info();
    let expected = distinct_links(segment)?;
    let mut found = 0u64;
    let scanned_max = u64::from(info.links).saturating_mul(for_each);
    for target in 0..info.targets {
        for list in segment.lists_of(target)? {
            let list = list?;
            let (collection, path) = segment.source(list.source)?;
            for row in segment.list(list.id)?.iter_from(0) {
                let row = row?;
                found = found.saturating_add(1);
                if found > u64::from(info.links) {
                    let expected = format!("at most {} links in lists", info.links);
                    return wrong(segment, Section::Lists, expected, found);
                }
                let wanted = LinkRef { path, target };
                if *read < scanned_max
                    && !has_link(segment, row, collection, wanted, (read, scanned_max))?
                {
                    return wrong(
                        segment,
                        Section::Lists,
                        format!("only rows that link to target {target} in list {}", list.id),
                        format!("row {row}"),
                    );
                }
            }
        }
    }
    if found != expected {
        return wrong(
            segment,
            Section::Lists,
            format!("{expected} links in lists"),
            found,
        );
    }
    if *read >= scanned_max {
        return each_link_is_listed(segment);
    }
    Ok(())
}

/// Whether a row of that collection has a link. Each that is read is counted; when they are as many as may be read, it is as if it had.
fn has_link(
    segment: &Segment,
    row: u32,
    collection: u32,
    wanted: LinkRef,
    (read, read_max): (&mut u64, u64),
) -> Result<bool> {
    if segment.collection_id(row)? != collection {
        return Ok(false);
    }
    for link in segment.links(row)? {
        if *read >= read_max || link? == wanted {
            return Ok(true);
        }
        *read += 1;
    }
    Ok(false)
}
