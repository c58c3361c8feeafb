//! The Jetstream wire: frames as text, and compressed with the dictionary.

use std::sync::OnceLock;

use orrery_formats::bytes::Reader;
use orrery_formats::event;
use orrery_jetstream::{DICTIONARY, Decoder, Event, Malformed, Position};

use crate::{Outcome, Target, heap};

/// What one message may unpack to.
const BYTES_MAX: usize = 1 << 17;
const HEAP_MAX: usize = 16_384;

pub(super) const COMMIT: &str = r#"{"did":"did:plc:aaaa","time_us":1786000000000001,"cursor":2,"kind":"commit","commit":{"rev":"3mabc2222222b","operation":"create","collection":"app.bsky.graph.follow","rkey":"3mabc2222222a","record":{"$type":"app.bsky.graph.follow","subject":"did:plc:bbbb"},"cid":"bafyreib4arprhlwsekkqkrs5u76hbtyv2mqgqn3bobzjck43o4obzu3dti"}}"#;
pub(super) const DELETE: &str = r#"{"did":"did:plc:aaaa","time_us":1786000000000001,"kind":"commit","commit":{"rev":"3mabc2222222b","operation":"delete","collection":"app.bsky.graph.follow","rkey":"3mabc2222222a"}}"#;
pub(super) const ACCOUNT: &str = r#"{"did":"did:plc:a","time_us":1786000000000001,"kind":"account","account":{"did":"did:plc:a","seq":7,"time":"2026-01-01T00:00:00Z","active":false,"status":"suspended"}}"#;
pub(super) const IDENTITY: &str = r#"{"did":"did:plc:a","time_us":1786000000000001,"kind":"identity","identity":{"did":"did:plc:a","seq":8,"time":"t","handle":"alice.example"}}"#;

pub(super) const WIRE_EVENT: Target = Target {
    name: "wire-event",
    about: "one event as JSON: parsed, checked, and put into the form of the log",
    seeds: || {
        [COMMIT, DELETE, ACCOUNT, IDENTITY]
            .map(|text| text.as_bytes().to_vec())
            .into()
    },
    words: &[
        "\"did\":",
        "\"time_us\":",
        "\"cursor\":",
        "\"kind\":",
        "\"commit\"",
        "null",
        "{",
        "}",
        "[",
        ",",
        "\"",
        "\\",
        "\\u0061",
        "1786000000000001",
        "-1",
        "1e3",
        "\"operation\":\"update\"",
        "\"update\"",
        "\"record\":{}",
        " ",
    ],
    check: wire_event,
};

fn wire_event(input: &[u8]) -> Outcome {
    let parsed = heap::at_most(HEAP_MAX + 8 * input.len(), || Event::parse_bytes(input));
    if let Ok(text) = std::str::from_utf8(input) {
        let position = heap::at_most(0, || Position::of(text));
        if let Ok(event) = &parsed {
            // Names with escapes are not seen, which no server writes.
            assert!(
                position
                    .time_us
                    .is_none_or(|time_us| time_us == event.time_us)
            );
            assert!(position.seq.is_none_or(|seq| Some(seq) == event.cursor));
            assert!(position.time_us.is_some() || text.contains('\\'));
        }
    }
    let event = match parsed {
        Ok(event) => event,
        Err(malformed) => {
            assert_eq!(Malformed::ALL[malformed.index()], malformed);
            return Outcome::of(&malformed);
        }
    };
    let decoded = match orrery_ingest::decode(&event) {
        Ok(decoded) => decoded,
        Err(reason) => return Outcome::of(&reason),
    };
    let mut bytes = Vec::new();
    event::encode(&decoded, 0, &mut bytes).unwrap();
    let mut reader = Reader::new("event", &bytes);
    assert_eq!(event::decode(&mut reader, 0), Ok(decoded));
    reader.finish().unwrap();
    Outcome::of(&std::mem::discriminant(&decoded.body))
}

fn pack(text: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, DICTIONARY).unwrap();
    compressor.compress(text).unwrap()
}

pub(super) const WIRE_ZSTD: Target = Target {
    name: "wire-zstd",
    about: "one binary message: a zstd frame with the dictionary, within its limit",
    seeds: || {
        vec![
            pack(COMMIT.as_bytes()),
            pack(b""),
            pack(&[0xff; 9]),
            pack(&vec![b'a'; BYTES_MAX + 1]),
            zstd::bulk::compress(ACCOUNT.as_bytes(), 1).unwrap(),
            // Without its size in the header.
            zstd::encode_all(&vec![b'b'; 3 * BYTES_MAX][..], 1).unwrap(),
        ]
    },
    words: &[],
    check: |input| {
        static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
        let sound = SOUND.get_or_init(|| pack(COMMIT.as_bytes()));
        let mut decoder = Decoder::new(BYTES_MAX).unwrap();
        // One buffer of the limit, and the one it replaces.
        let unpacked = heap::at_most(HEAP_MAX + 2 * BYTES_MAX + 4 * input.len(), || {
            decoder.unpack(input).map(str::len)
        });
        if let Ok(len) = unpacked {
            assert!(len <= BYTES_MAX);
            let text = decoder.unpack(input).unwrap().to_owned();
            assert_eq!(decoder.unpack(&pack(text.as_bytes())), Ok(&*text));
        }
        assert_eq!(
            decoder.unpack(sound),
            Ok(COMMIT),
            "of no use after {unpacked:?}"
        );
        Outcome::of(&unpacked)
    },
};
