//! What the log's window tells of a key. A key index of it that is damaged is made anew from its log file.

use std::sync::Arc;

use super::Writer;
use crate::actors::ActorId;
use crate::journal::Journal;
use crate::{Error, Result};

impl Writer {
    /// Whether that revision of a key, or a higher one, was applied within the log's window.
    pub(super) fn has_reached(&mut self, actor: ActorId, key_hash: u64, rev: u64) -> Result<bool> {
        self.ask_window(|journal| journal.has_reached(actor, key_hash, rev))
    }

    /// Whether the log's window tells of a key all that was applied to it.
    pub(super) fn is_known(&mut self, actor: ActorId, key_hash: u64) -> Result<bool> {
        let last = self.ask_window(|journal| journal.last_rev(actor, key_hash))?;
        Ok(last.is_some() && !self.journal.window_is_broken())
    }

    /// Asks for a key. A damaged key index is made anew from its log file.
    fn ask_window<T>(&mut self, ask: impl Fn(&Journal) -> Result<T>) -> Result<T> {
        match ask(&self.journal) {
            Err(Error::Format(error)) => {
                tracing::warn!(%error, "a key index of the log is damaged");
                self.rebuild_keys()?;
                ask(&self.journal)
            }
            found => found,
        }
    }

    fn rebuild_keys(&mut self) -> Result<()> {
        let generation = Arc::clone(&self.generation);
        self.journal.rebuild_keys(&|did| generation.find_actor(did))
    }

    /// Makes key indexes anew that a reader found damaged. Where that fails for what is read, nothing has changed for the
    /// writer, which may never need them; if it does, it fails then.
    pub(super) fn mend_keys(&mut self) -> Result<()> {
        if !self.shared.window.take_damage() {
            return Ok(());
        }
        match self.rebuild_keys() {
            Err(error) if error.is_of_reading() => {
                tracing::error!(%error, "a damaged key index of the log cannot be made anew; what it had is not told");
                self.shared.window.give_up();
                Ok(())
            }
            done => done,
        }
    }
}
