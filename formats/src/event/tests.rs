use super::*;
use crate::effect::{AccountBuf, Before, LinksBuf, Row};
use proptest::prelude::*;

/// An event with its own strings.
#[derive(Debug, Clone)]
struct Owned {
    time_us: u64,
    did: String,
    kind: u8,
    number: u64,
    collection: String,
    rkey: String,
    text: Option<String>,
    body: Vec<u8>,
}

impl Owned {
    fn event(&self) -> Event<'_> {
        let encoding = if self.number.is_multiple_of(2) {
            Encoding::Json
        } else {
            Encoding::DagCbor
        };
        let cid = self.text.as_deref().unwrap_or_default();
        let record = Record {
            cid,
            encoding,
            body: &self.body,
        };
        let commit = |operation| Body::Commit {
            rev: self.number,
            collection: &self.collection,
            rkey: &self.rkey,
            operation,
        };
        let (seq, text) = (self.number, self.text.as_deref());
        let body = match self.kind {
            0 => commit(Operation::Create(record)),
            1 => commit(Operation::Update(record)),
            2 => commit(Operation::Delete),
            3 => Body::Identity { seq, handle: text },
            4 => Body::Account {
                seq,
                active: true,
                status: text,
            },
            5 => Body::Account {
                seq,
                active: false,
                status: text,
            },
            kind => Body::Exclusion {
                excluded: kind == 6,
            },
        };
        Event {
            time_us: self.time_us,
            did: &self.did,
            body,
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let text = proptest::option::of(".{0,20}");
    (
        any::<u64>(),
        ".{0,40}",
        0..8_u8,
        any::<u64>(),
        ".{0,20}",
        ".{0,20}",
        text,
        body,
    )
        .prop_map(
            |(time_us, did, kind, number, collection, rkey, text, body)| Owned {
                time_us,
                did,
                kind,
                number,
                collection,
                rkey,
                text,
                body,
            },
        )
}

/// An effect of that event that is not the same for all, in `account` if it is one of an account.
fn effect_of<'a>(
    event: &Owned,
    account: &'a mut AccountBuf,
    links: &'a mut LinksBuf,
) -> Effect<'a> {
    links.push(".a", &event.rkey);
    match event.kind {
        kind @ 0..=2 => Effect::Commit {
            hidden: event.number.is_multiple_of(3),
            before: match event.number % 5 {
                0 => Before::Nothing,
                4 => Before::Unknown,
                1 if kind != 2 => Before::Same,
                _ => Before::Links(links.links()),
            },
        },
        3 | 6 | 7 => Effect::Unknown,
        _ if event.number.is_multiple_of(5) => Effect::Unknown,
        _ => {
            account.push_row(&Row {
                collection: &event.collection,
                rkey: &event.rkey,
                links: links.links(),
            });
            account.push_seq(event.number);
            account.effect()
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_with_its_effect_decodes_to_the_same(events in proptest::collection::vec(owned(), 1..20)) {
        let mut bytes = Vec::new();
        let mut time_us = 7;
        for event in &events {
            let (mut account, mut links) = (AccountBuf::default(), LinksBuf::default());
            let effect = effect_of(event, &mut account, &mut links);
            encode_with_effect(&event.event(), &effect, time_us, &mut bytes).unwrap();
            time_us = event.time_us;
        }
        let mut reader = Reader::new("test", &bytes);
        let mut without = reader.clone();
        let mut time_us = 7;
        for event in &events {
            let (found, effect) = decode_with_effect(&mut reader, time_us).unwrap();
            prop_assert_eq!(found, event.event());
            let (mut account, mut links) = (AccountBuf::default(), LinksBuf::default());
            let expected = effect_of(event, &mut account, &mut links);
            match effect {
                Some(effect) => prop_assert_eq!(effect::decode(effect, &found.body).unwrap(), expected),
                None => prop_assert_eq!(Effect::Unknown, expected),
            }
            prop_assert_eq!(decode(&mut without, time_us).unwrap(), event.event());
            time_us = event.time_us;
        }
        prop_assert!(reader.is_empty() && without.is_empty());
    }

    #[test]
    fn an_event_cut_short_in_its_effect_fails(event in owned(), cut in any::<prop::sample::Index>()) {
        let (mut account, mut links) = (AccountBuf::default(), LinksBuf::default());
        let effect = effect_of(&event, &mut account, &mut links);
        let mut bytes = Vec::new();
        encode_with_effect(&event.event(), &effect, 0, &mut bytes).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(decode(&mut Reader::new("test", &bytes[..cut]), 0).is_err());
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same(events in proptest::collection::vec(owned(), 1..20)) {
        let mut bytes = Vec::new();
        let mut time_us = 7;
        for event in &events {
            encode(&event.event(), time_us, &mut bytes).unwrap();
            time_us = event.time_us;
        }
        let mut reader = Reader::new("test", &bytes);
        let mut time_us = 7;
        for event in &events {
            prop_assert_eq!(decode(&mut reader, time_us).unwrap(), event.event());
            time_us = event.time_us;
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn hostile_bytes_decode_to_an_event_that_encodes_back_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new("test", &bytes);
        while let Ok(event) = decode(&mut reader, 0) {
            let mut again = Vec::new();
            encode(&event, 0, &mut again).unwrap();
            prop_assert_eq!(decode(&mut Reader::new("test", &again), 0).unwrap(), event);
        }
    }

    #[test]
    fn an_event_cut_short_fails(event in owned(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        encode(&event.event(), 0, &mut bytes).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(decode(&mut Reader::new("test", &bytes[..cut]), 0).is_err());
    }
}

#[test]
fn unknown_tags_and_flags_of_other_kinds_fail() {
    for tag in (8..16).chain([
        0x26, 0x17, 0x47, 0x12, 0x13, 0x20, 0x21, 0x22, 0x14, 0x43, 0x46, 0x52, 0x63, 0x80, 0x83,
        0xc0,
    ]) {
        let mut bytes = vec![tag, 0, 1, b'd'];
        bytes.extend_from_slice(&[1; 40]);
        let error = decode(&mut Reader::new("test", &bytes), 0).unwrap_err();
        assert!(
            error.to_string().contains("the tag of an event"),
            "{tag:#x}: {error}"
        );
    }
}

#[test]
fn an_effect_of_another_kind_of_event_or_too_long_is_left_out() {
    let event = |body| Event {
        time_us: 1,
        did: "did:web:a",
        body,
    };
    let delete = event(Body::Commit {
        rev: 1,
        collection: "a.b.c",
        rkey: "k",
        operation: Operation::Delete,
    });
    let identity = event(Body::Identity {
        seq: 1,
        handle: None,
    });
    let account = AccountBuf::default();
    let mut long = LinksBuf::default();
    long.push(".a", &"x".repeat(EFFECT_BYTES_MAX));
    let commit = |before| Effect::Commit {
        hidden: false,
        before,
    };
    for (event, effect) in [
        (delete, account.effect()),
        (delete, commit(Before::Same)),
        (delete, commit(Before::Links(long.links()))),
        (identity, commit(Before::Nothing)),
        (identity, account.effect()),
    ] {
        let (mut plain, mut with) = (Vec::new(), Vec::new());
        encode(&event, 0, &mut plain).unwrap();
        encode_with_effect(&event, &effect, 0, &mut with).unwrap();
        assert_eq!(plain, with);
    }
}

#[test]
fn an_effect_of_no_bytes_or_too_many_fails() {
    for length in [0, EFFECT_BYTES_MAX as u64 + 1, u64::MAX] {
        let delete = Body::Commit {
            rev: 1,
            collection: "a.b.c",
            rkey: "k",
            operation: Operation::Delete,
        };
        let event = Event {
            time_us: 1,
            did: "did:web:a",
            body: delete,
        };
        let mut bytes = Vec::new();
        encode(&event, 0, &mut bytes).unwrap();
        bytes[0] |= 0x40;
        put_varint(&mut bytes, length);
        let error = decode(&mut Reader::new("test", &bytes), 0).unwrap_err();
        assert!(
            error.to_string().contains("the size of an effect"),
            "{error}"
        );
    }
}

#[test]
fn an_event_too_large_is_refused_and_leaves_the_buffer_alone() {
    let body = vec![b' '; EVENT_BYTES_MAX];
    let record = Record {
        cid: "",
        encoding: Encoding::Json,
        body: &body,
    };
    let body = Body::Commit {
        rev: 1,
        collection: "a.b.c",
        rkey: "k",
        operation: Operation::Create(record),
    };
    let mut out = vec![1, 2];
    let error = encode(
        &Event {
            time_us: 0,
            did: "did:web:a",
            body,
        },
        0,
        &mut out,
    )
    .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(out, [1, 2]);
}
