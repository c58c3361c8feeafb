//! A data directory looked at from outside, for the tools: it is read and never written, takes no lock,
//! and may belong to a running store. What a running store replaces meanwhile is read anew; what is
//! damaged is told, and the rest is read all the same.
//!
//! `directory` opens it · `names` accounts and targets as text · `deaths` which rows are dead or hidden ·
//! `links` and `log` give contents in order · `summary` and `top` add them up · `verify` checks every byte.
//! Copies, which write elsewhere, are in [`backup`]; `rebuild` makes a directory anew.

mod deaths;
mod directory;
mod links;
mod log;
mod names;
mod summary;
mod top;
pub mod verify;

pub use directory::{Directory, FoundFile, SegmentFile};
pub use links::{ActorInfo, ActorRow, Link, Span};
pub use log::{FrameInfo, LogDamage};
pub use summary::{Sizes, TargetList, is_actor_section};
pub use top::TopTarget;
