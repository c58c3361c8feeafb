//! Taking events over from another directory's log: each keeps the seq that it has there, and is logged here
//! under it.

use orrery_formats::event::Event;
use orrery_formats::manifest::GapEntry;

use super::Writer;
use crate::Result;
use crate::manifest::SegmentEntry;

impl Writer {
    /// Applies an event that has its seq already, and logs it. It was accepted once, so it is not asked whether
    /// it is new. Seqs between the last event and this one become a known loss, accepted where `losses`, those of the
    /// other directory, say so. Seals when it is time to.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub(crate) fn rebuild(
        &mut self,
        event: &Event<'_>,
        seq: u64,
        losses: &[GapEntry],
    ) -> Result<()> {
        self.check()?;
        if self.journal.next_seq()? < seq {
            // What a skip leaves out must not look like a loss of the unsealed log at the next start.
            self.seal()?;
            let skipped = self.journal.skip_to(seq, losses);
            self.poison_on_error(skipped)?;
        }
        if self.journal.batch_is_full() {
            self.commit()?;
        }
        self.relogs = true;
        let applied = self.apply_as(event, Some(seq));
        self.relogs = false;
        self.poison_on_error(applied)?;
        if self.is_full() {
            self.seal()?;
        }
        Ok(())
    }

    /// Applies an event of this directory's log again, under its seq, and gives the segment that the memtable
    /// became where it was time for one: durable, and named by nothing. One that `may_be_again` and was applied before
    /// has no effect beside its seq.
    pub(crate) fn redo(
        &mut self,
        event: &Event<'_>,
        seq: u64,
        may_be_again: bool,
    ) -> Result<Option<SegmentEntry>> {
        if may_be_again && self.is_again(event)? {
            let seq = self.accept(event, Some(seq))?;
            self.publish(seq, event.time_us);
        } else {
            self.replay(event, seq)?;
        }
        if self.is_full() {
            return self.seal_unnamed().map(Some);
        }
        Ok(None)
    }
}
