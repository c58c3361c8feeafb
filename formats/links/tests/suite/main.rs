//! Links and syntax. One program for all, so that what they share is built once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and stand in modules of a program"
)]

mod interop_syntax;
mod limits;
mod node;
mod paths;
mod properties;
mod support;
mod worked_examples;
