//! Segments against a model: the input itself, asked by search.

mod blocks;
mod damage;
mod golden;
mod hot;
mod keys;
mod merge;
mod model;
mod readers;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::ef::EfHead;
use super::keyblock::{self, PackedKey};
use super::*;
use crate::bits::{BitWriter, width_for};
use crate::chunks::{Region, SealedFile};
use model::{Owned, check};

fn open(bytes: Vec<u8>) -> crate::Result<Segment> {
    Segment::open(SealedFile::open(
        "test.segment".to_owned(),
        bytes,
        KIND,
        VERSION..=VERSION,
    )?)
}

/// What happened: rows are given as (gap of seqs, gap of times in ms, actor, shape, key), and links as
/// indexes into the pool of targets.
fn owned() -> impl Strategy<Value = Owned> {
    let keys = prop_oneof![
        3 => (0u64..40_000, 0u64..32).prop_map(|(ms, clock)| {
            tid_text(((1_700_000_000_000 + ms) * 1000) << 10 | clock)
        }),
        2 => (0u64..40_000_000, 0u64..1024).prop_map(|(us, clock)| {
            tid_text((1_700_000_000_000_000 + us) << 10 | clock)
        }),
        1 => (0u64..1 << 63).prop_map(tid_text),
        2 => prop_oneof![Just("self".to_owned()), "[a-c]{1,3}", Just("ü".to_owned())],
    ];
    let collections = prop::sample::select(vec!["app.like", "app.post", "app.follow", "x"]);
    let target = prop_oneof![
        (0u32..40).prop_map(model::Target::Did),
        (0u32..40, collections.clone(), keys.clone()).prop_map(|(actor, collection, rkey)| {
            model::Target::Record(actor, collection.into(), rkey)
        }),
        "(https://[a-d]{1,3}|)".prop_map(model::Target::Other),
    ];
    let path = prop::sample::select(vec![
        ".a",
        ".b",
        ".subject.uri",
        ".subject",
        ".facets[].uri",
    ]);
    let shape = (
        collections,
        prop::collection::btree_map(path, prop_oneof![8 => 1u32..3, 1 => 3u32..9], 1..4),
    );
    let row = (
        prop_oneof![4 => Just(1u64), 1 => 1u64..1000, 1 => Just(1u64 << 40)],
        prop_oneof![6 => 0i64..5, 1 => -5i64..3000],
        prop_oneof![4 => 0u32..5, 1 => any::<u32>()],
        any::<prop::sample::Index>(),
        keys,
    );
    let state = (
        any::<u32>(),
        0u64..1 << 63,
        prop_oneof![2 => Just(0u64), 1 => any::<u64>()],
        0u8..2,
        prop_oneof![9 => Just(0u64), 1 => 1u64..1 << 51, 1 => any::<u64>()],
    );
    let passed = (
        any::<u32>(),
        prop_oneof![1 => 0u32..40, 2 => 0u32..1 << PASSED_HASH_BITS],
    );
    let body = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (0usize..70_000).prop_map(|len| vec![b'x'; len]),
    ];
    let sample = (
        prop_oneof![4 => 1u64..9, 1 => 1u64..1000],
        prop_oneof![4 => 0u32..5, 1 => any::<u32>()],
        0u8..4,
        prop_oneof![4 => Just("app.like"), 1 => prop::sample::select(vec!["app.post", "x", "y.z", ""])],
        "[a-zü]{0,9}",
        body,
    );
    (
        prop::collection::vec(shape, 1..6),
        prop::collection::btree_set(target, 1..60),
        prop::collection::vec(row, 0..700),
        any::<u64>(),
        prop::collection::vec(
            prop_oneof![
                "did:plc:[a-z2-7]{24}",
                "did:plc:[a-z1-9]{24}",
                "did:web:[a-z.]{1,9}"
            ],
            0..30,
        ),
        prop::collection::vec(state, 0..300),
        prop::collection::vec(any::<u64>(), 0..20),
        prop::collection::vec(passed, 0..500),
        buckets(),
        prop::collection::vec(sample, 0..300),
    )
        .prop_map(
            |(shapes, targets, rows, seed, dids, states, kills, passed, buckets, samples)| {
                Owned::new(shapes, targets, rows, seed, dids, states, kills)
                    .with_passed(passed)
                    .with_buckets(buckets)
                    .with_samples(samples)
            },
        )
}

fn buckets() -> impl Strategy<Value = model::Buckets> {
    let name = prop_oneof![
        4 => prop::sample::select(vec!["app.like", "app.post", "z.only"]).prop_map(str::to_owned),
        1 => "junk\\.[a-z]{1,4}",
    ];
    let hour = prop_oneof![4 => 0u32..60, 2 => 0u32..1000, 1 => 0u32..9000];
    let accounts = prop_oneof![6 => 1u64..4, 2 => 1u64..200, 1 => 1u64..9000];
    prop::collection::btree_map(
        (name, hour),
        (1u64..500, 0u64..3, 0u64..300, accounts),
        0..60,
    )
}

fn tid_text(value: u64) -> String {
    RecordKey::Tid(value).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_answer_is_that_of_the_input(owned in owned()) {
        let input = owned.input();
        let bytes = build(&input).unwrap();
        prop_assert_eq!(&bytes, &build(&input).unwrap(), "the same bytes each time");
        let segment = open(bytes).unwrap();
        segment.verify().unwrap();
        check(&input, &segment);
    }

    #[test]
    fn accounts_kills_and_passed_keys_are_read_from_the_sections_named_for_them(owned in owned()) {
        let sound = open(build(&owned.input()).unwrap()).unwrap();
        let file = sound.file();
        let mut builder = crate::envelope::FileBuilder::new(KIND, VERSION);
        for (id, _) in file.sections() {
            let is_kept = [ACCOUNT_SECTIONS, PASSED_SECTIONS, KILL_SECTIONS].concat().contains(&id);
            let bytes = file.section(id).unwrap().all().unwrap();
            builder.section(id, if is_kept { bytes } else { b"" });
        }
        let segment = open(builder.finish()).unwrap();
        let text = |segment: &Segment| {
            let info = segment.info();
            let ids = info.actors_first_id..info.actors_first_id + info.actors_count;
            let dids: Vec<String> = ids
                .map(|id| segment.did(id).unwrap().unwrap().text().to_string())
                .collect();
            let found: Vec<_> = dids.iter().map(|did| segment.find_did(did).unwrap()).collect();
            let absent = segment.find_did("did:web:absent.example.com").unwrap();
            let states: Vec<_> = segment.states().unwrap().map(Result::unwrap).collect();
            let each: Vec<_> = states.iter().map(|state| segment.state(state.id).unwrap()).collect();
            let accounts: Vec<_> = segment.account_states().unwrap().map(Result::unwrap).collect();
            let kills: Vec<_> = segment.kills().unwrap().map(Result::unwrap).collect();
            let passed: Vec<_> = segment.passed_keys().unwrap().map(Result::unwrap).collect();
            let holds: Vec<_> = passed.iter().map(|key| segment.holds_passed_key(*key).unwrap()).collect();
            format!("{dids:?}{found:?}{absent:?}{states:?}{each:?}{accounts:?}{kills:?}{passed:?}{holds:?}")
        };
        prop_assert_eq!(text(&segment), text(&sound));
    }

    #[test]
    fn a_block_code_gives_each_number_back(
        mut values in prop::collection::vec(
            prop_oneof![0u64..10, 0u64..100_000, any::<u64>()], 1..129),
        offset in 0u32..8,
    ) {
        values.sort_unstable();
        let head = EfHead::choose(values.len() as u64, *values.last().unwrap());
        let mut bits = BitWriter::new();
        bits.write(0x55, offset);
        head.write(&values, &mut bits);
        let count = values.len() as u64;
        prop_assert_eq!(bits.len_bits(), u64::from(offset) + head.bit_len(count));
        let bytes = bits.finish();
        for (i, value) in values.iter().enumerate() {
            let found = head.read(Region::over("t", &bytes), offset.into(), count, i as u64);
            prop_assert_eq!(found.unwrap(), *value);
        }
    }

    #[test]
    fn a_block_of_keys_gives_each_key_back(keys in prop::collection::vec(prop_oneof![
        (0u64..1 << 20).prop_map(|ms| PackedKey::Tid((((1_700_000_000_000 + ms) * 1000) << 10) | (ms & 31))),
        (0u64..1 << 20).prop_map(|low| PackedKey::Tid(1_700_000_000_000_000 << 10 | low)),
        (0u64..1 << 63).prop_map(PackedKey::Tid),
        (0u64..1 << 34).prop_map(|time| PackedKey::Tid((1_700_000_000_000_000 + (time >> 5)) << 10 | (time & 31))),
        (0u64..1 << 52).prop_map(|time| PackedKey::Tid((time >> 5) << 10 | (time & 31))),
        any::<u32>().prop_map(PackedKey::Str),
        Just(PackedKey::Tid(0)), Just(PackedKey::Tid((1 << 63) - 1)), Just(PackedKey::Str(0)),
    ], 1..129)) {
        let mut bytes = vec![7; 3];
        keyblock::encode(&keys, &mut Vec::new(), &mut bytes);
        let region = Region::over("t", &bytes);
        for (i, key) in keys.iter().enumerate() {
            let found = keyblock::read(region, 3, keys.len() as u64, i as u64);
            prop_assert_eq!(found.unwrap(), *key);
        }
    }

    #[test]
    fn links_to_hot_and_other_targets_are_read_in_any_order(
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0u32..5), 1..2000),
        targets in 1u32..3000,
        skips in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        // Most links go to few targets, so that there are hot ones.
        let all: Vec<u32> = picks.iter().map(|(index, size)| {
            index.index([1, 3, 20, 90, targets as usize][*size as usize].min(targets as usize)) as u32
        }).collect();
        let mut rows = vec![0u64; targets as usize];
        for target in &all {
            rows[*target as usize] += 1;
        }
        let mut hot = links::HotTargets::default();
        for (target, rows) in (0..).zip(&rows) {
            hot.push(target, *rows);
        }
        let hot = hot.finish(targets);
        let mut writer = links::LinksWriter::new(&hot);
        let (mut directory, mut data) = (Vec::new(), Vec::new());
        for target in &all {
            writer.push(*target, &mut directory, &mut data).unwrap();
        }
        writer.finish(&mut directory, &mut data).unwrap();
        let table = hot.encode();
        // Hot targets are there to save bytes, but for what fills up the blocks.
        let plain = (all.len() * width_for(u64::from(targets - 1)) as usize).div_ceil(8);
        prop_assert!(data.len() + table.len() <= plain + directory.len() / 4 + 1);
        let links = links::LinkTargets {
            data: Region::over("links", &data),
            directory: Region::over("link directory", &directory),
            hot: Region::over("hot targets", &table),
            links: all.len() as u32,
            targets,
            hot_targets: hot.len(),
            hot_widths: hot.widths(),
        };
        let mut cursor = links.from(0);
        for target in &all {
            prop_assert_eq!(cursor.read().unwrap(), *target);
        }
        prop_assert!(cursor.read().is_err());
        for skip in skips {
            let at = skip.index(all.len());
            let mut cursor = links.from((at / 2) as u32);
            cursor.seek(at as u32);
            prop_assert_eq!(cursor.read().unwrap(), all[at]);
        }
        let (mut known, mut block) = (links::KnownHot::default(), [0; 128]);
        for (number, targets) in (0..).zip(all.chunks(block.len())) {
            let count = cursor.decode(number, &mut block, &mut known).unwrap();
            prop_assert_eq!(&block[..count], targets);
        }
    }

    #[test]
    fn a_damaged_index_of_dids_never_panics(
        hashes in prop::collection::vec(any::<u64>(), 1..400),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        probe in any::<u64>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut order: Vec<(u64, u32)> = hashes.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let actors = hashes.len() as u32;
        let mut writer = did_index::DidIndexWriter::new(actors);
        let mut bytes = Vec::new();
        for (hash, index) in order {
            writer.push(hash, index, &mut bytes);
        }
        writer.finish(&mut bytes);
        let candidates = |bytes: &[u8], hash| {
            let region = Region::over("DID index", bytes);
            let found = did_index::DidIndex { region, actors }.candidates(hash)?;
            found.collect::<crate::Result<Vec<u32>>>()
        };
        for (hash, index) in hashes.iter().zip(0..) {
            prop_assert!(candidates(&bytes, *hash).unwrap().contains(&index));
        }
        for (index, xor) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= xor;
        }
        for hash in hashes.iter().copied().chain([probe, 0, u64::MAX]) {
            if let Ok(found) = candidates(&bytes, hash) {
                prop_assert!(found.iter().all(|index| *index < actors));
            }
        }
        bytes.truncate(cut.index(bytes.len()));
        let _ = candidates(&bytes, probe);
    }

    #[test]
    fn only_a_did_that_prints_back_is_packed(did in prop_oneof![
        "did:plc:[a-z2-7]{24}", "did:plc:[a-zA-Z0-9]{23,25}", "did:PLC:[a-z2-7]{24}",
    ]) {
        match value::plc_bytes(&did) {
            Some(bytes) => prop_assert_eq!(DidRef::Plc(bytes).to_string(), did),
            None => {
                let digits = did.strip_prefix("did:plc:").unwrap_or_default().bytes();
                let digits = digits.filter(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
                prop_assert!(did.len() != 32 || digits.count() != 24);
            }
        }
    }
}

#[test]
fn an_empty_segment_opens_and_has_nothing() {
    let input = SegmentInput {
        first_seq: 5,
        last_seq: 9,
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    segment.verify().unwrap();
    check(&input, &segment);
    assert_eq!(segment.lower_bound_seq(0).unwrap(), 0);
    assert!(!segment.may_hold_key(1, "a", "b").unwrap());
    assert!(segment.seq(0).is_err());
}

#[test]
fn long_lists_of_both_kinds_answer_by_index_and_by_row() {
    // Every row links to the first target, every third to the second, few to the third, so that one
    // list is dense enough for a bitmap and one is not.
    let shape = |count| ShapeInput {
        collection: "c",
        runs: vec![(".p", count)],
    };
    let rows: Vec<RowInput<'_>> = (0u32..150_000)
        .map(|i| RowInput {
            seq: u64::from(i) + 1,
            time_us: u64::from(i) * 1000,
            actor: i % 1000,
            shape: u32::from(i % 1000 == 0),
            rkey: "self",
        })
        .collect();
    let link_targets = rows
        .iter()
        .flat_map(|row| if row.shape == 1 { vec![0, 1] } else { vec![0] })
        .collect();
    let input = SegmentInput {
        first_seq: 1,
        last_seq: 150_000,
        first_time_us: 0,
        last_time_us: 149_999_000,
        rows,
        shapes: vec![shape(1), shape(2)],
        targets: vec![TargetKey::Did(1), TargetKey::Did(2)],
        link_targets,
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    segment.verify().unwrap();
    for (target, step) in [(0u32, 1usize), (1, 1000)] {
        let expected: Vec<u32> = (0..150_000).step_by(step).collect();
        let list = segment.find_list(target, 0).unwrap().unwrap();
        assert!(list.is_long());
        assert_eq!(list.len() as usize, expected.len());
        for i in [0, 1, 64, 149, expected.len() - 1] {
            if let Some(row) = expected.get(i) {
                assert_eq!(list.get(i as u32).unwrap(), *row);
            }
        }
        for row in [
            0,
            1,
            999,
            1000,
            1001,
            65_536,
            149_000,
            149_999,
            150_000,
            u32::MAX,
        ] {
            let place = expected.partition_point(|&other| other < row);
            assert_eq!(list.lower_bound(row).unwrap() as usize, place, "{row}");
        }
        for i in [0, 1, 70, expected.len() as u32] {
            let up: Vec<u32> = list.iter_from(i).map(Result::unwrap).collect();
            assert_eq!(up, &expected[i as usize..]);
            let mut down: Vec<u32> = list.iter_back_from(i).map(Result::unwrap).collect();
            down.reverse();
            assert_eq!(down, &expected[..i as usize]);
        }
        assert!(list.get(list.len()).is_err());
    }
}

/// DIDs whose index has several groups, some of them empty or full by chance.
#[test]
fn each_did_is_found_and_few_others_are_compared() {
    for count in [1usize, 63, 64, 65, 5000] {
        let dids: Vec<String> = (0..count)
            .map(|i| match i % 10 {
                0 => format!("did:web:{i}.example.com"),
                _ => value::DidRef::Plc(
                    [(i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)]
                        .map(u128::to_be_bytes)
                        .concat()[..15]
                        .try_into()
                        .unwrap(),
                )
                .to_string(),
            })
            .collect();
        let input = SegmentInput {
            first_seq: 1,
            last_seq: 1,
            did_seed: 77,
            actors: ActorsInput {
                first_id: 1000,
                dids: dids.iter().map(String::as_str).collect(),
                states: Vec::new(),
            },
            ..SegmentInput::default()
        };
        let segment = open(build(&input).unwrap()).unwrap();
        segment.verify().unwrap();
        for (id, did) in (1000..).zip(&dids) {
            assert_eq!(segment.find_did(did).unwrap(), Some(id), "{did}");
        }
        let index = did_index::DidIndex {
            region: Section::DidIndex.of(segment.file()).unwrap(),
            actors: count as u32,
        };
        let compared: usize = (0..6400)
            .map(|i| hash::did(&format!("did:web:absent-{i}"), 77))
            .map(|hash| index.candidates(hash).unwrap().count())
            .sum();
        // One in 64 on average where groups are full: 100, and not even 200.
        assert!(compared < 200, "{compared} of {count}");
    }
}

#[test]
fn a_tid_outside_the_window_is_found_through_the_stray_filter() {
    let inside = tid_text(1_700_000_000_000_000 << 10);
    let outside = tid_text(1_600_000_000_000_000 << 10);
    let row = |seq, rkey| RowInput {
        seq,
        time_us: 1_700_000_000_000_000,
        actor: 3,
        shape: 0,
        rkey,
    };
    let input = SegmentInput {
        first_seq: 1,
        last_seq: 3,
        first_time_us: 1_700_000_000_000_000,
        last_time_us: 1_700_000_000_000_000,
        rows: vec![row(1, &inside), row(2, &outside), row(3, "self")],
        shapes: vec![ShapeInput {
            collection: "c",
            runs: vec![(".p", 1)],
        }],
        targets: vec![TargetKey::Did(0)],
        link_targets: vec![0, 0, 0],
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    for rkey in [inside.as_str(), outside.as_str(), "self"] {
        assert!(segment.may_hold_key(3, "c", rkey).unwrap(), "{rkey}");
    }
    // Eight bits of fingerprint: of 200 strangers about one is held.
    let strangers = (0..200u64).map(|i| tid_text((1_500_000_000_000_000 + i) << 10));
    let held = strangers.filter(|rkey| segment.may_hold_key(3, "c", rkey).unwrap());
    assert!(held.count() < 20);
}

#[test]
fn inputs_that_break_the_rules_are_refused_by_name() {
    let good = golden::sample();
    let input = good.input();
    type Breaking<'f> = &'f dyn Fn(&mut SegmentInput<'_>);
    let broken: [(&str, Breaking<'_>); 10] = [
        ("rising seqs", &|input| {
            input.rows[1].seq = input.rows[0].seq
        }),
        ("rising seqs", &|input| input.last_seq = 1),
        ("index of a shape", &|input| input.rows[2].shape = 9999),
        ("index of a target", &|input| input.link_targets[0] = 9999),
        ("a target for each link", &|input| {
            input.link_targets.pop();
        }),
        ("as many targets", &|input| input.link_targets.push(0)),
        ("rising paths", &|input| {
            input.shapes[0].runs.push((".a", 1))
        }),
        ("rising ids", &|input| {
            let first = input.actors.states[0];
            input.actors.states.push(first);
        }),
        ("rising order", &|input| {
            let first = input.passed[0];
            input.passed.push(first);
        }),
        ("a state of each actor", &|input| {
            input.actors.states.truncate(1);
        }),
    ];
    for (expected, breaking) in broken {
        let mut input = input.clone();
        breaking(&mut input);
        let error = build(&input).unwrap_err().to_string();
        assert!(
            error.contains("segment input") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn a_revision_is_read_as_the_last_of_its_second() {
    let revs = [
        0,
        1,
        (1 << 30) - 1,
        1 << 30,
        1_700_000_000_000_000 << 10 | 77,
        (1 << 63) - 1,
    ];
    let states: Vec<ActorState> = (0u32..)
        .zip(revs)
        .map(|(id, last_rev)| ActorState {
            id,
            last_rev,
            ..ActorState::default()
        })
        .collect();
    let input = SegmentInput {
        actors: ActorsInput {
            states,
            ..ActorsInput::default()
        },
        ..SegmentInput::default()
    };
    let segment = open(build(&input).unwrap()).unwrap();
    for (id, rev) in (0u32..).zip(revs) {
        let read = segment.state(id).unwrap().unwrap().last_rev;
        assert_eq!(read, rev_bound(rev));
        // Never below the revision, above it by less than 2^20 us, and none stays none.
        assert!(read >= rev && read - rev < 1 << 30);
        assert_eq!(read == 0, rev == 0);
    }
}
