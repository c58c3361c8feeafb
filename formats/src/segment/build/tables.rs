//! The tables of strings, and ranks in them.

use super::bad;
use crate::Result;
use crate::bytes::{put_u32, put_varint};
use crate::segment::keyblock::PackedKey;
use crate::segment::layout::ROWS_MAX;
use crate::segment::rows::{self, SHAPE_ENTRY};
use crate::segment::value::tid;
use crate::segment::{SegmentInput, TargetKey};

/// Strings in order, each once.
pub(super) fn ranked<'a>(strings: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for string in strings {
        // Runs of one string are common, and shorten the sort.
        if all.last() != Some(&string) {
            all.push(string);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The place of `string`, which is among them.
pub(super) fn rank(strings: &[&str], string: &str) -> u32 {
    strings.binary_search(&string).unwrap_or_default() as u32
}

/// Ranks of strings that mostly come in runs.
pub(super) struct Ranker<'t, 'a> {
    pub(super) strings: &'t [&'a str],
    pub(super) last: Option<(&'a str, u32)>,
}

impl<'a> Ranker<'_, 'a> {
    pub(super) fn rank(&mut self, string: &'a str) -> u32 {
        if let Some((last, rank)) = self.last
            && last == string
        {
            return rank;
        }
        let rank = rank(self.strings, string);
        self.last = Some((string, rank));
        rank
    }
}

/// The tables of strings, and all that is named by their ranks.
pub(super) struct Tables<'a> {
    pub(super) collections: Vec<&'a str>,
    pub(super) paths: Vec<&'a str>,
    /// Keys that are no TIDs.
    pub(super) keys: Vec<&'a str>,
    /// Collection << 32 | path, in order.
    pub(super) sources: Vec<u64>,
    /// For each shape of the input, its links in all, and (source, count) for each of its paths.
    pub(super) shapes: Vec<(u32, Vec<(u32, u32)>)>,
    /// The shapes in the order of the segment: by collection, then by paths and counts.
    pub(super) shape_order: Vec<u32>,
    /// For each shape of the input, its place in that order.
    pub(super) shape_places: Vec<u32>,
    pub(super) row_keys: Vec<PackedKey>,
    /// For each record target, in the input's order.
    pub(super) target_keys: Vec<PackedKey>,
}

impl<'a> Tables<'a> {
    pub(super) fn collect(input: &SegmentInput<'a>) -> Result<Self> {
        let record_targets = input.targets.iter().filter_map(|target| match target {
            TargetKey::Record {
                collection, rkey, ..
            } => Some((*collection, *rkey)),
            _ => None,
        });
        let collections = ranked(
            input
                .shapes
                .iter()
                .map(|shape| shape.collection)
                .chain(record_targets.clone().map(|(collection, _)| collection)),
        );
        let runs = input.shapes.iter().flat_map(|shape| &shape.runs);
        let paths = ranked(runs.map(|(path, _)| *path));
        let row_tids: Vec<Option<u64>> = input.rows.iter().map(|row| tid(row.rkey)).collect();
        let target_tids: Vec<Option<u64>> =
            record_targets.clone().map(|(_, rkey)| tid(rkey)).collect();
        let row_strings = input.rows.iter().map(|row| row.rkey).zip(&row_tids);
        let target_strings = record_targets
            .clone()
            .map(|(_, rkey)| rkey)
            .zip(&target_tids);
        let strings = row_strings.chain(target_strings);
        let keys = ranked(strings.filter_map(|(rkey, tid)| tid.is_none().then_some(rkey)));
        let pack = |(rkey, tid): (&str, &Option<u64>)| match tid {
            Some(tid) => PackedKey::Tid(*tid),
            None => PackedKey::Str(rank(&keys, rkey)),
        };
        let rkeys = input.rows.iter().map(|row| row.rkey);
        let row_keys = rkeys.zip(&row_tids).map(pack).collect();
        let rkeys = record_targets.map(|(_, rkey)| rkey);
        let target_keys = rkeys.zip(&target_tids).map(pack).collect();

        let pair = |collection: &str, path: &str| {
            u64::from(rank(&collections, collection)) << 32 | u64::from(rank(&paths, path))
        };
        let mut sources: Vec<u64> = input
            .shapes
            .iter()
            .flat_map(|shape| {
                shape
                    .runs
                    .iter()
                    .map(|(path, _)| pair(shape.collection, path))
            })
            .collect();
        sources.sort_unstable();
        sources.dedup();
        let mut shapes = Vec::with_capacity(input.shapes.len());
        for (i, shape) in input.shapes.iter().enumerate() {
            if !shape.runs.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(bad(i, "a shape with rising paths", "others"));
            }
            let mut total = 0u32;
            let mut runs = Vec::with_capacity(shape.runs.len());
            for (path, links) in &shape.runs {
                let source = sources.binary_search(&pair(shape.collection, path));
                runs.push((source.unwrap_or_default() as u32, *links));
                total = match total.checked_add(*links) {
                    Some(total) if *links > 0 && total <= ROWS_MAX => total,
                    _ => return Err(bad(i, "a shape with 1 to 2^28 links a path", *links)),
                };
            }
            if total == 0 {
                return Err(bad(i, "a shape with links", "none"));
            }
            shapes.push((total, runs));
        }
        // Sources are in the order of (collection, path), so these sort by collection first.
        let mut shape_order: Vec<u32> = (0..).zip(&shapes).map(|(i, _)| i).collect();
        shape_order.sort_by_key(|&i| shapes.get(i as usize).map(|(_, runs)| runs));
        let mut shape_places = vec![0; shapes.len()];
        for (place, &i) in (0..).zip(&shape_order) {
            if let Some(slot) = shape_places.get_mut(i as usize) {
                *slot = place;
            }
        }
        Ok(Self {
            collections,
            paths,
            keys,
            sources,
            shapes,
            shape_order,
            shape_places,
            row_keys,
            target_keys,
        })
    }

    /// The place of a shape of the input, whose index was checked when links were collected.
    pub(super) fn shape(&self, index: u32) -> u32 {
        let place = self.shape_places.get(index as usize);
        place.copied().unwrap_or_default()
    }

    pub(super) fn encode_shapes(&self, input: &SegmentInput<'_>) -> Result<Vec<u8>> {
        let shapes = self.shape_order.iter().filter_map(|&i| {
            let (_, runs) = self.shapes.get(i as usize)?;
            let shape = input.shapes.get(i as usize)?;
            let runs = runs.iter().map(|&(source, links)| {
                let source = self.sources.get(source as usize).copied().unwrap_or(0);
                (source as u32, links)
            });
            Some((rank(&self.collections, shape.collection), runs.collect()))
        });
        encode_shapes(&shapes.collect::<Vec<_>>())
    }
}

/// The section of shapes, from the collection and the (path, links) of each.
pub(in crate::segment) fn encode_shapes(shapes: &[(u32, Vec<(u32, u32)>)]) -> Result<Vec<u8>> {
    let (mut offsets, mut data) = (Vec::new(), Vec::new());
    let base = shapes.len() * SHAPE_ENTRY as usize + 4;
    let offset = |len: usize| rows::offset_u32(base + len, "bytes of shapes in a segment");
    for (collection, runs) in shapes {
        put_u32(&mut offsets, offset(data.len())?);
        // Of a damaged segment that is merged they may be more.
        let links = runs
            .iter()
            .fold(0u32, |sum, (_, links)| sum.saturating_add(*links));
        put_u32(&mut offsets, links);
        put_varint(&mut data, (*collection).into());
        put_varint(&mut data, runs.len() as u64);
        for (path, links) in runs {
            put_varint(&mut data, u64::from(*path));
            put_varint(&mut data, u64::from(*links));
        }
    }
    put_u32(&mut offsets, offset(data.len())?);
    offsets.extend_from_slice(&data);
    Ok(offsets)
}
