//! The targets, one file for each part of the system.

mod blocks;
mod cache;
mod damage;
mod envelope;
mod ingest;
mod jetstream;
mod links;
mod log;
mod manifest;
#[path = "../../../../formats/links/tests/suite/support/mod.rs"]
mod naive;
mod query;
mod repo;
mod samples;
mod sealed;
mod segment_answers;
mod server;

pub use sealed::{kept_segments, opens_as_segment};

use crate::Target;

/// Every target.
pub static TARGETS: &[Target] = &[
    blocks::BYTES,
    blocks::BITS,
    blocks::MONOTONE,
    blocks::BITMAP,
    blocks::FILTER,
    blocks::SKETCH,
    envelope::ENVELOPE,
    sealed::SEGMENT,
    sealed::KEYS,
    sealed::MASK,
    sealed::CACHE_INDEX,
    sealed::EXCLUSIONS,
    cache::CACHE_ENTRY,
    cache::CACHE_FILE,
    damage::SEGMENT_DAMAGE,
    damage::KEYS_DAMAGE,
    damage::MASK_DAMAGE,
    log::EVENTS,
    log::EFFECT,
    log::FRAME,
    log::LOG_FILE,
    manifest::MANIFEST,
    manifest::EDIT,
    links::RECORD,
    links::NODE_TARGET,
    links::SYNTAX,
    repo::RECORD_JSON,
    repo::RECORD_CBOR,
    repo::CAR,
    repo::COMMIT,
    repo::TREE,
    jetstream::WIRE_EVENT,
    jetstream::WIRE_ZSTD,
    ingest::LINES,
    query::CURSOR,
    query::PLACE,
    server::QUERY_STRING,
    server::SUBSCRIBER,
    server::ACCEPT,
    server::TIME,
];

/// The next `N` bytes of an input; zeros where it has ended.
fn take<const N: usize>(input: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let len = N.min(input.len());
    let (head, tail) = input.split_at(len);
    out[..len].copy_from_slice(head);
    *input = tail;
    out
}
