//! The manifest: a file as it is, and the body of one edit under a sound checksum.

use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::{
    Counts, Directory, Edit, FILE_HEADER_BYTES, GapEntry, QuarantineEntry, SegmentEntry,
    SelectionEntry, State, VERSION, WrittenOff, decode_edit, decode_header, encode_edit,
    encode_header,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Outcome, Target, heap};

const NUMBER: u64 = 5;
/// What an edit may take in memory for each of its bytes: an empty string is 8 bytes there and 24 here, and a
/// vector that grows has room for twice its items.
const HEAP_PER_BYTE: usize = 16;
/// serde believes the length of a vector for up to 1 MiB before its items are there; an edit has six, and one of
/// them has two in each item.
const HEAP_MAX: usize = 8 << 20 | 65_536;

fn first_edit() -> Edit {
    let directory = Directory {
        id: [1; 16],
        secret: [2; 32],
    };
    let mut state = State::new(directory);
    let segment = |id| SegmentEntry {
        id,
        first_seq: id * 100,
        last_seq: id * 100 + 99,
        bytes: 1 << 20,
        checksum: 9,
        first_time_us: 1,
        last_time_us: 2,
        actors_end: 3,
        level: 0,
    };
    state.segments = (1..4).map(segment).collect();
    state.sealed_through = 399;
    state.as_first()
}

fn later_edit() -> Edit {
    Edit {
        remove: vec![1, 2],
        sealed_through: Some(400),
        source_cursor: Some(SourceCursor {
            kind: 2,
            endpoint: "wss://jetstream.example".to_owned(),
            value: 8,
        }),
        log_floor: Some(3),
        window_complete: Some(false),
        last_time_us: Some(4),
        gaps: vec![GapEntry {
            first_seq: 1,
            last_seq: Some(2),
            file: "1.log".to_owned(),
            offset: 48,
        }],
        counts: Some(Counts::default()),
        quarantine: vec![QuarantineEntry {
            id: 3,
            why: "a checksum".to_owned(),
            applied_through: 2,
            written_off: WrittenOff::Whole,
        }],
        selections: vec![SelectionEntry {
            first_seq: 401,
            since_us: 4,
            only: vec!["app.bsky.*".to_owned()],
            except: Vec::new(),
        }],
        ..Edit::default()
    }
}

/// Applies edits one by one, as opening a manifest does. Gives the first refusal.
fn apply(edits: &[Edit]) -> Result<(), String> {
    let (first, rest) = edits.split_first().ok_or("no edit")?;
    let mut state = State::from_first(first.clone()).map_err(|error| error.to_string())?;
    for edit in rest {
        let before = state.clone();
        if let Err(error) = state.apply(edit.clone()) {
            assert_eq!(state, before, "a refused edit left a trace");
            return Err(error.to_string());
        }
    }
    let again = State::from_first(state.as_first());
    assert_eq!(
        again.as_ref(),
        Ok(&state),
        "a state that its own edit does not give"
    );
    Ok(())
}

pub(super) const MANIFEST: Target = Target {
    name: "manifest",
    about: "a manifest's header and edits, as they stand in a file",
    seeds: || {
        let mut file = encode_header(NUMBER);
        for edit in [first_edit(), later_edit()] {
            let offset = file.len() as u64;
            encode_edit(&edit, NUMBER, offset, &mut file).unwrap();
        }
        vec![file]
    },
    words: &[],
    check: |input| {
        let header = heap::at_most(HEAP_MAX, || decode_header(input, NUMBER));
        if header == Ok(VERSION) {
            assert_eq!(encode_header(NUMBER), input[..FILE_HEADER_BYTES]);
        }
        let version = *header.as_ref().unwrap_or(&VERSION);
        let (edits, error) = edits(input, version, FILE_HEADER_BYTES as u64);
        Outcome::of(&(header, error, apply(&edits)))
    },
};

/// The edits from `at` on, up to the first that is damaged.
fn edits(file: &[u8], version: u16, mut at: u64) -> (Vec<Edit>, Option<orrery_formats::Error>) {
    let mut edits = Vec::new();
    while at < file.len() as u64 {
        let left = file.len() - at as usize;
        let heap_max = HEAP_MAX + HEAP_PER_BYTE * left;
        match heap::at_most(heap_max, || decode_edit(file, version, NUMBER, at)) {
            Ok((edit, next)) => {
                let mut again = Vec::new();
                encode_edit(&edit, NUMBER, at, &mut again).unwrap();
                if version == VERSION {
                    assert_eq!(again, file[at as usize..next as usize], "{edit:?}");
                }
                edits.push(edit);
                assert!(next > at);
                at = next;
            }
            Err(error) => return (edits, Some(error)),
        }
    }
    (edits, None)
}

pub(super) const EDIT: Target = Target {
    name: "edit",
    about: "the body of a manifest's edit, under a sound checksum, applied to a state",
    seeds: || {
        let body = |edit: &Edit| {
            let mut out = Vec::new();
            encode_edit(edit, NUMBER, 0, &mut out).unwrap();
            let len = u32::from_le_bytes(out[..4].try_into().unwrap()) as usize;
            out[16..16 + len].to_vec()
        };
        [Edit::default(), first_edit(), later_edit()]
            .iter()
            .map(body)
            .collect()
    },
    words: &[],
    check: |body| {
        let mut edit = Vec::new();
        edit.extend_from_slice(&(body.len() as u32).to_le_bytes());
        edit.extend_from_slice(&[0; 4]);
        // At offset 0 of its manifest.
        let sum = xxh3_64_with_seed(body, NUMBER.rotate_left(32));
        edit.extend_from_slice(&sum.to_le_bytes());
        edit.extend_from_slice(body);
        edit.resize(edit.len().next_multiple_of(8), 0);
        let (edits, error) = edits(&edit, VERSION, 0);
        let mut all = vec![first_edit()];
        all.extend(edits.iter().cloned());
        Outcome::of(&(error, apply(&edits), apply(&all)))
    },
};
