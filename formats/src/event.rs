//! The events that the log keeps, whole: what ingest hands to the engine, and what a replay of the log
//! hands to it again. Everything that decides an answer is in here, so that replay gives the same index.
//!
//! The codec is the body of a log frame (`SPEC.md`, section 4.3): one tag byte, then the members of that
//! kind of event. Times are differences to the event before, so events are decoded in order.

use crate::bytes::{Reader, put_str, put_u64, put_varint};
use crate::effect::{self, EFFECT_BYTES_MAX, Effect};
use crate::{Error, Result};

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
    /// The operator's word on the account, whatever its hosting status is. No source tells it.
    Exclusion {
        /// Whether its records are to be left out of all answers, or no longer.
        excluded: bool,
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

/// The most bytes one event takes in a frame. Sources cap a message at 5 MiB; a log that holds a
/// larger event was not written by this code.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// The low four bits of the tag byte.
mod tag {
    pub(super) const CREATE: u8 = 0;
    pub(super) const UPDATE: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const IDENTITY: u8 = 3;
    pub(super) const ACCOUNT_INACTIVE: u8 = 4;
    pub(super) const ACCOUNT_ACTIVE: u8 = 5;
    pub(super) const INCLUDED: u8 = 6;
    pub(super) const EXCLUDED: u8 = 7;
    /// The record's body is DAG-CBOR; without it, JSON. Creates and updates only.
    pub(super) const DAG_CBOR: u8 = 0x10;
    /// The optional string is there. Identity and account events only.
    pub(super) const STRING: u8 = 0x20;
    /// An effect follows the members. Commits and account events only.
    pub(super) const EFFECT: u8 = 0x40;
}

/// Appends an event that follows one of time `previous_time_us`, without an effect.
///
/// # Errors
/// [`Error::TooLarge`] if it takes more than [`EVENT_BYTES_MAX`]; `out` is then as before.
pub fn encode(event: &Event<'_>, previous_time_us: u64, out: &mut Vec<u8>) -> Result<()> {
    encode_with_effect(event, &Effect::Unknown, previous_time_us, out)
}

/// Appends an event that follows one of time `previous_time_us`, and its effect. One that such an event cannot have
/// ([`Effect::fits`]) or that is longer than [`EFFECT_BYTES_MAX`] is left out.
///
/// # Errors
/// [`Error::TooLarge`] if both take more than [`EVENT_BYTES_MAX`]; `out` is then as before.
pub fn encode_with_effect(
    event: &Event<'_>,
    effect: &Effect<'_>,
    previous_time_us: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut effect_bytes = effect.encoded_len();
    if effect_bytes > EFFECT_BYTES_MAX || !effect.fits(&event.body) {
        effect_bytes = 0;
    }
    let bytes = event.did.len() + variable_bytes(&event.body) + effect_bytes;
    // Everything of fixed or nearly fixed size together stays below 64 bytes, the length of an effect with it.
    if bytes > EVENT_BYTES_MAX - 64 {
        return Err(Error::TooLarge {
            what: "the size of an event",
            found: bytes as u64,
            limit: (EVENT_BYTES_MAX - 64) as u64,
        });
    }
    let kind = match &event.body {
        Body::Commit { operation, .. } => match operation {
            Operation::Create(record) => tag::CREATE | encoding_flag(record.encoding),
            Operation::Update(record) => tag::UPDATE | encoding_flag(record.encoding),
            Operation::Delete => tag::DELETE,
        },
        Body::Identity { handle, .. } => tag::IDENTITY | string_flag(*handle),
        Body::Account {
            active: true,
            status,
            ..
        } => tag::ACCOUNT_ACTIVE | string_flag(*status),
        Body::Account {
            active: false,
            status,
            ..
        } => tag::ACCOUNT_INACTIVE | string_flag(*status),
        Body::Exclusion { excluded: false } => tag::INCLUDED,
        Body::Exclusion { excluded: true } => tag::EXCLUDED,
    };
    let effect_flag = if effect_bytes > 0 { tag::EFFECT } else { 0 };
    out.push(kind | effect_flag);
    put_varint(out, zigzag(event.time_us.wrapping_sub(previous_time_us)));
    put_str(out, event.did);
    match &event.body {
        Body::Commit {
            rev,
            collection,
            rkey,
            operation,
        } => {
            put_u64(out, *rev);
            put_str(out, collection);
            put_str(out, rkey);
            if let Operation::Create(record) | Operation::Update(record) = operation {
                put_str(out, record.cid);
                put_varint(out, record.body.len() as u64);
                out.extend_from_slice(record.body);
            }
        }
        Body::Identity {
            seq,
            handle: string,
        }
        | Body::Account {
            seq,
            status: string,
            ..
        } => {
            put_varint(out, *seq);
            if let Some(string) = string {
                put_str(out, string);
            }
        }
        Body::Exclusion { .. } => {}
    }
    if effect_bytes > 0 {
        put_varint(out, effect_bytes as u64);
        effect::encode(effect, out);
    }
    Ok(())
}

/// Reads the event that follows one of time `previous_time_us`, and passes over its effect.
///
/// # Errors
/// [`Error::Corrupt`] on anything that [`encode_with_effect`] does not write, less what is wrong within the effect.
pub fn decode<'a>(reader: &mut Reader<'a>, previous_time_us: u64) -> Result<Event<'a>> {
    decode_with_effect(reader, previous_time_us).map(|(event, _)| event)
}

/// As [`decode`], with the bytes of the effect, which [`effect::decode`] reads; `None` where the log has none.
///
/// # Errors
/// As [`decode`].
pub fn decode_with_effect<'a>(
    reader: &mut Reader<'a>,
    previous_time_us: u64,
) -> Result<(Event<'a>, Option<&'a [u8]>)> {
    let start = reader.clone();
    let tagged = reader.u8()?;
    let kind = tagged & !tag::EFFECT;
    let time_us = previous_time_us.wrapping_add(unzigzag(reader.varint()?));
    let did = reader.str()?;
    let optional = |reader: &mut Reader<'a>| -> Result<Option<&'a str>> {
        if kind & tag::STRING == 0 {
            Ok(None)
        } else {
            reader.str().map(Some)
        }
    };
    let body = match kind & 0x0f {
        operation @ (tag::CREATE | tag::UPDATE | tag::DELETE)
            if kind & 0xf0 & !tag::DAG_CBOR == 0 =>
        {
            let rev = reader.u64()?;
            let collection = reader.str()?;
            let rkey = reader.str()?;
            let operation = match operation {
                tag::CREATE => Operation::Create(decode_record(reader, kind)?),
                tag::UPDATE => Operation::Update(decode_record(reader, kind)?),
                _ if kind & tag::DAG_CBOR != 0 => {
                    return Err(start.corrupt("the tag of an event", tagged));
                }
                _ => Operation::Delete,
            };
            Body::Commit {
                rev,
                collection,
                rkey,
                operation,
            }
        }
        tag::IDENTITY if tagged & 0xf0 & !tag::STRING == 0 => Body::Identity {
            seq: reader.varint()?,
            handle: optional(reader)?,
        },
        state @ (tag::ACCOUNT_ACTIVE | tag::ACCOUNT_INACTIVE)
            if kind & 0xf0 & !tag::STRING == 0 =>
        {
            Body::Account {
                seq: reader.varint()?,
                active: state == tag::ACCOUNT_ACTIVE,
                status: optional(reader)?,
            }
        }
        tag::INCLUDED | tag::EXCLUDED if tagged & 0xf0 == 0 => Body::Exclusion {
            excluded: tagged == tag::EXCLUDED,
        },
        _ => return Err(start.corrupt("the tag of an event", tagged)),
    };
    let effect = if tagged & tag::EFFECT == 0 {
        None
    } else {
        Some(decode_effect(reader)?)
    };
    Ok((Event { time_us, did, body }, effect))
}

fn decode_effect<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8]> {
    let length = reader.varint()?;
    match usize::try_from(length) {
        Ok(length @ 1..=EFFECT_BYTES_MAX) => reader.bytes(length),
        _ => Err(reader.corrupt("the size of an effect", length)),
    }
}

fn decode_record<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<Record<'a>> {
    let cid = reader.str()?;
    let length = reader.varint()?;
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|n| *n <= EVENT_BYTES_MAX)
    else {
        return Err(reader.corrupt("the size of a record", length));
    };
    Ok(Record {
        cid,
        encoding: if kind & tag::DAG_CBOR == 0 {
            Encoding::Json
        } else {
            Encoding::DagCbor
        },
        body: reader.bytes(length)?,
    })
}

/// The bytes of the members whose size the source decides.
fn variable_bytes(body: &Body<'_>) -> usize {
    match body {
        Body::Commit {
            collection,
            rkey,
            operation,
            ..
        } => {
            let record = match operation {
                Operation::Create(record) | Operation::Update(record) => {
                    record.cid.len() + record.body.len()
                }
                Operation::Delete => 0,
            };
            collection.len() + rkey.len() + record
        }
        Body::Identity { handle: string, .. } | Body::Account { status: string, .. } => {
            string.map_or(0, str::len)
        }
        Body::Exclusion { .. } => 0,
    }
}

const fn encoding_flag(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Json => 0,
        Encoding::DagCbor => tag::DAG_CBOR,
    }
}

const fn string_flag(string: Option<&str>) -> u8 {
    if string.is_some() { tag::STRING } else { 0 }
}

/// A wrapping difference as a number that is small for small steps either way.
const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ (0_u64.wrapping_sub(difference >> 63))
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (0_u64.wrapping_sub(value & 1))
}

#[cfg(test)]
mod tests;
