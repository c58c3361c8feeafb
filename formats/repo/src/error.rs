//! The error of this crate. Every refusal names what was read, where, what had to be there and what is.

use crate::cid::Cid;
use crate::key::Curve;

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The bytes are not what their form asks for.
    #[error("{form} at byte {offset}: expected {expected}, found {found}")]
    Malformed {
        /// What was being read.
        form: Form,
        /// Offset of what does not fit, from the beginning of what was being read.
        offset: usize,
        /// What had to be there.
        expected: &'static str,
        /// What is there.
        found: Found,
    },
    /// Something is larger, or more, than the caller's limit.
    #[error("{what} of {found} exceeds the limit of {most}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// Values are nested deeper than the caller's limit.
    #[error("{form} at byte {offset}: nested deeper than {most} levels")]
    TooDeep {
        /// What was being read.
        form: Form,
        /// Offset of the value that is too deep.
        offset: usize,
        /// The limit.
        most: usize,
    },
    /// A number that is no integer, where the rules allow integers only.
    #[error("{form} at byte {offset}: a number that is not an integer")]
    Float {
        /// What was being read.
        form: Form,
        /// Offset of the number.
        offset: usize,
    },
    /// A block's bytes do not have the hash that its CID states.
    #[error("the block at byte {offset} is named {expected}, but its bytes are {found}")]
    BlockHash {
        /// Offset of the block's bytes in the CAR.
        offset: usize,
        /// The CID under which the block stands.
        expected: Cid,
        /// The CID that its bytes have.
        found: Cid,
    },
    /// A CAR without a root.
    #[error("the CAR names no root")]
    NoRoot,
    /// A block that is needed is not in the CAR. This is never a proof of absence.
    #[error("the CAR has no block {block}, which is needed as {role}")]
    MissingBlock {
        /// The missing block.
        block: Cid,
        /// What the block is needed as.
        role: &'static str,
    },
    /// A link leads to a block of the wrong kind.
    #[error("{block} cannot be {role}: its codec is not dag-cbor")]
    WrongCodec {
        /// The block.
        block: Cid,
        /// What it would have to be.
        role: &'static str,
    },
    /// Something is wrong within a block.
    #[error("block {block}: {fault}")]
    InBlock {
        /// The block.
        block: Cid,
        /// What is wrong; offsets count from the beginning of the block.
        #[source]
        fault: Box<RepoError>,
    },
    /// A field of a commit is absent or not what it must be.
    #[error("the commit's {field}: expected {expected}, found {found}")]
    Commit {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The commit is of another repository.
    #[error("the commit is of the repository {found:?}, not of {expected:?}")]
    WrongDid {
        /// The repository that was asked for.
        expected: String,
        /// The repository that the commit names.
        found: String,
    },
    /// A public key that cannot be read.
    #[error("public key: expected {expected}, found {found}")]
    PublicKey {
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A signature of the wrong length or with numbers out of range.
    #[error("signature: expected {expected}, found {found} bytes")]
    SignatureForm {
        /// What it must be.
        expected: &'static str,
        /// Its length.
        found: usize,
    },
    /// A signature with the higher of its two forms, which the protocol refuses.
    #[error("signature: the high-S form, which may not be used")]
    SignatureHighS,
    /// A signature that was not made by this key over these bytes.
    #[error("signature: not made over these bytes by this {curve} key")]
    SignatureWrong {
        /// The curve of the key.
        curve: Curve,
    },
    /// A node of the tree breaks a rule of its structure.
    #[error("tree node {node}, entry {entry}: expected {expected}, found {found}")]
    Node {
        /// The node.
        node: Cid,
        /// The entry, from 0; the number of entries where the node as a whole is meant.
        entry: usize,
        /// What had to hold.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A collection or record key that cannot stand in a tree.
    #[error("{what} {found:?} cannot be part of a record's path")]
    Path {
        /// Which of the two.
        what: &'static str,
        /// The text.
        found: String,
    },
}

/// What was being read when a [`RepoError::Malformed`] was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// DAG-CBOR.
    Cbor,
    /// The JSON form of records.
    Json,
    /// A CAR file.
    Car,
    /// A CID's bytes.
    Cid,
    /// A CID's text.
    CidText,
    /// Base58 text.
    Base58,
}

/// What stood in the place of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing more.
    End,
    /// This byte.
    Byte(u8),
    /// This character.
    Character(char),
    /// This number.
    Number(u64),
    /// Something that has a name.
    Thing(&'static str),
}

impl Found {
    /// The byte of `bytes` at `offset`, or their end.
    pub(crate) fn at(bytes: &[u8], offset: usize) -> Self {
        bytes
            .get(offset)
            .map_or(Self::End, |byte| Self::Byte(*byte))
    }
}

impl RepoError {
    /// The error itself, without the blocks in which it was found.
    #[must_use]
    pub fn cause(&self) -> &Self {
        let mut error = self;
        while let Self::InBlock { fault, .. } = error {
            error = fault;
        }
        error
    }

    /// Says in which block this was found.
    #[cold]
    pub(crate) fn in_block(self, block: Cid) -> Self {
        Self::InBlock {
            block,
            fault: Box::new(self),
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cbor => "DAG-CBOR",
            Self::Json => "JSON",
            Self::Car => "CAR",
            Self::Cid => "CID",
            Self::CidText => "text of a CID",
            Self::Base58 => "base58 text",
        })
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Byte(byte) => write!(f, "byte 0x{byte:02x}"),
            Self::Character(c) => write!(f, "{c:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Thing(thing) => f.write_str(thing),
        }
    }
}
