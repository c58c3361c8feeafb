//! What the parts of a segment say of each other: dictionaries in order, forward links against posting
//! lists, the index of actors against the rows, filters against what they must hold. Everything is read in
//! place; memory does not grow with the segment.

mod buckets;
mod hot_targets;
mod key_ranges;
mod lists;
mod shapes;

use super::actors::{ACTOR_BLOCK, ActorIndexWriter};
use super::layout::Section;
use super::strings::Strings;
use super::value::RecordKey;
use super::{Segment, TargetRef, Text, hash};
use crate::Result;
use crate::chunks::Region;
use crate::filter::{self, Filter};
use crate::monotone::Monotone;

pub(super) use lists::lists_against_links;
#[cfg(test)]
pub(super) use lists::{distinct_of_long_row, scan_lists};
pub(super) use shapes::check as shapes;

/// The checks, each of which ends at its first damage; those of shapes and of lists against links stand elsewhere.
pub(super) const CHECKS: [fn(&Segment) -> Result<()>; 11] = [
    dictionaries,
    target_order,
    hot_targets::check,
    actor_index,
    key_ranges::check,
    filters,
    times,
    states_and_kills,
    passed_keys,
    buckets::check,
    samples,
];

fn region(segment: &Segment, section: Section) -> Result<Region<'_>> {
    section.of(segment.file())
}

fn wrong<T>(
    segment: &Segment,
    section: Section,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<T> {
    Err(region(segment, section)?.corrupt(0, expected, found))
}

/// Tables of strings rise by their bytes, sources by collection and path.
fn dictionaries(segment: &Segment) -> Result<()> {
    for section in [
        Section::Collections,
        Section::Paths,
        Section::Keys,
        Section::OtherTargets,
    ] {
        let strings = Strings::open(region(segment, section)?)?;
        let mut before: Option<&str> = None;
        for id in 0..strings.count() {
            let string = strings.get(id)?;
            if before.is_some_and(|before| before >= string) {
                return wrong(
                    segment,
                    section,
                    "strings in rising order",
                    format!("{string:?}"),
                );
            }
            before = Some(string);
        }
    }
    let mut before = None;
    for id in 0..segment.info().sources {
        let source = segment.source(id)?;
        if before >= Some(source) {
            return wrong(
                segment,
                Section::Sources,
                "rising sources",
                format!("{source:?}"),
            );
        }
        before = Some(source);
    }
    Ok(())
}

/// Targets rise: DIDs by actor, records by actor, collection and key; other targets are a dictionary. There
/// are as many as the counts say.
fn target_order(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let dids = Monotone::open(region(segment, Section::DidTargets)?)?.len();
    if dids != info.did_targets {
        let expected = format!("{} DIDs", info.did_targets);
        return wrong(segment, Section::DidTargets, expected, dids);
    }
    let others = Strings::open(region(segment, Section::OtherTargets)?)?.count();
    let known = u64::from(dids) + u64::from(info.record_targets) + u64::from(others);
    if known != u64::from(info.targets) {
        let expected = format!("{} targets of all kinds", info.targets);
        return wrong(segment, Section::OtherTargets, expected, known);
    }
    let mut before = None;
    for target in 0..info.did_targets {
        let TargetRef::Did(actor) = segment.target(target)? else {
            return wrong(segment, Section::DidTargets, "a DID", target);
        };
        if before >= Some(actor) {
            return wrong(segment, Section::DidTargets, "rising actors", actor);
        }
        before = Some(actor);
    }
    let mut before: Option<(u32, &str, RecordKey<'_>)> = None;
    for index in 0..info.record_targets {
        let target = segment.target(info.did_targets.saturating_add(index))?;
        let TargetRef::Record {
            actor,
            collection,
            rkey,
        } = target
        else {
            return wrong(segment, Section::RecordTargets, "a record", index);
        };
        let falls = before.is_some_and(|(a, c, k)| {
            (a, c)
                .cmp(&(actor, collection))
                .then_with(|| k.order(&rkey))
                .is_ge()
        });
        if falls {
            return wrong(
                segment,
                Section::RecordTargets,
                "rising records",
                format!("{target:?}"),
            );
        }
        before = Some((actor, collection, rkey));
    }
    Ok(())
}

/// The index of actors names, for each actor, just the blocks of 2,048 rows in which it has one. The pairs
/// of both sides come in different orders, so their count and a sum of their hashes are compared.
fn actor_index(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let index = segment.actor_index()?;
    index.actors.verify()?;
    index.starts.verify()?;
    let (actors, starts) = (index.actors.len(), index.starts.len());
    if starts.checked_sub(1) != Some(actors) || index.starts.first() != Some(0) {
        let expected = format!("one start more than {actors} actors, from 0 on");
        return wrong(segment, Section::RowActorStarts, expected, starts);
    }
    let mut column = segment.actor_column()?;
    let (mut pairs, mut sum) = (0u64, 0u64);
    let mut present: Vec<u32> = Vec::with_capacity(ACTOR_BLOCK as usize);
    for block in 0..info.rows.div_ceil(ACTOR_BLOCK) {
        let first = block.saturating_mul(ACTOR_BLOCK);
        present.clear();
        for row in first..first.saturating_add(ACTOR_BLOCK).min(info.rows) {
            present.push(column.get(row)?);
        }
        present.sort_unstable();
        present.dedup();
        for &actor in &present {
            sum = sum.wrapping_add(filter::mix(ActorIndexWriter::pair(actor, first)));
        }
        pairs = pairs.saturating_add(present.len() as u64);
    }
    let (mut indexed, mut indexed_sum) = (0u64, 0u64);
    let mut before = None;
    index.each(&mut |actor, mut blocks| {
        if before >= Some(actor) || blocks.left() == 0 {
            return wrong(segment, Section::RowActors, "rising actors", actor);
        }
        before = Some(actor);
        let mut last = None;
        while let Some(block) = blocks.next()? {
            if last >= Some(block) {
                let expected = format!("rising blocks of actor {actor}");
                return wrong(segment, Section::RowActorBlocks, expected, block);
            }
            last = Some(block);
            let first = block.saturating_mul(ACTOR_BLOCK);
            indexed_sum =
                indexed_sum.wrapping_add(filter::mix(ActorIndexWriter::pair(actor, first)));
            indexed = indexed.saturating_add(1);
        }
        Ok(())
    })?;
    if (pairs, sum) != (indexed, indexed_sum) {
        return wrong(
            segment,
            Section::RowActorBlocks,
            format!("{pairs} blocks of actors, in which these have rows"),
            format!("{indexed}"),
        );
    }
    Ok(())
}

/// No target and no key outside the window is missing from its filter.
fn filters(segment: &Segment) -> Result<()> {
    let info = segment.info();
    for target in 0..info.targets {
        let read = segment.target(target)?;
        let mut text = Text::default();
        if segment.find_target(&read.key(&mut text))? != Some(target) {
            return wrong(
                segment,
                Section::TargetFilter,
                format!("target {target} to be found"),
                format!("{read:?}"),
            );
        }
    }
    let stray = Filter::open(region(segment, Section::StrayFilter)?)?;
    for row in 0..info.rows {
        let rkey = segment.rkey(row)?;
        if matches!(rkey, RecordKey::Tid(tid) if info.window_holds(tid)) {
            continue;
        }
        let key = hash::stray(segment.actor(row)?, segment.collection(row)?, &rkey.text());
        if !stray.contains(key)? {
            return wrong(
                segment,
                Section::StrayFilter,
                format!("the key of row {row}"),
                "none",
            );
        }
    }
    Ok(())
}

/// Times of rows lie in the segment's range.
fn times(segment: &Segment) -> Result<()> {
    let info = segment.info();
    for row in 0..info.rows {
        let time_ms = segment.time_us(row)? / 1_000;
        if !(info.first_time_us / 1_000..=info.last_time_us / 1_000).contains(&time_ms) {
            let expected = format!("times from {} to {}", info.first_time_us, info.last_time_us);
            return wrong(
                segment,
                Section::Rows,
                expected,
                time_ms.saturating_mul(1_000),
            );
        }
    }
    Ok(())
}

/// Ids of states and kills rise; a kill is of a row up to the segment's own.
fn states_and_kills(segment: &Segment) -> Result<()> {
    let info = segment.info();
    let mut before = None;
    for state in segment.states()? {
        let state = state?;
        if before >= Some(state.id) {
            return wrong(segment, Section::StateIds, "rising actors", state.id);
        }
        before = Some(state.id);
    }
    let mut before = None;
    let mut kills = 0u32;
    for kill in segment.kills()? {
        let kill = kill?;
        if before >= Some(kill) || kill == 0 || kill > info.last_seq {
            let expected = format!("rising seqs up to {}", info.last_seq);
            return wrong(segment, Section::Kills, expected, kill);
        }
        before = Some(kill);
        kills = kills.saturating_add(1);
    }
    if kills != info.kills {
        return wrong(
            segment,
            Section::Kills,
            format!("{} kills", info.kills),
            kills,
        );
    }
    Ok(())
}

/// Passed keys rise, and each is of an actor with a state.
fn passed_keys(segment: &Segment) -> Result<()> {
    segment.passed()?.verify()?;
    let mut states = segment.states()?;
    let mut state = states.next().transpose()?;
    for key in segment.passed_keys()? {
        let key = key?;
        while state.is_some_and(|state| state.id < key.actor) {
            state = states.next().transpose()?;
        }
        if state.is_none_or(|state| state.id != key.actor) {
            return wrong(
                segment,
                Section::PassedKeys,
                "keys of actors with a state",
                key.actor,
            );
        }
    }
    Ok(())
}

/// Samples stand by collection, and are of events of the range.
fn samples(segment: &Segment) -> Result<()> {
    let info = segment.info();
    segment
        .sample_blocks()?
        .verify(info.first_seq..=info.last_seq)
}
