//! The storage engine of orrery: the only crate that opens files of a data directory.
//!
//! A [`Store`] is one open directory. Its [`Writer`] takes events in order: they go into a log, into a
//! memtable, and at a seal into an immutable, memory-mapped segment. Its [`Snapshot`]s are immutable views
//! that never wait for the writer.
#![deny(unsafe_code)]

mod actors;
mod buckets;
mod cache;
mod compaction;
mod concurrent;
mod damage;
mod disk;
#[cfg(test)]
mod disk_full_tests;
#[cfg(test)]
mod durability_tests;
mod effort;
mod error;
mod events;
mod exclusions;
#[cfg(test)]
mod fault_sweep_tests;
pub mod io;
mod journal;
pub mod lock;
pub mod log;
pub mod manifest;
mod mask;
mod memtable;
pub mod offline;
mod options;
mod part;
#[cfg(test)]
mod power_cut_tests;
pub mod probe;
mod quarantine;
mod recovery;
mod samples;
mod seal;
mod sealed_count;
mod snapshot;
mod store;
mod window;
mod writer;

pub use actors::ActorId;
pub use buckets::{BucketSum, CollectionStats, Collections, DidsBounds, EventCounts, HOUR_MAX};
pub use cache::{CacheOptions, CacheSpace, CacheStatus, CachedValue, ValueCache};
pub use compaction::{CompactReport, CompactionStatus};
pub use disk::{DiskLimit, DiskRoom, WaitsFor};
pub use effort::{EffortStatus, LastEffort};
pub use error::{Error, Result};
pub use events::{Accepted, EventReader, Progress, TimePlace};
pub use exclusions::{ExcludeReport, Excluded, Exclusions};
pub use options::Options;
pub use orrery_formats::effect;
pub use orrery_formats::event;
pub use orrery_formats::exclusions::ExclusionKind;
pub use orrery_formats::frame::SourceCursor;
pub use orrery_formats::manifest::{GapEntry, SelectionEntry};
pub use part::{EachName, LIST_BLOCK, List, Part, TargetBlocks, TargetId};
pub use quarantine::Degraded;
pub use samples::{Choice, SampleRecord};
pub use sealed_count::SealedCount;
pub use snapshot::{OwnedTargetKey, Snapshot, SnapshotId, Totals};
pub use store::{Status, Store};
pub use window::{AccountState, AccountView, RecordHash, Recorded};
pub use writer::{Applied, Writer};
