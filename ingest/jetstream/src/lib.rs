//! A client for the Jetstream v1 event stream of the AT Protocol.
//!
//! [`Client`] keeps a subscription alive and hands out [`Batch`]es of frames; [`Event::parse`] reads a frame without
//! copying it. The two are separate so that parsing can run on another thread.
//!
//! ```no_run
//! use orrery_jetstream::{Client, Config, Delivery};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), orrery_jetstream::Error> {
//! let mut subscription = Client::new(Config::new("us-east-1"))?.subscribe()?;
//! let handle = subscription.handle();
//! while let Some(delivery) = subscription.next().await {
//!     match delivery {
//!         Delivery::Batch(batch) => {
//!             for event in batch.events() {
//!                 match event {
//!                     Ok(event) => drop(event.position()),
//!                     Err(reason) => handle.count_malformed(reason),
//!                 }
//!             }
//!         }
//!         Delivery::Failed(error) => return Err(error),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What holds:
//!
//! * **Nothing is lost between connections.** Each resumes at the last frame put into the queue, inclusive; see
//!   [`Subscription`]. Events can come again, so apply them idempotently.
//! * **Memory is bounded** by the queue ([`Config::queue_bytes_max`], [`Config::queue_frames_max`]), one batch, and one
//!   message ([`Config::message_bytes_max`]).
//! * **Silence is not failure.** A quiet connection is tested by ping and kept while it answers.
//! * **Bad input is counted, not fatal.** See [`Stats`], [`Malformed`], [`Undecodable`].
//!
//! Files: `event` (typed events), `malformed` and `diagnose` (reasons), `position` (position of an unparsed frame),
//! `cursor`, `decode` (zstd), `config`, `options` (filter), `endpoint` (URL), `connect` (TCP, TLS, upgrade), `session`
//! (one connection), `resume` (where to begin), `backoff` (when), `queue`, `batch`, `stats`, `client` (the loop).
#![forbid(unsafe_code)]

mod backoff;
mod batch;
mod client;
mod config;
mod connect;
mod cursor;
mod decode;
mod diagnose;
mod endpoint;
mod error;
mod event;
mod malformed;
mod options;
mod plain;
mod position;
mod queue;
mod resume;
mod session;
mod shown;
mod stats;

pub use backoff::Backoff;
pub use batch::Batch;
pub use client::{Client, Delivery, Handle, Subscription};
pub use config::Config;
pub use cursor::{Cursor, TIME_CURSOR_MIN};
pub use decode::{DICTIONARY, DICTIONARY_ID, Decoder, Undecodable};
pub use error::Error;
pub use event::{Account, Commit, Event, Identity, Kind, Operation};
pub use malformed::Malformed;
pub use options::Options;
pub use position::Position;
pub use rustls;
pub use shown::{server_name, source_name, without_secrets};
pub use stats::Stats;

/// The code of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
