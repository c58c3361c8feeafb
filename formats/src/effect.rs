//! What an event undid: kept in the log beside the event (`SPEC.md`, section 4.3), for the log alone cannot tell which
//! links a record had before, and the index forgets them. No answer of the index depends on it: a replay of the
//! log makes the same index with and without, and what cannot be told is [`Effect::Unknown`].
//!
//! [`Links`], [`Rows`] and [`Seqs`] are the encoded bytes themselves, checked once by [`decode`]; a value has one
//! encoding.

mod account;
mod links;

use crate::bytes::{Reader, put_varint};
use crate::event::{Body, Operation};
use crate::{Error, Result};

pub use account::{AccountBuf, Row, Rows, Seqs};
pub use links::{Links, LinksBuf};

/// The most bytes of an effect. One that would take more is not kept, or cut.
pub const EFFECT_BYTES_MAX: usize = 4 << 20;
/// The most links that the rows of an account event have; further rows are told by their seqs.
pub const INLINE_LINKS_MAX: u32 = 10_000;
/// The most bytes of the rows of an account event; further rows are told by their seqs.
pub const INLINE_BYTES_MAX: usize = 1 << 20;

const SECTION: &str = "effect of an event";

/// What an event undid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect<'a> {
    /// It was not kept, as in logs of older builds; or the event is of a kind that undoes nothing.
    #[default]
    Unknown,
    /// That of a commit.
    Commit {
        /// Whether the account was inactive, as far as was known: nothing that it did was to be seen.
        hidden: bool,
        /// What stood at the key before.
        before: Before<'a>,
    },
    /// That of an account event: the rows that it hid, brought back or deleted, each once. A row that was not to be
    /// seen before and after is not among them.
    Account {
        /// The first of them.
        rows: Rows<'a>,
        /// Further ones, by their seqs, to be looked up in the index.
        seqs: Seqs<'a>,
        /// Whether there are more than that, or may be.
        is_cut: bool,
    },
}

/// What stood at a key before a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before<'a> {
    /// No record with links.
    Nothing,
    /// The record with the very links that the new version has.
    Same,
    /// A record with these links, at least one.
    Links(Links<'a>),
    /// What it was could not be read.
    Unknown,
}

mod kind {
    /// The low two bits of a commit's.
    pub(super) const NOTHING: u8 = 0;
    pub(super) const SAME: u8 = 1;
    pub(super) const LINKS: u8 = 2;
    pub(super) const UNKNOWN: u8 = 3;
    pub(super) const HIDDEN: u8 = 4;
    pub(super) const ACCOUNT: u8 = 0x10;
    /// Accounts only.
    pub(super) const CUT: u8 = 0x20;
}

impl Effect<'_> {
    /// Whether an event of that kind can have it: nothing else is kept in a log.
    #[must_use]
    pub fn fits(&self, body: &Body<'_>) -> bool {
        match (self, body) {
            (Self::Unknown, _) | (Self::Account { .. }, Body::Account { .. }) => true,
            (Self::Commit { before, .. }, Body::Commit { operation, .. }) => {
                !matches!((before, operation), (Before::Same, Operation::Delete))
            }
            _ => false,
        }
    }

    /// How many bytes [`encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Commit { before, .. } => match before {
                Before::Nothing | Before::Same | Before::Unknown => 1,
                Before::Links(links) => 1 + links.encoded_len(),
            },
            Self::Account { rows, seqs, .. } => 1 + rows.encoded_len() + seqs.encoded_len(),
        }
    }
}

/// Appends an effect; nothing for [`Effect::Unknown`].
pub fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) {
    match effect {
        Effect::Unknown => {}
        Effect::Commit { hidden, before } => {
            let what = match before {
                Before::Nothing => kind::NOTHING,
                Before::Same => kind::SAME,
                Before::Links(_) => kind::LINKS,
                Before::Unknown => kind::UNKNOWN,
            };
            out.push(what | if *hidden { kind::HIDDEN } else { 0 });
            if let Before::Links(links) = before {
                links.encode(out);
            }
        }
        Effect::Account { rows, seqs, is_cut } => {
            out.push(kind::ACCOUNT | if *is_cut { kind::CUT } else { 0 });
            rows.encode(out);
            seqs.encode(out);
        }
    }
}

/// Reads the effect of an event with that body.
///
/// # Errors
/// [`Error::Corrupt`] on anything that [`encode`] does not write for such an event.
pub fn decode<'a>(bytes: &'a [u8], body: &Body<'_>) -> Result<Effect<'a>> {
    let mut reader = Reader::new(SECTION, bytes);
    if bytes.len() > EFFECT_BYTES_MAX {
        return Err(reader.corrupt(format!("at most {EFFECT_BYTES_MAX} bytes"), bytes.len()));
    }
    let start = reader.clone();
    let found = reader.u8()?;
    let effect = match (body, found) {
        (Body::Commit { .. }, found) if found & !kind::HIDDEN <= kind::UNKNOWN => Effect::Commit {
            hidden: found & kind::HIDDEN != 0,
            before: match found & !kind::HIDDEN {
                kind::NOTHING => Before::Nothing,
                kind::SAME => Before::Same,
                kind::LINKS => Before::Links(Links::decode(&mut reader)?),
                _ => Before::Unknown,
            },
        },
        (Body::Account { .. }, found) if found & !kind::CUT == kind::ACCOUNT => Effect::Account {
            rows: Rows::decode(&mut reader)?,
            seqs: Seqs::decode(&mut reader)?,
            is_cut: found & kind::CUT != 0,
        },
        _ => return Err(unfit(&start, found)),
    };
    if !effect.fits(body) {
        return Err(unfit(&start, found));
    }
    reader.finish()?;
    Ok(effect)
}

#[cold]
fn unfit(at: &Reader<'_>, found: u8) -> Error {
    at.corrupt("the kind of an effect that the event can have", found)
}

/// Appends a name, or one byte for the same as the one before.
fn put_name(out: &mut Vec<u8>, name: &str, is_same: bool) {
    if is_same {
        out.push(0);
    } else {
        put_varint(out, name.len() as u64 + 1);
        out.extend_from_slice(name.as_bytes());
    }
}

/// Reads what [`put_name`] wrote behind `before`.
fn read_name<'a>(reader: &mut Reader<'a>, before: &mut Option<&'a str>) -> Result<&'a str> {
    let start = reader.clone();
    let length = reader.varint()?;
    let Some(length) = length.checked_sub(1) else {
        return before.ok_or_else(|| start.corrupt("a first name", "the name before"));
    };
    let length =
        usize::try_from(length).map_err(|_| start.corrupt("a name that fits in memory", length))?;
    let name = reader.str_of(length)?;
    if before.replace(name) == Some(name) {
        return Err(start.corrupt("another name than the one before", format!("{name:?}")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
