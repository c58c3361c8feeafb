//! Targets, merged in their order: DIDs, records, others. Old ordinals become new ones in the same order,
//! so those of a part are a monotone list.

use super::columns::{MonotoneColumn, StringColumn};
use super::output::Output;
use super::part::{GONE, Part};
use super::spill::{Sorter, Spool};
use super::tables::Tables;
use crate::Result;
use crate::filter;
use crate::monotone::{self, Monotone};
use crate::segment::build::count;
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::{ROWS_MAX, Section, SegmentInfo};
use crate::segment::lists::width_below;
use crate::segment::rows::BLOCK;
use crate::segment::strings::Strings;
use crate::segment::targets::{PackedRecord, Records, RecordsWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::segment::{RecordKey, TargetKey, hash};
use crate::sink::Sink;

/// The old targets of a part, by ordinal, and the new ordinals of those passed.
struct Map<'p, 'a, W: Workspace> {
    part: &'p Part<'a, W>,
    new: MonotoneColumn<W>,
}

impl<W: Workspace> Map<'_, '_, W> {
    /// Whether the target that comes next is used; one that is not is passed. Every old target gets a
    /// number, so that the list can be asked by ordinal; that of an unused one is never asked for.
    fn is_next_used(&mut self, env: &mut Env<'_, W>) -> Result<bool, W::Error> {
        env.stepped(1)?;
        let is_used = self.part.used_targets.contains(self.new.len());
        if !is_used {
            self.new.push(env, self.new.last())?;
        }
        Ok(is_used)
    }
}

/// Targets of one kind of one part, used ones only.
trait Cursor<'a, W: Workspace> {
    type Key: Copy + Ord;
    const SECTION: Section;

    /// The target that comes next. What is passed over is noted in `map`.
    fn advance(
        &mut self,
        env: &mut Env<'_, W>,
        map: &mut Map<'_, 'a, W>,
    ) -> Result<Option<Self::Key>, W::Error>;
}

/// Merges the targets of one kind: calls `emit` with each, and with the first part that has it.
fn merge_kind<'a, W: Workspace, C: Cursor<'a, W>>(
    env: &mut Env<'_, W>,
    maps: &mut [Map<'_, 'a, W>],
    mut cursors: Vec<C>,
    next: &mut u32,
    mut emit: impl FnMut(&mut Env<'_, W>, &C, C::Key) -> Result<(), W::Error>,
) -> Result<(), W::Error> {
    let mut heads = Vec::with_capacity(cursors.len());
    for (cursor, map) in cursors.iter_mut().zip(maps.iter_mut()) {
        heads.push(cursor.advance(env, map)?);
    }
    while let Some(least) = heads.iter().flatten().min().copied() {
        let mut is_new = true;
        let each = heads.iter_mut().zip(&mut cursors).zip(maps.iter_mut());
        for ((head, cursor), map) in each {
            if *head == Some(least) {
                if is_new {
                    emit(env, cursor, least)?;
                    is_new = false;
                }
                map.new.push(env, *next)?;
                *head = cursor.advance(env, map)?;
                if head.is_some_and(|next| next <= least) {
                    let region = map.part.segment.section(C::SECTION)?;
                    return Err(region.corrupt(0, "rising targets", "others").into());
                }
            }
        }
        // There are fewer than links.
        *next += 1;
    }
    Ok(())
}

struct Dids<'a>(monotone::Iter<'a>);

impl<'a, W: Workspace> Cursor<'a, W> for Dids<'a> {
    type Key = u32;
    const SECTION: Section = Section::DidTargets;

    fn advance(
        &mut self,
        env: &mut Env<'_, W>,
        map: &mut Map<'_, 'a, W>,
    ) -> Result<Option<u32>, W::Error> {
        for actor in self.0.by_ref() {
            let actor = actor?;
            if map.is_next_used(env)? {
                return Ok(Some(actor));
            }
        }
        Ok(None)
    }
}

struct RecordCursor<'a> {
    records: Records<'a>,
    keys: Strings<'a>,
    /// The block read last, and the place in it of the record to come.
    block: Vec<PackedRecord>,
    at: usize,
    next_block: u32,
    scratch: Vec<PackedKey>,
    /// The key of the head, as its part has it.
    old_key: PackedKey,
}

impl<'a, W: Workspace> Cursor<'a, W> for RecordCursor<'a> {
    /// The number of a packed record.
    type Key = u128;
    const SECTION: Section = Section::RecordTargets;

    fn advance(
        &mut self,
        env: &mut Env<'_, W>,
        map: &mut Map<'_, 'a, W>,
    ) -> Result<Option<u128>, W::Error> {
        loop {
            let Some(&record) = self.block.get(self.at) else {
                if self.next_block >= self.records.count.div_ceil(BLOCK) {
                    return Ok(None);
                }
                let number = self.next_block;
                self.records
                    .decode(number, &mut self.scratch, &mut self.block)?;
                (self.at, self.next_block) = (0, number + 1);
                continue;
            };
            self.at += 1;
            if map.is_next_used(env)? {
                self.old_key = record.key;
                let collection = map.part.collections.get(record.collection as usize);
                let record = PackedRecord {
                    actor: record.actor,
                    collection: collection.copied().unwrap_or(GONE),
                    key: map.part.key(record.key),
                };
                return Ok(Some(record.to_u128()));
            }
        }
    }
}

struct Others<'a> {
    strings: Strings<'a>,
    next: u32,
}

impl<'a, W: Workspace> Cursor<'a, W> for Others<'a> {
    type Key = &'a str;
    const SECTION: Section = Section::OtherTargets;

    fn advance(
        &mut self,
        env: &mut Env<'_, W>,
        map: &mut Map<'_, 'a, W>,
    ) -> Result<Option<&'a str>, W::Error> {
        while self.next < self.strings.count() {
            let id = self.next;
            self.next += 1;
            if map.is_next_used(env)? {
                return Ok(Some(self.strings.get(id)?));
            }
        }
        Ok(None)
    }
}

/// Makes the sections of targets and their filter, and the maps of the parts.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &mut [Part<'_, W>],
    tables: &Tables<'_>,
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut maps: Vec<Map<'_, '_, W>> = parts
        .iter()
        .map(|part| Map {
            part,
            new: MonotoneColumn::new(),
        })
        .collect();
    let mut hashes: Sorter<W, u64> = Sorter::new(env);
    let mut next = 0;

    let mut cursors = Vec::with_capacity(maps.len());
    for part in parts.iter() {
        let dids = Monotone::open(part.segment.section(Section::DidTargets)?)?;
        cursors.push(Dids(dids.iter_from(0)));
    }
    let mut dids = MonotoneColumn::new();
    merge_kind(env, &mut maps, cursors, &mut next, |env, _, actor| {
        let hash = hash::target(&TargetKey::Did(actor));
        hashes.push(env, filter::mix(hash))?;
        dids.push(env, actor)
    })?;
    info.did_targets = next;

    let mut cursors = Vec::with_capacity(maps.len());
    for part in parts.iter() {
        cursors.push(RecordCursor {
            records: part.segment.records()?,
            keys: part.segment.strings(Section::Keys)?,
            block: Vec::new(),
            at: 0,
            next_block: 0,
            scratch: Vec::new(),
            old_key: PackedKey::Tid(0),
        });
    }
    let mut writer = RecordsWriter::new(width_below(info.collections));
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    out.begin(Section::RecordTargets)?;
    merge_kind(env, &mut maps, cursors, &mut next, |env, cursor, number| {
        let record = PackedRecord::from_u128(number);
        let rkey = match cursor.old_key {
            PackedKey::Tid(tid) => RecordKey::Tid(tid),
            PackedKey::Str(id) => RecordKey::Str(cursor.keys.get(id)?),
        };
        let collection = tables.collections.get(record.collection as usize);
        let hash = hash::target(&TargetKey::Record {
            actor: record.actor,
            collection: collection.copied().unwrap_or_default(),
            rkey: &rkey.text(),
        });
        hashes.push(env, filter::mix(hash))?;
        writer.push(record, directory.tail(), &mut data)?;
        directory.settle(env)?;
        out.settle(env, &mut data)
    })?;
    info.record_targets = next - info.did_targets;
    writer.flush(directory.tail(), &mut data)?;
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::RecordDirectory, directory.bytes())?;
    dids.section(env, Section::DidTargets, out)?;

    let mut cursors = Vec::with_capacity(maps.len());
    for part in parts.iter() {
        cursors.push(Others {
            strings: part.segment.strings(Section::OtherTargets)?,
            next: 0,
        });
    }
    let mut others = StringColumn::new("targets of a segment");
    merge_kind(env, &mut maps, cursors, &mut next, |env, _, other| {
        let hash = hash::target(&TargetKey::Other(other));
        hashes.push(env, filter::mix(hash))?;
        others.push(env, other)
    })?;
    info.targets = count("targets of a segment", next as usize, ROWS_MAX)?;
    others.section(env, Section::OtherTargets, out)?;

    let mut spooled = Vec::with_capacity(maps.len());
    for map in maps {
        spooled.push(map.new.spooled(env)?);
    }
    for (part, map) in parts.iter_mut().zip(spooled) {
        part.targets = Some(map);
    }
    filter_section(env, Section::TargetFilter, hashes, out)
}

/// Makes a filter of mixed hashes.
pub(super) fn filter_section<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    section: Section,
    hashes: Sorter<W, u64>,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let hashes = hashes.finish(env)?;
    let mut writer = filter::Writer::new(hashes.count(env)?);
    let mut buffer = Vec::new();
    out.begin(section)?;
    for hash in hashes.iter() {
        writer.push(hash, &mut buffer);
        out.settle(env, &mut buffer)?;
        env.stepped(1)?;
    }
    writer.finish(&mut buffer);
    out.drain(env, &mut buffer)
}
