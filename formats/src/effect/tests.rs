use super::*;
use crate::event::{Encoding, Record};
use proptest::prelude::*;

fn commit(operation: Operation<'_>) -> Body<'_> {
    Body::Commit {
        rev: 1,
        collection: "a.b.c",
        rkey: "k",
        operation,
    }
}

fn update() -> Body<'static> {
    commit(Operation::Update(Record {
        cid: "",
        encoding: Encoding::Json,
        body: b"{}",
    }))
}

const ACCOUNT: Body<'static> = Body::Account {
    seq: 1,
    active: false,
    status: None,
};
const IDENTITY: Body<'static> = Body::Identity {
    seq: 1,
    handle: None,
};

type OwnedLinks = Vec<(String, String)>;

fn links_of(links: &[(String, String)]) -> LinksBuf {
    let mut buffer = LinksBuf::default();
    for (path, target) in links {
        buffer.push(path, target);
    }
    buffer
}

fn owned(links: &Links<'_>) -> OwnedLinks {
    let own = |(path, target): (&str, &str)| (path.to_owned(), target.to_owned());
    links.iter().map(own).collect()
}

fn some_links() -> impl Strategy<Value = OwnedLinks> {
    // Few paths, so that some repeat.
    proptest::collection::vec((".{0,2}|[.]a", ".{0,20}"), 1..8)
}

fn some_rows() -> impl Strategy<Value = Vec<(String, String, OwnedLinks)>> {
    proptest::collection::vec(("[ab]{0,2}", ".{0,8}", some_links()), 0..6)
}

proptest! {
    #[test]
    fn the_links_of_a_commit_decode_to_the_same(links in some_links(), hidden in any::<bool>()) {
        let buffer = links_of(&links);
        let effect = Effect::Commit { hidden, before: Before::Links(buffer.links()) };
        let mut bytes = Vec::new();
        encode(&effect, &mut bytes);
        prop_assert_eq!(bytes.len(), effect.encoded_len());
        for body in [update(), commit(Operation::Delete)] {
            let decoded = decode(&bytes, &body).unwrap();
            prop_assert_eq!(decoded, effect);
            let Effect::Commit { before: Before::Links(found), .. } = decoded else { panic!() };
            prop_assert_eq!(found.len() as usize, links.len());
            prop_assert_eq!(owned(&found), links.clone());
        }
        decode(&bytes, &ACCOUNT).unwrap_err();
        for cut in 0..bytes.len() {
            decode(&bytes[..cut], &update()).unwrap_err();
        }
    }

    #[test]
    fn the_rows_of_an_account_decode_to_the_same(
        rows in some_rows(),
        steps in proptest::collection::vec(1..u64::MAX >> 6, 0..20),
        is_cut in any::<bool>(),
    ) {
        let mut buffer = AccountBuf::default();
        for (collection, rkey, links) in &rows {
            let links = links_of(links);
            let row = Row { collection, rkey, links: links.links() };
            prop_assert!(buffer.push_row(&row));
        }
        let mut seq = 0;
        let seqs: Vec<u64> = steps.iter().map(|step| { seq += step; seq }).collect();
        seqs.iter().for_each(|seq| buffer.push_seq(*seq));
        if is_cut {
            buffer.cut();
        }
        let effect = buffer.effect();
        let mut bytes = Vec::new();
        encode(&effect, &mut bytes);
        prop_assert_eq!(bytes.len(), effect.encoded_len());
        let decoded = decode(&bytes, &ACCOUNT).unwrap();
        prop_assert_eq!(decoded, effect);
        let Effect::Account { rows: found, seqs: found_seqs, is_cut: found_cut } = decoded else { panic!() };
        let found: Vec<_> = found
            .iter()
            .map(|row| (row.collection.to_owned(), row.rkey.to_owned(), owned(&row.links)))
            .collect();
        prop_assert_eq!(found, rows);
        prop_assert_eq!(found_seqs.iter().collect::<Vec<_>>(), seqs);
        prop_assert_eq!(found_cut, is_cut);
        decode(&bytes, &update()).unwrap_err();
        for cut in 0..bytes.len() {
            decode(&bytes[..cut], &ACCOUNT).unwrap_err();
        }
    }

    #[test]
    fn hostile_bytes_decode_to_an_effect_that_encodes_to_them_or_fail(
        kind in 0..64_u8,
        rest in proptest::collection::vec(0..6_u8, 0..40),
    ) {
        let bytes = [&[kind], &*rest].concat();
        for body in [update(), commit(Operation::Delete), ACCOUNT, IDENTITY] {
            let Ok(effect) = decode(&bytes, &body) else { continue };
            prop_assert!(effect.fits(&body));
            let mut again = Vec::new();
            encode(&effect, &mut again);
            prop_assert_eq!(&again, &bytes);
        }
    }
}

#[test]
fn a_repeated_path_and_collection_cost_a_byte() {
    let mut links = LinksBuf::default();
    links.push(".subject.uri", "t");
    let one = links.byte_len();
    links.push(".subject.uri", "u");
    assert_eq!(links.byte_len(), one + 3);
    let mut account = AccountBuf::default();
    let row = |rkey| Row {
        collection: "app.bsky.feed.like",
        rkey,
        links: links.links(),
    };
    assert!(account.push_row(&row("a")));
    let one = account.effect().encoded_len();
    assert!(account.push_row(&row("b")));
    let name = "app.bsky.feed.like".len();
    assert_eq!(account.effect().encoded_len(), 2 * one - 3 - name);
}

#[test]
fn effects_of_other_kinds_of_events_are_refused() {
    decode(&[kind::NOTHING], &update()).unwrap();
    decode(&[kind::SAME | kind::HIDDEN], &update()).unwrap();
    decode(&[kind::SAME], &commit(Operation::Delete)).unwrap_err();
    for body in [update(), commit(Operation::Delete)] {
        for hidden in [false, true] {
            let before = Before::Unknown;
            let effect = Effect::Commit { hidden, before };
            let mut bytes = Vec::new();
            encode(&effect, &mut bytes);
            assert_eq!(bytes, [if hidden { 7 } else { 3 }]);
            assert_eq!(decode(&bytes, &body).unwrap(), effect);
            decode(&[bytes[0], 0], &body).unwrap_err();
        }
    }
    decode(&[kind::NOTHING], &ACCOUNT).unwrap_err();
    decode(&[kind::ACCOUNT, 0, 0], &ACCOUNT).unwrap();
    decode(&[kind::ACCOUNT, 0, 0], &update()).unwrap_err();
    for body in [update(), ACCOUNT, IDENTITY] {
        decode(&[], &body).unwrap_err();
        for found in (8..16).chain(0x11..0x20).chain(0x21..0x30) {
            decode(&[found, 0, 0], &body).unwrap_err();
        }
    }
    for found in 0..=255 {
        decode(&[found, 0, 0], &IDENTITY).unwrap_err();
    }
}

#[test]
fn claims_of_many_links_rows_or_seqs_are_refused_without_the_memory() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for bytes in [
        [&[kind::LINKS], &huge[..]].concat(),
        [&[kind::LINKS], &[0][..]].concat(),
    ] {
        decode(&bytes, &update()).unwrap_err();
    }
    for bytes in [
        [&[kind::ACCOUNT], &huge[..], &[0]].concat(),
        [&[kind::ACCOUNT, 0], &huge[..]].concat(),
    ] {
        decode(&bytes, &ACCOUNT).unwrap_err();
    }
    let long = vec![kind::NOTHING; EFFECT_BYTES_MAX + 1];
    let error = decode(&long, &update()).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn seqs_rise_in_what_is_decoded() {
    decode(&[kind::ACCOUNT, 0, 2, 5, 1], &ACCOUNT).unwrap();
    decode(&[kind::ACCOUNT, 0, 2, 5, 0], &ACCOUNT).unwrap_err();
    let mut over = vec![kind::ACCOUNT, 0, 2];
    put_varint(&mut over, u64::MAX);
    over.push(1);
    decode(&over, &ACCOUNT).unwrap_err();
}

#[test]
fn rows_beyond_the_limits_are_told_by_seq_and_then_cut() {
    let mut links = LinksBuf::default();
    for target in 0..4_000 {
        links.push(".a", &target.to_string());
    }
    let row = Row {
        collection: "a.b.c",
        rkey: "k",
        links: links.links(),
    };
    let mut account = AccountBuf::default();
    assert!(account.push_row(&row) && account.push_row(&row));
    assert!(!account.push_row(&row), "12,000 links are too many");
    assert!(account.has_room(2_000) && !account.has_room(2_001));
    let mut one = LinksBuf::default();
    one.push(".a", &"x".repeat(INLINE_BYTES_MAX));
    let long = Row {
        links: one.links(),
        ..row
    };
    let mut other = AccountBuf::default();
    assert!(!other.push_row(&long), "1 MiB of links is too much");
    let mut seq = 0;
    while !matches!(account.effect(), Effect::Account { is_cut: true, .. }) {
        seq += 1 << 20;
        account.push_seq(seq);
    }
    let effect = account.effect();
    assert!(effect.encoded_len() <= EFFECT_BYTES_MAX);
    assert!(effect.encoded_len() > EFFECT_BYTES_MAX - 40);
    let mut bytes = Vec::new();
    encode(&effect, &mut bytes);
    assert_eq!(decode(&bytes, &ACCOUNT).unwrap(), effect);
}
