//! Every byte that orrery keeps on disk: encoders and decoders of the formats that `formats/SPEC.md`
//! tabulates. Bytes in, values out: no files, no clocks, no threads.
#![forbid(unsafe_code)]

pub mod backup;
pub mod bitmap;
pub mod bits;
pub mod bytes;
pub mod cache;
pub mod cached_proof;
pub mod cached_record;
pub mod chunks;
pub mod effect;
pub mod envelope;
mod error;
pub mod event;
pub mod exclusions;
pub mod fault;
mod file_header;
pub mod filter;
pub mod frame;
pub mod keys;
pub mod manifest;
pub mod mask;
pub mod monotone;
pub mod segment;
pub mod sink;
pub mod sketch;
#[cfg(test)]
mod testing;

pub use error::{Corruption, Error, Result};
