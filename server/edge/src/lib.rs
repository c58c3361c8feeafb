//! The edge cache: what a record or an identity of the network looks like, fast, and as fresh as the event stream.
//!
//! Records come from the log window of the index, from what was fetched before, or from their data server. What was known of a
//! record is told only as long as the stream has said nothing else of it, and was there to say it. Identities come from where
//! their own rules say, checked both ways.
//!
//! - `edge.rs` the cache as the server asks it
//! - `freshness.rs` which of the things known may be told: a pure function · `followed.rs` what the stream vouches for
//! - `records.rs` finding a record · `proof.rs` with its proof · `list.rs` pages of an account's records
//! - `identities.rs`, `call.rs` accounts, and queries of other services
//! - `memory.rs` answers in memory · `keep.rs` identities on disk · `render.rs` the answer's bytes
//! - `follow.rs` what events change beside records · `often.rs` which records are linked to often
//! - `offline.rs` a network that nobody is asked in
//! - `facts.rs` numbers for the metrics page
//! - `lookups.rs` a bounded number of blocking look-ups · `problems.rs` errors of others in the words of ours
#![forbid(unsafe_code)]

mod call;
mod clock;
mod edge;
mod error;
mod facts;
mod follow;
mod followed;
mod freshness;
mod identities;
mod keep;
mod list;
mod lookups;
mod memory;
mod offline;
mod often;
mod options;
mod problems;
mod proof;
mod records;
mod render;

pub use edge::EdgeCache;
pub use error::{Error, Result};
pub use followed::{Followed, NotFollowed};
pub use offline::Offline;
pub use options::EdgeOptions;
