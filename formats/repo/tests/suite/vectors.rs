//! The published test vectors: CBOR, data model, CIDs, keys and signatures, trees.

use std::collections::BTreeMap;

use crate::support::data;
use orrery_repo::cbor::{Item, Reader, put};
use orrery_repo::mst::{self, Proven};
use orrery_repo::{
    Car, CarLimits, Cid, PublicKey, RepoError, Rules, cbor_to_json, json_to_cbor, record_cid,
};

/// Reads one value whole and writes it again.
fn again(bytes: &[u8]) -> Result<Vec<u8>, RepoError> {
    let mut reader = Reader::new(bytes);
    reader.value(64)?;
    reader.finish()?;
    let mut reader = Reader::new(bytes);
    let mut out = Vec::new();
    while !reader.rest().is_empty() {
        put(&mut out, reader.item()?);
    }
    Ok(out)
}

#[test]
fn rfc_8949_vectors_are_read_exactly_where_dag_cbor_allows_them() {
    let Some(cases) = data::cases("cbor/rfc8949-vectors.json") else {
        return;
    };
    let mut read = 0;
    for case in &cases {
        let hex = data::str(case, "hex");
        let bytes = data::hex(hex);
        let flags = case["flags"].as_array().unwrap();
        let valid = flags.iter().any(|flag| flag == "valid");
        let canonical = valid && flags.iter().any(|flag| flag == "canonical");
        match again(&bytes) {
            Ok(out) => {
                assert_eq!(out, bytes, "{hex}");
                assert!(valid, "{case} is invalid, but passes");
                read += 1;
            }
            Err(error) => {
                // What is canonical CBOR and still refused: floats of 16 and 32 bits, tags, simple values,
                // integers beyond 64 bits with sign, keys that are no text.
                let diagnostic = case["diagnostic"].as_str().unwrap_or_default();
                let elsewhere = matches!(bytes[0], 0xf7..=0xfa | 0xe0..=0xf3 | 0xc0..=0xd7)
                    || bytes[0] == 0xd8
                    || matches!(diagnostic, "18446744073709551615" | "-18446744073709551616")
                    || diagnostic.starts_with("{1:");
                assert!(
                    !canonical || elsewhere || diagnostic.contains("Infinity"),
                    "{case}: {error}"
                );
            }
        }
    }
    assert_eq!(read, 38);
}

#[test]
fn dasl_vectors_hold_but_for_links_of_records_which_may_be_of_any_kind() {
    let any_link = [
        "short hash digest",
        "long hash digest",
        "CIDv1 that isn't raw or cbor",
        "disallowed hash type (SHA-1)",
    ];
    for name in [
        "cid", "concat", "floats", "map_keys", "simple", "tags", "utf8",
    ] {
        let Some(cases) = data::cases(&format!("cbor/dasl/{name}.json")) else {
            return;
        };
        for case in &cases {
            let bytes = data::hex(data::str(case, "data"));
            let name = data::str(case, "name");
            let read = again(&bytes);
            match data::str(case, "type") {
                "roundtrip" => assert_eq!(read.as_deref(), Ok(bytes.as_slice()), "{name}"),
                "invalid_in" | "invalid_out" if any_link.contains(&name) => {
                    assert!(read.is_ok(), "{name}");
                    let Ok(Item::Link(link)) = Reader::new(&bytes).item() else {
                        panic!("{name} is no link");
                    };
                    assert!(Cid::from_bytes(link).is_err(), "{name}");
                }
                _ => assert!(read.is_err(), "{name} is invalid, but passes"),
            }
        }
    }
}

#[test]
fn data_model_fixtures_have_their_bytes_and_cids() {
    let Some(cases) = data::cases("interop/data-model/data-model-fixtures.json") else {
        return;
    };
    for case in &cases {
        let json = case["json"].to_string();
        let cbor = data::base64(data::str(case, "cbor_base64"));
        let encoded = json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL);
        assert_eq!(encoded, Ok(cbor.clone()));
        let cid = record_cid(json.as_bytes()).unwrap();
        assert_eq!(cid.to_string(), data::str(case, "cid"));
        let printed = cbor_to_json(&cbor, &Rules::DATA_MODEL).unwrap();
        let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed, case["json"]);
    }
}

#[test]
fn data_model_valid_and_invalid_values_are_told_apart() {
    if let Some(cases) = data::cases("interop/data-model/data-model-valid.json") {
        for case in &cases {
            let json = case["json"].to_string();
            let cbor = json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL)
                .unwrap_or_else(|error| panic!("{}: {error}", case["note"]));
            cbor_to_json(&cbor, &Rules::DATA_MODEL).unwrap();
        }
    }
    if let Some(cases) = data::cases("interop/data-model/data-model-invalid.json") {
        for case in &cases {
            let json = case["json"].to_string();
            let read = json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL);
            assert!(read.is_err(), "{} passes", case["note"]);
        }
    }
}

#[test]
fn a_real_post_is_the_same_after_both_ways() {
    let Some(cbor) = data::bytes("cbor/feedpost_record.cbor") else {
        return;
    };
    let json = cbor_to_json(&cbor, &Rules::DATA_MODEL).unwrap();
    assert_eq!(
        json_to_cbor(json.as_bytes(), &Rules::DATA_MODEL),
        Ok(cbor.clone())
    );
    assert!(record_cid(json.as_bytes()).unwrap().is_of(&cbor));
}

#[test]
fn cid_syntax_vectors() {
    let Some(valid) = data::text("interop/syntax/cid_syntax_valid.txt") else {
        return;
    };
    let lines = |text: &str| -> Vec<String> {
        let is_case = |line: &&str| !line.is_empty() && !line.starts_with("# ");
        text.lines().filter(is_case).map(str::to_owned).collect()
    };
    // The syntax allows any CID. Records may link to those in base32; blocks have fewer names still.
    for case in lines(&valid) {
        assert!(
            Cid::parse(&case).is_err(),
            "{case} is of dag-pb or no CIDv1"
        );
        let json = format!(r#"{{"a":{{"$link":"{case}"}}}}"#);
        let read = record_cid(json.as_bytes());
        assert_eq!(read.is_ok(), case.starts_with("bafybei"), "{case}");
    }
    let invalid = data::text("interop/syntax/cid_syntax_invalid.txt").unwrap();
    for case in lines(&invalid) {
        assert!(Cid::parse(&case).is_err(), "{case}");
        let json = serde_json::json!({"a": {"$link": case}}).to_string();
        assert!(record_cid(json.as_bytes()).is_err(), "{case}");
    }
}

#[test]
fn signature_vectors_with_their_keys_in_both_forms() {
    let Some(cases) = data::cases("interop/crypto/signature-fixtures.json") else {
        return;
    };
    for case in &cases {
        let comment = data::str(case, "comment");
        let message = data::base64(data::str(case, "messageBase64"));
        let signature = data::base64(data::str(case, "signatureBase64"));
        let key = PublicKey::from_did_key(data::str(case, "publicKeyDid")).unwrap();
        let same = PublicKey::from_verification_method(
            data::str(case, "didDocSuite"),
            data::str(case, "publicKeyMultibase"),
        );
        assert_eq!(same.as_ref(), Ok(&key), "{comment}");
        let verified = key.verify(&message, &signature);
        let tags = case["tags"].to_string();
        match case["validSignature"].as_bool().unwrap() {
            true => assert_eq!(verified, Ok(()), "{comment}"),
            false if tags.contains("high-s") => {
                assert_eq!(verified, Err(RepoError::SignatureHighS), "{comment}");
            }
            false => assert!(
                matches!(verified, Err(RepoError::SignatureForm { .. })),
                "{comment}: {verified:?}"
            ),
        }
        let other = verify_other(&key, &message, &signature);
        assert!(other.is_err(), "{comment}");
    }
}

/// Of the same signature, over another message.
fn verify_other(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), RepoError> {
    key.verify(&[message, b"."].concat(), signature)
}

#[test]
fn did_key_vectors_are_the_public_halves_of_their_private_keys() {
    let mut seen = 0;
    for case in data::cases("interop/crypto/w3c_didkey_K256.json")
        .into_iter()
        .flatten()
    {
        let private = data::hex(data::str(&case, "privateKeyBytesHex"));
        let secret = k256::ecdsa::SigningKey::from_slice(&private).unwrap();
        let key = PublicKey::from_did_key(data::str(&case, "publicDidKey")).unwrap();
        let point = secret.verifying_key().to_encoded_point(true);
        assert_eq!(key.to_bytes(), point.as_bytes());
        seen += 1;
    }
    for case in data::cases("interop/crypto/w3c_didkey_P256.json")
        .into_iter()
        .flatten()
    {
        let private = from_base58(data::str(&case, "privateKeyBytesBase58"));
        let secret = p256::ecdsa::SigningKey::from_slice(&private).unwrap();
        let key = PublicKey::from_did_key(data::str(&case, "publicDidKey")).unwrap();
        let point = secret.verifying_key().to_encoded_point(true);
        assert_eq!(key.to_bytes(), point.as_bytes());
        seen += 1;
    }
    if data::file("interop/crypto").is_some() {
        assert_eq!(seen, 6);
    }
}

/// Finds the 32 bytes whose base58 this is, digit by digit.
fn from_base58(text: &str) -> Vec<u8> {
    const DIGITS: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = [0u8; 32];
    for c in text.chars() {
        let mut carry = DIGITS.find(c).unwrap();
        for byte in number.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    number.to_vec()
}

#[test]
fn keys_stand_on_their_stated_layers() {
    let Some(cases) = data::cases("interop/mst/key_heights.json") else {
        return;
    };
    for case in &cases {
        let key = data::str(case, "key");
        let height = case["height"].as_u64().unwrap();
        assert_eq!(u64::from(mst::layer(key.as_bytes())), height, "{key}");
    }
    let keys = data::text("interop/mst/example_keys.txt").unwrap();
    for key in keys.lines().filter(|line| !line.is_empty()) {
        assert!(mst::is_path(key), "{key}");
    }
}

#[test]
fn shared_prefixes_are_counted_by_bytes() {
    let Some(cases) = data::cases("interop/mst/common_prefix.json") else {
        return;
    };
    // A node whose second key shares fewer bytes than it could is refused; so the vectors' lengths are
    // those that are taken.
    for case in &cases {
        let (left, right) = (data::str(case, "left"), data::str(case, "right"));
        let shared = case["len"].as_u64().unwrap() as usize;
        let counted = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b);
        assert_eq!(counted.count(), shared, "{case}");
    }
}

#[test]
fn commit_proofs_prove_every_change_with_the_blocks_that_are_stated() {
    let Some(cases) = data::cases("interop/firehose/commit-proof-fixtures.json") else {
        return;
    };
    let strings = |value: &serde_json::Value| -> Vec<String> {
        let list = value.as_array().unwrap();
        list.iter()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    for case in &cases {
        let comment = data::str(case, "comment");
        let leaf = Cid::parse(data::str(case, "leafValue")).unwrap();
        let mut blocks = BTreeMap::new();
        let mut records: crate::support::Records = strings(&case["keys"])
            .into_iter()
            .map(|key| (key, leaf))
            .collect();
        let before = crate::support::build(&records, &mut blocks);
        assert_eq!(before.to_string(), data::str(case, "rootBeforeCommit"));
        let (adds, dels) = (strings(&case["adds"]), strings(&case["dels"]));
        for key in &adds {
            assert!(records.insert(key.clone(), leaf).is_none());
        }
        for key in &dels {
            assert!(records.remove(key).is_some());
        }
        blocks.clear();
        let after = crate::support::build(&records, &mut blocks);
        assert_eq!(after.to_string(), data::str(case, "rootAfterCommit"));

        let stated: Vec<Cid> = strings(&case["blocksInProof"])
            .iter()
            .map(|cid| Cid::parse(cid).unwrap())
            .collect();
        blocks.retain(|cid, _| stated.contains(cid));
        let bytes = crate::support::car(&[after], &blocks);
        let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
        for key in &adds {
            let proven = mst::prove(&car, &after, key);
            assert_eq!(proven, Ok(Proven::Present(leaf)), "{comment}: {key}");
        }
        for key in &dels {
            let proven = mst::prove(&car, &after, key);
            assert_eq!(proven, Ok(Proven::Absent), "{comment}: {key}");
        }
    }
}

#[test]
fn mst_diff_cases_are_proven_by_the_nodes_that_are_stated() {
    let Some(files) = data::tar("mst-diff/mst-diff-tests.tar.zst") else {
        return;
    };
    let parse = |cid: &serde_json::Value| Cid::parse(cid.as_str().unwrap()).unwrap();
    let mut trees = BTreeMap::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".car")) {
        let car = Car::read(bytes, &CarLimits::PROOF).unwrap();
        let root = car.root().unwrap();
        let records: Result<crate::support::Records, RepoError> = mst::walk(&car, &root).collect();
        let records = records.unwrap_or_else(|error| panic!("{name}: {error}"));
        // The tree is the one that its records give.
        let mut blocks = BTreeMap::new();
        assert_eq!(crate::support::build(&records, &mut blocks), root, "{name}");
        let stem = name.rsplit('/').next().unwrap().to_owned();
        trees.insert(stem, (root, records, blocks));
    }
    assert_eq!(trees.len(), 128);
    let (mut cases, mut needed, mut spare) = (0, 0, 0);
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".json")) {
        let case: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let path = data::str(&case["inputs"], "mst_b");
        let (root, records, blocks) = &trees[path.rsplit('/').next().unwrap()];
        let nodes = case["results"]["proof_nodes"].as_array().unwrap();
        let nodes: Vec<Cid> = nodes.iter().map(parse).collect();
        let prove_all = |without: Option<&Cid>| -> Result<(), RepoError> {
            let kept = |cid: &Cid| nodes.contains(cid) && Some(cid) != without;
            let bytes = crate::support::car(&[*root], blocks.iter().filter(|(cid, _)| kept(cid)));
            let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
            for op in case["results"]["record_ops"].as_array().unwrap() {
                let path = data::str(op, "rpath");
                let expected = match &op["new_value"] {
                    serde_json::Value::Null => Proven::Absent,
                    value => Proven::Present(parse(value)),
                };
                assert_eq!(
                    records.get(path).copied(),
                    match expected {
                        Proven::Present(cid) => Some(cid),
                        Proven::Absent => None,
                    }
                );
                assert_eq!(mst::prove(&car, root, path)?, expected, "{name}: {path}");
            }
            Ok(())
        };
        assert_eq!(prove_all(None), Ok(()), "{name}");
        for node in &nodes {
            match prove_all(Some(node)) {
                Err(RepoError::MissingBlock { block, .. }) if block == *node => needed += 1,
                // The vectors go on below the layer of an absent path, which proves nothing more.
                Ok(()) => spare += 1,
                Err(error) => panic!("{name} without {node}: {error}"),
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 10_923);
    assert_eq!((needed, spare), (29_186, 670));
}
