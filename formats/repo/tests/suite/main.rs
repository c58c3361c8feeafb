//! Repositories, proofs and what is wrong with them. One program for all, so that what they share is built once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and stand in modules of a program"
)]

mod limits;
mod properties;
mod repositories;
mod support;
mod tampering;
mod vectors;
