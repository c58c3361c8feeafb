//! Structures with one writer and any number of readers that never wait: memory that never moves,
//! reached through atomics, and published by a release-store of a count. Everything here is safe Rust:
//! cells are atomics or set-once values.
//!
//! The rule that makes readers right: the writer fills a cell with relaxed stores and then makes it
//! reachable with a release store (of a count, a hash slot or a head); a reader reaches a cell only
//! through an acquire load of one of those.

mod chunked;
mod hash_index;
mod versions;

pub(crate) use chunked::Chunked;
pub(crate) use hash_index::HashIndex;
pub(crate) use versions::{Overlay, Versions};
