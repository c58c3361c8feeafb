//! The tables that rows and targets refer to: what is used of those of the parts, in one order, with the
//! new id of each old one.

use super::columns::StringColumn;
use super::output::Output;
use super::part::{GONE, Part};
use super::spill::Spool;
use crate::bytes::put_u32;
use crate::segment::build::encode_shapes;
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::{Section, SegmentInfo};
use crate::segment::rows::BLOCK;
use crate::segment::workspace::{Env, Workspace};
use crate::segment::{Segment, strings};
use crate::sink::Sink;
use crate::{Error, Result};

pub(super) struct Tables<'a> {
    pub(super) collections: Vec<&'a str>,
}

/// Makes the sections of collections, paths, sources, shapes and keys.
pub(super) fn merge<'a, W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &mut [Part<'a, W>],
    info: &mut SegmentInfo,
    out: &mut Output<O>,
) -> Result<Tables<'a>, W::Error> {
    let mut used_collections = Vec::with_capacity(parts.len());
    let mut used_paths = Vec::with_capacity(parts.len());
    for part in parts.iter_mut() {
        used_collections.push(collections(env, part)?);
        let used = part.shapes.iter().filter(|shape| shape.is_used);
        let paths = used.flat_map(|shape| shape.runs.iter().map(|(path, _)| *path));
        used_paths.push(ids(paths));
    }
    let segments: Vec<&Segment> = parts.iter().map(|part| part.segment).collect();
    let (collections, maps) = merge_strings(&segments, Section::Collections, &used_collections)?;
    for (part, map) in parts.iter_mut().zip(maps) {
        part.collections = map;
    }
    let (paths, maps) = merge_strings(&segments, Section::Paths, &used_paths)?;
    for (part, map) in parts.iter_mut().zip(maps) {
        part.paths = map;
    }
    let section = strings::encode(&collections, "collections of a segment")?;
    out.section(env, Section::Collections, &section)?;
    let section = strings::encode(&paths, "paths of a segment")?;
    out.section(env, Section::Paths, &section)?;
    info.collections = collections.len() as u32;

    let shapes = shapes(parts, info)?;
    let mut sources: Vec<(u32, u32)> = shapes
        .iter()
        .flat_map(|(collection, runs)| runs.iter().map(|(path, _)| (*collection, *path)))
        .collect();
    sources.sort_unstable();
    sources.dedup();
    for part in parts.iter_mut() {
        part.sources = new_sources(part, &sources)?;
    }
    let mut section = Vec::with_capacity(sources.len() * 8);
    for (collection, path) in &sources {
        put_u32(&mut section, *collection);
        put_u32(&mut section, *path);
    }
    out.section(env, Section::Sources, &section)?;
    info.sources = sources.len() as u32;
    out.section(env, Section::Shapes, &encode_shapes(&shapes)?)?;
    keys(env, parts, out)?;
    Ok(Tables { collections })
}

/// The collections that a part uses, by old id. Marks the keys that its used targets have.
fn collections<W: Workspace>(
    env: &mut Env<'_, W>,
    part: &mut Part<'_, W>,
) -> Result<Vec<u32>, W::Error> {
    let used = part.shapes.iter().filter(|shape| shape.is_used);
    let mut collections = ids(used.map(|shape| shape.collection));
    let records = part.segment.records()?;
    let first = part.segment.info().did_targets;
    let (mut keys, mut block) = (Vec::new(), Vec::new());
    let mut last = None;
    for number in 0..records.count.div_ceil(BLOCK) {
        records.decode(number, &mut keys, &mut block)?;
        for (ordinal, record) in (first + number * BLOCK..).zip(&block) {
            if !part.used_targets.contains(ordinal) {
                continue;
            }
            if let PackedKey::Str(id) = record.key {
                part.used_keys.insert(id);
            }
            // Runs of one collection are common.
            if last != Some(record.collection) {
                last = Some(record.collection);
                if let Err(place) = collections.binary_search(&record.collection) {
                    collections.insert(place, record.collection);
                }
            }
        }
        env.stepped(BLOCK)?;
    }
    Ok(collections)
}

/// Ids in order, each once.
fn ids(ids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The strings of those ids of each segment's table, in order, and for each segment old ids to new ones.
fn merge_strings<'a>(
    segments: &[&'a Segment],
    section: Section,
    used: &[Vec<u32>],
) -> Result<(Vec<&'a str>, Vec<Vec<u32>>)> {
    let mut merged = Vec::new();
    for (segment, used) in segments.iter().zip(used) {
        let table = segment.strings(section)?;
        for &id in used {
            merged.push(table.get(id)?);
        }
    }
    merged.sort_unstable();
    merged.dedup();
    let mut maps = Vec::with_capacity(segments.len());
    for (segment, used) in segments.iter().zip(used) {
        let table = segment.strings(section)?;
        // The last id is one of the table's, so this is no longer than the table.
        let mut map = vec![GONE; used.last().map_or(0, |last| *last as usize + 1)];
        for &id in used {
            let new = merged.binary_search(&table.get(id)?);
            if let (Ok(new), Some(slot)) = (new, map.get_mut(id as usize)) {
                *slot = new as u32;
            }
        }
        maps.push(map);
    }
    Ok((merged, maps))
}

/// A shape by new ids: its collection, and path and links of each run.
type NewShape = (u32, Vec<(u32, u32)>);

/// The shapes in use, in order.
fn shapes<W: Workspace>(
    parts: &mut [Part<'_, W>],
    info: &mut SegmentInfo,
) -> Result<Vec<NewShape>> {
    let new = |map: &[u32], id: u32| map.get(id as usize).copied().unwrap_or(GONE);
    let mut all: Vec<NewShape> = Vec::new();
    let mut by_part: Vec<Vec<Option<NewShape>>> = Vec::with_capacity(parts.len());
    for part in parts.iter() {
        let of_part = part.shapes.iter().map(|shape| {
            shape.is_used.then(|| {
                let runs = shape.runs.iter();
                let runs = runs.map(|(path, links)| (new(&part.paths, *path), *links));
                (new(&part.collections, shape.collection), runs.collect())
            })
        });
        let of_part: Vec<Option<NewShape>> = of_part.collect();
        all.extend(of_part.iter().flatten().cloned());
        by_part.push(of_part);
    }
    all.sort_unstable();
    all.dedup();
    for (part, shapes) in parts.iter_mut().zip(by_part) {
        let places = shapes.into_iter().map(|shape| {
            let place = shape.and_then(|shape| all.binary_search(&shape).ok());
            place.map_or(GONE, |place| place as u32)
        });
        part.new_shapes = places.collect();
    }
    info.shapes = u32::try_from(all.len()).map_err(|_| Error::TooLarge {
        what: "shapes of a segment",
        found: all.len() as u64,
        limit: u64::from(u32::MAX),
    })?;
    Ok(all)
}

fn new_sources<W: Workspace>(part: &Part<'_, W>, sources: &[(u32, u32)]) -> Result<Vec<u32>> {
    let mut map = Vec::new();
    for id in 0..part.segment.info().sources {
        let (collection, path) = part.segment.source(id)?;
        let collection = part.collections.get(collection as usize);
        let path = part.paths.get(path as usize);
        let new = match (collection, path) {
            (Some(&collection), Some(&path)) => sources.binary_search(&(collection, path)).ok(),
            _ => None,
        };
        map.push(new.map_or(GONE, |new| new as u32));
    }
    Ok(map)
}

/// Merges the tables of keys, which are in order.
fn keys<W: Workspace, O: Sink<Error = W::Error>>(
    env: &mut Env<'_, W>,
    parts: &mut [Part<'_, W>],
    out: &mut Output<O>,
) -> Result<(), W::Error> {
    struct Cursor<'a, W: Workspace> {
        table: strings::Strings<'a>,
        /// The id behind that of the head.
        next: u32,
        head: Option<&'a str>,
        /// New ids so far.
        map: Spool<W>,
    }
    let mut cursors = Vec::with_capacity(parts.len());
    for part in parts.iter() {
        cursors.push(Cursor {
            table: part.segment.strings(Section::Keys)?,
            next: 0,
            head: None,
            map: Spool::new(),
        });
    }
    let advance = |env: &mut Env<'_, W>, cursor: &mut Cursor<'_, W>, part: &Part<'_, W>| {
        cursor.head = None;
        while cursor.head.is_none() && cursor.next < cursor.table.count() {
            if part.used_keys.contains(cursor.next) {
                cursor.head = Some(cursor.table.get(cursor.next)?);
            } else {
                put_u32(cursor.map.tail(), GONE);
                cursor.map.settle(env)?;
            }
            cursor.next += 1;
        }
        env.stepped(1)
    };
    for (cursor, part) in cursors.iter_mut().zip(parts.iter()) {
        advance(env, cursor, part)?;
    }
    let mut column = StringColumn::new("keys of a segment");
    while let Some(least) = cursors.iter().filter_map(|cursor| cursor.head).min() {
        let new = column.len();
        column.push(env, least)?;
        for (cursor, part) in cursors.iter_mut().zip(parts.iter()) {
            if cursor.head == Some(least) {
                put_u32(cursor.map.tail(), new);
                cursor.map.settle(env)?;
                advance(env, cursor, part)?;
                if cursor.head.is_some_and(|next| next <= least) {
                    let region = part.segment.section(Section::Keys)?;
                    return Err(region.corrupt(0, "rising keys", "others").into());
                }
            }
        }
    }
    let mut maps = Vec::with_capacity(cursors.len());
    for cursor in cursors {
        maps.push(cursor.map.finish(env)?);
    }
    for (part, map) in parts.iter_mut().zip(maps) {
        part.keys = Some(map);
    }
    column.section(env, Section::Keys, out)
}
