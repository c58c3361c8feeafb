//! Frames on their way to the consumer.
//!
//! A batch holds the text of many frames in one buffer, so that handing over a frame costs a copy and no allocation.

use crate::event::Event;
use crate::malformed::Malformed;

/// Whole frames in order of arrival. Each is UTF-8; nothing else is known about it until it is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    text: String,
    /// End of each frame in `text`.
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: &str) {
        self.text.push_str(frame);
        self.ends.push(self.text.len());
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no frame; a delivered batch always has one.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of text in all frames.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The frames' texts.
    pub fn frames(&self) -> impl Iterator<Item = &str> {
        self.ends.iter().scan(0, |start, &end| {
            let frame = self.text.get(*start..end);
            *start = end;
            frame
        })
    }

    /// The frames, parsed.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'_>, Malformed>> {
        self.frames().map(Event::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went_in() {
        let mut batch = Batch::default();
        for frame in ["a", "", "ünï", "{}"] {
            batch.push(frame);
        }
        assert_eq!(batch.frames().collect::<Vec<_>>(), ["a", "", "ünï", "{}"]);
        assert_eq!((batch.len(), batch.bytes()), (4, 8));
    }
}
