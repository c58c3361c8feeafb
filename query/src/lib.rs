//! Answers who links to what: counts and lists of backlinks, of the accounts behind them, and of
//! many-to-many relations, over one immutable [`View`] of an index.
//!
//! This crate is pure: it opens no file, starts no thread, reads no clock and never writes. All state it has
//! is a bounded cache of derived tables, valid or not by the view itself.
//!
//! - `view.rs` what is needed of an index; `types.rs` questions and answers; `limits.rs`, `error.rs`
//! - `engine_view.rs` the engine's snapshots as views
//! - `cursor.rs` places in lists as opaque strings
//! - `target.rs` the forms in which a target is tried; `selection.rs` the rows that a filter selects
//! - `backlinks.rs`, `distinct.rs`, `many_to_many.rs`, `all.rs` the answers
//! - `stats/` how much each collection is used, over time
//! - `samples.rs` records of collections by example
//! - `stream/` what each event says about links, for those who subscribed
//! - `kept_counts.rs` counts that are told again from memory
//! - `cache.rs` the bounded cache; `actor_set.rs` sets of accounts

#![forbid(unsafe_code)]

mod actor_set;
mod all;
mod backlinks;
mod cache;
mod cursor;
mod distinct;
mod engine_view;
mod error;
mod kept_counts;
pub mod limits;
mod many_to_many;
mod places;
mod queries;
mod record_id;
pub mod samples;
mod selection;
pub mod stats;
pub mod stream;
mod target;
mod types;
mod view;

pub use cursor::Cursor;
pub use engine_view::SnapshotPart;
pub use error::{CursorError, Error, Result, StreamError};
pub use kept_counts::KeptCounts;
pub use queries::Queries;
pub use types::{
    Filter, ManyItem, ManyPage, ManyToMany, OtherCount, Page, Paging, RecordId, SourceTotals, Stats,
};
pub use view::{BLOCK, EachList, List, Listed, Part, RowTargets, View};
