//! The subcommands.

pub(crate) mod demo;
pub(crate) mod ingest;
pub(crate) mod serve;
pub(crate) mod synth;
