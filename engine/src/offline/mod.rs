//! A data directory looked at from outside, for the tools: it is read and never written, takes no lock,
//! and may belong to a running store. What a running store replaces meanwhile is read anew; what is
//! damaged is told, and the rest is read all the same.
//!
//! `directory` opens it · `names` accounts and targets as text · `deaths` which rows are dead or hidden ·
//! `links` and `log` give contents in order · `summary` and `top` add them up · `verify` checks every byte.
//!
//! Some make another directory out of it, which they lock: `backup` and `restore` copy (`copy`, `catalog`),
//! `rebuild` writes it anew.

mod backup;
mod catalog;
mod copy;
mod deaths;
mod directory;
#[cfg(test)]
mod durability_tests;
mod exclusions;
#[cfg(test)]
mod fault_tests;
mod links;
mod log;
mod names;
mod rebuild;
mod repair;
mod restore;
#[cfg(test)]
mod set_aside_tests;
mod succession;
mod summary;
mod top;
pub mod verify;

pub use self::exclusions::exclusions;
pub(crate) use catalog::is_catalog;

pub use backup::{BackupReport, backup, backup_with_fs};
pub use directory::{Directory, FoundFile, SegmentFile};
pub use links::{ActorInfo, ActorRow, Link, Span};
pub use log::{FrameInfo, LogDamage};
pub use orrery_formats::segment::is_sample_section;
pub use rebuild::{
    RebuildReport, replay_log, replay_log_with_fs, replay_segments, replay_segments_with_fs,
};
pub use repair::{
    DamagedLog, Outcome, RepairOptions, RepairReport, RepairedSegment, repair, repair_with_fs,
};
pub use restore::{RestoreReport, restore, restore_with_fs};
pub use summary::{Sizes, TargetList, is_actor_section};
pub use top::TopTarget;
