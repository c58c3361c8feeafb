//! The builder: from what the engine collected to the bytes of a file. Sorts numbers, not strings:
//! strings are ranked once, so that a target is one 128-bit number and a link two 32-bit numbers.

mod links;
mod tables;

pub(super) use tables::encode_shapes;

use super::actors::ActorIndexWriter;
use super::buckets::{BucketInput, BucketsWriter};
use super::did_index::DidIndexWriter;
use super::hash;
use super::key_ranges::{FarKeysWriter, KeyRangesWriter};
use super::keyblock::PackedKey;
use super::layout::{KIND, ROWS_MAX, Section, SegmentInfo, VERSION};
use super::links::LinksWriter;
use super::lists::width_below;
use super::passed::{PASSED_HASH_BITS, PassedWriter};
use super::rows::{PackedRow, RowsWriter};
use super::targets::{PackedRecord, RecordsWriter};
use super::value::plc_bytes;
use super::{RecordKey, SegmentInput, samples, states, strings};
use crate::bytes::{put_u32, put_varint};
use crate::envelope::FileBuilder;
use crate::{Error, Result, filter, monotone};
use links::{Links, TargetOrder};
use tables::Tables;

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
        passed: count("passed keys of a segment", input.passed.len(), ROWS_MAX)?,
        collections: tables.collections.len() as u32,
        sources: tables.sources.len() as u32,
        shapes: tables.shapes.len() as u32,
        ..SegmentInfo::default()
    };
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
    info.hot_targets = lists.hot.len();
    info.hot_widths = lists.hot.widths();
    put(Section::HotTargets, lists.hot.encode());
    let mut writer = LinksWriter::new(&lists.hot);
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    for &target in &input.link_targets {
        // The index was checked when links were collected.
        let ordinal = order.ordinals.get(target as usize).copied().unwrap_or(0);
        writer.push(ordinal, &mut directory, &mut data)?;
    }
    writer.finish(&mut directory, &mut data)?;
    put(Section::Links, data);
    put(Section::LinkDirectory, directory);
    drop(order);
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
    drop(lists.written);

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
    put(
        Section::RowActorDirectory,
        std::mem::take(&mut index.directory),
    );
    let mut numbers = Vec::new();
    index.finish(&mut numbers);
    put(Section::RowActorBlocks, numbers);
    let (ranges, far) = key_ranges(input, &tables.row_keys);
    put(Section::KeyRanges, ranges);
    let mut writer = FarKeysWriter::new(info.rows);
    let hashes: Vec<u32> = far.into_iter().map(|pair| writer.push(pair)).collect();
    put(Section::FarKeys, monotone_list(&hashes));
    put(Section::FarKeyBlocks, writer.blocks.finish());
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
    let (directory, data) = passed_keys(input)?;
    put(Section::PassedDirectory, directory);
    put(Section::PassedKeys, data);
    let [names, directory, data] = samples::encode(&input.samples)?;
    put(Section::SampleCollections, names);
    put(Section::SampleDirectory, directory);
    put(Section::Samples, data);

    let buckets = Buckets::write(&input.buckets)?;
    put(Section::BucketCollections, buckets.names);
    put(Section::Buckets, buckets.writer.out);
    put(Section::BucketDirectory, buckets.writer.directory);

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
    let lens = sections.iter().map(|(_, bytes)| bytes.len());
    let len: usize = lens.map(|len| len.next_multiple_of(8)).sum();
    // The footer has some 24 bytes a section, and 8 for each 64 KiB.
    let room = len + len / 4_096 + 64 * sections.len() + 256;
    let mut file = FileBuilder::new(KIND, VERSION).with_room(room);
    for (section, bytes) in sections {
        file.section(section.id(), &bytes);
    }
    Ok(file.finish())
}

/// The directory and the blocks of passed keys.
fn passed_keys(input: &SegmentInput<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut directory, mut data) = (Vec::new(), Vec::new());
    let mut writer = PassedWriter::new();
    let mut states = input.actors.states.iter().map(|state| state.id).peekable();
    let mut before = None;
    for (index, &key) in input.passed.iter().enumerate() {
        if before >= Some(key) || key.hash >> PASSED_HASH_BITS != 0 {
            return Err(bad(index, "passed keys in rising order", key.hash));
        }
        before = Some(key);
        while states.next_if(|&id| id < key.actor).is_some() {}
        if states.peek() != Some(&key.actor) {
            return Err(bad(
                index,
                "a state of each actor with passed keys",
                key.actor,
            ));
        }
        writer.push(key, &mut directory, &mut data)?;
    }
    writer.flush(&mut directory, &mut data)?;
    Ok((directory, data))
}

struct Buckets {
    names: Vec<u8>,
    writer: BucketsWriter,
}

impl Buckets {
    fn write(input: &[BucketInput<'_>]) -> Result<Self> {
        let mut order: Vec<&BucketInput<'_>> = input.iter().collect();
        order.sort_unstable_by_key(|bucket| (bucket.collection, bucket.hour));
        let mut names = Vec::new();
        let mut writer = BucketsWriter::default();
        for hours in order.chunk_by(|a, b| a.collection == b.collection) {
            for bucket in hours {
                writer.push(bucket.hour, &bucket.counts, &bucket.sketch)?;
            }
            writer.end_collection()?;
            names.extend(hours.first().map(|bucket| bucket.collection));
        }
        let names = strings::encode(&names, "collections of buckets")?;
        Ok(Self { names, writer })
    }
}

/// The ranges of keys, and the pairs of the far ones in order.
fn key_ranges(input: &SegmentInput<'_>, keys: &[PackedKey]) -> (Vec<u8>, Vec<u64>) {
    let mut writer = KeyRangesWriter::new();
    for (row, key) in input.rows.iter().zip(keys) {
        let shape = input.shapes.get(row.shape as usize);
        let key = match key {
            PackedKey::Tid(tid) => RecordKey::Tid(*tid),
            PackedKey::Str(_) => RecordKey::Str(row.rkey),
        };
        writer.push(row.actor, shape.map_or("", |shape| shape.collection), key);
    }
    let mut ranges = writer.finish();
    ranges.append(&mut writer.ranges);
    let mut far = writer.far;
    far.sort_unstable();
    far.dedup();
    (ranges, far)
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
pub(super) fn bad(index: usize, expected: &str, found: impl ToString) -> Error {
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
