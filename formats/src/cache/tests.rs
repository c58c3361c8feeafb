use super::index::{CacheIndex, IndexEntry, IndexHeader, build, file_bytes};
use super::*;
use crate::testing::assert_golden;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn header() -> FileHeader {
    FileHeader {
        number: 7,
        directory_id: *b"orrery-directory",
    }
}

fn base() -> Base {
    Base {
        number: 6,
        checksum: 0x1122_3344_5566_7788,
        place: Place {
            unit: 6,
            bytes: 256,
        },
    }
}

fn record() -> Vec<u8> {
    br#"{"$type":"app.bsky.feed.post","text":"one two one two one two","createdAt":"2026-01-01T00:00:00Z","langs":["en"],"facets":[],"tags":["one","two"]}"#.repeat(2)
}

/// A file with an entry of each kind, and where they begin.
fn file() -> (Vec<u8>, Vec<usize>) {
    let (record, mut buffer) = (record(), Vec::new());
    let packed = Content::of(&record, &mut buffer).unwrap();
    assert!(matches!(packed, Content::Packed { .. }));
    let mut out = header().encode();
    let (mut previous, mut starts) = (header().seed(), Vec::new());
    for (space, content) in [
        (0, packed),
        (1, Content::Plain(b"proof")),
        (2, Content::Plain(b"")),
        (0, Content::Refreshed(base())),
        (3, Content::Removed),
    ] {
        let key = format!("at://did:plc:abc/app.bsky.feed.post/3k{space}");
        let entry = Entry {
            space,
            key: key.as_bytes(),
            as_of_seq: 1_000 + u64::from(space),
            checked_us: 1_767_225_600_000_000,
            content,
        };
        let at = out.len();
        starts.push(at);
        previous = entry
            .encode(header().seed(), at as u64, previous, &mut out)
            .unwrap();
        assert_eq!(out.len() - at, entry.bytes());
    }
    (out, starts)
}

#[test]
fn golden_bytes() {
    let (bytes, starts) = file();
    assert_golden("cache-v1.values", &bytes);
    let entries = starts.iter().zip(0_u64..).map(|(start, n)| IndexEntry {
        fingerprint: fingerprint(5, n as u8, b"key"),
        place: Place::new(*start as u64, 64).unwrap(),
    });
    assert_golden(
        "cache-v1.index",
        &build(&index_header(), entries.collect()).unwrap(),
    );
}

fn index_header() -> IndexHeader {
    IndexHeader {
        directory_id: *b"orrery-directory",
        number: 7,
        values_bytes: 1 << 20,
        last_checksum: 9,
        max_as_of_seq: 1_003,
    }
}

#[test]
fn entries_are_read_as_they_were_written_and_name_the_one_before() {
    let (bytes, starts) = file();
    let seed = FileHeader::decode(&bytes).unwrap().seed();
    let (mut at, mut previous, mut found) = (FILE_HEADER_BYTES, seed, Vec::new());
    while at < bytes.len() {
        let head = bytes[at..].first_chunk().unwrap();
        let len = entry_bytes(head, at as u64).unwrap();
        let read = decode(&bytes[at..at + len], seed, at as u64).unwrap();
        assert_eq!(read.previous, previous as u32);
        previous = read.checksum;
        found.push(at);
        match found.len() {
            1 => assert_eq!(read.entry.content.value().unwrap(), Some(record())),
            2 => assert_eq!(read.entry.content.value().unwrap(), Some(b"proof".to_vec())),
            3 => assert_eq!(read.entry.content.value().unwrap(), Some(Vec::new())),
            4 => assert_eq!(read.entry.content, Content::Refreshed(base())),
            _ => assert_eq!(read.entry.content, Content::Removed),
        }
        at += len;
    }
    assert_eq!(found, starts);
}

#[test]
fn a_change_of_any_byte_is_found() {
    let (bytes, starts) = file();
    let seed = header().seed();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        if at < FILE_HEADER_BYTES {
            FileHeader::decode(&damaged).unwrap_err();
            continue;
        }
        let place = starts.partition_point(|start| *start <= at) - 1;
        let start = starts[place];
        let end = starts.get(place + 1).copied().unwrap_or(bytes.len());
        decode(&damaged[start..end], seed, start as u64).unwrap_err();
        decode(&bytes[start..end], seed, start as u64).unwrap();
    }
}

#[test]
fn an_entry_at_another_place_or_in_another_file_is_none() {
    let (bytes, starts) = file();
    let entry = &bytes[starts[1]..starts[2]];
    let other = FileHeader {
        number: 8,
        ..header()
    };
    decode(entry, header().seed(), starts[1] as u64 + 8).unwrap_err();
    decode(entry, other.seed(), starts[1] as u64).unwrap_err();
}

#[test]
fn a_header_of_another_version_is_told_from_a_damaged_one() {
    let mut bytes = header().encode();
    bytes[8] = 2;
    assert!(matches!(FileHeader::decode(&bytes), Err(Error::Corrupt(_))));
    let checksum = xxh3_64(&bytes[..40]).to_le_bytes();
    bytes[40..].copy_from_slice(&checksum);
    assert!(matches!(
        FileHeader::decode(&bytes),
        Err(Error::Version { found: 2, .. })
    ));
}

#[test]
fn what_does_not_fit_is_refused() {
    let long = vec![0; VALUE_BYTES_MAX + 1];
    Content::of(&long, &mut Vec::new()).unwrap_err();
    let entry = |key, content| Entry {
        space: 0,
        key,
        as_of_seq: 0,
        checked_us: 0,
        content,
    };
    let refused = |entry: Entry<'_>| entry.encode(0, 0, 0, &mut Vec::new()).unwrap_err();
    refused(entry(b"", Content::Removed));
    refused(entry(&[b'k'; KEY_BYTES_MAX + 1], Content::Removed));
    refused(entry(b"k", Content::Plain(&long)));
    let most = entry(&[b'k'; KEY_BYTES_MAX], Content::Plain(&long[1..]));
    let mut out = Vec::new();
    most.encode(0, 0, 0, &mut out).unwrap();
    assert_eq!(out.len(), ENTRY_BYTES_MAX);
    assert_eq!(decode(&out, 0, 0).unwrap().entry, most);
}

#[test]
fn a_frame_that_unpacks_to_another_length_is_damage() {
    let (record, mut buffer) = (record(), Vec::new());
    let Content::Packed { raw_bytes, frame } = Content::of(&record, &mut buffer).unwrap() else {
        panic!("{} bytes are not packed", record.len());
    };
    for raw_bytes in [raw_bytes - 1, raw_bytes + 1, 0] {
        Content::Packed { raw_bytes, frame }.value().unwrap_err();
    }
}

#[test]
fn the_two_ways_of_hashing_a_key_are_one() {
    for len in [1, 254, 255, 256, 4_096] {
        let key = vec![b'k'; len];
        let joined = [&[3], &*key].concat();
        assert_eq!(fingerprint(11, 3, &key), xxh3_64_with_seed(&joined, 11));
        assert_ne!(fingerprint(11, 3, &key), fingerprint(12, 3, &key));
        assert_ne!(fingerprint(11, 3, &key), fingerprint(11, 2, &key));
    }
}

proptest! {
    #[test]
    fn any_entry_is_read_as_it_was_written(space in any::<u8>(), key in proptest::collection::vec(any::<u8>(), 1..300), value in proptest::collection::vec(0..4_u8, 0..2_000), as_of_seq in any::<u64>(), checked_us in any::<u64>(), seed in any::<u64>(), offset in any::<u64>()) {
        let mut buffer = Vec::new();
        let content = Content::of(&value, &mut buffer).unwrap();
        let entry = Entry { space, key: &key, as_of_seq, checked_us, content };
        let mut out = Vec::new();
        let checksum = entry.encode(seed, offset, 5, &mut out).unwrap();
        let read = decode(&out, seed, offset).unwrap();
        prop_assert_eq!(read, Read { entry, checksum, previous: 5 });
        prop_assert_eq!(read.entry.content.value().unwrap(), Some(value));
    }

    #[test]
    fn the_index_finds_each_fingerprint_and_no_other(keys in proptest::collection::btree_map(any::<u64>(), 0..1_000_u32, 0..300), others in proptest::collection::vec(any::<u64>(), 50)) {
        let entry = |(fingerprint, unit): (&u64, &u32)| IndexEntry { fingerprint: *fingerprint, place: Place { unit: *unit, bytes: 64 } };
        let bytes = build(&index_header(), keys.iter().rev().map(entry).collect()).unwrap();
        prop_assert_eq!(bytes.len() as u64, file_bytes(keys.len()));
        let index = CacheIndex::open("test.index".to_owned(), bytes).unwrap();
        index.verify().unwrap();
        prop_assert_eq!(index.header(), &index_header());
        for key in keys.keys().chain(&others).flat_map(|key| [*key, key.wrapping_add(1)]) {
            prop_assert_eq!(index.find(key).unwrap().map(|place| place.unit), keys.get(&key).copied());
        }
        let found: BTreeMap<_, _> = index.entries().map(|entry| entry.map(|entry| (entry.fingerprint, entry.place.unit)).unwrap()).collect();
        prop_assert_eq!(found, keys);
    }
}

#[test]
fn the_size_of_an_index_is_known_before_and_rises_with_its_entries() {
    let mut before = 0;
    for count in (0..3_000).chain([10_000, 65_536, 229_376]) {
        assert!(file_bytes(count) >= before, "{count}");
        before = file_bytes(count);
    }
    for count in [0, 1, 7, 8, 4_095, 4_096, 20_000] {
        let entries = (0..count as u64).map(|n| IndexEntry {
            fingerprint: fingerprint(1, 0, &n.to_le_bytes()),
            place: Place { unit: 6, bytes: 64 },
        });
        let bytes = build(&index_header(), entries.collect()).unwrap();
        assert_eq!(bytes.len() as u64, file_bytes(count), "{count}");
    }
}

#[test]
fn an_index_whose_parts_contradict_each_other_is_damage() {
    let entry = |fingerprint, unit, bytes| IndexEntry {
        fingerprint,
        place: Place { unit, bytes },
    };
    for entries in [
        vec![entry(3, 6, 64), entry(3, 14, 64)],
        vec![entry(3, 6, 40)],
        vec![entry(3, 1 << 20, 64)],
    ] {
        let bytes = build(&index_header(), entries).unwrap();
        let index = CacheIndex::open("test.index".to_owned(), bytes).unwrap();
        index.verify().unwrap_err();
    }
}
