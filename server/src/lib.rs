//! The HTTP face of an orrery index: every route of the backlink API as JSON and, where a browser asks, as a
//! page; health, readiness and metrics; and the limits that keep a public port standing.
//!
//! This is the only crate that knows HTTP. It holds no index logic: everything it tells comes through the
//! [`Index`] trait, whose calls run on a bounded pool of blocking threads, never on the async workers.
//!
//! - `serve.rs` listening, connections, shutdown · `stall.rs` readers that stopped reading, `head_timer.rs` requests that do not come
//! - `app.rs` the router and what wraps every request · `answer.rs` answers from the index · `config.rs` its settings
//! - `tls/` certificates and handshakes of the public port
//! - `index/` the seam to the index · `edge/` the seam to records and identities of the rest of the network, and how much of it runs at once · `stream/` the link stream, with its seam to the events
//! - `hydrate/` records for answers that name many · `api/` one file per resource, `api/calls/` those that take bodies or ask the edge · `wire/` the JSON shapes · `html/` the pages · `openapi/` the description of all
//! - `params.rs`, `time.rs` query strings · `negotiate.rs` `Accept` · `problem.rs` errors as answers
//! - `pool.rs` the bounded pool · `rate.rs` token buckets and costs, `network.rs` whose · `addresses.rs` how many places one address has · `request_id.rs` · `metrics/` counters as text · `agents.rs` which programs ask
//! - `watch/` what was seen of the index every few seconds, and over hours and days · `status.rs` what `/status` tells of it · `process.rs` what the system says of this process
//! - `operator/` the operator's routes, on their own address: metrics, the exclude list
//! - `fuzz.rs` the parsers, open to the fuzzer
//!
//! [`API.md`](https://docs.rs/crate/orrery-server/latest/source/API.md) describes every endpoint.
#![forbid(unsafe_code)]

mod addresses;
mod agents;
mod answer;
mod api;
mod app;
mod collections;
mod config;
mod edge;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod head_timer;
mod html;
mod hydrate;
mod index;
mod metrics;
mod negotiate;
mod network;
mod openapi;
mod operator;
mod params;
mod pool;
mod problem;
mod process;
mod rate;
mod request_id;
mod serve;
mod source;
mod stall;
mod status;
mod stream;
mod time;
mod tls;
mod watch;
pub mod wire;

pub use api::hint::of_target as target_hint;
pub use collections::{WELL_KNOWN, meant_collection, meant_prefix};
pub use config::{Config, RateLimit, StreamConfig};
pub use edge::{
    CallAnswer, CallAsk, Edge, EdgeError, EdgeIdentity, EdgePage, EdgeRecord, ListAsk, MiniDoc,
    Work,
};
pub use error::{Error, Result};
pub use index::{
    Answer, Child, CollectionCounts, Counts, Effort, Fact, FactKind, Foreign, Hours, Index,
    IndexError, LastEffort, Listing, Order, Paging, PrefixCounts, RecordsAndAccounts, RecordsAt,
    Room, SampleRecord, SamplesOf, Selection, SeriesOf, Status, Steps, Vitals, Waits,
};
pub use network::Network;
pub use operator::{
    ExcludeAsked, ExcludeError, ExcludeList, ExcludeReport, Excluded, OperatorToken,
};
pub use serve::serve;
pub use stream::{Feed, StepReader};
pub use time::{format_time, parse_time_us};
pub use tls::{AcmeSettings, CertificateFiles, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Tls};
