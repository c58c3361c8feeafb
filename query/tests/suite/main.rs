//! Answers against models, and on damaged data. One program for all, so that what they share is built once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and stand in modules of a program"
)]

mod against_model;
mod damage;
mod damaged;
mod engine_model;
mod engine_scenarios;
mod examples;
mod long_lists;
mod model;
mod samples;
mod stats_model;
mod stats_order;
mod stream;
mod stream_damaged;
mod stream_model;
mod stream_reader;
mod support;
