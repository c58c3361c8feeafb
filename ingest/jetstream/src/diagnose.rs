//! The second, slow look at a frame that did not parse, to name what is wrong with it.
//!
//! Only frames that failed come here, so this reads the text several times where that keeps the rules plain.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::event::{WireAccount, WireCommit, WireIdentity};
use crate::malformed::Malformed;

/// The envelope with every member left as text, so that each can be judged alone.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    did: Option<&'a RawValue>,
    #[serde(borrow)]
    time_us: Option<&'a RawValue>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    commit: Option<&'a RawValue>,
    #[serde(borrow)]
    identity: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CommitMembers<'a> {
    #[serde(borrow)]
    rev: Option<&'a RawValue>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    collection: Option<&'a RawValue>,
    #[serde(borrow)]
    rkey: Option<&'a RawValue>,
}

/// Names why `text`, which is not an event, is not one.
pub(crate) fn diagnose(text: &str) -> Malformed {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Malformed::BadJson;
    }
    // White space of JSON, not of Unicode.
    if !text
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('{')
    {
        return Malformed::NotObject;
    }
    // Valid JSON, an object, every member accepted as it is: only a repeated member can still fail.
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
        return Malformed::DuplicateMember;
    };
    match envelope.did {
        None => return Malformed::MissingDid,
        Some(did) if !is_string(did) => return Malformed::BadDid,
        Some(_) => {}
    }
    match envelope.time_us {
        None => return Malformed::MissingTimeUs,
        Some(time_us) if !is_u64(time_us) => return Malformed::BadTimeUs,
        Some(_) => {}
    }
    if envelope.cursor.is_some_and(|cursor| !is_u64(cursor)) {
        return Malformed::BadCursor;
    }
    match envelope.kind {
        None => return Malformed::MissingKind,
        Some(kind) if !is_string(kind) => return Malformed::BadKind,
        Some(_) => {}
    }
    if let Some(commit) = envelope.commit
        && serde_json::from_str::<WireCommit<'_>>(commit.get()).is_err()
    {
        return diagnose_commit(commit);
    }
    if envelope
        .identity
        .is_some_and(|value| serde_json::from_str::<WireIdentity<'_>>(value.get()).is_err())
    {
        return Malformed::BadIdentity;
    }
    if envelope
        .account
        .is_some_and(|value| serde_json::from_str::<WireAccount<'_>>(value.get()).is_err())
    {
        return Malformed::BadAccount;
    }
    // Reached only for text the first pass refuses and every check here accepts: a lone surrogate escape in a string.
    Malformed::BadJson
}

fn diagnose_commit(commit: &RawValue) -> Malformed {
    if !commit.get().starts_with('{') {
        return Malformed::BadCommit;
    }
    let Ok(members) = serde_json::from_str::<CommitMembers<'_>>(commit.get()) else {
        return Malformed::DuplicateMember;
    };
    match members.operation {
        None => return Malformed::MissingOperation,
        Some(operation) if !is_string(operation) => return Malformed::BadOperation,
        Some(_) => {}
    }
    if members.rev.is_none() || members.collection.is_none() || members.rkey.is_none() {
        return Malformed::IncompleteCommit;
    }
    Malformed::BadCommit
}

fn is_string(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

fn is_u64(value: &RawValue) -> bool {
    serde_json::from_str::<u64>(value.get()).is_ok()
}
