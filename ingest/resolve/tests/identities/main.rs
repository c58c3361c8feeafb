//! Identities and records over a network that is made up.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers are parts of tests"
)]

mod confirmation;
mod documents;
mod fake;
mod flights;
mod handles;
mod invalidation;
mod kept;
mod origins;
mod refreshes;
