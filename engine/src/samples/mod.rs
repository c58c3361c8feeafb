//! Samples: the newest records of each collection, whole. Those of events since the last seal stand in the memtable
//! (`recent.rs`), all others in their segments. Whether one still is its record is told by what the index knows of
//! newer events (`live.rs`); `limit.rs` bounds what they take on disk.

mod limit;
mod live;
mod read;
mod recent;

pub(crate) use limit::Allowance;
pub(crate) use live::{has_dead_samples, is_kept, most_in_merge};
pub use read::SampleRecord;
pub(crate) use recent::{NewSample, RecentSample, RecentSamples};
