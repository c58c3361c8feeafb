//! The full check of a segment: everything is read once, in order, and what must agree is compared.

use super::list::List;
use super::{Section, Segment};
use crate::Result;
use crate::filter::Filter;

/// Reads all of `segment`.
pub(super) fn verify(segment: &Segment) -> Result<()> {
    CHECKS
        .iter()
        .chain(&super::cross::CHECKS)
        .try_for_each(|check| check(segment))
}

/// The checks of single sections, each of which ends at its first damage.
pub(super) const CHECKS: [fn(&Segment) -> Result<()>; 4] = [rows, targets, filters, actors];

fn region(segment: &Segment, section: Section) -> Result<crate::chunks::Region<'_>> {
    section.of(segment.file())
}

fn rows(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let mut before = None;
    let mut links = 0u32;
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
        for link in segment.links(row)? {
            let link = link?;
            segment.path(link.path)?;
            if link.target >= info.targets {
                let expected = format!("a target below {}", info.targets);
                return Err(region(segment, Section::Links)?.corrupt(0, expected, link.target));
            }
            links = links.saturating_add(1);
        }
    }
    if links != info.links {
        let expected = format!("{} links", info.links);
        return Err(region(segment, Section::Links)?.corrupt(0, expected, links));
    }
    Ok(())
}

fn targets(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let mut lists = 0u32;
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
            rising(segment, &segment.list(list.id)?)?;
        }
    }
    if lists != info.lists {
        let expected = format!("{} lists", info.lists);
        return Err(region(segment, Section::ListStarts)?.corrupt(0, expected, lists));
    }
    Ok(())
}

fn rising(segment: &Segment, list: &List<'_>) -> Result<()> {
    let mut before = None;
    for row in list.iter_from(0) {
        let row = row?;
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
