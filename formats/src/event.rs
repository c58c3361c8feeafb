//! The events that the log keeps, whole: what ingest hands to the engine, and what a replay of the log
//! hands to it again. Everything that decides an answer is in here, so that replay gives the same index.

/// One accepted event of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The source's time of the event, microseconds since 1970.
    pub time_us: u64,
    /// The repo or account it is about; a syntactically valid DID.
    pub did: &'a str,
    /// What happened.
    pub body: Body<'a>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A record was written or deleted.
    Commit {
        /// The repo's revision, a TID as a number (53 bits of microseconds, 10 bits of clock id).
        rev: u64,
        /// The collection, a valid NSID.
        collection: &'a str,
        /// The record key, valid.
        rkey: &'a str,
        /// What was done.
        operation: Operation<'a>,
    },
    /// The account's handle or DID document changed.
    Identity {
        /// The relay's sequence number.
        seq: u64,
        /// The handle told, if any.
        handle: Option<&'a str>,
    },
    /// The account's hosting status.
    Account {
        /// The relay's sequence number.
        seq: u64,
        /// Whether its records are to be shown.
        active: bool,
        /// Why, in the protocol's words.
        status: Option<&'a str>,
    },
}

/// What a commit did to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The record was created.
    Create(Record<'a>),
    /// The record was replaced.
    Update(Record<'a>),
    /// The record is gone.
    Delete,
}

/// The body of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The content id as text; empty where the source gave none.
    pub cid: &'a str,
    /// How `body` is encoded.
    pub encoding: Encoding,
    /// The record.
    pub body: &'a [u8],
}

/// The encoding of a record's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// JSON, as text.
    Json = 0,
    /// DAG-CBOR.
    DagCbor = 1,
}
