//! The full check of a segment: everything is read once, in order, and what must agree is compared.

use super::list::List;
use super::{Section, Segment};
use crate::filter::Filter;
use crate::{Error, Result};

/// Reads all of `segment`.
pub(super) fn verify(segment: &Segment) -> Result<()> {
    LINK_CHECKS
        .iter()
        .chain(&CHECKS)
        .chain(&super::cross::CHECKS)
        .try_for_each(|check| check(segment))
}

/// Tells of the first damage that each check finds.
pub(super) fn each(segment: &Segment, each: &mut dyn FnMut(Error)) {
    let of_links = LINK_CHECKS.iter().try_for_each(|check| check(segment));
    let checks = CHECKS.iter().chain(&super::cross::CHECKS);
    let others = checks.filter_map(|check| check(segment).err());
    of_links.err().into_iter().chain(others).for_each(each);
}

/// The checks that walk the links of rows. Each stands on those before it, without which a row may claim so many links that
/// to read them for every row would not end: where one fails, those behind it are left out.
const LINK_CHECKS: [fn(&Segment) -> Result<()>; 3] = [
    super::cross::shapes,
    links,
    super::cross::lists_against_links,
];

/// The checks of single sections, each of which ends at its first damage.
const CHECKS: [fn(&Segment) -> Result<()>; 4] = [rows, targets, filters, actors];

fn region(segment: &Segment, section: Section) -> Result<crate::chunks::Region<'_>> {
    section.of(segment.file())
}

fn rows(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let mut before = None;
    for row in 0..info.rows {
        let seq = segment.seq(row)?;
        if before >= Some(seq) || !(info.first_seq..=info.last_seq).contains(&seq) {
            let expected = "rising seqs in the range of the segment";
            return Err(region(segment, Section::Rows)?.corrupt(0, expected, seq));
        }
        before = Some(seq);
        segment.time_us(row)?;
        segment.actor(row)?;
        segment.collection(row)?;
        segment.rkey(row)?;
    }
    Ok(())
}

fn links(segment: &Segment) -> Result<()> {
    walk_links(segment, &mut 0)
}

/// Counts in `read` the links that were read: with sound shapes one more than the segment has at most, since blocks of rows
/// that claim the same links are no reason to read them for each.
pub(super) fn walk_links(segment: &Segment, read: &mut u64) -> Result<()> {
    let info = segment.info();
    let wrong = |found: u64| {
        let expected = format!("{} links", info.links);
        Err(region(segment, Section::Links)?.corrupt(0, expected, found))
    };
    for row in 0..info.rows {
        for link in segment.links(row)? {
            *read += 1;
            let link = link?;
            if *read > u64::from(info.links) {
                return wrong(*read);
            }
            segment.path(link.path)?;
            if link.target >= info.targets {
                let expected = format!("a target below {}", info.targets);
                return Err(region(segment, Section::Links)?.corrupt(0, expected, link.target));
            }
        }
    }
    if *read != u64::from(info.links) {
        return wrong(*read);
    }
    Ok(())
}

fn targets(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let mut lists = 0u32;
    // Each row of a list is a link of its own.
    let mut left = info.links;
    for target in 0..info.targets {
        segment.target(target)?;
        let mut source = None;
        for list in segment.lists_of(target)? {
            let list = list?;
            if list.id != lists || source >= Some(list.source) {
                let expected = format!("list {lists} of a later source");
                return Err(region(segment, Section::ListStarts)?.corrupt(0, expected, list.id));
            }
            source = Some(list.source);
            lists += 1;
            rising(segment, &segment.list(list.id)?, &mut left)?;
        }
    }
    if lists != info.lists {
        let expected = format!("{} lists", info.lists);
        return Err(region(segment, Section::ListStarts)?.corrupt(0, expected, lists));
    }
    Ok(())
}

/// Rows of lists of which there may be `left` more in all.
fn rising(segment: &Segment, list: &List<'_>, left: &mut u32) -> Result<()> {
    let mut before = None;
    for row in list.iter_from(0) {
        let row = row?;
        let Some(rest) = left.checked_sub(1) else {
            let expected = "at most as many rows in lists as links";
            return Err(region(segment, Section::Lists)?.corrupt(0, expected, row));
        };
        *left = rest;
        if before >= Some(row) {
            return Err(region(segment, Section::Lists)?.corrupt(0, "rising rows", row));
        }
        before = Some(row);
    }
    Ok(())
}

fn filters(segment: &Segment) -> Result<()> {
    for section in [Section::TargetFilter, Section::StrayFilter] {
        Filter::open(region(segment, section)?)?.verify()?;
    }
    Ok(())
}

fn actors(segment: &Segment) -> Result<()> {
    let info = segment.info();
    for index in 0..info.actors_count {
        let id = info.actors_first_id.saturating_add(index);
        let Some(did) = segment.did(id)? else {
            break;
        };
        // A DID that stands twice is found as one of them.
        if segment.find_did(&did.text())?.is_none() {
            let expected = format!("actor {id}");
            return Err(region(segment, Section::DidIndex)?.corrupt(0, expected, "none"));
        }
    }
    let mut states = 0u32;
    for state in segment.states()? {
        state?;
        states += 1;
    }
    if states != info.states {
        let expected = format!("{} states", info.states);
        return Err(region(segment, Section::StateIds)?.corrupt(0, expected, states));
    }
    for kill in segment.kills()? {
        kill?;
    }
    Ok(())
}
