//! Compaction: neighbouring segments become one, without their dead rows. Rows keep their seqs, and with them
//! every client's cursor.
//!
//! A merge reads the segments of one generation with their masks, in the background, and writes the file of the
//! new segment, durable but named by nothing. The writer installs it between two memtables, when rows of
//! older segments are known by no part number:
//!
//! 1. Rows that died, hid or came back since the merge began are found by comparing masks, and are marked in
//!    the new segment's mask by their new numbers ([`renumbering`]).
//! 2. One manifest edit takes the old segments out and the new one in, and is synced. A crash before it leaves a file
//!    that nothing names, one behind it leaves the old files; the next start removes either.
//! 3. The new generation is published, and the old files are unlinked. Snapshots that stand on them keep them mapped.
//!
//! A kill whose row is gone is dropped with it. A row is dropped only for kills that are sealed, so a replay of the log never
//! finds less than it did before.

#[cfg(test)]
mod damage_tests;
mod holds;
#[cfg(test)]
mod hooked_fs;
mod install;
mod merge;
pub(crate) mod policy;
pub(crate) mod renumbering;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;
pub(crate) mod want;
#[cfg(test)]
mod want_tests;
mod worker;
pub(crate) mod workspace;

pub use install::CompactReport;
pub use worker::CompactionStatus;
pub(crate) use worker::{Compaction, Worker};
