//! What the writer does between events, as its turn comes.

use std::time::Duration;

use super::Writer;
use crate::{Error, Result};

/// A merged segment waits for a seal no longer than this; then one is made for it.
const INSTALL_WITHIN: Duration = Duration::from_secs(600);

impl Writer {
    /// Commits if enough bytes or time have gathered, and there is room. To be called after each batch of
    /// events, and at least every second while there are none.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn tick(&mut self) -> Result<()> {
        self.check()?;
        self.adopt_damage()?;
        let mut result = self.mend_keys();
        if result.is_ok() {
            result = match self.apply_exclusions() {
                // They stay to be applied; everything else goes on.
                Err(error) if error.is_pause() => Ok(()),
                done => done,
            };
        }
        if result.is_ok() && self.journal.should_commit() {
            result = self.commit();
        }
        if result.is_ok() && self.is_paused() {
            // What was merged takes less room than what it was made of: a seal installs it, and asks for less
            // room than events do.
            if self.shared.compaction.waiting().is_some() && self.events > 0 {
                result = self.seal();
            }
            if result.as_ref().err().is_none_or(Error::is_pause) {
                result = self.prepare(0);
            }
        }
        match result.and_then(|()| self.install_when_idle()) {
            // It is tried again at the next tick, and the store's status tells.
            Err(error) if error.is_pause() => Ok(()),
            done => self.poison_on_error(done),
        }
    }

    /// Installs a merged segment that waits, where no seal is about to do it.
    fn install_when_idle(&mut self) -> Result<()> {
        match self.shared.compaction.waiting() {
            Some(_) if self.events == 0 => self.install_between_seals(),
            Some(waiting) if waiting >= INSTALL_WITHIN => self.seal(),
            _ => Ok(()),
        }
    }
}
