//! From untrusted events to the index: what a source sends is parsed, checked, selected and handed to the
//! one writer of the engine, together with the position up to which it was handed over.
//!
//! Nothing above a [`Source`] knows which wire an event came by, how its record is encoded, or what its
//! cursor counts. A bad event is counted by a [`Reason`] of a closed set and passed over; it never ends a
//! source.
//!
//! | file | owns |
//! | --- | --- |
//! | `reason.rs` | [`Reason`], why an event is dropped, and [`Drops`], their counts |
//! | `validate.rs` | strict syntax of identifiers, and the range of times |
//! | `decode.rs` | from a Jetstream event to an event of the log |
//! | `select.rs` | [`Selection`]: which collections are indexed |
//! | `coverage.rs` | [`Whole`]: from when on a directory has all that it takes |
//! | `source.rs` | [`Source`]: the seam, and [`Cursor`] |
//! | `lines.rs` | bounded lines out of any reader, compressed or not |
//! | `file.rs` | [`FileSource`]: saved events |
//! | `live.rs` | [`JetstreamSource`]: a subscription |
//! | `reach.rs` | whether a source still has what is behind the position asked for |
//! | `resume.rs` | where a source goes on after a restart, and when it must not |
//! | `sink.rs` | [`Sink`]: what takes the events, the engine's writer above all |
//! | `pipeline.rs` | [`pump`]: from a source into a sink |
//! | `follow.rs` | [`follow`]: a pipeline on a thread of its own |
//! | `counters.rs` | [`Counters`]: what a pipeline did, readable while it runs |
//! | `report.rs` | [`Tally`], what a pipeline did, and [`LinkCounts`], links by source |
#![forbid(unsafe_code)]

mod counters;
mod coverage;
mod decode;
mod error;
mod file;
mod follow;
mod lines;
mod live;
mod pipeline;
mod reach;
mod reason;
mod report;
mod resume;
mod select;
mod sink;
mod source;
mod validate;

pub use counters::{Counters, CountersView};
pub use coverage::{Whole, begin_loading};
pub use decode::decode;
pub use error::{Error, Result};
pub use file::FileSource;
pub use follow::{FollowConfig, Follower, Pulse, follow};
pub use lines::LINE_BYTES_MAX;
pub use live::JetstreamSource;
pub use pipeline::{Pipeline, pump};
pub use reason::{Drops, Reason};
pub use report::{LinkCounts, Tally};
pub use resume::resume_point;
pub use select::{Selection, SelectionError};
pub use sink::{Outcome, Sink};
pub use source::{Cursor, CursorKind, Item, Next, Place, Source};
