//! The log: events, their effects, one frame whose checksums are mended, and a whole file as it is.

use orrery_formats::bytes::Reader;
use orrery_formats::effect::{self, AccountBuf, Before, Effect, LinksBuf, Row};
use orrery_formats::event::{self, Body, Encoding, Event, Operation, Record};
use orrery_formats::frame::{
    ALIGNMENT, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameBuilder, FrameHeader,
    PAYLOAD_BYTES_MAX, SourceCursor,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Outcome, Target, heap};

const TIME_US: u64 = 1_786_000_000_000_000;
const HEAP_MAX: usize = 4096;
/// What a frame may unpack to, by its head, which the checksum of the directory's own seed covers.
const FRAME_HEAP_MAX: usize = PAYLOAD_BYTES_MAX + HEAP_MAX;

fn sample_events() -> Vec<Event<'static>> {
    let commit = |operation| Body::Commit {
        rev: 1 << 50,
        collection: "app.bsky.feed.like",
        rkey: "3jzfcijpj2z2a",
        operation,
    };
    let record = Record {
        cid: "bafyreib4arprhlwsekkqkrs5u76hbtyv2mqgqn3bobzjck43o4obzu3dti",
        encoding: Encoding::Json,
        body: br#"{"$type":"app.bsky.feed.like","subject":{"uri":"at://did:plc:a/app.bsky.feed.post/3k"}}"#,
    };
    let binary = Record {
        cid: "",
        encoding: Encoding::DagCbor,
        body: &[0xa0],
    };
    let bodies = [
        commit(Operation::Create(record)),
        commit(Operation::Update(binary)),
        commit(Operation::Delete),
        Body::Identity {
            seq: 300,
            handle: Some("alice.example"),
        },
        Body::Identity {
            seq: 0,
            handle: None,
        },
        Body::Account {
            seq: 1 << 40,
            active: false,
            status: Some("takendown"),
        },
        Body::Account {
            seq: 7,
            active: true,
            status: None,
        },
        Body::Exclusion { excluded: true },
        Body::Exclusion { excluded: false },
        commit(Operation::Delete),
    ];
    let event = |(i, body): (u64, Body<'static>)| Event {
        time_us: TIME_US + (i % 3) * 1000,
        did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        body,
    };
    (0..).zip(bodies).map(event).collect()
}

/// Calls `each` with an effect for each of `sample_events`.
fn sample_effects(mut each: impl FnMut(&Event<'_>, &Effect<'_>)) {
    let (mut links, mut account) = (LinksBuf::default(), AccountBuf::default());
    links.push(".subject.uri", "at://did:plc:a/app.bsky.feed.post/3k");
    links.push(".subject.uri", "did:plc:a");
    links.push(".via", "https://example.org/");
    for rkey in ["3jzfcijpj2z2a", "self"] {
        account.push_row(&Row {
            collection: "app.bsky.feed.like",
            rkey,
            links: links.links(),
        });
    }
    account.push_seq(9);
    account.push_seq(1 << 40);
    for (i, event) in sample_events().iter().enumerate() {
        let effect = match event.body {
            Body::Commit { .. } => Effect::Commit {
                hidden: i == 1 || i > 2,
                before: match i {
                    0 => Before::Nothing,
                    1 => Before::Same,
                    2 => Before::Links(links.links()),
                    _ => Before::Unknown,
                },
            },
            Body::Identity { .. } | Body::Exclusion { .. } => Effect::Unknown,
            Body::Account { .. } => account.effect(),
        };
        each(event, &effect);
    }
}

pub(super) const EVENTS: Target = Target {
    name: "events",
    about: "the events of a frame with their effects, decoded and encoded again to the same bytes",
    seeds: || {
        let (mut all, mut previous) = (Vec::new(), TIME_US);
        for event in sample_events() {
            event::encode(&event, previous, &mut all).unwrap();
            previous = event.time_us;
        }
        let (mut with, mut previous) = (Vec::new(), TIME_US);
        sample_effects(|event, effect| {
            event::encode_with_effect(event, effect, previous, &mut with).unwrap();
            previous = event.time_us;
        });
        vec![all, with]
    },
    words: &["did:plc:a"],
    check: |input| {
        let mut reader = Reader::new("events", input);
        let (mut time_us, mut count) = (TIME_US, 0);
        while !reader.is_empty() {
            let start = reader.position() as usize;
            let read = heap::at_most(HEAP_MAX, || {
                let (event, bytes) = event::decode_with_effect(&mut reader, time_us)?;
                let effect = bytes.map(|bytes| effect::decode(bytes, &event.body));
                Ok::<_, orrery_formats::Error>((event, effect.transpose()?.unwrap_or_default()))
            });
            let (event, effect) = match read {
                Ok(read) => read,
                Err(error) => return Outcome::of(&(count, error)),
            };
            let mut again = Vec::new();
            event::encode_with_effect(&event, &effect, time_us, &mut again).unwrap();
            assert_eq!(again, input[start..reader.position() as usize], "{event:?}");
            time_us = event.time_us;
            count += 1;
        }
        Outcome::counts(&[count])
    },
};

pub(super) const EFFECT: Target = Target {
    name: "effect",
    about: "what an event undid, decoded for each kind of event and encoded again to the same bytes",
    seeds: || {
        let mut seeds = Vec::new();
        sample_effects(|_, effect| {
            let mut bytes = Vec::new();
            effect::encode(effect, &mut bytes);
            seeds.push(bytes);
        });
        seeds
    },
    words: &["did:plc:a"],
    check: |input| {
        let mut outcomes = Vec::new();
        for event in sample_events() {
            let read = heap::at_most(HEAP_MAX, || effect::decode(input, &event.body));
            if let Ok(effect) = &read {
                let mut again = Vec::new();
                effect::encode(effect, &mut again);
                assert_eq!(again, input, "{effect:?}");
                assert_eq!(effect.encoded_len(), input.len());
                read_effect(effect);
            }
            outcomes.push(read);
        }
        Outcome::of(&outcomes)
    },
};

/// As many members are given as are told, and what they are made of makes the same effect.
fn read_effect(effect: &Effect<'_>) {
    match effect {
        Effect::Unknown => panic!("an effect of some bytes is not unknown"),
        Effect::Commit { before, .. } => {
            if let Before::Links(links) = before {
                let mut made = LinksBuf::default();
                links
                    .iter()
                    .for_each(|(path, target)| made.push(path, target));
                assert_eq!(made.links(), *links);
            }
        }
        Effect::Account { rows, seqs, .. } => {
            let links = |row: Row<'_>| row.links.iter().count() == row.links.len() as usize;
            assert!(rows.iter().all(links));
            assert_eq!(rows.iter().count(), rows.len() as usize);
            assert_eq!(seqs.iter().count(), seqs.len() as usize);
            assert!(seqs.iter().is_sorted_by(|a, b| a < b));
        }
    }
}

fn sample_header() -> FileHeader {
    FileHeader {
        first_seq: 1000,
        directory_id: [3; 16],
    }
}

fn sample_frame(first_seq: u64, offset: u64, cursor: Option<&SourceCursor>) -> Vec<u8> {
    let mut builder = FrameBuilder::new().unwrap();
    for event in sample_events() {
        builder.push(&event).unwrap();
    }
    let mut out = Vec::new();
    let seed = sample_header().seed();
    builder
        .finish(first_seq, cursor, seed, offset, &mut out)
        .unwrap();
    out
}

fn sample_cursor() -> SourceCursor {
    SourceCursor {
        kind: 1,
        endpoint: "wss://jetstream.example/subscribe".to_owned(),
        value: TIME_US,
    }
}

/// Reads the frame at the start of `frame`, which stands at `offset`. Gives its length and what came of it.
fn read_frame(frame: &[u8], seed: u64, offset: u64) -> orrery_formats::Result<u64> {
    let missing = || orrery_formats::Error::corrupt("frame", offset, "a frame", "its end");
    let start = frame
        .first_chunk::<FRAME_HEADER_BYTES>()
        .ok_or_else(missing)?;
    let head_bytes = FrameHeader::head_bytes(start, offset)?;
    let head = frame.get(..head_bytes).ok_or_else(missing)?;
    let header = heap::at_most(HEAP_MAX + 2 * head.len(), || {
        FrameHeader::decode(head, seed, offset)
    })?;
    let payload = frame.get(head_bytes..).unwrap_or_default();
    let payload = payload
        .get(..header.payload_bytes as usize)
        .ok_or_else(missing)?;
    header.open(payload, seed, offset, None)?;
    let mut raw = Vec::new();
    heap::at_most(FRAME_HEAP_MAX, || {
        header.open(payload, seed, offset, Some(&mut raw))
    })?;
    let events = header
        .events(&raw)
        .collect::<orrery_formats::Result<Vec<_>>>()?;
    assert_eq!(events.len(), header.event_count as usize);
    assert_eq!(events.last().unwrap().0, header.last_seq());
    // The same events make a frame that gives the same events.
    let mut builder = FrameBuilder::new().unwrap();
    for (_, event) in &events {
        builder.push(event).unwrap();
    }
    let mut again = Vec::new();
    let cursor = header.cursor.as_ref();
    builder
        .finish(header.first_seq, cursor, seed, offset, &mut again)
        .unwrap();
    let start = again.first_chunk().unwrap();
    let (head, payload) = again.split_at(FrameHeader::head_bytes(start, offset).unwrap());
    let header_again = FrameHeader::decode(head, seed, offset).unwrap();
    let mut raw_again = Vec::new();
    let payload = &payload[..header_again.payload_bytes as usize];
    header_again
        .open(payload, seed, offset, Some(&mut raw_again))
        .unwrap();
    assert_eq!(header_again.cursor, header.cursor);
    let mut events_again = header_again.events(&raw_again);
    for event in events {
        // The first event's difference in time has two spellings, so bytes may differ where events do not.
        assert_eq!(events_again.next(), Some(Ok(event)));
    }
    assert!(events_again.next().is_none());
    Ok(header.frame_bytes())
}

pub(super) const FRAME: Target = Target {
    name: "frame",
    about: "one log frame, with its checksums mended",
    seeds: || {
        let mut broken = sample_frame(1000, 0, None);
        // A payload that claims to unpack to 64 MiB.
        broken[36..40].copy_from_slice(&(PAYLOAD_BYTES_MAX as u32).to_le_bytes());
        vec![
            sample_frame(1000, 0, None),
            sample_frame(7, 0, Some(&sample_cursor())),
            broken,
        ]
    },
    words: &[],
    check: |input| {
        let seed = sample_header().seed();
        let mut frame = input.to_vec();
        mend(&mut frame, seed);
        Outcome::of(&read_frame(&frame, seed, 0))
    },
};

/// Writes both checksums of a frame anew.
fn mend(frame: &mut [u8], seed: u64) -> Option<()> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    let head_bytes = FRAME_HEADER_BYTES + usize::from(u16_at(44)?);
    let payload = frame.get(head_bytes..)?.get(..u32_at(32)? as usize)?;
    let sum = xxh3_64_with_seed(payload, seed);
    frame[8..16].copy_from_slice(&sum.to_le_bytes());
    let sum = xxh3_64_with_seed(&frame[8..head_bytes], seed) as u32;
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
    Some(())
}

pub(super) const LOG_FILE: Target = Target {
    name: "log-file",
    about: "a log file: its header, and every frame that is sound behind damage",
    seeds: || {
        let mut file = sample_header().encode();
        for first_seq in [1000, 1007, 1014] {
            let frame = sample_frame(first_seq, file.len() as u64, Some(&sample_cursor()));
            file.extend_from_slice(&frame);
        }
        vec![file]
    },
    words: &[],
    check: |input| {
        let header = FileHeader::decode(input);
        if let Ok(header) = &header {
            assert_eq!(header.encode(), input[..FILE_HEADER_BYTES]);
        }
        let seed = header
            .as_ref()
            .map_or_else(|_| sample_header().seed(), FileHeader::seed);
        let (mut at, mut frames, mut last_error) = (FILE_HEADER_BYTES, 0, None);
        while let Some(frame) = input.get(at..).filter(|frame| !frame.is_empty()) {
            at += match read_frame(frame, seed, at as u64) {
                Ok(bytes) => {
                    frames += 1;
                    bytes as usize
                }
                Err(error) => {
                    last_error = Some(error);
                    ALIGNMENT
                }
            };
        }
        Outcome::of(&(header.err(), "x".repeat(frames.min(9)), last_error))
    },
};
