//! Real repositories, records and frames of the stream.

use std::collections::BTreeMap;
use std::fs;

use crate::support::data;
use orrery_repo::cbor::{Item, Reader};
use orrery_repo::mst::{self, Proven};
use orrery_repo::{
    Car, CarLimits, Cid, Commit, Curve, PublicKey, RepoError, Rules, cbor_to_json, json_to_cbor,
    record_cid, verify_record_proof,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// Walks a repository whole: its tree rebuilds to the same root, each record's block is there, reads as
/// JSON and encodes to the same bytes again.
fn read_whole(name: &str, bytes: &[u8]) -> crate::support::Records {
    let car = Car::read(bytes, &CarLimits::EXPORT).unwrap_or_else(|e| panic!("{name}: {e}"));
    let root = car.root().unwrap();
    let commit = Commit::parse(car.block(&root).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut last = String::new();
    let mut records = crate::support::Records::new();
    for record in mst::walk(&car, &commit.data) {
        let (path, cid) = record.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(last < path, "{name}: {path} behind {last}");
        last.clone_from(&path);
        let block = car.block(&cid).unwrap();
        let json = cbor_to_json(block, &Rules::STORED).unwrap();
        let again = json_to_cbor(json.as_bytes(), &Rules::STORED);
        assert_eq!(again.as_deref(), Ok(block), "{name}: {path}");
        records.insert(path, cid);
    }
    let mut blocks = crate::support::Blocks::new();
    assert_eq!(
        crate::support::build(&records, &mut blocks),
        commit.data,
        "{name}"
    );
    records
}

/// Path and CID of each line of a listing.
fn listing(text: &str, path: impl Fn(&Value) -> String) -> crate::support::Records {
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let cid = Cid::parse(data::str(&line, "cid")).unwrap();
            (path(&line), cid)
        })
        .collect()
}

fn by_collection(line: &Value) -> String {
    format!(
        "{}/{}",
        data::str(line, "collection"),
        data::str(line, "rkey")
    )
}

#[test]
fn every_repository_holds_the_records_that_are_listed() {
    for (car, name) in [
        (
            "indigo_bafyreieovfuizojpw3zresz7sx3nk4trm2by23pt5rxbey3jme4uo5ogiu.car",
            "indigo_bafyreieovfuizojpw3zresz7sx3nk4trm2by23pt5rxbey3jme4uo5ogiu",
        ),
        ("indigo_divy.repo", "indigo_divy"),
        ("indigo_fakermaker.repo.car", "indigo_fakermaker"),
        ("indigo_greenground.repo.car", "indigo_greenground"),
        ("jetstream_corpus_repo.car", "jetstream_corpus_repo"),
        ("repo-stream_tiny.car", "repo-stream_tiny"),
        ("rsky_valid_repo.car", "rsky_valid_repo"),
    ] {
        let Some(bytes) = data::bytes(&format!("car/{car}")) else {
            return;
        };
        let expected = data::text(&format!("records/{name}.records.jsonl")).unwrap();
        let expected = listing(&expected, by_collection);
        assert_eq!(read_whole(name, &bytes), expected, "{name}");
    }
    let empty = data::bytes("car/repo-stream_empty.car").unwrap();
    assert!(read_whole("empty", &empty).is_empty());
}

#[test]
fn the_listing_of_another_implementation_is_the_same() {
    let Some(bytes) = data::bytes("car/jetstream_corpus_repo.car") else {
        return;
    };
    let listed = data::text("car/jetstream_corpus_repo.expected_records.tsv").unwrap();
    let listed: crate::support::Records = listed
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(path, cid)| (path.to_owned(), Cid::parse(cid).unwrap()))
        .collect();
    assert_eq!(read_whole("corpus", &bytes), listed);
    let car = Car::read(&bytes, &CarLimits::EXPORT).unwrap();
    let commit = Commit::parse(car.block(&car.root().unwrap()).unwrap()).unwrap();
    let stated = data::text("car/jetstream_corpus_repo.expected_commit.txt").unwrap();
    for (name, value) in [
        ("DID", commit.did.to_owned()),
        ("Data CID", commit.data.to_string()),
        ("Revision", commit.rev.unwrap().to_owned()),
        ("ATProto Repo Spec Version", commit.version.to_string()),
    ] {
        assert!(stated.contains(&format!("{name}: {value}")), "{name}");
    }
}

#[test]
fn a_series_of_exports_is_read_whole_day_by_day() {
    let Some(files) = data::tar("car/daily-repo-series.part1.tar.zst") else {
        return;
    };
    let (folder, manifest) = files
        .iter()
        .find_map(|(name, bytes)| Some((name.strip_suffix("manifest.json")?, bytes)))
        .unwrap();
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let snapshots = manifest["snapshots"].as_array().unwrap();
    let mut last = None;
    for snapshot in snapshots {
        let file = data::str(snapshot, "file");
        let bytes = &files[&format!("{folder}{file}")];
        let car = Car::read(bytes, &CarLimits::EXPORT).unwrap();
        let commit = Commit::parse(car.block(&car.root().unwrap()).unwrap()).unwrap();
        assert_eq!(commit.did, data::str(&manifest, "did"));
        assert_eq!(commit.rev, snapshot["rev"].as_str());
        assert_eq!(commit.data.to_string(), data::str(snapshot, "data"));
        let records = read_whole(file, bytes);
        assert_eq!(records.len() as u64, snapshot["records"].as_u64().unwrap());
        last = Some(records);
    }
    assert_eq!(snapshots.len(), 30);
    let listed = data::text("derived/daily-repo.part1.listing-after.jsonl").unwrap();
    let listed = listing(&listed, |line| data::str(line, "path").to_owned());
    assert_eq!(last, Some(listed));
}

#[test]
fn signatures_of_old_commits_are_judged_as_another_implementation_does() {
    for (car, document, expected) in [
        // Bluesky's servers then had one key for many accounts: the document is another account's.
        ("indigo_greenground.repo.car", "indigo_greenground", Ok(())),
        // A sound signature of P-256, of before the protocol asked for low-S.
        (
            "indigo_fakermaker.repo.car",
            "indigo_fakermaker",
            Err(RepoError::SignatureHighS),
        ),
        // The document that comes with this one has not the key by which it was signed.
        (
            "indigo_bafyreieovfuizojpw3zresz7sx3nk4trm2by23pt5rxbey3jme4uo5ogiu.car",
            "indigo_did_plc_z5vnbioquyhivxirw3bbljmu",
            Err(RepoError::SignatureWrong { curve: Curve::K256 }),
        ),
    ] {
        let Some(bytes) = data::bytes(&format!("car/{car}")) else {
            return;
        };
        let document = data::json(&format!("car/{document}.didDoc.json")).unwrap();
        let car = Car::read(&bytes, &CarLimits::EXPORT).unwrap();
        let commit = Commit::parse(car.block(&car.root().unwrap()).unwrap()).unwrap();
        assert_eq!(commit.verify(&signing_key(&document)), expected);
    }
}

fn signing_key(document: &Value) -> PublicKey {
    let methods = document["verificationMethod"].as_array().unwrap();
    let method = methods
        .iter()
        .find(|method| data::str(method, "id").ends_with("#atproto"))
        .unwrap();
    PublicKey::from_verification_method(
        data::str(method, "type"),
        data::str(method, "publicKeyMultibase"),
    )
    .unwrap()
}

#[test]
fn malformed_files_are_refused() {
    let Some(folder) = data::file("car-malformed") else {
        return;
    };
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let error = Car::read(&bytes, &CarLimits::EXPORT).unwrap_err();
        assert!(error.to_string().len() > 20, "{}: {error}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn a_car_written_elsewhere_has_the_blocks_that_are_stated() {
    let Some(cases) = data::cases("car/car-file-fixtures.json") else {
        return;
    };
    for case in &cases {
        let bytes = data::base64(data::str(case, "car"));
        let car = Car::read(&bytes, &CarLimits::PROOF).unwrap();
        assert_eq!(car.root().unwrap().to_string(), data::str(case, "root"));
        let blocks = case["blocks"].as_array().unwrap();
        assert_eq!(car.len(), blocks.len());
        for block in blocks {
            let cid = Cid::parse(data::str(block, "cid")).unwrap();
            let bytes = data::base64(data::str(block, "bytes"));
            assert_eq!(car.block(&cid), Some(bytes.as_slice()));
        }
    }
}

/// Checks every record of a file of JSON lines by the CID beside it, and gives their number.
fn check_lines(path: &str) -> Option<usize> {
    let text = data::text(path)?;
    let mut checked = 0;
    for line in text.lines() {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
        if let Some(commit) = fields.remove("commit") {
            fields = serde_json::from_str(commit.get()).unwrap();
        }
        if let (Some(record), Some(cid)) = (fields.get("record"), fields.get("cid")) {
            let cid: String = serde_json::from_str(cid.get()).unwrap();
            let found = record_cid(record.get().as_bytes())
                .unwrap_or_else(|error| panic!("{path}: {error}: {record}"));
            assert_eq!(found.to_string(), cid, "{path}: {record}");
            checked += 1;
        }
    }
    Some(checked)
}

#[test]
fn every_record_that_was_captured_or_exported_encodes_to_its_cid() {
    let mut checked = 0;
    for folder in ["records", "jetstream", "derived", "firehose"] {
        let Some(path) = data::file(folder) else {
            return;
        };
        for entry in fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".jsonl") && !name.contains("listing") {
                let count = check_lines(&format!("{folder}/{name}")).unwrap();
                assert!(count > 0, "{name} holds no record");
                checked += count;
            }
        }
    }
    eprintln!("{checked} records");
    assert!(checked >= 3000, "only {checked}");
}

/// The fields of a map, each with its bytes.
fn fields<'a>(reader: &mut Reader<'a>) -> BTreeMap<&'a str, &'a [u8]> {
    let Ok(Item::Map(count)) = reader.item() else {
        panic!("no map");
    };
    let mut last = None;
    (0..count)
        .map(|_| {
            let key = reader.key(&mut last).unwrap();
            (key, reader.value(32).unwrap())
        })
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    match Reader::new(bytes).item() {
        Ok(Item::Text(text)) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn link(bytes: &[u8]) -> Option<Cid> {
    match Reader::new(bytes).item() {
        Ok(Item::Link(cid)) => Some(Cid::from_bytes(cid).unwrap()),
        Ok(Item::Null) => None,
        other => panic!("{other:?} is no link"),
    }
}

#[test]
fn commits_of_the_stream_verify_and_prove_their_operations() {
    let Some(frames) = data::zstd("firehose/relay-frames-2026-07-04.part1.bin.zst") else {
        return;
    };
    let documents = data::zstd("firehose/relay-frames-2026-07-04.part1.did-docs.json.zst").unwrap();
    let documents: Value = serde_json::from_slice(&documents).unwrap();
    let (mut commits, mut proven, mut absent) = (0, 0, 0);
    let mut rest = frames.as_slice();
    while let Some((len, tail)) = rest.split_first_chunk() {
        let (frame, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
        rest = tail;
        let mut reader = Reader::new(frame);
        let header = fields(&mut reader);
        let body = fields(&mut reader);
        reader.finish().unwrap();
        if text(header["t"]) != "#commit" {
            continue;
        }
        let did = text(body["repo"]);
        let Ok(Item::Bytes(blocks)) = Reader::new(body["blocks"]).item() else {
            panic!("no blocks");
        };
        let car = Car::read(blocks, &CarLimits::PROOF).unwrap();
        let root = car.root().unwrap();
        assert_eq!(link(body["commit"]), Some(root));
        let commit = Commit::parse(car.block(&root).unwrap()).unwrap();
        assert_eq!(commit.did, did);
        assert_eq!(commit.rev, Some(text(body["rev"])));
        let key = signing_key(&documents[did]);
        assert_eq!(commit.verify(&key), Ok(()), "{did}");
        commits += 1;

        let mut ops = Reader::new(body["ops"]);
        let Ok(Item::List(count)) = ops.item() else {
            panic!("no operations");
        };
        for _ in 0..count {
            let op = fields(&mut ops);
            let path = text(op["path"]);
            let (collection, rkey) = path.split_once('/').unwrap();
            let proof = verify_record_proof(blocks, did, collection, rkey, &key).unwrap();
            assert_eq!(proof.commit, root);
            match (link(op["cid"]), proof.record) {
                (Some(expected), Some((cid, block))) => {
                    assert_eq!(cid, expected);
                    assert!(cid.is_of(block));
                    proven += 1;
                }
                (None, None) => absent += 1,
                other => panic!("{path}: {other:?}"),
            }
        }
    }
    eprintln!("{commits} commits, {proven} records proven, {absent} proven absent");
    assert!(commits >= 90 && proven >= 50 && absent >= 1);
}

#[test]
fn captured_commits_and_the_scenarios_of_a_relay_verify() {
    let mut verified = 0;
    for name in [
        "account_lifecycle",
        "legacy",
        "post_lifecycle",
        "seq_ordering",
    ] {
        let Some(scenario) = data::json(&format!("firehose/indigo_relay_scenario_{name}.json"))
        else {
            return;
        };
        let mut keys = BTreeMap::new();
        for account in scenario["accounts"].as_array().unwrap() {
            let identity = &account["identity"];
            let key = &identity["keys"]["atproto"];
            let key = PublicKey::from_verification_method(
                data::str(key, "type"),
                data::str(key, "publicKeyMultibase"),
            );
            keys.insert(data::str(identity, "did").to_owned(), key.unwrap());
        }
        for message in scenario["messages"].as_array().unwrap() {
            let body = &message["frame"]["body"];
            let Some(blocks) = body["blocks"]["$bytes"].as_str() else {
                continue;
            };
            let blocks = data::base64(blocks);
            let car = Car::read(&blocks, &CarLimits::PROOF).unwrap();
            let commit = Commit::parse(car.block(&car.root().unwrap()).unwrap()).unwrap();
            assert_eq!(commit.verify(&keys[commit.did]), Ok(()), "{name}");
            verified += 1;
        }
    }
    assert!(verified >= 9, "only {verified}");
    for name in ["4621317030", "4621332152"] {
        let message = data::json(&format!("firehose/indigo_firehose_commit_{name}.json")).unwrap();
        let blocks = data::base64(data::str(&message["blocks"], "$bytes"));
        let car = Car::read(&blocks, &CarLimits::PROOF).unwrap();
        let commit = Commit::parse(car.block(&car.root().unwrap()).unwrap()).unwrap();
        for op in message["ops"].as_array().unwrap() {
            let proven = mst::prove(&car, &commit.data, data::str(op, "path"));
            let expected = match op["cid"]["$link"].as_str() {
                Some(cid) => Proven::Present(Cid::parse(cid).unwrap()),
                None => Proven::Absent,
            };
            match proven {
                Ok(proven) => assert_eq!(proven, expected, "{op}"),
                // Frames of before the protocol's revision lack blocks for some absences.
                Err(RepoError::MissingBlock { .. }) => assert_eq!(expected, Proven::Absent),
                Err(error) => panic!("{op}: {error}"),
            }
        }
    }
}
