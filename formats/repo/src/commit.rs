//! [`Commit`], the signed root of a repository.

use crate::cbor::{Item, Reader, put};
use crate::cid::{Cid, Codec};
use crate::error::{Found, RepoError};
use crate::key::PublicKey;

/// Most levels of values in fields that are not known.
const UNKNOWN_DEPTH: usize = 8;

/// A commit of version 3, or of version 2, which only old exports have. Borrows from its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The repository's account.
    pub did: &'a str,
    /// 2 or 3.
    pub version: u8,
    /// Root of the tree of records.
    pub data: Cid,
    /// The revision, a TID. Always there in version 3.
    pub rev: Option<&'a str>,
    /// The commit before, which version 3 does not use.
    pub prev: Option<Cid>,
    /// The signature, unchecked.
    pub signature: &'a [u8],
    fields: usize,
    before_signature: &'a [u8],
    behind_signature: &'a [u8],
}

impl<'a> Commit<'a> {
    /// Reads a commit's block. Fields that are not known are taken, as the signature covers them.
    ///
    /// # Errors
    /// The block is no canonical DAG-CBOR, or lacks a field or has one that is not what it must be.
    pub fn parse(block: &'a [u8]) -> Result<Self, RepoError> {
        let mut reader = Reader::new(block);
        let fields = reader.map()?;
        let first = reader.offset();
        let (mut did, mut rev, mut data, mut prev) = (None, None, None, None);
        let (mut version, mut signature) = (None, None);
        let mut last = None;
        for _ in 0..fields {
            let start = reader.offset();
            let key = reader.key(&mut last)?;
            let at = reader.offset();
            match key {
                "data" => data = Some(reader.cid()?),
                "prev" => prev = reader.cid_or_null()?,
                "did" => match reader.item()? {
                    Item::Text(text) => did = Some(text),
                    other => return Err(field(at, "did", "text", other)),
                },
                "rev" => match reader.item()? {
                    Item::Text(text) => rev = Some(text),
                    other => return Err(field(at, "rev", "text", other)),
                },
                "version" => match reader.item()? {
                    Item::Integer(number) => version = Some(number),
                    other => return Err(field(at, "version", "an integer", other)),
                },
                "sig" => match reader.item()? {
                    Item::Bytes(bytes) => signature = Some((bytes, start, reader.offset())),
                    other => return Err(field(at, "sig", "bytes", other)),
                },
                _ => {
                    reader.value(UNKNOWN_DEPTH)?;
                }
            }
        }
        reader.finish()?;
        let absent = |field, expected| wrong(field, expected, "nothing");
        let did = did.ok_or_else(|| absent("did", "a DID"))?;
        let version = version.ok_or_else(|| absent("version", "3 or 2"))?;
        let data = data.ok_or_else(|| absent("data", "a link to the tree"))?;
        let (signature, from, to) = signature.ok_or_else(|| absent("sig", "a signature"))?;
        if !did.starts_with("did:") {
            return Err(wrong("did", "a DID", did));
        }
        if data.codec() != Codec::DagCbor {
            return Err(RepoError::WrongCodec {
                block: data,
                role: "the root of the tree",
            });
        }
        let version = match version {
            2 => 2,
            3 => 3,
            other => return Err(wrong("version", "3 or 2", &other.to_string())),
        };
        match rev {
            Some(rev) if !is_tid(rev) => return Err(wrong("rev", "a TID", rev)),
            None if version == 3 => return Err(absent("rev", "a TID")),
            _ => {}
        }
        Ok(Self {
            did,
            version,
            data,
            rev,
            prev,
            signature,
            fields,
            before_signature: block.get(first..from).unwrap_or_default(),
            behind_signature: block.get(to..).unwrap_or_default(),
        })
    }

    /// The bytes that are signed: the commit without its signature.
    #[must_use]
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        let len = self.before_signature.len() + self.behind_signature.len();
        let mut bytes = Vec::with_capacity(len + 9);
        // The signature's is one of the fields.
        put(&mut bytes, Item::Map(self.fields.saturating_sub(1)));
        bytes.extend_from_slice(self.before_signature);
        bytes.extend_from_slice(self.behind_signature);
        bytes
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), RepoError> {
        key.verify(&self.unsigned_bytes(), self.signature)
    }
}

/// True for the 13 digits of a timestamp identifier.
fn is_tid(text: &str) -> bool {
    text.len() == 13
        && text.bytes().all(|c| matches!(c, b'2'..=b'7' | b'a'..=b'z'))
        && text.bytes().next().is_some_and(|c| c <= b'j')
}

fn field(offset: usize, name: &'static str, expected: &'static str, found: Item<'_>) -> RepoError {
    let found = match found.thing() {
        Found::Thing(thing) => format!("{thing} at byte {offset}"),
        other => other.to_string(),
    };
    wrong(name, expected, &found)
}

fn wrong(field: &'static str, expected: &'static str, found: &str) -> RepoError {
    RepoError::Commit {
        field,
        expected,
        found: found.chars().take(64).collect(),
    }
}
