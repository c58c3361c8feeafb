//! Sound files, made by the encoders: what damage is done to, and inputs to begin with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use orrery_formats::cache::Place;
use orrery_formats::cache::index::{self, IndexEntry, IndexHeader};
use orrery_formats::event::Encoding;
use orrery_formats::keys::{self, KeyEntry, KeysHeader};
use orrery_formats::mask::{self, Chunk, MaskHeader};
use orrery_formats::segment::{
    self, ActorState, ActorsInput, BucketInput, EventCounts, PASSED_HASH_BITS, PassedKey, RowInput,
    Sample, SegmentInput, ShapeInput, TargetKey,
};
use orrery_formats::sketch::{Element, Sketch};

use crate::rng::Rng;

/// Actors of the key index.
const KEY_ACTOR: u32 = 5;

/// The first actor of a sample segment.
pub(super) const FIRST_ACTOR: u32 = 1000;

/// A segment of 40 rows, a few KiB.
pub(super) fn small_segment() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| segment_of(40, 12, 150, 150))
}

/// A segment in which a few targets have a table of their own, since most links are to them, and one a long list. It is
/// short enough to be changed whole.
pub(super) fn hot_segment() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| segment_of(300, 120, 40, 12))
}

/// A segment of several chunks, with lists of every kind.
pub(super) fn large_segment() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| segment_of(3000, 900, 4000, 150))
}

/// A segment without anything.
pub(super) fn empty_segment() -> Vec<u8> {
    segment::build(&SegmentInput::default()).unwrap()
}

const COLLECTIONS: [&str; 3] = [
    "app.bsky.feed.like",
    "app.bsky.feed.post",
    "sh.tangled.star",
];
const KEYS: [&str; 5] = [
    "3jzfcijpj2z2a",
    "self",
    "3kabcdefghijk",
    "2222222222222",
    "a:key.of_another~kind",
];

/// At most `beside` samples, and no more buckets or accounts in one.
fn segment_of(rows: u32, targets: u32, dids: u32, beside: u32) -> Vec<u8> {
    let mut rng = Rng::new(u64::from(rows));
    let texts: Vec<String> = (0..targets)
        .map(|i| match i % 3 {
            0 => format!("https://example.com/{i}/{}", i * i),
            1 => format!("3k{i:011}").replace(['0', '1', '8', '9'], "z"),
            _ => format!("key-{i}"),
        })
        .collect();
    let target = |i: u32, text| match i % 6 {
        0 | 3 => TargetKey::Other(text),
        1 => TargetKey::Did(i * 3),
        _ => TargetKey::Record {
            actor: FIRST_ACTOR + i / 6,
            collection: COLLECTIONS[(i % 2) as usize],
            rkey: text,
        },
    };
    let shapes = vec![
        ShapeInput {
            collection: COLLECTIONS[0],
            runs: vec![(".subject.uri", 1)],
        },
        ShapeInput {
            collection: COLLECTIONS[1],
            runs: vec![(".embed.record.uri", 1), (".facets[].did", 2)],
        },
        ShapeInput {
            collection: COLLECTIONS[2],
            runs: vec![(".subject", 1)],
        },
    ];
    let mut link_targets = Vec::new();
    let mut input_rows = Vec::new();
    let mut seq = 100;
    for i in 0..rows {
        seq += 1 + rng.below(3) as u64;
        let shape = rng.below(3) as u32;
        for _ in 0..[1, 3, 1][shape as usize] {
            // Most rows link to the first target, many to the next two, so that lists are long.
            let link = match rng.below(8) {
                0..4 => 0,
                4 => 1,
                5 => 2 + rng.below(4) as u32,
                _ => rng.below(targets as usize) as u32,
            };
            link_targets.push(link);
        }
        input_rows.push(RowInput {
            seq,
            time_us: 1_700_000_000_000_000 + u64::from(i) * 1_500_000,
            actor: FIRST_ACTOR + rng.below(dids as usize / 4) as u32,
            shape,
            rkey: KEYS[rng.below(5)],
        });
    }
    let dids: Vec<String> = (0..dids)
        .map(|i| match i % 10 {
            0 => format!("did:web:{i}.example.com"),
            _ => format!("did:plc:{:024}", u64::from(i) * 7_919).replace(['0', '1', '8', '9'], "q"),
        })
        .collect();
    let states: BTreeMap<u32, ActorState> = (0..dids.len() as u32)
        .step_by(2)
        .map(|i| {
            let state = ActorState {
                id: FIRST_ACTOR / 2 + i,
                last_rev: u64::from(i) << 40,
                account_seq: u64::from(i % 3) * u64::from(i > 130),
                status: u8::from(i % 5 == 0),
                purged_us: u64::from(i % 32 == 4) * (1_700_000_000_000_000 + u64::from(i)),
            };
            (state.id, state)
        })
        .collect();
    let ids: Vec<u32> = states.keys().copied().collect();
    let passed: BTreeSet<PassedKey> = (0..rows)
        .filter_map(|i| {
            let actor = *ids.get(rng.below(ids.len().max(1)))?;
            let hash = rng.below(1 << PASSED_HASH_BITS) as u32 >> (i % 3 * 9);
            Some(PassedKey { actor, hash })
        })
        .collect();
    let bodies: Vec<(String, String)> = (0..rows.min(beside))
        .map(|i| {
            // Most in blocks with others, one in a block of its own.
            let length = if i == 17 { 40_000 } else { rng.below(900) };
            let text = "ab ".repeat(length / 3);
            (
                format!("key-{}", i % 90),
                format!(r#"{{"n":{i},"text":"{text}"}}"#),
            )
        })
        .collect();
    let records = (0..).zip(&bodies).map(|(i, (rkey, body))| Sample {
        collection: COLLECTIONS[i as usize / 50],
        seq: 95 + u64::from(i % 50),
        time_us: 1_700_000_000_000_000 + u64::from(i * 7 % 50),
        rev: u64::from(i) << 40,
        actor: FIRST_ACTOR + i % 13,
        is_update: i % 3 == 0,
        encoding: Encoding::Json,
        rkey,
        body: body.as_bytes(),
    });
    segment::build(&SegmentInput {
        samples: records.collect(),
        first_seq: 90,
        last_seq: seq + 10,
        first_time_us: 1_700_000_000_000_000,
        last_time_us: 1_800_000_000_000_000,
        did_seed: 0x5eed,
        rows: input_rows,
        shapes,
        targets: (0..)
            .zip(&texts)
            .map(|(i, text)| target(i, text.as_str()))
            .collect(),
        link_targets,
        actors: ActorsInput {
            first_id: FIRST_ACTOR,
            dids: dids.iter().map(String::as_str).collect(),
            states: states.into_values().collect(),
        },
        kills: (0..u64::from(rows) / 8).map(|i| 1 + i * 11).collect(),
        passed: passed.into_iter().collect(),
        buckets: (0..beside.min(12))
            .map(|i| BucketInput {
                collection: ["a.b.one", "app.bsky.feed.like"][usize::from(i < 11)],
                hour: 472_223 + i * 19,
                counts: EventCounts {
                    creates: 500,
                    updates: u64::from(i),
                    deletes: 3,
                },
                sketch: sketch(u64::from(rows.min(100).min(beside)) * u64::from(i % 4 + 1)),
            })
            .collect(),
    })
    .unwrap()
}

/// An encoded sketch of so many accounts.
pub(super) fn sketch(accounts: u64) -> Vec<u8> {
    let mut sketch = Sketch::new();
    for account in 0..accounts {
        let hash = (account + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sketch.add(Element::of_hash(hash ^ hash >> 29));
    }
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    bytes
}

/// A key index of `count` entries.
pub(super) fn keys(count: u32) -> Vec<u8> {
    let entries = (0..count).map(|i| KeyEntry {
        fingerprint: key(i),
        rev: 1 << 50 | u64::from(i),
        frame: 6 + i,
        ordinal: i % 7,
    });
    let header = KeysHeader {
        first_seq: 1,
        last_seq: 100,
        log_bytes: 1 << 20,
        log_seed: 9,
        min_rev: 0,
        max_rev: 0,
        count: 0,
        bucket_bits: 0,
    };
    keys::build(header, entries.collect()).unwrap()
}

/// An index of `count` cached values.
pub(super) fn cache_index(count: u32) -> Vec<u8> {
    let entries = (0..count).map(|i| IndexEntry {
        fingerprint: cache_key(i),
        place: Place {
            unit: 6 + 8 * i,
            bytes: 64,
        },
    });
    let header = IndexHeader {
        directory_id: [3; 16],
        number: 7,
        values_bytes: 1 << 20,
        last_checksum: 9,
        max_as_of_seq: 100,
    };
    index::build(&header, entries.collect()).unwrap()
}

/// The fingerprint of an entry of [`cache_index`], by its number.
pub(super) fn cache_key(i: u32) -> u64 {
    orrery_formats::cache::fingerprint(3, 0, &i.to_le_bytes())
}

/// The fingerprint of an entry of [`keys`], by its number.
pub(super) fn key(i: u32) -> u64 {
    keys::fingerprint(
        KEY_ACTOR,
        keys::key_hash(3, "app.bsky.feed.like", &i.to_string()),
    )
}

/// A mask of a segment of `rows` rows.
pub(super) fn mask(rows: u32) -> Vec<u8> {
    let header = MaskHeader {
        directory_id: [7; 16],
        segment_id: 3,
        segment_checksum: 4,
        through_seq: 5,
        masked_links: 1000,
        rows,
        ..MaskHeader::default()
    };
    let mut fill = |number: u32, chunk: &mut Chunk| {
        // Every third chunk has none, every other one dead rows only.
        for row in (0..1024)
            .step_by(3 + number as usize)
            .filter(|_| number % 3 < 2)
        {
            chunk.set(row, 1 + 2 * u8::from(number % 2 == 1 && row % 2 == 0));
        }
        Ok(())
    };
    mask::build(header, &mut fill, &[(1, 3), (7, 1), (900, 20)]).unwrap()
}

/// An exclude list with so many entries.
pub(super) fn exclusions(count: u64) -> Vec<u8> {
    use orrery_formats::exclusions::{ExclusionEntry, ExclusionKind, encode};
    let entries: Vec<ExclusionEntry> = (0..count)
        .map(|n| ExclusionEntry {
            kind: ExclusionKind::Account,
            value: format!("did:plc:{n:024}"),
            time_us: n,
            reason: "x".repeat(n as usize % 20),
            is_leaving: n % 3 == 0,
        })
        .collect();
    encode(&entries).unwrap()
}

#[cfg(test)]
mod tests {
    use orrery_formats::chunks::SealedFile;
    use orrery_formats::segment::{KIND, Segment, VERSION};

    #[test]
    fn the_segment_with_hot_targets_has_some() {
        let bytes = super::hot_segment().to_vec();
        let file = SealedFile::open("a.segment".to_owned(), bytes, KIND, VERSION..=VERSION);
        let sizes = Segment::open(file.unwrap()).unwrap().section_sizes();
        assert!(
            sizes
                .iter()
                .any(|(name, len)| *name == "hot targets" && *len > 0)
        );
    }
}
