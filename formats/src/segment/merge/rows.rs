//! Rows and links, part by part; the index of actors, and the filter of stray keys.

use super::columns::MonotoneColumn;
use super::output::Output;
use super::part::{GONE, LinkScan, Part, RowScan};
use super::spill::{Sorter, Spool};
use super::tables::Tables;
use super::targets::filter_section;
use crate::Result;
use crate::filter;
use crate::segment::actors::ActorIndexWriter;
use crate::segment::key_ranges::{FarKeysWriter, KeyRangesWriter};
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::{Section, SegmentInfo};
use crate::segment::links::{HotSet, LinksWriter};
use crate::segment::lists::width_below;
use crate::segment::rows::{BLOCK, PackedRow, RowsWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::segment::{RecordKey, hash};
use crate::sink::Sink;

/// Makes the sections of rows, of the index of actors, and of stray keys.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &[Part<'_, W>],
    tables: &Tables<'_>,
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut actors: Sorter<W, u64> = Sorter::new(env);
    let mut stray: Sorter<W, u64> = Sorter::new(env);
    let mut far: Sorter<W, u64> = Sorter::new(env);
    let (mut key_ranges, mut ranges) = (KeyRangesWriter::new(), Spool::new());
    let mut writer = RowsWriter::new(width_below(info.shapes));
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    let (mut number, mut first_link) = (0, 0);
    out.begin(Section::Rows)?;
    for part in parts {
        let keys = part.segment.strings(Section::Keys)?;
        let collections: Vec<&str> = part
            .shapes
            .iter()
            .map(|shape| {
                let new = part.collections.get(shape.collection as usize);
                let name = new.and_then(|new| tables.collections.get(*new as usize));
                name.copied().unwrap_or_default()
            })
            .collect();
        let mut scan = RowScan::new(part.segment)?;
        while let Some(block) = scan.next()? {
            for row in block.rows() {
                if !part.live.contains(row.number) {
                    continue;
                }
                let shape = part.new_shapes.get(row.shape as usize);
                writer.push(
                    PackedRow {
                        seq: row.seq,
                        time_ms: row.time_ms,
                        actor: row.actor,
                        shape: shape.copied().unwrap_or(GONE),
                        first_link,
                        key: part.key(row.key),
                    },
                    directory.tail(),
                    &mut data,
                )?;
                actors.push(env, ActorIndexWriter::pair(row.actor, number))?;
                let collection = collections.get(row.shape as usize);
                let collection = collection.copied().unwrap_or_default();
                let key = match row.key {
                    PackedKey::Tid(tid) => RecordKey::Tid(tid),
                    PackedKey::Str(id) => RecordKey::Str(keys.get(id)?),
                };
                key_ranges.push(row.actor, collection, key);
                if !matches!(key, RecordKey::Tid(tid) if info.window_holds(tid)) {
                    let hash = hash::stray(row.actor, collection, &key.text());
                    stray.push(env, filter::mix(hash))?;
                }
                number += 1;
                // All together were counted to be at most 2^28.
                first_link += row.links_count;
            }
            directory.settle(env)?;
            out.settle(env, &mut data)?;
            take_ranges(env, &mut key_ranges, &mut ranges, &mut far)?;
            env.stepped(BLOCK)?;
        }
    }
    writer.flush(directory.tail(), &mut data)?;
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::RowDirectory, directory.bytes())?;
    actor_index(env, actors, info, out)?;
    let groups = key_ranges.finish();
    take_ranges(env, &mut key_ranges, &mut ranges, &mut far)?;
    let ranges = ranges.finish(env)?;
    out.section(env, Section::KeyRanges, &groups)?;
    out.write(env, ranges.bytes())?;
    far_keys(env, far, info, out)?;
    filter_section(env, Section::StrayFilter, stray, out)
}

/// Moves what `writer` has finished to where it stays.
fn take_ranges<W: Workspace>(
    env: &mut Env<'_, W>,
    writer: &mut KeyRangesWriter<'_>,
    ranges: &mut Spool<W>,
    far: &mut Sorter<W, u64>,
) -> Result<(), W::Error> {
    ranges.tail().append(&mut writer.ranges);
    ranges.settle(env)?;
    for pair in writer.far.drain(..) {
        far.push(env, pair)?;
    }
    Ok(())
}

fn far_keys<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    pairs: Sorter<W, u64>,
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let pairs = pairs.finish(env)?;
    let mut writer = FarKeysWriter::new(info.rows);
    let (mut hashes, mut data) = (MonotoneColumn::new(), Vec::new());
    out.begin(Section::FarKeyBlocks)?;
    for pair in pairs.iter() {
        hashes.push(env, writer.push(pair))?;
        writer.blocks.drain_into(&mut data);
        out.settle(env, &mut data)?;
        env.stepped(1)?;
    }
    data.extend_from_slice(&writer.blocks.finish());
    out.drain(env, &mut data)?;
    hashes.section(env, Section::FarKeys, out)
}

fn actor_index<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    pairs: Sorter<W, u64>,
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let pairs = pairs.finish(env)?;
    let mut index = ActorIndexWriter::new(info.rows);
    let (mut actors, mut starts) = (MonotoneColumn::new(), MonotoneColumn::new());
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    out.begin(Section::RowActorBlocks)?;
    for pair in pairs.iter() {
        if let Some((actor, start)) = index.push(pair) {
            actors.push(env, actor)?;
            starts.push(env, start)?;
            index.drain_into(&mut data);
            directory.tail().append(&mut index.directory);
            directory.settle(env)?;
            out.settle(env, &mut data)?;
        }
        env.stepped(1)?;
    }
    starts.push(env, index.pairs())?;
    index.finish(&mut data);
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::RowActorDirectory, directory.bytes())?;
    actors.section(env, Section::RowActors, out)?;
    starts.section(env, Section::RowActorStarts, out)
}

/// Makes the sections of links.
pub(super) fn links<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &[Part<'_, W>],
    hot: &HotSet,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    out.section(env, Section::HotTargets, &hot.encode())?;
    let mut writer = LinksWriter::new(hot);
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    out.begin(Section::Links)?;
    for part in parts {
        let map = part.target_map(env)?;
        let mut scan = RowScan::of_links(part.segment)?;
        let mut targets = LinkScan::new(part.segment)?;
        while let Some(block) = scan.next()? {
            for row in block.rows() {
                if !part.live.contains(row.number) {
                    continue;
                }
                for link in row.links() {
                    let target = map.get(targets.target(link)?)?;
                    writer.push(target, directory.tail(), &mut data)?;
                }
            }
            writer.drain_into(&mut data);
            directory.settle(env)?;
            out.settle(env, &mut data)?;
            env.stepped(BLOCK)?;
        }
    }
    writer.finish(directory.tail(), &mut data)?;
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::LinkDirectory, directory.bytes())
}
