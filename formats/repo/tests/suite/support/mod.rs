//! What the tests share: repositories made by an encoder of their own, and the shared real data.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test file uses a part of this, and a helper fails by panicking"
)]

pub mod data;

use std::collections::BTreeMap;

use k256::ecdsa::signature::Signer as _;
use orrery_repo::cbor::{Item, put};
use orrery_repo::{Cid, Codec, PublicKey, json_to_cbor, mst};

pub const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub const REV: &str = "3lxwjfv4ybg2c";

/// Blocks by name.
pub type Blocks = BTreeMap<Cid, Vec<u8>>;
/// The records of a tree.
pub type Records = BTreeMap<String, Cid>;

/// An entry of a node as it stands in its block.
pub struct RawEntry<'a> {
    pub prefix: i64,
    pub suffix: &'a [u8],
    pub value: Cid,
    pub right: Option<Cid>,
}

fn put_link(out: &mut Vec<u8>, cid: Option<Cid>) {
    match cid {
        Some(cid) => put(out, Item::Link(&cid.to_bytes())),
        None => put(out, Item::Null),
    }
}

/// Encodes a node, right or wrong.
pub fn raw_node(left: Option<Cid>, entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, Item::Map(2));
    put(&mut out, Item::Text("e"));
    put(&mut out, Item::List(entries.len()));
    for entry in entries {
        put(&mut out, Item::Map(4));
        put(&mut out, Item::Text("k"));
        put(&mut out, Item::Bytes(entry.suffix));
        put(&mut out, Item::Text("p"));
        put(&mut out, Item::Integer(entry.prefix));
        put(&mut out, Item::Text("t"));
        put_link(&mut out, entry.right);
        put(&mut out, Item::Text("v"));
        put_link(&mut out, Some(entry.value));
    }
    put(&mut out, Item::Text("l"));
    put_link(&mut out, left);
    out
}

/// Encodes a node of these keys, with their prefixes shared.
pub fn node(left: Option<Cid>, entries: &[(&str, Cid, Option<Cid>)]) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut last: &str = "";
    for (key, value, right) in entries {
        let shared = last
            .bytes()
            .zip(key.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        raw.push(RawEntry {
            prefix: i64::try_from(shared).unwrap(),
            suffix: &key.as_bytes()[shared..],
            value: *value,
            right: *right,
        });
        last = key;
    }
    raw_node(left, &raw)
}

/// Adds a block, and gives its name.
pub fn add(blocks: &mut Blocks, block: Vec<u8>) -> Cid {
    let cid = Cid::of(Codec::DagCbor, &block);
    blocks.insert(cid, block);
    cid
}

/// Adds the nodes of the tree of these records, and gives its root.
pub fn build(records: &Records, blocks: &mut Blocks) -> Cid {
    let all: Vec<(&str, Cid)> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let top = all.iter().map(|(key, _)| mst::layer(key.as_bytes())).max();
    match top {
        None => add(blocks, node(None, &[])),
        Some(top) => subtree(&all, top, blocks).unwrap(),
    }
}

fn subtree(records: &[(&str, Cid)], layer: u32, blocks: &mut Blocks) -> Option<Cid> {
    if records.is_empty() {
        return None;
    }
    let is_here = |record: &(&str, Cid)| mst::layer(record.0.as_bytes()) == layer;
    let below = |records: &[(&str, Cid)], blocks: &mut Blocks| {
        if records.is_empty() {
            return None;
        }
        subtree(records, layer - 1, blocks)
    };
    let mut parts = records.split(is_here);
    let left = below(parts.next().unwrap(), blocks);
    let mut entries = Vec::new();
    for record in records.iter().filter(|record| is_here(record)) {
        let right = below(parts.next().unwrap(), blocks);
        entries.push((record.0, record.1, right));
    }
    Some(add(blocks, node(left, &entries)))
}

/// Writes a CAR.
pub fn car<'a>(roots: &[Cid], blocks: impl IntoIterator<Item = (&'a Cid, &'a Vec<u8>)>) -> Vec<u8> {
    let mut header = Vec::new();
    put(&mut header, Item::Map(2));
    put(&mut header, Item::Text("roots"));
    put(&mut header, Item::List(roots.len()));
    for root in roots {
        put_link(&mut header, Some(*root));
    }
    put(&mut header, Item::Text("version"));
    put(&mut header, Item::Integer(1));
    let mut out = Vec::new();
    put_section(&mut out, &[&header]);
    for (cid, block) in blocks {
        put_section(&mut out, &[&cid.to_bytes(), block]);
    }
    out
}

/// Appends pieces behind their length.
pub fn put_section(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let mut len: usize = pieces.iter().map(|piece| piece.len()).sum();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// The fields of a commit but for its signature, in their order.
pub struct Unsigned<'a> {
    pub did: &'a str,
    pub rev: Option<&'a str>,
    pub data: Cid,
    pub version: i64,
}

impl Unsigned<'_> {
    /// Encodes the commit with a signature, or without.
    pub fn encode(&self, signature: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = 4 + usize::from(self.rev.is_some()) + usize::from(signature.is_some());
        put(&mut out, Item::Map(fields));
        put(&mut out, Item::Text("did"));
        put(&mut out, Item::Text(self.did));
        if let Some(rev) = self.rev {
            put(&mut out, Item::Text("rev"));
            put(&mut out, Item::Text(rev));
        }
        if let Some(signature) = signature {
            put(&mut out, Item::Text("sig"));
            put(&mut out, Item::Bytes(signature));
        }
        put(&mut out, Item::Text("data"));
        put_link(&mut out, Some(self.data));
        put(&mut out, Item::Text("prev"));
        put(&mut out, Item::Null);
        put(&mut out, Item::Text("version"));
        put(&mut out, Item::Integer(self.version));
        out
    }
}

/// A private key for tests.
pub enum Secret {
    K256(k256::ecdsa::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl Secret {
    pub fn k256(seed: u8) -> Self {
        Self::K256(k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn p256(seed: u8) -> Self {
        Self::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    /// The low-S signature.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::K256(key) => {
                let signature: k256::ecdsa::Signature = key.sign(message);
                signature
                    .normalize_s()
                    .unwrap_or(signature)
                    .to_bytes()
                    .to_vec()
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature
                    .normalize_s()
                    .unwrap_or(signature)
                    .to_bytes()
                    .to_vec()
            }
        }
    }

    /// The same signature in its other form.
    pub fn other_s(&self, signature: &[u8]) -> Vec<u8> {
        match self {
            Self::K256(_) => {
                let signature = k256::ecdsa::Signature::from_slice(signature).unwrap();
                let s = -*signature.s().as_ref();
                k256::ecdsa::Signature::from_scalars(*signature.r().as_ref(), s)
                    .unwrap()
                    .to_bytes()
                    .to_vec()
            }
            Self::P256(_) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
                let s = -*signature.s().as_ref();
                p256::ecdsa::Signature::from_scalars(*signature.r().as_ref(), s)
                    .unwrap()
                    .to_bytes()
                    .to_vec()
            }
        }
    }

    pub fn public(&self) -> PublicKey {
        let (kind, point) = match self {
            Self::K256(key) => (
                "EcdsaSecp256k1VerificationKey2019",
                key.verifying_key()
                    .to_encoded_point(false)
                    .as_bytes()
                    .to_vec(),
            ),
            Self::P256(key) => (
                "EcdsaSecp256r1VerificationKey2019",
                key.verifying_key()
                    .to_encoded_point(false)
                    .as_bytes()
                    .to_vec(),
            ),
        };
        PublicKey::from_verification_method(kind, &format!("z{}", base58(&point))).unwrap()
    }
}

/// Writes base58.
pub fn base58(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let mut out = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut number {
            rest = rest << 8 | u32::from(*byte);
            *byte = (rest / 58) as u8;
            rest %= 58;
        }
        out.push(DIGITS[rest as usize]);
    }
    out.extend(bytes.iter().take_while(|byte| **byte == 0).map(|_| b'1'));
    out.reverse();
    String::from_utf8(out).unwrap()
}

/// A whole signed repository.
pub struct Repo {
    pub blocks: Blocks,
    pub records: Records,
    pub commit: Cid,
    pub data: Cid,
}

impl Repo {
    /// A repository with a small record at each path.
    pub fn new(paths: &[&str], secret: &Secret) -> Self {
        let mut blocks = Blocks::new();
        let mut records = Records::new();
        for path in paths {
            let json = format!(r#"{{"$type":"a.b.c","path":"{path}"}}"#);
            let record = json_to_cbor(json.as_bytes(), &orrery_repo::Rules::DATA_MODEL).unwrap();
            records.insert((*path).to_owned(), add(&mut blocks, record));
        }
        let data = build(&records, &mut blocks);
        let unsigned = Unsigned {
            did: DID,
            rev: Some(REV),
            data,
            version: 3,
        };
        let signature = secret.sign(&unsigned.encode(None));
        let commit = add(&mut blocks, unsigned.encode(Some(&signature)));
        Self {
            blocks,
            records,
            commit,
            data,
        }
    }

    pub fn car(&self) -> Vec<u8> {
        car(&[self.commit], &self.blocks)
    }
}
