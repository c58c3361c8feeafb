//! The smallest signed repository there is: one record.

use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use orrery_repo::{Cid, Codec, Rules, json_to_cbor};

pub struct Signed {
    key: SigningKey,
    /// The revision of the repository.
    pub rev: &'static str,
}

impl Signed {
    pub fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).unwrap(),
            rev: "3mabc2222222a",
        }
    }

    /// The public key as documents have it.
    pub fn multikey(&self) -> String {
        let mut bytes = vec![0xe7, 0x01];
        let point = self.key.verifying_key().to_encoded_point(true);
        bytes.extend_from_slice(point.as_bytes());
        format!("z{}", base58(&bytes))
    }

    /// The proof of a record, as a CAR.
    pub fn car(&self, did: &str, collection: &str, rkey: &str, json: &str) -> Vec<u8> {
        let cbor = |json: &serde_json::Value| {
            json_to_cbor(json.to_string().as_bytes(), &Rules::STORED).unwrap()
        };
        let record = json_to_cbor(json.as_bytes(), &Rules::STORED).unwrap();
        let record_cid = Cid::of(Codec::DagCbor, &record);
        let path = format!("{collection}/{rkey}");
        let node = cbor(&serde_json::json!({
            "e": [{ "k": { "$bytes": base64(path.as_bytes()) }, "p": 0, "t": null,
                    "v": { "$link": record_cid.to_string() } }],
            "l": null,
        }));
        let root = Cid::of(Codec::DagCbor, &node);
        let mut commit = serde_json::json!({
            "did": did, "version": 3, "rev": self.rev, "prev": null,
            "data": { "$link": root.to_string() },
        });
        let signature: Signature = self.key.sign(&cbor(&commit));
        let signature = signature.normalize_s().unwrap_or(signature);
        commit["sig"] = serde_json::json!({ "$bytes": base64(&signature.to_bytes()) });
        let commit = cbor(&commit);
        let commit_cid = Cid::of(Codec::DagCbor, &commit);
        let header = cbor(&serde_json::json!({
            "roots": [{ "$link": commit_cid.to_string() }], "version": 1,
        }));
        let mut car = Vec::new();
        section(&mut car, &[&header]);
        for (cid, block) in [(commit_cid, &commit), (root, &node), (record_cid, &record)] {
            section(&mut car, &[&cid.to_bytes(), block]);
        }
        car
    }
}

fn section(car: &mut Vec<u8>, parts: &[&[u8]]) {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        car.push(length as u8 | 0x80);
        length >>= 7;
    }
    car.push(length as u8);
    for part in parts {
        car.extend_from_slice(part);
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            let digit = number >> (18 - 6 * place) & 63;
            text.push(char::from(DIGITS[digit as usize]));
        }
    }
    text
}

fn base58(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let digits = digits.iter().rev();
    digits
        .map(|digit| char::from(DIGITS[*digit as usize]))
        .collect()
}
