use super::*;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

fn directory() -> Directory {
    Directory {
        id: *b"orrery-directory",
        secret: [7; 32],
    }
}

fn segment(id: u64, first_seq: u64, last_seq: u64) -> SegmentEntry {
    SegmentEntry {
        id,
        first_seq,
        last_seq,
        bytes: 1000 + id,
        checksum: id * 3,
        first_time_us: 1_725_911_162_000_000,
        last_time_us: 1_725_911_163_000_000,
        actors_end: 10 * id as u32,
        level: id as u8,
    }
}

fn first() -> Edit {
    State::new(directory()).as_first()
}

fn seal() -> Edit {
    Edit {
        add: vec![segment(1, 1, 256)],
        sealed_through: Some(260),
        source_cursor: Some(SourceCursor {
            kind: 1,
            endpoint: "wss://a".to_owned(),
            value: 99,
        }),
        log_floor: Some(1),
        last_time_us: Some(1_725_911_162_329_308),
        gaps: vec![GapEntry {
            first_seq: 257,
            last_seq: Some(260),
            file: "x.log".to_owned(),
            offset: 48,
        }],
        counts: Some(Counts {
            live_rows: 5,
            live_links: 6,
            authors: 7,
        }),
        quarantine: vec![QuarantineEntry {
            id: 1,
            why: "chunk 0".to_owned(),
            applied_through: 260,
            written_off: WrittenOff::Whole,
        }],
        selections: vec![SelectionEntry {
            first_seq: 261,
            since_us: 1_725_911_162_329_308,
            only: vec!["app.bsky.*".to_owned()],
            except: vec!["app.bsky.feed.like".to_owned()],
        }],
        ..Edit::default()
    }
}

fn file() -> Vec<u8> {
    let mut out = encode_header(3);
    for edit in [first(), seal()] {
        let offset = out.len() as u64;
        encode_edit(&edit, 3, offset, &mut out).unwrap();
    }
    out
}

#[test]
fn golden_bytes() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifest-v2");
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        std::fs::write(&golden, file()).unwrap();
    }
    let golden = std::fs::read(&golden).unwrap();
    assert_eq!(golden, file());
    // The layout that SPEC.md tabulates, without bincode: the first edit's directory, then empty lists.
    let body = &golden[FILE_HEADER_BYTES + EDIT_HEADER_BYTES..];
    assert_eq!(body[0], 1);
    assert_eq!(body[1..17], *b"orrery-directory");
    assert_eq!(body[17..49], [7; 32]);
    assert_eq!(body[49..65], [0; 16]);
    assert_eq!(body[65..74], [1, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// The file is as version 1 wrote it, and is not made anew.
#[test]
fn a_manifest_of_version_1_says_the_same_without_selections() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/manifest-v1");
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(decode_header(&bytes, 3).unwrap(), 1);
    let (edit, next) = decode_edit(&bytes, 1, 3, FILE_HEADER_BYTES as u64).unwrap();
    assert_eq!(edit, first());
    let (edit, next) = decode_edit(&bytes, 1, 3, next).unwrap();
    assert_eq!(
        edit,
        Edit {
            selections: Vec::new(),
            ..seal()
        }
    );
    assert_eq!(next, bytes.len() as u64);
}

#[test]
fn selections_follow_each_other_and_the_oldest_are_forgotten() {
    let mut state = State::from_first(first()).unwrap();
    for first_seq in 0..SELECTIONS_MAX as u64 + 3 {
        let entry = SelectionEntry {
            first_seq,
            since_us: first_seq,
            only: Vec::new(),
            except: Vec::new(),
        };
        let edit = Edit {
            selections: vec![entry],
            ..Edit::default()
        };
        state.apply(edit).unwrap();
    }
    assert_eq!(state.selections.len(), SELECTIONS_MAX);
    assert_eq!(state.selections[0].first_seq, 3);
    assert_eq!(State::from_first(state.as_first()).unwrap(), state);
}

#[test]
fn edits_add_up_to_the_state_and_the_state_to_one_edit() {
    let bytes = file();
    decode_header(&bytes, 3).unwrap();
    let (edit, next) = decode_edit(&bytes, VERSION, 3, FILE_HEADER_BYTES as u64).unwrap();
    let mut state = State::from_first(edit).unwrap();
    let (edit, next) = decode_edit(&bytes, VERSION, 3, next).unwrap();
    assert_eq!(next, bytes.len() as u64);
    state.apply(edit).unwrap();
    assert_eq!(state.segments, [segment(1, 1, 256)]);
    assert_eq!((state.sealed_through, state.log_floor), (260, 1));
    assert_eq!((state.counts.live_rows, state.counts.authors), (5, 7));
    assert_eq!(state.quarantined.len(), 1);
    assert_eq!(state.selections, seal().selections);
    let release = Edit {
        release: vec![1],
        ..Edit::default()
    };
    let mut released = state.clone();
    released.apply(release).unwrap();
    assert_eq!(released.quarantined, []);
    assert_eq!(State::from_first(state.as_first()).unwrap(), state);
    let compaction = Edit {
        add: vec![segment(3, 1, 500)],
        remove: vec![1],
        sealed_through: Some(500),
        ..Edit::default()
    };
    state.apply(compaction).unwrap();
    assert_eq!(state.segments, [segment(3, 1, 500)]);
    assert_eq!(
        state.quarantined,
        [],
        "a segment that left is not quarantined"
    );
    assert_eq!(
        state.source_cursor.as_ref().unwrap().value,
        99,
        "what an edit leaves out stays"
    );
    assert_eq!(State::from_first(state.as_first()).unwrap(), state);
}

#[test]
fn an_edit_that_contradicts_the_state_is_refused_and_changes_nothing() {
    let mut state = State::from_first(first()).unwrap();
    state.apply(seal()).unwrap();
    let before = state.clone();
    let edit = |change: &dyn Fn(&mut Edit)| {
        let mut edit = Edit {
            sealed_through: Some(1000),
            ..Edit::default()
        };
        change(&mut edit);
        edit
    };
    let refused = [
        edit(&|e| e.remove = vec![2]),
        edit(&|e| e.remove = vec![1, 1]),
        edit(&|e| e.add = vec![segment(1, 300, 400)]),
        edit(&|e| e.add = vec![segment(2, 256, 400)]),
        edit(&|e| e.add = vec![segment(2, 400, 300)]),
        edit(&|e| e.add = vec![segment(2, 300, 1001)]),
        edit(&|e| {
            e.quarantine = vec![QuarantineEntry {
                id: 2,
                why: String::new(),
                applied_through: 0,
                written_off: WrittenOff::No,
            }];
        }),
        edit(&|e| e.sealed_through = Some(259)),
        edit(&|e| e.log_floor = Some(0)),
        edit(&|e| e.directory = Some(directory())),
    ];
    for edit in refused {
        state.apply(edit.clone()).expect_err(&format!("{edit:?}"));
        assert_eq!(state, before);
    }
    State::from_first(seal()).unwrap_err();
}

#[test]
fn each_flipped_bit_of_header_and_edits_is_noticed() {
    let bytes = file();
    let mut used = vec![(0, FILE_HEADER_BYTES)];
    let mut at = FILE_HEADER_BYTES;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        used.push((at, at + EDIT_HEADER_BYTES + length));
        at = decode_edit(&bytes, VERSION, 3, at as u64).unwrap().1 as usize;
    }
    for (index, (from, to)) in used.into_iter().enumerate() {
        for bit in from * 8..to * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let noticed = if index == 0 {
                decode_header(&damaged, 3).is_err()
            } else {
                decode_edit(&damaged, VERSION, 3, from as u64).is_err()
            };
            assert!(noticed, "bit {bit}");
        }
    }
}

#[test]
fn a_newer_version_is_named_and_not_called_damage() {
    let mut bytes = encode_header(1);
    bytes[8] = 3;
    let checksum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    let error = decode_header(&bytes, 1).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Version {
                found: 3,
                newest: 2,
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #[test]
    fn hostile_bodies_with_a_right_checksum_never_panic(body in proptest::collection::vec(prop_oneof![any::<u8>(), 0..3_u8, Just(255)], 0..300)) {
        let mut bytes = Vec::new();
        put_u32(&mut bytes, body.len() as u32);
        put_u32(&mut bytes, 0);
        put_u64(&mut bytes, checksum(&body, 1, 0));
        bytes.extend_from_slice(&body);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        if let Ok((edit, _)) = decode_edit(&bytes, VERSION, 1, 0) {
            let mut again = Vec::new();
            encode_edit(&edit, 1, 0, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn hostile_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_header(&bytes, 1).is_err());
        prop_assert!(decode_edit(&bytes, VERSION, 1, 0).is_err());
    }
}

#[test]
fn what_is_written_off_is_one_byte_and_another_value_is_refused() {
    let all = [WrittenOff::No, WrittenOff::Whole, WrittenOff::ButAccounts];
    for (byte, written_off) in (0_u8..).zip(all) {
        assert_eq!(bincode::serialize(&written_off).unwrap(), [byte]);
        assert_eq!(
            bincode::deserialize::<WrittenOff>(&[byte]).unwrap(),
            written_off
        );
    }
    bincode::deserialize::<WrittenOff>(&[3]).unwrap_err();
}
