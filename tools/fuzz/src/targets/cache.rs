//! Cached values: one entry whose checksum is mended, and a whole file as it is.

use orrery_formats::cache::{
    self, Base, Content, ENTRY_HEAD_BYTES, Entry, FILE_HEADER_BYTES, FileHeader, Place, Read,
    VALUE_BYTES_MAX,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Outcome, Target, heap};

/// What errors take.
const HEAP_MAX: usize = 4_096;
/// A value takes what its entry says, which is bounded.
const VALUE_HEAP_MAX: usize = VALUE_BYTES_MAX + HEAP_MAX;

fn header() -> FileHeader {
    FileHeader {
        number: 7,
        directory_id: [3; 16],
    }
}

/// A file with an entry of each kind, and where they begin.
fn file() -> (Vec<u8>, Vec<usize>) {
    let record = br#"{"$type":"app.bsky.feed.post","text":"one two one two"}"#.repeat(5);
    let mut buffer = Vec::new();
    let base = Base {
        number: 6,
        checksum: 5,
        place: Place {
            unit: 6,
            bytes: 128,
        },
    };
    let mut out = header().encode();
    let (mut previous, mut starts) = (header().seed(), Vec::new());
    for content in [
        Content::of(&record, &mut buffer).unwrap(),
        Content::Plain(b"did:plc:abc"),
        Content::Refreshed(base),
        Content::Removed,
    ] {
        let at = out.len();
        starts.push(at);
        let entry = Entry {
            space: 0,
            key: b"at://did:plc:abc/app.bsky.feed.post/3k",
            as_of_seq: 1_000,
            checked_us: 1_786_000_000_000_000,
            content,
        };
        previous = entry
            .encode(header().seed(), at as u64, previous, &mut out)
            .unwrap();
    }
    (out, starts)
}

/// Reads the entry at the start of `bytes`, which stands at `offset`. Gives its length and what it says.
fn read(bytes: &[u8], offset: u64) -> orrery_formats::Result<(usize, Read<'_>)> {
    let missing = || orrery_formats::Error::corrupt("cache entry", offset, "an entry", "its end");
    let head = bytes.first_chunk().ok_or_else(missing)?;
    let len = cache::entry_bytes(head, offset)?;
    let bytes = bytes.get(..len).ok_or_else(missing)?;
    let seed = header().seed();
    let read = heap::at_most(HEAP_MAX, || cache::decode(bytes, seed, offset))?;
    assert_eq!(read.entry.bytes(), len);
    let mut again = Vec::new();
    let previous = u64::from(read.previous);
    let checksum = read.entry.encode(seed, offset, previous, &mut again);
    assert_eq!(checksum, Ok(read.checksum));
    assert_eq!(again, bytes, "{:?}", read.entry);
    Ok((len, read))
}

pub(super) const CACHE_ENTRY: Target = Target {
    name: "cache-entry",
    about: "one cached value, with its checksum mended, decoded and encoded again to the same bytes",
    seeds: || {
        let (file, mut starts) = file();
        starts.push(file.len());
        let entries = starts
            .windows(2)
            .map(|ends| file[ends[0]..ends[1]].to_vec());
        let mut entries: Vec<_> = entries.collect();
        // A frame that claims to unpack to more.
        let mut broken = entries[0].clone();
        broken[20..24].copy_from_slice(&(VALUE_BYTES_MAX as u32).to_le_bytes());
        entries.push(broken);
        entries
    },
    words: &["did:plc:a"],
    check: |input| {
        let mut entry = input.to_vec();
        if let Some(head) = entry.first_chunk::<ENTRY_HEAD_BYTES>()
            && let Ok(len) = cache::entry_bytes(head, 0)
            && let Some(rest) = entry.get(8..len)
        {
            let sum = xxh3_64_with_seed(rest, header().seed());
            entry[..8].copy_from_slice(&sum.to_le_bytes());
        }
        match read(&entry, 0) {
            Ok((_, read)) => {
                let value = heap::at_most(VALUE_HEAP_MAX, || read.entry.content.value());
                Outcome::of(&value.map(|value| value.map(|value| value.len().min(9))))
            }
            Err(error) => Outcome::of(&error),
        }
    },
};

pub(super) const CACHE_FILE: Target = Target {
    name: "cache-file",
    about: "a file of cached values: its header, and its entries up to the first bad one",
    seeds: || vec![file().0],
    words: &[],
    check: |input| {
        let header = FileHeader::decode(input);
        if let Ok(header) = &header {
            assert_eq!(header.encode(), input[..FILE_HEADER_BYTES]);
        }
        let (mut at, mut entries) = (FILE_HEADER_BYTES, 0);
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match read(rest, at as u64) {
                Ok((len, _)) => (at, entries) = (at + len, entries + 1),
                Err(error) => {
                    return Outcome::of(&(header.err(), "x".repeat(entries.min(9)), error));
                }
            }
        }
    },
};
