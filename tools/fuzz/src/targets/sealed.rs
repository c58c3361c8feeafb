//! Sealed files whose checksums hold and whose sections hold anything: what a bug of a writer, or somebody who
//! writes files by hand, could leave. Decoders may answer wrongly then, but end, take little memory and do not
//! panic; and what `verify` finds sound answers everything.
//!
//! An input is a row of sections: an id of one byte, a length of two, the contents. The last one takes what is
//! there.

use orrery_formats::cache::index::{self, CacheIndex};
use orrery_formats::chunks::SealedFile;
use orrery_formats::envelope::{FileBuilder, FileKind};
use orrery_formats::exclusions;
use orrery_formats::keys::{self, KeysFile};
use orrery_formats::mask::{self, MaskFile};
use orrery_formats::segment::{self, Segment};

use super::segment_answers::{Extent, ask};
use super::{samples, take};
use crate::{Outcome, Target, heap};

/// What errors, and tables of up to 256 sections, take.
const HEAP_MAX: usize = 32_768;
/// A check of buckets has a sketch for each of the four levels, and some bytes of what it compares.
const BUCKETS_HEAP: usize = 4 * 16_384 + 2 * 65_536;
/// What the links of one row take, each, while they are sorted.
const ROW_HEAP: usize = 32;
/// What the longest sample takes.
const SAMPLE_HEAP: usize = segment::SAMPLE_BODY_MAX + segment::SAMPLE_KEY_MAX + 64;
/// Rows, targets, lists and actors that are asked about.
const ASKED_MAX: u32 = 300;

/// The input that makes a sealed file.
fn parts(file: &[u8], kind: FileKind) -> Vec<u8> {
    let file = SealedFile::open(String::new(), file.to_vec(), kind, 0..=u16::MAX).unwrap();
    let mut out = Vec::new();
    for (id, len) in file.sections() {
        out.push(u8::try_from(id).unwrap());
        out.extend_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
        out.extend_from_slice(file.section(id).unwrap().all().unwrap());
    }
    out
}

/// The sealed file that an input makes.
fn sealed(mut input: &[u8], kind: FileKind, version: u16) -> Vec<u8> {
    let mut file = FileBuilder::new(kind, version);
    let mut seen = [false; 256];
    while !input.is_empty() {
        let [id] = take(&mut input);
        let len = usize::from(u16::from_le_bytes(take(&mut input)));
        let (contents, rest) = input.split_at(len.min(input.len()));
        input = rest;
        if !std::mem::replace(&mut seen[usize::from(id)], true) {
            file.section(id.into(), contents);
        }
    }
    file.finish()
}

/// Opens the segment that an input makes.
fn opened(bytes: Vec<u8>) -> orrery_formats::Result<Segment> {
    let versions = segment::VERSION..=segment::VERSION;
    SealedFile::open("a.segment".to_owned(), bytes, segment::KIND, versions).and_then(Segment::open)
}

/// Whether an input of the target `segment` opens, so that more than that is tried with it.
///
/// # Errors
/// Why it does not, as an input of another version's layout does not.
pub fn opens_as_segment(input: &[u8]) -> orrery_formats::Result<()> {
    opened(sealed(input, segment::KIND, segment::VERSION)).map(drop)
}

/// The inputs of the target `segment` that are kept as files, by their names: a segment with everything, and what was, or could be, done to
/// one. Made of what the encoder writes, so that they can be made anew with each version.
#[must_use]
pub fn kept_segments() -> Vec<(&'static str, Vec<u8>)> {
    const META: u8 = 1;
    const COLLECTIONS: u8 = 2;
    const SHAPES: u8 = 5;
    const ROW_DIRECTORY: u8 = 7;
    const HOT_TARGETS: u8 = 38;
    const LONG_DIRECTORY: u8 = 17;
    const PASSED_DIRECTORY: u8 = 37;
    /// Of the meta section: the count of targets.
    const TARGETS: usize = 64;

    let whole = parts(samples::hot_segment(), segment::KIND);
    let with = |section: u8, change: &dyn Fn(&mut [u8])| {
        let mut input = whole.clone();
        let mut at = 0;
        while let Some([id, low, high]) = input.get(at..at + 3) {
            let (id, len) = (*id, usize::from(u16::from_le_bytes([*low, *high])));
            let contents = &mut input[at + 3..at + 3 + len];
            if id == section {
                change(contents);
            }
            at += 3 + len;
        }
        input
    };
    // In front of the first shape stand two entries of eight bytes more, and the end; it has one path, with one link.
    let first_links = 3 * 8 + 4 + 3;
    vec![
        ("whole", whole.clone()),
        (
            "dictionary-that-contradicts-itself",
            with(COLLECTIONS, &|strings| strings[3] = 0x56),
        ),
        (
            "dictionary-without-strings",
            with(COLLECTIONS, &|strings| strings[5] = 0xff),
        ),
        (
            "targets-behind-the-last",
            with(META, &|meta| meta[TARGETS] -= 40),
        ),
        (
            "shape-without-links",
            with(SHAPES, &|shapes| shapes[first_links] = 0),
        ),
        (
            "shape-of-more-links",
            with(SHAPES, &|shapes| shapes[4] = 200),
        ),
        (
            "rows-that-share-links",
            with(ROW_DIRECTORY, &|directory| {
                for block in directory.chunks_mut(16) {
                    block[4..8].fill(0);
                }
            }),
        ),
        ("hot-target-twice", with(HOT_TARGETS, &|hot| hot.fill(0x55))),
        (
            "long-list-of-more-rows",
            with(LONG_DIRECTORY, &|lists| lists[12] += 1),
        ),
        (
            "passed-keys-that-fall",
            with(PASSED_DIRECTORY, &|passed| passed[..8].fill(0xff)),
        ),
    ]
}

pub(super) const SEGMENT: Target = Target {
    name: "segment",
    about: "segments of any sections under sound checksums: every accessor, and verify",
    seeds: || {
        [
            &samples::empty_segment(),
            samples::small_segment(),
            samples::hot_segment(),
        ]
        .map(|file| parts(file, segment::KIND))
        .into()
    },
    words: &[],
    check: |input| {
        let bytes = sealed(input, segment::KIND, segment::VERSION);
        let heap_max = HEAP_MAX + 4 * bytes.len();
        let segment = match heap::at_most(heap_max, || opened(bytes)) {
            Ok(segment) => segment,
            Err(error) => return Outcome::of(&error),
        };
        let info = segment.info();
        let extent = Extent::at_most(info, ASKED_MAX);
        let answers = ask(&segment, &extent, ASKED_MAX as usize);
        // A pass over counts that no sections stand behind would only take time.
        let verified = match info.rows.max(info.links) < 1 << 20 {
            true => Some(heap::at_most(
                HEAP_MAX + BUCKETS_HEAP + SAMPLE_HEAP + ROW_HEAP * info.links as usize,
                || segment.verify(),
            )),
            false => None,
        };
        let error = answers.errors().next();
        if matches!(verified, Some(Ok(()))) && extent.is_whole() {
            assert!(
                error.is_none(),
                "{error:?} of a segment that verify finds sound"
            );
        }
        Outcome::of(&(verified, error.map(ToString::to_string)))
    },
};

pub(super) const KEYS: Target = Target {
    name: "keys",
    about: "key indexes of any sections under sound checksums",
    seeds: || {
        [0, 1, 60]
            .map(|count| parts(&samples::keys(count), FileKind::KeyIndex))
            .into()
    },
    words: &[],
    check: |input| {
        let bytes = sealed(input, FileKind::KeyIndex, keys::VERSION);
        let opened = heap::at_most(HEAP_MAX + 4 * bytes.len(), || {
            KeysFile::open("a.keys".to_owned(), bytes)
        });
        let file = match opened {
            Ok(file) => file,
            Err(error) => return Outcome::of(&error),
        };
        let verified = heap::at_most(HEAP_MAX, || file.verify());
        for i in (0..60).map(samples::key).chain([0, u64::MAX]) {
            let found = file.find(i);
            assert!(
                found.is_ok() || verified.is_err(),
                "{found:?} of a sound index"
            );
        }
        let entries: Result<Vec<_>, _> = file.entries().take(1000).collect();
        if verified.is_ok() {
            for entry in entries.unwrap() {
                assert_eq!(file.find(entry.fingerprint), Ok(Some(entry)));
            }
        }
        Outcome::of(&verified)
    },
};

pub(super) const CACHE_INDEX: Target = Target {
    name: "cache-index",
    about: "indexes of cached values of any sections under sound checksums",
    seeds: || {
        [0, 1, 60]
            .map(|count| parts(&samples::cache_index(count), FileKind::CacheIndex))
            .into()
    },
    words: &[],
    check: |input| {
        let bytes = sealed(input, FileKind::CacheIndex, index::VERSION);
        let opened = heap::at_most(HEAP_MAX + 4 * bytes.len(), || {
            CacheIndex::open("a.index".to_owned(), bytes)
        });
        let file = match opened {
            Ok(file) => file,
            Err(error) => return Outcome::of(&error),
        };
        let verified = heap::at_most(HEAP_MAX, || file.verify());
        for i in (0..60).map(samples::cache_key).chain([0, u64::MAX]) {
            let found = file.find(i);
            assert!(
                found.is_ok() || verified.is_err(),
                "{found:?} of a sound index"
            );
        }
        let entries: Result<Vec<_>, _> = file.entries().take(1000).collect();
        if verified.is_ok() {
            for entry in entries.unwrap() {
                assert_eq!(file.find(entry.fingerprint), Ok(Some(entry.place)));
            }
        }
        Outcome::of(&verified)
    },
};

pub(super) const EXCLUSIONS: Target = Target {
    name: "exclusions",
    about: "exclude lists of any sections under sound checksums",
    seeds: || {
        [0, 1, 60]
            .map(|count| parts(&samples::exclusions(count), FileKind::Exclusions))
            .into()
    },
    words: &[],
    check: |input| {
        let bytes = sealed(input, FileKind::Exclusions, exclusions::VERSION);
        // An entry of eleven bytes takes a hundred, twice while the list grows.
        let most = HEAP_MAX + 40 * bytes.len();
        let list = heap::at_most(most, || exclusions::decode("EXCLUSIONS", bytes));
        if let Ok(list) = &list {
            let again = exclusions::encode(list).unwrap();
            assert_eq!(exclusions::decode("EXCLUSIONS", again).as_ref(), Ok(list));
        }
        Outcome::of(&list)
    },
};

pub(super) const MASK: Target = Target {
    name: "mask",
    about: "mask files of any sections under sound checksums",
    seeds: || {
        [0, 1, 5000]
            .map(|rows| parts(&samples::mask(rows), FileKind::Mask))
            .into()
    },
    words: &[],
    check: |input| {
        let bytes = sealed(input, FileKind::Mask, mask::VERSION);
        let opened = heap::at_most(HEAP_MAX + 4 * bytes.len(), || {
            MaskFile::open("a.mask".to_owned(), bytes)
        });
        let file = match opened {
            Ok(file) => file,
            Err(error) => return Outcome::of(&error),
        };
        let verified = heap::at_most(HEAP_MAX, || file.verify());
        let rows = file.header().rows;
        let mut column = file.column();
        for row in (0..rows).step_by(rows as usize / 500 + 1) {
            let state = file.state(row);
            assert!(
                state.is_ok() || verified.is_err(),
                "{state:?} of a sound mask"
            );
            assert_eq!(state.as_ref().ok(), column.get(row).as_ref().ok());
            let chunk = file
                .chunk(row / mask::CHUNK_ROWS)
                .map(|chunk| chunk.state(row));
            assert!(chunk.is_err() || chunk.ok() == state.ok());
        }
        assert!(file.state(rows).is_err() && column.get(rows).is_err());
        let mut lists = Vec::new();
        for list in file.lists().unwrap().take(1000) {
            lists.push(list.unwrap());
        }
        for (list, masked) in lists {
            let found = file.list(list).unwrap();
            assert!(
                found == masked || verified.is_err(),
                "{found} of list {list}"
            );
        }
        let _ = (file.list(0), file.list(u32::MAX));
        Outcome::of(&verified)
    },
};
