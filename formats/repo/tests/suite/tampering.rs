//! Proofs that were tampered with: each way is refused, each with its own error.

use crate::support::{Blocks, DID, REV, RawEntry, Repo, Secret, Unsigned, add, car, raw_node};
use orrery_repo::cbor::{Item, put};
use orrery_repo::{
    Car, CarLimits, Cid, Codec, Curve, Form, Found, RecordProof, RepoError, mst,
    verify_record_proof,
};

/// Paths of the layers 2, 1 and 0.
const PATHS: [&str; 7] = ["k/39", "k/02", "k/48", "k/00", "k/04", "k/40", "k/49"];

fn verify<'a>(bytes: &'a [u8], path: &str, secret: &Secret) -> Result<RecordProof<'a>, RepoError> {
    let (collection, rkey) = path.split_once('/').unwrap();
    verify_record_proof(bytes, DID, collection, rkey, &secret.public())
}

#[test]
fn sound_proofs_give_the_record_or_its_absence_for_keys_of_both_curves() {
    for secret in [Secret::k256(7), Secret::p256(7)] {
        let repo = Repo::new(&PATHS, &secret);
        let bytes = repo.car();
        for path in PATHS {
            let proof = verify(&bytes, path, &secret).unwrap();
            let cid = repo.records[path];
            assert_eq!(proof.commit, repo.commit);
            assert_eq!(proof.rev, REV);
            assert_eq!(proof.record, Some((cid, repo.blocks[&cid].as_slice())));
        }
        for path in ["k/05", "a/b", "z/z", "k/391", "k/3", "k/41"] {
            assert_eq!(verify(&bytes, path, &secret).unwrap().record, None);
        }
    }
}

#[test]
fn an_empty_repository_proves_absence() {
    let secret = Secret::p256(3);
    let repo = Repo::new(&[], &secret);
    let bytes = repo.car();
    assert_eq!(verify(&bytes, "k/39", &secret).unwrap().record, None);
}

#[test]
fn blocks_that_stand_twice_or_for_nothing_change_nothing() {
    let secret = Secret::k256(7);
    let mut repo = Repo::new(&PATHS, &secret);
    add(&mut repo.blocks, b"nothing".to_vec());
    let more = Cid::of(Codec::Raw, b"no root");
    let twice = repo.blocks.iter().chain(&repo.blocks);
    let bytes = car(&[repo.commit, more], twice);
    assert!(verify(&bytes, "k/39", &secret).unwrap().record.is_some());
}

#[test]
fn no_change_of_a_byte_gives_another_answer() {
    for secret in [Secret::k256(7), Secret::p256(9)] {
        let repo = Repo::new(&PATHS[..4], &secret);
        let bytes = repo.car();
        for path in ["k/00", "k/03"] {
            let proof = verify(&bytes, path, &secret);
            assert!(proof.is_ok());
            for at in 0..bytes.len() {
                for change in [0x01, 0x80, 0xff, 0x20] {
                    let mut changed = bytes.clone();
                    changed[at] ^= change;
                    let read = verify(&changed, path, &secret);
                    assert!(read.is_err(), "byte {at} ^ {change}: {read:?}");
                }
            }
            for len in 0..bytes.len() {
                // Blocks at the end that the proof does not need may go.
                let read = verify(&bytes[..len], path, &secret);
                assert!(read.is_err() || read == proof, "{len} bytes: {read:?}");
            }
        }
    }
}

#[test]
fn what_is_asked_must_be_able_to_stand_in_a_tree() {
    let secret = Secret::k256(7);
    let bytes = Repo::new(&PATHS, &secret).car();
    let long = "r".repeat(1024);
    for (collection, rkey, what) in [
        ("k/3", "9", "collection"),
        ("", "39", "collection"),
        ("k", "3/9", "record key"),
        ("k", "", "record key"),
        ("k", "3 9", "record key"),
        ("k", &long, "path"),
    ] {
        let read = verify_record_proof(&bytes, DID, collection, rkey, &secret.public());
        let refused = matches!(&read, Err(RepoError::Path { what: it, .. }) if *it == what);
        assert!(refused, "{collection} {rkey}: {read:?}");
    }
}

#[test]
fn another_account_another_key_and_another_curve_are_refused() {
    let secret = Secret::k256(7);
    let bytes = Repo::new(&PATHS, &secret).car();
    let read = verify_record_proof(&bytes, "did:plc:other", "k", "39", &secret.public());
    assert_eq!(
        read,
        Err(RepoError::WrongDid {
            expected: "did:plc:other".to_owned(),
            found: DID.to_owned()
        })
    );
    for (other, curve) in [
        (Secret::k256(8), Curve::K256),
        (Secret::p256(7), Curve::P256),
    ] {
        let read = verify(&bytes, "k/39", &other).unwrap_err();
        assert_eq!(read.cause(), &RepoError::SignatureWrong { curve });
    }
}

#[test]
fn the_other_form_of_a_signature_and_other_lengths_are_refused() {
    for secret in [Secret::k256(7), Secret::p256(7)] {
        let repo = Repo::new(&PATHS, &secret);
        let unsigned = Unsigned {
            did: DID,
            rev: Some(REV),
            data: repo.data,
            version: 3,
        };
        let good = secret.sign(&unsigned.encode(None));
        let with = |signature: &[u8]| {
            let mut blocks = repo.blocks.clone();
            let commit = add(&mut blocks, unsigned.encode(Some(signature)));
            let bytes = car(&[commit], &blocks);
            verify(&bytes, "k/39", &secret)
                .err()
                .map(|error| error.cause().clone())
        };
        assert_eq!(with(&good), None);
        assert_eq!(
            with(&secret.other_s(&good)),
            Some(RepoError::SignatureHighS)
        );
        for bytes in [
            &good[..63],
            &[&good[..], &[0]].concat(),
            &[],
            &[0; 64],
            &[0xff; 64],
        ] {
            let refused = with(bytes);
            assert!(
                matches!(refused, Some(RepoError::SignatureForm { found, .. }) if found == bytes.len()),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn blocks_that_are_missing_are_named_and_never_absence() {
    let secret = Secret::k256(7);
    let repo = Repo::new(&PATHS, &secret);
    let record = repo.records["k/00"];
    let mut on_the_way = 0;
    for gone in repo.blocks.keys() {
        let rest = repo.blocks.iter().filter(|(cid, _)| *cid != gone);
        let bytes = car(&[repo.commit], rest);
        let role = match *gone {
            cid if cid == repo.commit => "the commit",
            cid if cid == record => "the record",
            _ => "a node of the tree",
        };
        match verify(&bytes, "k/00", &secret) {
            Ok(proof) => assert_eq!(proof.record.unwrap().0, record),
            Err(error) => {
                let expected = RepoError::MissingBlock { block: *gone, role };
                assert_eq!(error, expected);
                on_the_way += 1;
            }
        }
    }
    // The commit, three nodes, and the record.
    assert_eq!(on_the_way, 5);
    assert_eq!(
        verify(&car(&[], &repo.blocks), "k/00", &secret),
        Err(RepoError::NoRoot)
    );
}

#[test]
fn a_block_with_another_blocks_name_is_refused() {
    let secret = Secret::k256(7);
    let mut repo = Repo::new(&PATHS, &secret);
    let (record, other) = (repo.records["k/39"], repo.records["k/00"]);
    let block = repo.blocks[&other].clone();
    repo.blocks.insert(record, block);
    let bytes = repo.car();
    let error = verify(&bytes, "k/39", &secret).unwrap_err();
    let RepoError::BlockHash {
        offset,
        expected,
        found,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (record, other));
    assert!(bytes[offset..].starts_with(&repo.blocks[&other]));
}

/// A commit of these fields over a sound tree.
fn with_commit(block: Vec<u8>) -> RepoError {
    let secret = Secret::k256(7);
    let mut repo = Repo::new(&PATHS, &secret);
    let commit = add(&mut repo.blocks, block);
    let bytes = car(&[commit], &repo.blocks);
    verify(&bytes, "k/39", &secret).unwrap_err()
}

#[test]
fn commits_that_are_not_as_they_must_be_are_refused_by_field() {
    let data = Repo::new(&PATHS, &Secret::k256(7)).data;
    let good = Unsigned {
        did: DID,
        rev: Some(REV),
        data,
        version: 3,
    };
    let signature = [1; 64];
    let field = |error: &RepoError| match error.cause() {
        RepoError::Commit { field, .. } => *field,
        _ => panic!("{error}"),
    };
    let of = |unsigned: Unsigned<'_>| with_commit(unsigned.encode(Some(&signature)));
    let rev = |rev| of(Unsigned { rev, ..good });
    assert_eq!(field(&rev(None)), "rev");
    assert_eq!(field(&rev(Some("3lxwjfv4ybg2"))), "rev");
    assert_eq!(field(&rev(Some("zlxwjfv4ybg2c"))), "rev");
    assert_eq!(field(&of(Unsigned { did: "plc", ..good })), "did");
    assert_eq!(field(&of(Unsigned { version: 2, ..good })), "version");
    assert_eq!(field(&of(Unsigned { version: 4, ..good })), "version");
    assert_eq!(field(&with_commit(good.encode(None))), "sig");
    let raw = Cid::of(Codec::Raw, b"x");
    assert!(matches!(
        of(Unsigned { data: raw, ..good }).cause(),
        RepoError::WrongCodec { block, .. } if *block == raw
    ));
    // A record is no commit; neither is what has something behind it.
    let mut more = good.encode(Some(&signature));
    more.push(0xf6);
    let len = more.len() - 1;
    assert_eq!(
        with_commit(more).cause(),
        &RepoError::Malformed {
            form: Form::Cbor,
            offset: len,
            expected: "the end",
            found: Found::Byte(0xf6)
        }
    );
    assert_eq!(field(&with_commit(vec![0xa0])), "did");
    assert!(matches!(
        with_commit(vec![0x80]).cause(),
        RepoError::Malformed { offset: 0, .. }
    ));
}

#[test]
fn fields_that_are_not_known_are_covered_by_the_signature() {
    let secret = Secret::k256(7);
    let mut repo = Repo::new(&PATHS, &secret);
    let encode = |signature: Option<&[u8]>, extra: i64| {
        let mut out = Vec::new();
        put(&mut out, Item::Map(6 + usize::from(signature.is_some())));
        for (key, value) in [("did", DID), ("rev", REV)] {
            put(&mut out, Item::Text(key));
            put(&mut out, Item::Text(value));
        }
        if let Some(signature) = signature {
            put(&mut out, Item::Text("sig"));
            put(&mut out, Item::Bytes(signature));
        }
        put(&mut out, Item::Text("data"));
        put(&mut out, Item::Link(&repo.data.to_bytes()));
        put(&mut out, Item::Text("prev"));
        put(&mut out, Item::Null);
        put(&mut out, Item::Text("extra"));
        put(&mut out, Item::Integer(extra));
        put(&mut out, Item::Text("version"));
        put(&mut out, Item::Integer(3));
        out
    };
    let signature = secret.sign(&encode(None, 1));
    let (good, bad) = (encode(Some(&signature), 1), encode(Some(&signature), 2));
    let commit = add(&mut repo.blocks, good);
    let bytes = car(&[commit], &repo.blocks);
    assert!(verify(&bytes, "k/39", &secret).is_ok());
    let commit = add(&mut repo.blocks, bad);
    let bytes = car(&[commit], &repo.blocks);
    let error = verify(&bytes, "k/39", &secret).unwrap_err();
    assert!(matches!(error.cause(), RepoError::SignatureWrong { .. }));
}

/// The rule that a tree with this root breaks, whichever way it is read.
fn broken(blocks: &Blocks, root: Cid, path: &str) -> &'static str {
    let bytes = car(&[root], blocks);
    let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
    let walked = mst::walk(&car, &root).find_map(Result::err).unwrap();
    let proven = mst::prove(&car, &root, path).unwrap_err();
    match (walked.cause(), proven.cause()) {
        (
            RepoError::Node { expected: a, .. } | RepoError::Malformed { expected: a, .. },
            RepoError::Node { expected: b, .. } | RepoError::Malformed { expected: b, .. },
        ) => {
            assert_eq!(a, b);
            a
        }
        _ => panic!("{walked}, {proven}"),
    }
}

/// One node of these keys, each as prefix and suffix.
fn broken_node(entries: &[(i64, &str)]) -> &'static str {
    let value = Cid::of(Codec::DagCbor, b"x");
    let entries: Vec<RawEntry<'_>> = entries
        .iter()
        .map(|(prefix, suffix)| RawEntry {
            prefix: *prefix,
            suffix: suffix.as_bytes(),
            value,
            right: None,
        })
        .collect();
    let mut blocks = Blocks::new();
    let root = add(&mut blocks, raw_node(None, &entries));
    broken(&blocks, root, "k/zz")
}

#[test]
fn nodes_that_break_a_rule_are_refused_by_it() {
    // All of layer 0: k/00, k/04, k/40, k/49.
    assert_eq!(broken_node(&[(1, "k/00")]), "a prefix of the key before");
    assert_eq!(
        broken_node(&[(0, "k/00"), (5, "4")]),
        "a prefix of the key before"
    );
    assert_eq!(broken_node(&[(0, "k/00"), (-1, "4")]), "a length");
    assert_eq!(
        broken_node(&[(0, "k/00"), (2, "04")]),
        "the longest shared prefix"
    );
    assert_eq!(broken_node(&[(0, "k/04"), (3, "0")]), "keys in their order");
    assert_eq!(broken_node(&[(0, "k/04"), (4, "")]), "keys in their order");
    assert_eq!(broken_node(&[(0, "")]), "keys in their order");
    assert_eq!(broken_node(&[(0, "k00")]), "a path collection/rkey");
    assert_eq!(broken_node(&[(0, "k/0\u{e9}")]), "a path collection/rkey");
    assert_eq!(broken_node(&[(0, "k/00"), (2, "39")]), "keys of one layer");
    let long = format!("k/{}", "0".repeat(1023));
    assert_eq!(broken_node(&[(0, &long)]), "a path of at most 1024 bytes");
}

#[test]
fn trees_of_another_shape_are_refused() {
    let value = Cid::of(Codec::DagCbor, b"x");
    let leaf =
        |blocks: &mut Blocks, key| add(blocks, crate::support::node(None, &[(key, value, None)]));

    // A layer is left out between 2 and 0.
    let mut blocks = Blocks::new();
    let low = leaf(&mut blocks, "k/00");
    let root = add(
        &mut blocks,
        crate::support::node(Some(low), &[("k/39", value, None)]),
    );
    assert_eq!(
        broken(&blocks, root, "k/00"),
        "the layer below the node above"
    );

    // A key stands below one of its own layer.
    let mut blocks = Blocks::new();
    let low = leaf(&mut blocks, "k/00");
    let root = add(
        &mut blocks,
        crate::support::node(None, &[("k/04", value, Some(low))]),
    );
    assert_eq!(broken(&blocks, root, "k/00"), "no node below layer 0");

    // On the wrong side of the key above: 02 is of layer 1, 40 of layer 0.
    let mut blocks = Blocks::new();
    let low = leaf(&mut blocks, "k/40");
    let root = add(
        &mut blocks,
        crate::support::node(Some(low), &[("k/02", value, None)]),
    );
    assert_eq!(broken(&blocks, root, "k/00"), "keys in their order");
    let mut blocks = Blocks::new();
    let low = leaf(&mut blocks, "k/00");
    let root = add(
        &mut blocks,
        crate::support::node(None, &[("k/02", value, Some(low))]),
    );
    assert_eq!(broken(&blocks, root, "k/04"), "keys in their order");

    // A node without anything, and a root that only leads on.
    let mut blocks = Blocks::new();
    let low = add(&mut blocks, crate::support::node(None, &[]));
    let root = add(
        &mut blocks,
        crate::support::node(Some(low), &[("k/02", value, None)]),
    );
    assert_eq!(broken(&blocks, root, "k/00"), "entries or a node below");
    let mut blocks = Blocks::new();
    let low = leaf(&mut blocks, "k/00");
    let root = add(&mut blocks, crate::support::node(Some(low), &[]));
    assert_eq!(broken(&blocks, root, "k/00"), "a root with entries");
}

#[test]
fn nodes_of_other_fields_are_refused() {
    let root_of = |block: Vec<u8>| {
        let mut blocks = Blocks::new();
        let root = add(&mut blocks, block);
        broken(&blocks, root, "k/00")
    };
    assert_eq!(root_of(vec![0xa0]), "a map of e and l");
    assert_eq!(root_of(vec![0x80]), "a map");
    let good = raw_node(None, &[]);
    assert_eq!(root_of([&good[..], &[0xf6]].concat()), "the end");
    // {e: [{}], l: null} and {e: [], x: null}
    let entry = [&[0xa2, 0x61, b'e', 0x81, 0xa0], &[0x61, b'l', 0xf6][..]].concat();
    assert_eq!(root_of(entry), "a map of k, p, t and v");
    let other = [&[0xa2, 0x61, b'e', 0x80], &[0x61, b'x', 0xf6][..]].concat();
    assert_eq!(root_of(other), "l");
}
