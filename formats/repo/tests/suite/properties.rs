//! Generated repositories and records: what a plain map has is what is proven, walked and read.

use crate::support::{Blocks, Records};
use orrery_repo::mst::{self, Proven};
use orrery_repo::{
    Car, CarLimits, Cid, Codec, RepoError, Rules, cbor_to_json, json_to_cbor, record_cid,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn path() -> impl Strategy<Value = String> {
    // Few characters, so that keys share prefixes and are each other's prefixes.
    "[ab]{1,3}(\\.c)?/[ab01]{1,6}"
}

fn records() -> impl Strategy<Value = Records> {
    btree_map(
        path(),
        any::<u8>().prop_map(|n| Cid::of(Codec::DagCbor, &[n])),
        0..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_tree_proves_and_walks_what_a_map_has(records in records(), others in vec(path(), 20)) {
        let mut blocks = Blocks::new();
        let root = crate::support::build(&records, &mut blocks);
        let bytes = crate::support::car(&[root], &blocks);
        let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
        for path in records.keys().chain(&others) {
            let expected = records.get(path).map_or(Proven::Absent, |cid| Proven::Present(*cid));
            prop_assert_eq!(mst::prove(&car, &root, path), Ok(expected));
        }
        let walked: Result<Vec<(String, Cid)>, RepoError> = mst::walk(&car, &root).collect();
        prop_assert_eq!(walked.unwrap(), records.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn without_any_one_node_a_proof_is_the_same_or_says_what_is_missing(
        records in records(),
        others in vec(path(), 10),
        pick in any::<prop::sample::Index>(),
    ) {
        let mut blocks = Blocks::new();
        let root = crate::support::build(&records, &mut blocks);
        let cids: Vec<Cid> = blocks.keys().copied().collect();
        let gone = cids[pick.index(cids.len())];
        blocks.remove(&gone);
        let bytes = crate::support::car(&[root], &blocks);
        let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
        for path in records.keys().chain(&others) {
            let expected = records.get(path).map_or(Proven::Absent, |cid| Proven::Present(*cid));
            match mst::prove(&car, &root, path) {
                Ok(proven) => prop_assert_eq!(proven, expected),
                Err(RepoError::MissingBlock { block, .. }) => prop_assert_eq!(block, gone),
                Err(error) => panic!("{path}: {error}"),
            }
        }
        let mut walk = mst::walk(&car, &root);
        let end = walk.find(Result::is_err);
        let missing = matches!(&end, Some(Err(RepoError::MissingBlock { block, .. })) if *block == gone);
        prop_assert!(missing, "{:?}", end);
        prop_assert!(walk.next().is_none());
    }

    #[test]
    fn a_record_is_the_same_after_both_ways_whatever_the_order_of_its_fields(value in record()) {
        let json = value.to_string();
        let cbor = json_to_cbor(json.as_bytes(), &Rules::STORED).unwrap();
        let printed = cbor_to_json(&cbor, &Rules::STORED).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(&printed).unwrap(), &value);
        prop_assert_eq!(json_to_cbor(printed.as_bytes(), &Rules::STORED).unwrap(), cbor.clone());
        let mut backwards = String::new();
        write_backwards(&value, &mut backwards);
        prop_assert!(record_cid(backwards.as_bytes()).unwrap().is_of(&cbor));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_has_one_form(bytes in vec(any::<u8>(), 0..60)) {
        let mut map = vec![0xa1, 0x61, b'a'];
        map.extend(&bytes);
        for bytes in [&bytes, &map] {
            if let Ok(json) = cbor_to_json(bytes, &Rules::STORED) {
                // Floats that are whole, and maps that look like links, lose their form in JSON.
                if !json.contains(".0") && !json.contains("$") {
                    prop_assert_eq!(&json_to_cbor(json.as_bytes(), &Rules::STORED).unwrap(), bytes);
                }
            }
            let _ = json_to_cbor(bytes, &Rules::STORED);
            let _ = Car::read(bytes, &CarLimits::PROOF);
        }
    }
}

fn record() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[\\x00-\\x7f\u{e9}\u{1f600}]{0,8}".prop_map(Value::from),
        // Few digits: `serde_json` does not read all others exactly.
        any::<i32>().prop_map(|n| json!(f64::from(n) + 0.125)),
        any::<[u8; 3]>().prop_map(|bytes| {
            let cid = Cid::of(Codec::Raw, &bytes);
            json!({"$link": cid.to_string()})
        }),
        Just(json!({"$bytes": "nFERjvLLiw9qm45JrqH9QTzyC2Lu1Xb4ne6+sBrCzI0"})),
    ];
    let tree = leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map("[a-z\u{e9}\u{4e2d}]{0,30}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    btree_map("[a-zA-Z]{0,4}", tree, 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Writes JSON with the fields of objects in the opposite order and spaces between everything.
fn write_backwards(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push_str("{ ");
            for (at, (key, value)) in map.iter().rev().enumerate() {
                out.push_str(if at > 0 { " ,\n" } else { "" });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(" :\t");
                write_backwards(value, out);
            }
            out.push_str(" }\r\n");
        }
        Value::Array(list) => {
            out.push_str("[ ");
            for (at, value) in list.iter().enumerate() {
                out.push_str(if at > 0 { " , " } else { "" });
                write_backwards(value, out);
            }
            out.push_str(" ]");
        }
        other => out.push_str(&other.to_string()),
    }
}
