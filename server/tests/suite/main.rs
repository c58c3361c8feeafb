//! The server over real sockets. One program for all, so that what they share is built once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and stand in modules of a program"
)]

mod common;
mod edge;
mod hydrate;
mod lexicons;
mod limits;
mod openapi;
mod operator;
mod proxies;
mod routes;
mod service;
mod stats;
mod status;
mod stream;
mod stream_ends;
mod stream_page;
mod stream_replay;
mod tls;
mod tls_acme;
