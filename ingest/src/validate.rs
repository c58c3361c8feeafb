//! Strict syntax of what names things in an event, so that nothing else reaches the log: a key that no
//! repository can hold would be indexed for ever. Which values are *links* is another matter and lenient.

use orrery_links::syntax::{Cid, Did, Handle, Nsid, RecordKey, Tid};

use crate::reason::Reason;

/// Earliest time of an event, in microseconds since 1970: 2001-09-09. Servers read smaller cursors as
/// sequence numbers, so a position below this could not be resumed.
pub(crate) const TIME_US_MIN: u64 = orrery_jetstream::TIME_CURSOR_MIN;

/// Latest time of an event, in microseconds since 1970: what a TID can hold.
pub(crate) const TIME_US_MAX: u64 = Tid::TIMESTAMP_US_MAX;

pub(crate) fn did(text: &str) -> Result<&str, Reason> {
    Did::parse(text)
        .map(Did::as_str)
        .map_err(|_| Reason::InvalidDid)
}

/// Checks that an inner `did` repeats the outer one.
pub(crate) fn same_did(outer: &str, inner: &str) -> Result<(), Reason> {
    if outer == inner {
        Ok(())
    } else {
        Err(Reason::DidMismatch)
    }
}

pub(crate) fn collection(text: &str) -> Result<&str, Reason> {
    Nsid::parse(text)
        .map(Nsid::as_str)
        .map_err(|_| Reason::InvalidCollection)
}

pub(crate) fn rkey(text: &str) -> Result<&str, Reason> {
    RecordKey::parse(text)
        .map(RecordKey::as_str)
        .map_err(|_| Reason::InvalidRkey)
}

pub(crate) fn rev(text: &str) -> Result<u64, Reason> {
    Tid::parse(text)
        .map(Tid::to_u64)
        .map_err(|_| Reason::InvalidRev)
}

/// The content id, empty where there is none.
pub(crate) fn cid(text: Option<&str>) -> Result<&str, Reason> {
    match text {
        None => Ok(""),
        Some(text) => Cid::parse(text)
            .map(Cid::as_str)
            .map_err(|_| Reason::InvalidCid),
    }
}

/// The handle where it is one. It is a hint of the relay, so a bad one costs the event nothing else.
pub(crate) fn handle(text: Option<&str>) -> Option<&str> {
    text.and_then(|text| Handle::parse(text).ok().map(Handle::as_str))
}

pub(crate) fn time_us(value: u64) -> Result<u64, Reason> {
    if (TIME_US_MIN..=TIME_US_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(Reason::TimeOutOfRange)
    }
}
