//! Samples: the newest records of each collection, whole. Those of events since the last seal stand in the memtable
//! (`recent.rs`), all others in their segments. Whether one still is its record is told by what the index knows of
//! newer events (`live.rs`), which is what merges keep (`merging.rs`) and snapshots show (`read.rs`); `limit.rs` bounds what
//! they take.

mod limit;
mod live;
mod merging;
mod read;
mod recent;
mod touched;

pub(crate) use limit::room_of_seal;
pub(crate) use live::has_dead_samples;
pub(crate) use merging::Merging;
pub use read::{Choice, SampleRecord};
pub(crate) use recent::{NewSample, RecentSample, RecentSamples};
