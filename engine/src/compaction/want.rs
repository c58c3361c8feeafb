//! Room that a merge wants under the limit of the directory, and did not get.
//!
//! The log's window may grow until it fills the directory up to its limit. The writer takes what it needs from the
//! window's old end, file by file, so that a merge, which needs many times as much at once, would find room never
//! again, and dead rows would stay for ever. So a merge that was refused, or that had to give way to the writer, is
//! noted here until it is installed:
//!
//! - After each seal the writer gives up as much of the window as the merge still needs beside what the writer
//!   keeps for itself: all of it or, where the window would fall below its least size, nothing.
//! - While there is such a merge, the window gives way to the writer before the merge does, down to the same size;
//!   so such a merge leaves the writer what its next step takes, not what it takes until the next seal.
//!
//! The least size is a share of the limit ([`window_min`]). Below it the old order holds, in which a merge gives way
//! before the window does: so merges never empty the window, however often they fail, and what little they may take
//! they take for a merge that then has the room to end.

use std::sync::atomic::{AtomicU64, Ordering};

/// What merges leave of the log's window in a directory that may take `limit` bytes.
pub(crate) const fn window_min(limit: u64) -> u64 {
    limit / 8
}

/// See the module's description. One merge at a time is made, and wants something.
#[derive(Debug, Default)]
pub(crate) struct Want {
    /// Bytes, plus one; 0 where no merge was refused.
    bytes: AtomicU64,
}

impl Want {
    /// A merge was refused that takes up to `bytes`.
    pub(super) fn refused(&self, bytes: u64) {
        self.bytes.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    /// The merge under way takes up to `bytes` more. That is of interest only where it was refused before.
    pub(super) fn takes(&self, bytes: u64) {
        if self.bytes().is_some() {
            self.refused(bytes);
        }
    }

    /// The merge that was refused is done, or nobody will make it.
    pub(super) fn forget(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// What the merge that was refused still takes; 0 for one that waits to be installed.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.bytes.load(Ordering::Relaxed).checked_sub(1)
    }
}
