//! What a record looks like, out of the log's window: for any number of readers while the writer goes on. The key indexes
//! of the log (`log/keys`) tell where the newest event of a key stands; its bytes are in the tail in memory, or in a frame
//! of a log file (`read.rs`), of which the last ones stay decompressed (`frames.rs`). `record.rs` answers of a record,
//! `account.rs` of its account, and `changed.rs` tells without a look at either that nothing has changed.
//!
//! What must hold: whatever a snapshot sees is found by every later look-up. The writer puts an event's bytes into the tail,
//! then its seq into the table of changes, then its key into the index, and publishes its seq last. The keys of a closed
//! file take the place of those of the file being written by one pointer. Bytes leave the tail once the file has them.
//!
//! A key is known by a fingerprint, which proves nothing: each event found is compared with what was asked for. Where it is
//! another's, or cannot be read, the answer is that nothing is known up to its seq.

mod account;
mod changed;
mod frames;
mod read;
mod record;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

pub use account::{AccountState, AccountView};
pub use changed::RecordHash;
pub use record::Recorded;

use crate::log::keys::{KeyView, SharedKeys};
use crate::snapshot::Generation;
use crate::{Error, Result};
use changed::Changed;
use frames::FrameCache;

/// See the module's description.
pub(crate) struct Window {
    pub(crate) changed: Changed,
    frames: FrameCache,
    /// Here once the log is open.
    keys: OnceLock<Arc<SharedKeys>>,
}

impl Window {
    /// A window that keeps about so many bytes of frames. It answers after [`begin`](Self::begin).
    pub(crate) fn new(frame_bytes: usize) -> Self {
        Self {
            changed: Changed::default(),
            frames: FrameCache::new(frame_bytes),
            keys: OnceLock::new(),
        }
    }

    /// Takes over the indexes of the open log, whose last event has the seq `last_seq`.
    pub(crate) fn begin(&self, keys: Arc<SharedKeys>, last_seq: u64) {
        self.changed.begin(last_seq);
        // A store opens its log once.
        drop(self.keys.set(keys));
    }

    /// Whether a reader has found a key index damaged since the last call.
    pub(crate) fn take_damage(&self) -> bool {
        self.keys.get().is_some_and(|keys| keys.take_damage())
    }

    fn keys(&self) -> Result<&SharedKeys> {
        let not_open = || Error::Internal("the log is looked at before it is open".to_owned());
        self.keys.get().map(|keys| &**keys).ok_or_else(not_open)
    }

    /// Looks at the window as it is, and once more where a file was trimmed meanwhile.
    fn look<T>(&self, mut look: impl FnMut(&KeyView) -> Result<T>) -> Result<T> {
        let keys = self.keys()?;
        let mut view = keys.view();
        loop {
            match look(&view) {
                Err(Error::Io { source, path, op }) if source.kind() == ErrorKind::NotFound => {
                    let now = keys.view();
                    if Arc::ptr_eq(&now, &view) {
                        return Err(Error::Io { path, op, source });
                    }
                    view = now;
                }
                done => return done,
            }
        }
    }

    /// Takes note of a key index that cannot be read. The writer makes it anew.
    fn report_damage(&self, error: &Error) {
        // Once it is known to stay so, one line for each who asks would tell nothing new.
        if self.keys.get().is_some_and(|keys| keys.report_damage()) {
            tracing::warn!(%error, "a key index of the log is damaged");
        }
    }

    /// A key index that a reader found damaged cannot be made anew before the next start.
    pub(crate) fn give_up(&self) {
        if let Some(keys) = self.keys.get() {
            keys.give_up();
        }
    }
}

/// Whether an account that is not found was never seen.
fn knows_all_accounts(generation: &Generation) -> bool {
    let mut segments = generation.segments.iter();
    segments.all(|sealed| sealed.without_accounts().is_none())
}
