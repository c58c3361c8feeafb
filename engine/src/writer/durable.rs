//! What is made durable by and by: the events applied so far with the source's position, and what is taken into the
//! directory.

use orrery_formats::frame::SourceCursor;
use orrery_formats::manifest::SelectionEntry;

use super::Writer;
use crate::Result;

impl Writer {
    /// Tells the source's position after the last applied event. It becomes durable together with that
    /// event.
    pub fn set_cursor(&mut self, cursor: SourceCursor) {
        self.journal.set_cursor(cursor);
    }

    /// The source's position that a restart goes on from.
    #[must_use]
    pub fn durable_cursor(&self) -> Option<&SourceCursor> {
        self.journal.durable_cursor()
    }

    /// Makes everything applied so far durable, with the cursor.
    ///
    /// # Errors
    /// [`DiskFull`](crate::Error::DiskFull) when there is too little room: nothing has changed. Otherwise when the log
    /// cannot be written or synced. That is not tried again: what the disk holds is unknown until the directory is
    /// opened anew.
    pub fn commit(&mut self) -> Result<()> {
        self.check()?;
        self.find_room_to_commit()?;
        self.granted_bytes = 0;
        let result = self.journal.commit();
        self.poison_on_error(result)?;
        self.note_durable();
        Ok(())
    }

    pub(crate) fn note_durable(&self) {
        let mut durable = self.shared.durable.lock();
        self.journal.tell(&mut durable);
        let durable_seq = durable.seq;
        drop(durable);
        let tail = &self.shared.tail;
        tail.note_durable(durable_seq, self.journal.first_seq());
    }

    /// What was taken into the directory, oldest first; the last holds now.
    #[must_use]
    pub fn selections(&self) -> &[SelectionEntry] {
        &self.journal.state().selections
    }

    /// Makes it durable what is taken from here on, one selection after the other: the last holds. To be called before
    /// the first event that is chosen by it; a crash in between leaves a selection under which nothing was taken.
    /// `first_seq` is set here.
    ///
    /// # Errors
    /// When the manifest cannot be written; the writer then refuses everything.
    pub fn begin_selections(&mut self, mut selections: Vec<SelectionEntry>) -> Result<()> {
        self.check()?;
        let first_seq = self.journal.next_seq()?;
        for selection in &mut selections {
            selection.first_seq = first_seq;
        }
        let result = self.journal.record_selections(selections);
        self.poison_on_error(result)?;
        self.note_durable();
        Ok(())
    }
}
