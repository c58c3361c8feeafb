//! An in-memory model of the whole system's meaning, a generator of event sequences, and the driver that
//! runs both a model and the real engine through them. The model is plain ordered maps and obvious loops,
//! and shares no code with the engine, the queries or the link extraction that it judges.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod compare;
pub mod event;
pub mod extract;
pub mod ops;
pub mod real;
pub mod run;
pub mod universe;
pub mod view;
pub mod world;
