//! Signed repositories: records in both forms, CARs, commits and trees. Hashes would turn away almost every
//! change of a byte; so `tree` gives its input the hash that it has.

use std::collections::BTreeMap;

use orrery_repo::cbor::{Item, Reader, put};
use orrery_repo::mst::{self, Proven};
use orrery_repo::{
    CID_BYTES, Car, CarLimits, Cid, Codec, Commit, PublicKey, Rules, cbor_to_json, json_to_cbor,
    verify_record_proof,
};

use crate::{Outcome, Target, heap};

/// What errors and small buffers take.
const HEAP_MAX: usize = 16_384;
/// What JSON may take for each byte of a record: its text, twice while it grows, and the places of its fields.
const HEAP_PER_BYTE: usize = 64;
/// What the index of a CAR may take for each byte.
const HEAP_PER_CAR_BYTE: usize = 16;

pub(super) const RECORD_JSON: Target = Target {
    name: "record-json",
    about: "a record as JSON, to DAG-CBOR and back, against serde_json",
    seeds: || {
        [
            r#"{"$type":"a.b.c","ref":{"$link":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},"b":{"$bytes":"AAEC/w"}}"#,
            r#"{"bb":[1,-2,1.5,1e3,9007199254740993,true,null,[],{}],"a":"\ud83d\ude00\n\u0001\u00e9"}"#,
            "{}",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "{\"a\":",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\u0061",
        "\\ud83d",
        "\\ude00",
        "null",
        "1.5",
        "1e5",
        "-0",
        "9223372036854775807",
        "\"$type\":",
        "\"$link\":",
        "\"$bytes\":",
        "==",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "blob",
    ],
    check: record_json,
};

fn record_json(input: &[u8]) -> Outcome {
    let read = heap::at_most(HEAP_MAX + HEAP_PER_BYTE * input.len(), || {
        json_to_cbor(input, &Rules::STORED)
    });
    let strict = json_to_cbor(input, &Rules::DATA_MODEL);
    match &read {
        Ok(cbor) => {
            serde_json::from_slice::<serde_json::Value>(input).expect("what is read is JSON");
            assert_eq!(&items(cbor), cbor);
            let json = cbor_to_json(cbor, &Rules::STORED).expect("what was encoded is read");
            let again = json_to_cbor(json.as_bytes(), &Rules::STORED);
            assert_eq!(again.as_ref(), Ok(cbor));
            if let Ok(strict) = &strict {
                assert_eq!(strict, cbor);
                assert_eq!(cbor_to_json(cbor, &Rules::DATA_MODEL), Ok(json));
            }
        }
        Err(_) => assert!(strict.is_err(), "the data model is stricter"),
    }
    Outcome::of(&(read.err(), strict.err()))
}

/// Reads items and writes them again.
fn items(cbor: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(cbor);
    let mut out = Vec::new();
    while !reader.rest().is_empty() {
        put(&mut out, reader.item().expect("it was read before"));
    }
    out
}

pub(super) const RECORD_CBOR: Target = Target {
    name: "record-cbor",
    about: "a record as DAG-CBOR, to JSON and back",
    seeds: || {
        [
            r#"{"a":[1,-2,300,70000,5000000000,1.5,true,false,null,[],{}],"bb":"\u00e9","ccc":{"d":{"$bytes":"AAEC"}}}"#,
            r#"{"$type":"blob","size":1,"mimeType":"a/b","ref":{"$link":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"}}"#,
        ]
        .map(|text| json_to_cbor(text.as_bytes(), &Rules::STORED).expect("seeds are records"))
        .into()
    },
    words: &[
        "$type", "$link", "$bytes", "blob", "ref", "size", "mimeType",
    ],
    check: record_cbor,
};

fn record_cbor(input: &[u8]) -> Outcome {
    let read = heap::at_most(HEAP_MAX + HEAP_PER_BYTE * input.len(), || {
        cbor_to_json(input, &Rules::STORED)
    });
    let strict = cbor_to_json(input, &Rules::DATA_MODEL);
    match &read {
        Ok(json) => {
            assert_eq!(items(input), input, "each value has one form");
            serde_json::from_str::<serde_json::Value>(json).expect("what is written is JSON");
            if let Ok(strict) = &strict {
                assert_eq!(strict, json);
                let again = json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL);
                assert_eq!(again.as_deref(), Ok(input));
            }
        }
        Err(_) => assert!(strict.is_err(), "the data model is stricter"),
    }
    Outcome::of(&(read.err(), strict.err()))
}

pub(super) const CAR: Target = Target {
    name: "car",
    about: "a CAR, and the proof in it",
    seeds: || {
        let (root, blocks) = tree();
        let commit = commit(root);
        let cid = Cid::of(Codec::DagCbor, &commit);
        let mut all = blocks;
        all.insert(cid, commit);
        vec![car(cid, &all), car(root, &BTreeMap::new())]
    },
    words: &[],
    check: |input| {
        let most = HEAP_MAX + HEAP_PER_CAR_BYTE * input.len();
        let read = heap::at_most(most, || Car::read(input, &CarLimits::PROOF));
        let mut walked = 0;
        if let Ok(car) = &read {
            for (cid, block) in car.blocks() {
                assert!(cid.is_of(block));
            }
            if let Ok(root) = car.root() {
                walked = mst::walk(car, &root).take_while(Result::is_ok).count();
            }
        }
        let key = PublicKey::from_multikey("zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc");
        let key = key.expect("a key");
        let proof = verify_record_proof(input, DID, "k", "39", &key);
        let error = proof.expect_err("nobody signs here");
        Outcome::of(&(read.err(), walked > 0, error))
    },
};

pub(super) const COMMIT: Target = Target {
    name: "commit",
    about: "a commit, and the bytes of it that are signed",
    seeds: || vec![commit(tree().0)],
    words: &["did", "rev", "sig", "data", "prev", "version", DID],
    check: |input| {
        let read = Commit::parse(input);
        if let Ok(commit) = &read {
            let unsigned = commit.unsigned_bytes();
            assert!(unsigned.len() + commit.signature.len() < input.len());
            let mut reader = Reader::new(&unsigned);
            reader.value(16).expect("what is signed is a value");
            reader.finish().expect("and nothing else");
            let unread = Commit::parse(&unsigned).expect_err("it has no signature");
            assert!(unread.to_string().contains("sig"), "{unread}");
        }
        Outcome::of(&read.err())
    },
};

pub(super) const TREE: Target = Target {
    name: "tree",
    about: "a node of a tree under its own hash, walked and asked for every path",
    seeds: || {
        let (root, blocks) = tree();
        let root = blocks[&root].clone();
        blocks
            .into_values()
            .filter(|block| *block != root)
            .chain([root.clone()])
            .collect()
    },
    words: &["k/39", "k/02", "k/48", "k/00", "k/04", "k/40", "k/49"],
    check: |input| {
        let (_, mut blocks) = tree();
        let root = Cid::of(Codec::DagCbor, input);
        blocks.insert(root, input.to_vec());
        let bytes = car(root, &blocks);
        let car = Car::read(&bytes, &CarLimits::PROOF).expect("a sound CAR");
        let mut walked = Vec::new();
        let mut failed = None;
        for record in mst::walk(&car, &root) {
            match record {
                Ok(record) => walked.push(record),
                Err(error) => failed = Some(error),
            }
        }
        assert!(walked.is_sorted_by(|a, b| a.0 < b.0));
        for (path, cid) in &walked {
            assert!(mst::is_path(path));
            let proven = mst::prove(&car, &root, path);
            if failed.is_none() {
                assert_eq!(proven, Ok(Proven::Present(*cid)));
            }
        }
        if failed.is_none() {
            assert_eq!(mst::prove(&car, &root, "k/none"), Ok(Proven::Absent));
        }
        Outcome::of(&(walked.len(), failed))
    },
};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

/// Three layers: the root and all nodes.
fn tree() -> (Cid, BTreeMap<Cid, Vec<u8>>) {
    let mut blocks = BTreeMap::new();
    let mut add = |left, entries: &[(&str, Option<Cid>)]| {
        let block = node(left, entries);
        let cid = Cid::of(Codec::DagCbor, &block);
        blocks.insert(cid, block);
        cid
    };
    let low = add(None, &[("k/00", None)]);
    let left = add(Some(low), &[("k/02", None)]);
    let low = add(None, &[("k/40", None)]);
    let high = add(None, &[("k/49", None)]);
    let right = add(Some(low), &[("k/48", Some(high))]);
    let root = add(Some(left), &[("k/39", Some(right))]);
    add(None, &[("k/00", None), ("k/04", None)]);
    (root, blocks)
}

fn node(left: Option<Cid>, entries: &[(&str, Option<Cid>)]) -> Vec<u8> {
    let link = |out: &mut Vec<u8>, cid: Option<Cid>| match cid {
        Some(cid) => put(out, Item::Link(&cid.to_bytes())),
        None => put(out, Item::Null),
    };
    let mut out = Vec::new();
    put(&mut out, Item::Map(2));
    put(&mut out, Item::Text("e"));
    put(&mut out, Item::List(entries.len()));
    let mut last = "";
    for (key, right) in entries {
        let shared = last.bytes().zip(key.bytes());
        let shared = shared.take_while(|(a, b)| a == b).count();
        put(&mut out, Item::Map(4));
        put(&mut out, Item::Text("k"));
        put(&mut out, Item::Bytes(&key.as_bytes()[shared..]));
        put(&mut out, Item::Text("p"));
        put(&mut out, Item::Integer(shared as i64));
        put(&mut out, Item::Text("t"));
        link(&mut out, *right);
        put(&mut out, Item::Text("v"));
        link(&mut out, Some(Cid::of(Codec::DagCbor, key.as_bytes())));
        last = key;
    }
    put(&mut out, Item::Text("l"));
    link(&mut out, left);
    out
}

fn commit(data: Cid) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, Item::Map(6));
    for (key, value) in [("did", DID), ("rev", "3lxwjfv4ybg2c")] {
        put(&mut out, Item::Text(key));
        put(&mut out, Item::Text(value));
    }
    put(&mut out, Item::Text("sig"));
    put(&mut out, Item::Bytes(&[1; 64]));
    put(&mut out, Item::Text("data"));
    put(&mut out, Item::Link(&data.to_bytes()));
    put(&mut out, Item::Text("prev"));
    put(&mut out, Item::Null);
    put(&mut out, Item::Text("version"));
    put(&mut out, Item::Integer(3));
    out
}

fn car(root: Cid, blocks: &BTreeMap<Cid, Vec<u8>>) -> Vec<u8> {
    let mut header = Vec::new();
    put(&mut header, Item::Map(2));
    put(&mut header, Item::Text("roots"));
    put(&mut header, Item::List(1));
    put(&mut header, Item::Link(&root.to_bytes()));
    put(&mut header, Item::Text("version"));
    put(&mut header, Item::Integer(1));
    let mut out = Vec::new();
    varint(&mut out, header.len());
    out.extend(header);
    for (cid, block) in blocks {
        varint(&mut out, CID_BYTES + block.len());
        out.extend(cid.to_bytes());
        out.extend(block);
    }
    out
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
