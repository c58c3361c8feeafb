//! Events, borrowed from the frame they came in.
//!
//! Owns the typed form of the Jetstream v1 wire and the check of its JSON types. It does not check the *syntax* of
//! DIDs, NSIDs, record keys, revisions or CIDs, nor that an inner `did` equals the outer one: a consumer that stores
//! them does that, with its own rules and its own counters. Member order is free and unknown members are ignored.
//!
//! A frame is read in one pass (`plain.rs`; what is unusual takes a second one here). Strings are borrowed unless they
//! hold an escape, and a record stays the text it came as, so the usual event costs no allocation.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cursor::Cursor;
use crate::diagnose::diagnose;
use crate::malformed::Malformed;
use crate::plain;

/// One event of the stream.
///
/// ```
/// use orrery_jetstream::{Event, Kind, Operation};
///
/// let text = r#"{"did":"did:plc:aaaa","time_us":1786000000000001,"cursor":2,"kind":"commit","commit":{
///     "rev":"3mabc222222ab","operation":"create","collection":"app.bsky.graph.follow","rkey":"3mabc2222222b",
///     "record":{"$type":"app.bsky.graph.follow","subject":"did:plc:bbbb"},"cid":"bafyrei"}}"#;
/// let event = Event::parse(text)?;
/// let Kind::Commit(commit) = &event.kind else { panic!("a commit") };
/// let Operation::Create { record, .. } = &commit.operation else { panic!("a create") };
/// assert_eq!(commit.collection, "app.bsky.graph.follow");
/// assert!(record.starts_with('{'));
/// # Ok::<(), orrery_jetstream::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The repository the event is about, as the server wrote it.
    pub did: Cow<'a, str>,
    /// Display time in microseconds since 1970. It can step back, and on servers that import older data by any amount.
    pub time_us: u64,
    /// The sequence number, on servers that have them.
    pub cursor: Option<u64>,
    /// What happened.
    pub kind: Kind<'a>,
}

/// What an event is about.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// A record was created, updated or deleted.
    Commit(Commit<'a>),
    /// A handle or DID document may have changed.
    Identity(Identity<'a>),
    /// An account's hosting status changed.
    Account(Account<'a>),
}

/// A change of one record.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// Revision of the repository, a TID.
    pub rev: Cow<'a, str>,
    /// NSID of the record's collection.
    pub collection: Cow<'a, str>,
    /// Record key within the collection.
    pub rkey: Cow<'a, str>,
    /// What was done, with the record where there is one.
    pub operation: Operation<'a>,
}

/// What a commit did to its record.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// The record is new.
    Create {
        /// The record, an object, as the text the server sent.
        record: &'a str,
        /// CID of the record; servers send it, but nothing here depends on it.
        cid: Option<Cow<'a, str>>,
    },
    /// The record replaces an older one at the same key.
    Update {
        /// The record, an object, as the text the server sent.
        record: &'a str,
        /// CID of the record; servers send it, but nothing here depends on it.
        cid: Option<Cow<'a, str>>,
    },
    /// The record is gone.
    Delete,
}

/// The relay's identity event. Its handle is a hint, not a verified fact.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The account, as the inner object names it.
    pub did: Cow<'a, str>,
    /// Sequence number of the relay, not of this server.
    pub seq: u64,
    /// When the relay saw it, as text.
    pub time: Cow<'a, str>,
    /// The handle, where the relay gave one.
    pub handle: Option<Cow<'a, str>>,
}

/// The relay's account event. `active` decides visibility; `status` explains it.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// The account, as the inner object names it.
    pub did: Cow<'a, str>,
    /// Sequence number of the relay, not of this server.
    pub seq: u64,
    /// When the relay saw it, as text.
    pub time: Cow<'a, str>,
    /// Whether the account's content may be shown.
    pub active: bool,
    /// Why not, or a remark: `deactivated`, `deleted`, `takendown`, `suspended`, `desynchronized`, `throttled`, or
    /// something newer.
    pub status: Option<Cow<'a, str>>,
}

/// A string that borrows through `Option`: serde's own impl for `Option<Cow<str>>` always copies.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    time_us: u64,
    cursor: Option<u64>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    commit: Option<WireCommit<'a>>,
    #[serde(borrow)]
    identity: Option<WireIdentity<'a>>,
    #[serde(borrow)]
    account: Option<WireAccount<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct WireCommit<'a> {
    #[serde(borrow)]
    rev: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    collection: Cow<'a, str>,
    #[serde(borrow)]
    rkey: Cow<'a, str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    cid: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct WireIdentity<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    handle: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct WireAccount<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    active: bool,
    #[serde(borrow)]
    status: Option<Text<'a>>,
}

impl<'a> Event<'a> {
    /// Reads one frame, in a single pass over `text` if it is as servers write it.
    ///
    /// # Errors
    ///
    /// The [`Malformed`] reason. Finding it out takes further passes, which only bad frames pay for.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        match plain::read(text) {
            Some(event) => Ok(event),
            None => Self::parse_any(text),
        }
    }

    /// Reads a frame of any form.
    pub(crate) fn parse_any(text: &'a str) -> Result<Self, Malformed> {
        let wire: WireEvent<'a> = serde_json::from_str(text).map_err(|_| diagnose(text))?;
        let kind = match wire.kind.as_ref() {
            "commit" => Kind::Commit(wire.commit.ok_or(Malformed::MissingCommit)?.into_commit()?),
            "identity" => Kind::Identity(
                wire.identity
                    .ok_or(Malformed::MissingIdentity)?
                    .into_identity(),
            ),
            "account" => Kind::Account(
                wire.account
                    .ok_or(Malformed::MissingAccount)?
                    .into_account(),
            ),
            _ => return Err(Malformed::UnknownKind),
        };
        Ok(Self {
            did: wire.did,
            time_us: wire.time_us,
            cursor: wire.cursor,
            kind,
        })
    }

    /// Like [`parse`](Self::parse) for bytes not known to be UTF-8.
    ///
    /// # Errors
    ///
    /// [`Malformed::BadUtf8`], or as [`parse`](Self::parse).
    pub fn parse_bytes(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| Malformed::BadUtf8)?)
    }

    /// The most exact position of this event: its sequence number where the server gives one, else its time.
    pub fn position(&self) -> Cursor {
        self.cursor
            .map_or(Cursor::TimeUs(self.time_us), Cursor::Seq)
    }
}

impl<'a> WireCommit<'a> {
    fn into_commit(self) -> Result<Commit<'a>, Malformed> {
        let cid = self.cid.map(|text| text.0);
        let operation = match self.operation.as_ref() {
            "create" => Operation::Create {
                record: object(self.record)?,
                cid,
            },
            "update" => Operation::Update {
                record: object(self.record)?,
                cid,
            },
            "delete" => Operation::Delete,
            _ => return Err(Malformed::BadOperation),
        };
        Ok(Commit {
            rev: self.rev,
            collection: self.collection,
            rkey: self.rkey,
            operation,
        })
    }
}

fn object(record: Option<&RawValue>) -> Result<&str, Malformed> {
    let record = record.ok_or(Malformed::MissingRecord)?.get();
    // A raw value never begins with white space, so its first byte tells its type.
    if record.starts_with('{') {
        Ok(record)
    } else {
        Err(Malformed::BadRecord)
    }
}

impl<'a> WireIdentity<'a> {
    fn into_identity(self) -> Identity<'a> {
        Identity {
            did: self.did,
            seq: self.seq,
            time: self.time,
            handle: self.handle.map(|text| text.0),
        }
    }
}

impl<'a> WireAccount<'a> {
    fn into_account(self) -> Account<'a> {
        Account {
            did: self.did,
            seq: self.seq,
            time: self.time,
            active: self.active,
            status: self.status.map(|text| text.0),
        }
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
