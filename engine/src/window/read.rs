//! The event that a key index leads to, out of the tail or a log file.

use std::sync::Arc;

use orrery_formats::Error as FormatError;
use orrery_formats::event::Event;

use super::frames::{Frame, nth_event};
use crate::log::keys::{Place, Within};
use crate::log::{FrameBuffer, LogReader, log_name};
use crate::store::{LOG, Shared};
use crate::{Error, Result};

impl Shared {
    /// Calls `with` with the event at `place` and its seq; `None` where it cannot be read for damage. Reads at most
    /// one frame.
    ///
    /// # Errors
    /// [`Error::Io`]; of kind `NotFound` where the file was trimmed.
    pub(super) fn window_event<T>(
        &self,
        place: &Place,
        with: impl FnOnce(u64, &Event<'_>) -> T,
    ) -> Result<Option<T>> {
        if let Within::Seq(seq) = place.within
            && let Some(piece) = self.tail.piece(seq)
        {
            let place = seq.saturating_sub(piece.first_seq);
            let event = nth_event(piece.bytes(), piece.previous_us, place)?;
            return Ok(Some(with(seq, &event)));
        }
        // What has left the tail is durable.
        let Some(frame) = self.window_frame(place)? else {
            return Ok(None);
        };
        let seq = match place.within {
            Within::Seq(seq) => seq,
            Within::Ordinal(ordinal) => frame.first_seq().saturating_add(u64::from(ordinal)),
        };
        match frame.event(seq) {
            Ok(Some(event)) => Ok(Some(with(seq, &event))),
            Ok(None) => {
                let file = log_name(place.file);
                let expected = format!("seq {seq} in it");
                let error = FormatError::corrupt("frame", place.frame, expected, "other events");
                tracing::warn!(error = %error.in_file(&file), "an event is not where its key index has it");
                Ok(None)
            }
            Err(error) => Err(error.in_file(&log_name(place.file)).into()),
        }
    }

    fn window_frame(&self, place: &Place) -> Result<Option<Arc<Frame>>> {
        let at = (place.file, place.frame);
        if let Some(known) = self.window.frames.get(at) {
            return Ok(known);
        }
        let frame = match self.read_window_frame(place) {
            Ok(frame) => Some(Arc::new(frame)),
            Err(Error::Format(error)) => {
                tracing::warn!(%error, "a damaged log frame is left out of what records look like");
                None
            }
            Err(error) => return Err(error),
        };
        self.window.frames.put(at, frame.clone());
        Ok(frame)
    }

    fn read_window_frame(&self, place: &Place) -> Result<Frame> {
        let path = self.dir.join(LOG).join(log_name(place.file));
        let id = self.tail.directory_id();
        let (reader, _) = LogReader::open_damaged(&*self.fs, &path, id)?;
        let mut buffer = FrameBuffer::new();
        reader.read_frame(place.frame, &mut buffer, true)?;
        let (header, raw) = buffer
            .into_parts()
            .ok_or_else(|| Error::Internal("a frame without a header".to_owned()))?;
        Ok(Frame::new(&header, raw).map_err(|error| error.in_file(reader.name()))?)
    }
}
