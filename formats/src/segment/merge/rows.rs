//! Rows and links, part by part; the index of actors, and the filter of stray keys.

use super::columns::MonotoneColumn;
use super::output::Output;
use super::part::{GONE, Part, RowScan};
use super::spill::{Sorter, Spool};
use super::tables::Tables;
use super::targets::filter_section;
use crate::Result;
use crate::bits::BitWriter;
use crate::filter;
use crate::segment::actors::ActorIndexWriter;
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::{Section, SegmentInfo};
use crate::segment::lists::width_below;
use crate::segment::rows::{BLOCK, PackedRow, RowsWriter};
use crate::segment::workspace::{Env, Workspace};
use crate::segment::{RecordKey, hash};
use crate::sink::Sink;

/// Makes the sections of rows, of the index of actors, of stray keys, and of links.
pub(super) fn merge<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &[Part<'_, W>],
    tables: &Tables<'_>,
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let mut actors: Sorter<W, u64> = Sorter::new(env);
    let mut stray: Sorter<W, u64> = Sorter::new(env);
    let mut writer = RowsWriter::new(width_below(info.shapes));
    let (mut directory, mut data) = (Spool::new(), Vec::new());
    let (mut number, mut first_link) = (0, 0);
    out.begin(Section::Rows)?;
    for part in parts {
        let keys = part.segment.strings(Section::Keys)?;
        let mut scan = RowScan::new(part.segment)?;
        while let Some(block) = scan.next()? {
            for (row, _) in block.rows() {
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
                let key = match row.key {
                    PackedKey::Tid(tid) if info.window_holds(tid) => None,
                    PackedKey::Tid(tid) => Some(RecordKey::Tid(tid)),
                    PackedKey::Str(id) => Some(RecordKey::Str(keys.get(id)?)),
                };
                if let Some(key) = key {
                    let shape = part.shapes.get(row.shape as usize);
                    let collection = shape.and_then(|shape| {
                        let new = part.collections.get(shape.collection as usize)?;
                        tables.collections.get(*new as usize)
                    });
                    let collection = collection.copied().unwrap_or_default();
                    let hash = hash::stray(row.actor, collection, &key.text());
                    stray.push(env, filter::mix(hash))?;
                }
                number += 1;
                // All together were counted to be at most 2^28.
                first_link += row.links;
            }
            directory.settle(env)?;
            out.settle(env, &mut data)?;
            env.stepped(BLOCK)?;
        }
    }
    writer.flush(directory.tail(), &mut data)?;
    out.drain(env, &mut data)?;
    let directory = directory.finish(env)?;
    out.section(env, Section::RowDirectory, directory.bytes())?;
    actor_index(env, actors, info, out)?;
    filter_section(env, Section::StrayFilter, stray, out)?;
    links(env, parts, info, out)
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
    let mut data = Vec::new();
    out.begin(Section::RowActorBlocks)?;
    for pair in pairs.iter() {
        if let Some((actor, start)) = index.push(pair) {
            actors.push(env, actor)?;
            starts.push(env, start)?;
            index.blocks.drain_into(&mut data);
            out.settle(env, &mut data)?;
        }
        env.stepped(1)?;
    }
    starts.push(env, index.pairs())?;
    data.extend_from_slice(&index.blocks.finish());
    out.drain(env, &mut data)?;
    actors.section(env, Section::RowActors, out)?;
    starts.section(env, Section::RowActorStarts, out)
}

fn links<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &[Part<'_, W>],
    info: &SegmentInfo,
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    let width = width_below(info.targets);
    let (mut bits, mut data) = (BitWriter::new(), Vec::new());
    out.begin(Section::Links)?;
    for part in parts {
        let map = part.target_map()?;
        let mut scan = RowScan::new(part.segment)?;
        while let Some(block) = scan.next()? {
            for (row, mut targets) in block.rows() {
                if !part.live.contains(row.number) {
                    continue;
                }
                for _ in 0..row.links {
                    let target = map.get(block.target(&mut targets)?)?;
                    bits.write(u64::from(target), width);
                }
            }
            bits.drain_into(&mut data);
            out.settle(env, &mut data)?;
            env.stepped(BLOCK)?;
        }
    }
    data.extend_from_slice(&bits.finish());
    out.drain(env, &mut data)
}
