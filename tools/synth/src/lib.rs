//! A synthetic Jetstream: a seeded event stream of the real network's shape, and a
//! loopback server that serves it under the Jetstream v1 wire contract. Tests,
//! benches and the demo use it; the answering side of orrery knows nothing of it.
//!
//! # The stream
//!
//! [`Generator`] writes one JSON event a line, byte for byte the same for the same
//! [`Options`] on every platform. Its shape is that of public captures of 2024 to 2026:
//!
//! - kinds by [`EventClass::PERCENT`]; about 550 bytes an event and 1.2 links a record;
//! - accounts act by Zipf 0.75, targets are chosen by Zipf 0.95 out of a moving pool of 600,000 posts;
//! - 17 % of likes and 40 % of reposts say `via` which repost they came;
//! - 4 % of events stand in commits of several records, which share a rev;
//! - one delete in five is of a record the stream never showed, the others are of live records;
//! - accounts go inactive and come back; no commit comes from an inactive one, and relay
//!   sequence numbers rise;
//! - keys and revs are TIDs with clock ids below 32; a key is not newer than its rev, and
//!   revs rise within a repo.
//!
//! Signatures, and CIDs that hash their record, are not imitated.
//!
//! # Files
//!
//! `rng` random numbers · `zipf` popularity · `ident` DIDs, CIDs, TIDs, datetimes ·
//! `options` choices and shares · `population` accounts · `pool` what can be linked to
//! or deleted · `text` prose and web addresses · `records`, `lexicons` record bodies ·
//! `world` all of these together · `generator` the stream · `server` the websocket server.

#![forbid(unsafe_code)]

mod error;
mod generator;
mod ident;
mod lexicons;
mod options;
mod pool;
mod population;
mod records;
mod rng;
#[cfg(feature = "server")]
pub mod server;
mod text;
mod world;
mod zipf;

pub use error::Error;
pub use generator::{EventMeta, Generator, PopularTargets};
pub use options::{
    ACCOUNT_PERCENT_DEFAULT, ACTORS_DEFAULT, DELETE_PERCENT_DEFAULT, EVENTS_PER_SECOND_DEFAULT,
    EventClass, Options, START_US_DEFAULT, Tempo,
};
#[cfg(feature = "server")]
pub use server::{Config, Faults, Handle, Pace, Source, Stamp, Stats, serve};
