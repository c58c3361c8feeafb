//! The builder: from what the engine collected to the bytes of a file. Sorts numbers, not strings:
//! strings are ranked once, so that a target is one 128-bit number and a link two 32-bit numbers.

use super::actors::ActorIndexWriter;
use super::did_index::DidIndexWriter;
use super::hash;
use super::keyblock::PackedKey;
use super::layout::{KIND, ROWS_MAX, Section, SegmentInfo, VERSION};
use super::lists::{self, ListsWriter, width_below};
use super::rows::{self, PackedRow, RowsWriter};
use super::targets::{PackedRecord, RecordsWriter};
use super::value::{plc_bytes, tid};
use super::workspace::{Env, InMemory};
use super::{SegmentInput, TargetKey, states, strings};
use crate::bits::BitWriter;
use crate::bytes::{put_u32, put_varint};
use crate::envelope::FileBuilder;
use crate::{Error, Result, filter, monotone};

/// How far a TID may lie outside of the event times and still be found without the stray filter:
/// clocks of clients differ by less.
pub(super) const KEY_SLACK_US: u64 = 10 * 60 * 1_000_000;

/// Encodes a segment. Equal inputs give equal bytes.
///
/// # Errors
/// [`Error::TooLarge`] for more than 2^28 rows or links or 4 GiB of one part, and [`Error::Corrupt`]
/// naming "segment input" where the input breaks what [`SegmentInput`] requires.
pub fn build(input: &SegmentInput<'_>) -> Result<Vec<u8>> {
    let tables = Tables::collect(input)?;
    let links = Links::collect(input, &tables)?;
    let mut info = SegmentInfo {
        first_seq: input.first_seq,
        last_seq: input.last_seq,
        first_time_us: input.first_time_us,
        last_time_us: input.last_time_us,
        did_seed: input.did_seed,
        rows: count("rows of a segment", input.rows.len(), ROWS_MAX)?,
        links: count("links of a segment", input.link_targets.len(), ROWS_MAX)?,
        targets: count("targets of a segment", input.targets.len(), ROWS_MAX)?,
        actors_first_id: input.actors.first_id,
        actors_count: count("actors of a segment", input.actors.dids.len(), ROWS_MAX)?,
        states: count("states in a segment", input.actors.states.len(), ROWS_MAX)?,
        kills: count("kills in a segment", input.kills.len(), ROWS_MAX)?,
        collections: tables.collections.len() as u32,
        sources: tables.sources.len() as u32,
        shapes: tables.shapes.len() as u32,
        ..SegmentInfo::default()
    };
    let mut file = FileBuilder::new(KIND, VERSION);
    let mut sections = Vec::new();
    let mut put = |section: Section, bytes: Vec<u8>| sections.push((section, bytes));

    put(
        Section::Collections,
        strings::encode(&tables.collections, "collections of a segment")?,
    );
    put(
        Section::Paths,
        strings::encode(&tables.paths, "paths of a segment")?,
    );
    let mut sources = Vec::new();
    for source in &tables.sources {
        put_u32(&mut sources, (source >> 32) as u32);
        put_u32(&mut sources, *source as u32);
    }
    put(Section::Sources, sources);
    put(Section::Shapes, tables.encode_shapes(input)?);
    put(
        Section::Keys,
        strings::encode(&tables.keys, "keys of a segment")?,
    );

    let packed = tables
        .row_keys
        .iter()
        .zip(&links.first_links)
        .zip(&input.rows);
    let packed = packed.map(|((&key, &first_link), row)| PackedRow {
        seq: row.seq,
        time_ms: row.time_us / 1000,
        actor: row.actor,
        shape: tables.shape(row.shape),
        first_link,
        key,
    });
    let mut writer = RowsWriter::new(width_below(info.shapes));
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    for row in packed {
        writer.push(row, &mut directory, &mut data)?;
    }
    writer.flush(&mut directory, &mut data)?;
    put(Section::RowDirectory, directory);
    put(Section::Rows, data);

    let order = TargetOrder::sort(input, &tables);
    info.did_targets = order.dids.len() as u32;
    info.record_targets = order.records.len() as u32;
    let width = width_below(info.targets);
    let mut bits = BitWriter::new();
    for &target in &input.link_targets {
        // The index was checked when links were collected.
        let ordinal = order.ordinals.get(target as usize).copied().unwrap_or(0);
        bits.write(u64::from(ordinal), width);
    }
    put(Section::Links, bits.finish());
    put(Section::DidTargets, monotone_list(&order.dids));
    let records = order
        .records
        .iter()
        .map(|(record, _)| PackedRecord::from_u128(*record));
    let mut writer = RecordsWriter::new(width_below(info.collections));
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    for record in records {
        writer.push(record, &mut directory, &mut data)?;
    }
    writer.flush(&mut directory, &mut data)?;
    put(Section::RecordDirectory, directory);
    put(Section::RecordTargets, data);
    put(
        Section::OtherTargets,
        strings::encode(&order.others, "targets of a segment")?,
    );

    let lists = links.group(input, &order, info.targets, info.sources, info.rows)?;
    info.lists = lists.written.count;
    info.long_lists = lists.written.long_count;
    put(Section::ListStarts, monotone_list(&lists.starts));
    put(
        Section::ListDirectory,
        lists.written.directory.bytes().to_vec(),
    );
    put(Section::Lists, lists.blocks);
    put(
        Section::LongDirectory,
        lists.written.long_directory.bytes().to_vec(),
    );
    put(Section::LongLists, lists.written.long.bytes().to_vec());

    let rows = (0u32..).zip(&input.rows);
    let mut pairs: Vec<u64> = rows
        .map(|(number, row)| ActorIndexWriter::pair(row.actor, number))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut index = ActorIndexWriter::new(info.rows);
    let firsts = pairs.into_iter().filter_map(|pair| index.push(pair));
    let (row_actors, mut starts): (Vec<u32>, Vec<u32>) = firsts.unzip();
    starts.push(index.pairs());
    put(Section::RowActors, monotone_list(&row_actors));
    put(Section::RowActorStarts, monotone_list(&starts));
    put(Section::RowActorBlocks, index.blocks.finish());
    let (mut plc, mut other_indexes, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (i, did) in (0u32..).zip(&input.actors.dids) {
        let bytes = plc_bytes(did);
        plc.extend_from_slice(&bytes.unwrap_or_default());
        if bytes.is_none() {
            other_indexes.push(i);
            others.push(*did);
        }
    }
    put(Section::PlcDids, plc);
    put(Section::OtherDidIndexes, monotone_list(&other_indexes));
    put(
        Section::OtherDids,
        strings::encode(&others, "DIDs of a segment")?,
    );
    put(
        Section::DidIndex,
        encode_did_index(&input.actors.dids, info.did_seed),
    );
    let states = &input.actors.states;
    if !states.is_sorted_by(|a, b| a.id < b.id) {
        return Err(bad(0, "states with rising ids", "others"));
    }
    let ids: Vec<u32> = states.iter().map(|state| state.id).collect();
    put(Section::StateIds, monotone_list(&ids));
    let (directory, data) = states::encode(states)?;
    put(Section::StateDirectory, directory);
    put(Section::States, data);
    let mut kills = input.kills.clone();
    kills.sort_unstable();
    kills.dedup();
    info.kills = kills.len() as u32;
    let (mut encoded, mut before) = (Vec::new(), 0);
    for kill in kills {
        put_varint(&mut encoded, kill - before);
        before = kill;
    }
    put(Section::Kills, encoded);

    let hashes: Vec<u64> = input.targets.iter().map(hash::target).collect();
    put(Section::TargetFilter, filter::build(&hashes));
    (info.key_first_us, info.key_last_us) = key_window(input, &tables.row_keys);
    let mut hashes = Vec::new();
    for (row, key) in input.rows.iter().zip(&tables.row_keys) {
        let inside = matches!(key, PackedKey::Tid(tid) if info.window_holds(*tid));
        if !inside {
            let shape = input.shapes.get(row.shape as usize);
            let collection = shape.map_or("", |shape| shape.collection);
            hashes.push(hash::stray(row.actor, collection, row.rkey));
        }
    }
    put(Section::StrayFilter, filter::build(&hashes));

    put(Section::Meta, info.encode());
    sections.sort_by_key(|(section, _)| Section::ALL.iter().position(|other| other == section));
    for (section, bytes) in &sections {
        file.section(section.id(), bytes);
    }
    Ok(file.finish())
}

fn encode_did_index(dids: &[&str], seed: u64) -> Vec<u8> {
    let hashes = dids.iter().map(|did| hash::did(did, seed));
    let mut order: Vec<(u64, u32)> = hashes.zip(0..).collect();
    order.sort_unstable();
    let mut out = Vec::new();
    // The count of actors was checked.
    let mut writer = DidIndexWriter::new(dids.len() as u32);
    for (hash, index) in order {
        writer.push(hash, index, &mut out);
    }
    writer.finish(&mut out);
    out
}

#[cold]
fn bad(index: usize, expected: &str, found: impl ToString) -> Error {
    Error::corrupt("segment input", index as u64, expected, found)
}

pub(super) fn count(what: &'static str, found: usize, limit: u32) -> Result<u32> {
    match u32::try_from(found) {
        Ok(count) if count <= limit => Ok(count),
        _ => Err(Error::TooLarge {
            what,
            found: found as u64,
            limit: u64::from(limit),
        }),
    }
}

fn monotone_list(values: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    monotone::encode(values, &mut out);
    out
}

/// The window of times whose TIDs need no entry in the stray filter: the event times and some slack,
/// cut down to the TIDs inside.
fn key_window(input: &SegmentInput<'_>, keys: &[PackedKey]) -> (u64, u64) {
    let first = input.first_time_us.saturating_sub(KEY_SLACK_US);
    let last = input.last_time_us.saturating_add(KEY_SLACK_US);
    let (mut low, mut high) = (u64::MAX, 0);
    for key in keys {
        if let PackedKey::Tid(tid) = key
            && (first..=last).contains(&(tid >> 10))
        {
            low = low.min(tid >> 10);
            high = high.max(tid >> 10);
        }
    }
    if low <= high { (low, high) } else { (1, 0) }
}

/// Strings in order, each once.
fn ranked<'a>(strings: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
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
fn rank(strings: &[&str], string: &str) -> u32 {
    strings.binary_search(&string).unwrap_or_default() as u32
}

/// Ranks of strings that mostly come in runs.
struct Ranker<'t, 'a> {
    strings: &'t [&'a str],
    last: Option<(&'a str, u32)>,
}

impl<'a> Ranker<'_, 'a> {
    fn rank(&mut self, string: &'a str) -> u32 {
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
struct Tables<'a> {
    collections: Vec<&'a str>,
    paths: Vec<&'a str>,
    /// Keys that are no TIDs.
    keys: Vec<&'a str>,
    /// Collection << 32 | path, in order.
    sources: Vec<u64>,
    /// For each shape of the input, its links in all, and (source, count) for each of its paths.
    shapes: Vec<(u32, Vec<(u32, u32)>)>,
    /// The shapes in the order of the segment: by collection, then by paths and counts.
    shape_order: Vec<u32>,
    /// For each shape of the input, its place in that order.
    shape_places: Vec<u32>,
    row_keys: Vec<PackedKey>,
    /// For each record target, in the input's order.
    target_keys: Vec<PackedKey>,
}

impl<'a> Tables<'a> {
    fn collect(input: &SegmentInput<'a>) -> Result<Self> {
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
    fn shape(&self, index: u32) -> u32 {
        let place = self.shape_places.get(index as usize);
        place.copied().unwrap_or_default()
    }

    fn encode_shapes(&self, input: &SegmentInput<'_>) -> Result<Vec<u8>> {
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
pub(super) fn encode_shapes(shapes: &[(u32, Vec<(u32, u32)>)]) -> Result<Vec<u8>> {
    let (mut offsets, mut data) = (Vec::new(), Vec::new());
    let base = (shapes.len() + 1) * 4;
    let offset = |len: usize| rows::offset_u32(base + len, "bytes of shapes in a segment");
    for (collection, runs) in shapes {
        put_u32(&mut offsets, offset(data.len())?);
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

/// The order of targets in the segment.
struct TargetOrder<'a> {
    dids: Vec<u32>,
    records: Vec<(u128, u32)>,
    others: Vec<&'a str>,
    /// For each target of the input, its place.
    ordinals: Vec<u32>,
}

impl<'a> TargetOrder<'a> {
    fn sort(input: &SegmentInput<'a>, tables: &Tables<'a>) -> Self {
        let mut collections = Ranker {
            strings: &tables.collections,
            last: None,
        };
        let mut keys = tables.target_keys.iter();
        let (mut dids, mut records, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (i, target) in (0u32..).zip(&input.targets) {
            match *target {
                TargetKey::Did(actor) => dids.push(u64::from(actor) << 32 | u64::from(i)),
                TargetKey::Other(other) => others.push((other, i)),
                TargetKey::Record {
                    actor, collection, ..
                } => {
                    let record = PackedRecord {
                        actor,
                        collection: collections.rank(collection),
                        key: keys.next().copied().unwrap_or(PackedKey::Tid(0)),
                    };
                    records.push((record.to_u128(), i));
                }
            }
        }
        dids.sort_unstable();
        records.sort_unstable();
        others.sort_unstable();
        let mut ordinals = vec![0; input.targets.len()];
        let indexes = dids.iter().map(|did| *did as u32);
        let indexes = indexes.chain(records.iter().map(|record| record.1));
        let indexes = indexes.chain(others.iter().map(|other| other.1));
        for (ordinal, index) in (0u32..).zip(indexes) {
            if let Some(slot) = ordinals.get_mut(index as usize) {
                *slot = ordinal;
            }
        }
        Self {
            dids: dids.iter().map(|did| (did >> 32) as u32).collect(),
            records,
            others: others.iter().map(|other| other.0).collect(),
            ordinals,
        }
    }
}

/// Links in the order of the input.
struct Links {
    /// For each row.
    first_links: Vec<u32>,
    /// For each link, source << 32 | row.
    postings: Vec<u64>,
}

/// Posting lists and where those of each target begin.
struct Grouped {
    starts: Vec<u32>,
    blocks: Vec<u8>,
    written: lists::Written<InMemory>,
}

impl Links {
    fn collect(input: &SegmentInput<'_>, tables: &Tables<'_>) -> Result<Self> {
        let mut first_links = Vec::with_capacity(input.rows.len());
        let mut postings = Vec::with_capacity(input.link_targets.len());
        count("links of a segment", input.link_targets.len(), ROWS_MAX)?;
        let mut before = None;
        for (index, (number, row)) in (0u32..).zip(&input.rows).enumerate() {
            if before >= Some(row.seq) || !(input.first_seq..=input.last_seq).contains(&row.seq) {
                return Err(bad(
                    index,
                    "rising seqs in the range of the segment",
                    row.seq,
                ));
            }
            before = Some(row.seq);
            let Some((total, runs)) = tables.shapes.get(row.shape as usize) else {
                return Err(bad(index, "the index of a shape", row.shape));
            };
            first_links.push(postings.len() as u32);
            if postings.len() + *total as usize > input.link_targets.len() {
                return Err(bad(index, "a target for each link", "too few"));
            }
            for &(source, links) in runs {
                let posting = u64::from(source) << 32 | u64::from(number);
                postings.extend(std::iter::repeat_n(posting, links as usize));
            }
        }
        if postings.len() != input.link_targets.len() {
            return Err(bad(
                input.rows.len(),
                "as many targets as the rows have links",
                input.link_targets.len(),
            ));
        }
        Ok(Self {
            first_links,
            postings,
        })
    }

    /// Groups the links by target with a counting sort, which leaves the rows of each target in order,
    /// and those of each target by source.
    fn group(
        self,
        input: &SegmentInput<'_>,
        order: &TargetOrder<'_>,
        targets: u32,
        sources: u32,
        rows: u32,
    ) -> Result<Grouped> {
        let links = input.link_targets.len();
        let mut ends = vec![0u32; targets as usize];
        for (i, &target) in input.link_targets.iter().enumerate() {
            let ordinal = order.ordinals.get(target as usize);
            match ordinal.and_then(|&ordinal| ends.get_mut(ordinal as usize)) {
                Some(end) => *end += 1,
                None => return Err(bad(i, "the index of a target", target)),
            }
        }
        let mut start = 0;
        for end in &mut ends {
            // At first each holds where its target's links begin; filling moves it to where they end.
            start += std::mem::replace(end, start);
        }
        let mut grouped = vec![0u64; links];
        for (&target, posting) in input.link_targets.iter().zip(self.postings) {
            let ordinal = order.ordinals.get(target as usize);
            if let Some(end) = ordinal.and_then(|&ordinal| ends.get_mut(ordinal as usize)) {
                if let Some(slot) = grouped.get_mut(*end as usize) {
                    *slot = posting;
                }
                *end += 1;
            }
        }
        let mut workspace = InMemory;
        let env = &mut Env::new(&mut workspace);
        let mut writer = ListsWriter::new(rows, sources);
        let mut starts = Vec::with_capacity(ends.len() + 1);
        let mut rest = grouped.as_mut_slice();
        let mut before = 0;
        for &end in &ends {
            let (links, tail) = rest.split_at_mut((end - before) as usize);
            (before, rest) = (end, tail);
            if links.len() > 1 && !links.is_sorted() {
                links.sort_unstable();
            }
            starts.push(writer.count());
            for list in links.chunk_by(same_source) {
                let (mut source, mut last) = (0, None);
                for posting in list {
                    // A row may have several links to one target from one source.
                    if last != Some(posting) {
                        writer.row(env, *posting as u32)?;
                        source = (posting >> 32) as u32;
                    }
                    last = Some(posting);
                }
                writer.end(env, source)?;
            }
        }
        writer.flush_last(env)?;
        starts.push(writer.count());
        Ok(Grouped {
            starts,
            blocks: std::mem::take(&mut writer.blocks),
            written: writer.finish(env)?,
        })
    }
}

fn same_source(a: &u64, b: &u64) -> bool {
    a >> 32 == b >> 32
}
