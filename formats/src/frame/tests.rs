use super::*;
use crate::effect::{self, AccountBuf, Before, LinksBuf, Row};
use crate::event::{Body, Encoding, Operation, Record};
use proptest::prelude::*;

const DIRECTORY: [u8; 16] = *b"orrery-directory";

fn events() -> Vec<Event<'static>> {
    let commit = |rkey, rev, operation| Body::Commit {
        rev,
        collection: "app.bsky.feed.like",
        rkey,
        operation,
    };
    let json = Record {
        cid: "bafyreibjifzpqj6o6wcq3hejh7y4z4z2vmiklkvykc57tw3pcbx3kxifpm",
        encoding: Encoding::Json,
        body: br#"{"subject":{"uri":"at://did:plc:b/app.bsky.feed.post/3l"}}"#,
    };
    let cbor = Record {
        cid: "",
        encoding: Encoding::DagCbor,
        body: &[0xa1, 0x61, 0x61, 0x01],
    };
    let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    let time = 1_725_911_162_329_308;
    let event = |step: u64, body| Event {
        time_us: time + step - 10,
        did,
        body,
    };
    vec![
        event(
            10,
            commit(
                "3l3qo2vuowo2b",
                0x3000_0000_0000_0001,
                Operation::Create(json),
            ),
        ),
        event(
            5,
            commit(
                "3l3qo2vuowo2c",
                0x3000_0000_0000_0002,
                Operation::Update(cbor),
            ),
        ),
        event(
            900,
            commit("self", 0x3000_0000_0000_0003, Operation::Delete),
        ),
        event(
            901,
            Body::Identity {
                seq: 1_409_752_997,
                handle: Some("alice.example"),
            },
        ),
        event(
            902,
            Body::Identity {
                seq: 1_409_752_998,
                handle: None,
            },
        ),
        event(
            903,
            Body::Account {
                seq: 1_409_753_013,
                active: false,
                status: Some("takendown"),
            },
        ),
        event(
            904,
            Body::Account {
                seq: 1_409_753_014,
                active: true,
                status: None,
            },
        ),
    ]
}

fn cursor() -> SourceCursor {
    SourceCursor {
        kind: 1,
        endpoint: "wss://jetstream.example".to_owned(),
        value: 1_725_911_162_330_202,
    }
}

fn header() -> FileHeader {
    FileHeader {
        first_seq: 0x0102_0304,
        directory_id: DIRECTORY,
    }
}

fn file_with(events: &[Event<'_>], cursor: Option<&SourceCursor>) -> Vec<u8> {
    let mut out = header().encode();
    let mut builder = FrameBuilder::new().unwrap();
    for event in events {
        builder.push(event).unwrap();
    }
    let offset = out.len() as u64;
    builder
        .finish(
            header().first_seq,
            cursor,
            header().seed(),
            offset,
            &mut out,
        )
        .unwrap();
    out
}

fn read(file: &[u8]) -> Result<Vec<u8>> {
    let offset = FILE_HEADER_BYTES;
    let at = offset as u64;
    let rest = file.get(offset..).unwrap_or_default();
    let start = Reader::new("start", rest).array()?;
    let head_bytes = FrameHeader::head_bytes(&start, at)?;
    let head = Reader::new("head", rest).bytes(head_bytes)?;
    let header = FrameHeader::decode(head, header().seed(), at)?;
    let payload =
        Reader::new("payload", &rest[head_bytes..]).bytes(header.payload_bytes as usize)?;
    let mut raw = Vec::new();
    header.open(payload, self::header().seed(), at, Some(&mut raw))?;
    Ok(raw)
}

#[test]
fn the_golden_file_reads_back() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/log-v1.log");
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, file_with(&events(), Some(&cursor()))).unwrap();
    }
    let file = std::fs::read(&golden).unwrap();
    assert_eq!(FileHeader::decode(&file).unwrap(), header());
    let start = file[FILE_HEADER_BYTES..][..FRAME_HEADER_BYTES]
        .try_into()
        .unwrap();
    let at = FILE_HEADER_BYTES as u64;
    let head_bytes = FrameHeader::head_bytes(start, at).unwrap();
    let head = &file[FILE_HEADER_BYTES..][..head_bytes];
    let frame = FrameHeader::decode(head, header().seed(), at).unwrap();
    assert_eq!(
        (frame.first_seq, frame.last_seq()),
        (0x0102_0304, 0x0102_030a)
    );
    assert_eq!(frame.cursor, Some(cursor()));
    assert_eq!(frame.first_time_us, 1_725_911_162_329_308);
    assert_eq!(
        FILE_HEADER_BYTES as u64 + frame.frame_bytes(),
        file.len() as u64
    );
    let raw = read(&file).unwrap();
    let read: Vec<_> = frame.events(&raw).map(Result::unwrap).collect();
    let expected: Vec<_> = (0x0102_0304..).zip(events()).collect();
    assert_eq!(read, expected);
}

fn effects<'a>(links: &'a mut LinksBuf, account: &'a mut AccountBuf) -> Vec<Effect<'a>> {
    links.push(".embed.images[].image", "https://example.org/");
    links.push(".subject.uri", "at://did:plc:b/app.bsky.feed.post/3l");
    links.push(".subject.uri", "did:plc:b");
    for rkey in ["3l3qo2vuowo2b", "self"] {
        account.push_row(&Row {
            collection: "app.bsky.feed.like",
            rkey,
            links: links.links(),
        });
    }
    for seq in [7, 8, 0x0102_0000] {
        account.push_seq(seq);
    }
    let commit = |hidden, before| Effect::Commit { hidden, before };
    vec![
        commit(false, Before::Nothing),
        commit(true, Before::Same),
        commit(false, Before::Links(links.links())),
        Effect::Unknown,
        Effect::Unknown,
        account.effect(),
        Effect::Unknown,
    ]
}

fn with_effects(effects: &[Effect<'_>]) -> Vec<u8> {
    let mut out = header().encode();
    let mut builder = FrameBuilder::new().unwrap();
    assert!(builder.last_event().0.is_empty());
    for (event, effect) in events().iter().zip(effects) {
        let before = builder.raw_bytes();
        builder.push_with_effect(event, effect).unwrap();
        let (bytes, previous_us) = builder.last_event();
        assert_eq!(bytes.len(), builder.raw_bytes() - before);
        let mut reader = Reader::new("last", bytes);
        assert_eq!(event::decode(&mut reader, previous_us).unwrap(), *event);
        assert!(reader.is_empty());
    }
    let offset = out.len() as u64;
    let (first_seq, seed) = (header().first_seq, header().seed());
    builder
        .finish(first_seq, Some(&cursor()), seed, offset, &mut out)
        .unwrap();
    out
}

#[test]
fn the_golden_file_with_effects_reads_back() {
    let (mut links, mut account) = (LinksBuf::default(), AccountBuf::default());
    let effects = effects(&mut links, &mut account);
    let golden =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/log-v1-effects.log");
    if std::env::var_os("ORRERY_REGENERATE").is_some() {
        std::fs::write(&golden, with_effects(&effects)).unwrap();
    }
    let file = std::fs::read(&golden).unwrap();
    // The bytes before compression are ours alone.
    let raw = read(&file).unwrap();
    assert_eq!(raw, read(&with_effects(&effects)).unwrap());
    let at = FILE_HEADER_BYTES as u64;
    let start = file[FILE_HEADER_BYTES..][..FRAME_HEADER_BYTES]
        .try_into()
        .unwrap();
    let head_bytes = FrameHeader::head_bytes(start, at).unwrap();
    let head = &file[FILE_HEADER_BYTES..][..head_bytes];
    let frame = FrameHeader::decode(head, header().seed(), at).unwrap();
    let mut found = frame.events(&raw);
    for (expected, (seq, event)) in effects.into_iter().zip((0x0102_0304..).zip(events())) {
        let (found_seq, found_event, bytes) = found.next_with_effect().unwrap().unwrap();
        assert_eq!((found_seq, found_event), (seq, event));
        let effect = bytes.map(|bytes| effect::decode(bytes, &event.body).unwrap());
        assert_eq!(effect.unwrap_or_default(), expected);
    }
    assert!(found.next_with_effect().is_none());
    let without: Vec<_> = frame.events(&raw).map(|event| event.unwrap().1).collect();
    assert_eq!(without, events());
}

/// The bytes before compression are ours alone; those after it may change with the compressor.
#[test]
fn header_and_events_are_written_as_the_golden_bytes_have_them() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/log-v1.log");
    let golden = std::fs::read(golden).unwrap();
    let written = file_with(&events(), Some(&cursor()));
    assert_eq!(golden[..FILE_HEADER_BYTES], written[..FILE_HEADER_BYTES]);
    assert_eq!(read(&golden).unwrap(), read(&written).unwrap());
    let raw = read(&golden).unwrap();
    assert_eq!(
        raw[..36],
        *b"\x00\x00\x20did:plc:ewvi7nxzyoun6zhxrhs64oiz\x01"
    );
}

#[test]
fn each_flipped_bit_is_noticed() {
    let file = file_with(&events(), Some(&cursor()));
    let used = {
        // The padding behind the payload is the only part that no checksum covers.
        let start = file[FILE_HEADER_BYTES..][..FRAME_HEADER_BYTES]
            .try_into()
            .unwrap();
        let head_bytes = FrameHeader::head_bytes(start, 48).unwrap();
        let head = &file[FILE_HEADER_BYTES..][..head_bytes];
        let frame = FrameHeader::decode(head, header().seed(), 48).unwrap();
        FILE_HEADER_BYTES + head_bytes + frame.payload_bytes as usize
    };
    for bit in 0..used * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let header_ok = FileHeader::decode(&damaged).is_ok();
        assert!(!header_ok || read(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_frame_at_another_place_or_in_another_file_is_not_sound() {
    let file = file_with(&events(), None);
    let head = &file[FILE_HEADER_BYTES..][..FRAME_HEADER_BYTES];
    FrameHeader::decode(head, header().seed(), 48).unwrap();
    FrameHeader::decode(head, header().seed(), 56).unwrap_err();
    let other = FileHeader {
        first_seq: 1,
        ..header()
    };
    FrameHeader::decode(head, other.seed(), 48).unwrap_err();
    let other = FileHeader {
        directory_id: [0; 16],
        ..header()
    };
    FrameHeader::decode(head, other.seed(), 48).unwrap_err();
}

#[test]
fn a_newer_version_is_named_and_not_called_damage() {
    let mut bytes = header().encode();
    bytes[8] = 2;
    let checksum = xxh3_64(&bytes[..40]);
    bytes[40..].copy_from_slice(&checksum.to_le_bytes());
    let error = FileHeader::decode(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Version {
                found: 2,
                newest: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_frame_that_claims_more_than_it_unpacks_to_fails_without_the_memory() {
    let file = file_with(&events(), None);
    let mut head = file[FILE_HEADER_BYTES..][..FRAME_HEADER_BYTES].to_vec();
    for claim in [PAYLOAD_BYTES_MAX as u32 + 1, u32::MAX] {
        head[36..40].copy_from_slice(&claim.to_le_bytes());
        let checksum = head_checksum(&head[8..], header().seed(), 48);
        head[4..8].copy_from_slice(&checksum.to_le_bytes());
        let error = FrameHeader::decode(&head, header().seed(), 48).unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(FileHeader::decode(&bytes).is_err());
        prop_assert!(FrameHeader::decode(&bytes, 0, 0).is_err());
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn hostile_heads_with_a_right_checksum_never_panic(mut head in proptest::collection::vec(any::<u8>(), 48..120)) {
        head[..4].copy_from_slice(&MARKER);
        let cursor_bytes = head.len() - 48;
        head[44..48].copy_from_slice(&(cursor_bytes as u32).to_le_bytes());
        let checksum = head_checksum(&head[8..], 1, 2);
        head[4..8].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(header) = FrameHeader::decode(&head, 1, 2) {
            prop_assert!(header.last_seq() >= header.first_seq);
        }
    }

    #[test]
    fn hostile_events_end_with_an_error_or_the_count(raw in proptest::collection::vec(any::<u8>(), 1..200), count in 1..50_u32) {
        let header = FrameHeader {
            first_seq: 1, event_count: count, payload_bytes: 0, raw_bytes: raw.len() as u32,
            first_time_us: 0, cursor: None, payload_checksum: 0, head_bytes: 48,
        };
        let read: Vec<_> = header.events(&raw).collect();
        prop_assert!(read.len() <= count as usize + 1);
        prop_assert!(read.iter().rev().skip(1).all(Result::is_ok));
    }
}
