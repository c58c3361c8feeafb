//! Hostile bytes for every decoder: what the formats, the wire and the query string are read by, each behind
//! one function that takes any bytes and says what must hold. `README.md` beside this crate's manifest has the
//! commands.
//!
//! | file | owns |
//! | --- | --- |
//! | `targets/` | the targets: what is read, what must hold, inputs to begin with |
//! | `heap.rs` | the limit on what a decoder may allocate |
//! | `outcome.rs` | what an input came to, by which new inputs are told from more of the same |
//! | `rng.rs`, `mutate.rs` | seeded changes of inputs, which know nothing of their structure |
//! | `corpus.rs` | the inputs that are kept as files |
//! | `run.rs` | one input through one target, a panic caught |
//! | `drive.rs` | many |
//!
//! A target panics when something does not hold. The same functions are replayed by `cargo test`, driven by
//! the program of this crate on stable Rust, and by libFuzzer (`libfuzzer/`).
#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a check fails by panicking"
)]

pub mod corpus;
pub mod drive;
mod heap;
mod mutate;
mod outcome;
mod rng;
mod run;
mod targets;

pub use outcome::Outcome;
pub use run::{Failure, run};
pub use targets::{TARGETS, kept_segments, opens_as_segment};

/// One decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name on the command line, and of its folder in `corpus/`.
    pub name: &'static str,
    /// What is read.
    pub about: &'static str,
    /// Inputs to begin with, made by the encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces of text that inputs are made of, where bytes alone would not find them.
    pub words: &'static [&'static str],
    /// Reads any bytes; panics where something does not hold.
    pub check: fn(&[u8]) -> Outcome,
}

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
