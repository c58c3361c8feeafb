//! The program as its users run it. One program for all, so that what they share is built once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and stand in modules of a program"
)]

mod backup;
mod common;
mod configuration;
mod coverage;
mod demo;
mod disk;
mod doctor;
mod edge;
mod exclude;
mod foreign_source;
mod golden;
mod ingest_command;
mod inspect;
mod kill;
mod missing;
mod monitoring;
mod mutants;
mod questions;
mod real_data;
mod repair;
mod repeated;
mod replay;
mod service;
mod stream;
mod texts;
mod time_buckets;
mod tls;
mod usage;
mod verify;
