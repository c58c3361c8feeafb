//! The log's frames and events, in order. Damaged frames are told and passed over, as recovery does.

use orrery_formats::Error as FormatError;
use orrery_formats::event::Event;
use orrery_formats::frame::{FILE_HEADER_BYTES, SourceCursor};

use super::directory::is_not_found;
use super::links::Span;
use super::{Directory, FoundFile};
use crate::log::{FrameBuffer, LogReader};
use crate::store::LOG;
use crate::{Error, Result};

/// One frame of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// The name of its file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// Its length, padding included.
    pub bytes: u64,
    /// Bytes of its events when decompressed.
    pub raw_bytes: u32,
    /// The seq of its first event.
    pub first_seq: u64,
    /// The seq of its last event.
    pub last_seq: u64,
    /// The time of its first event, microseconds.
    pub first_time_us: u64,
    /// The place in the source behind its last event.
    pub cursor: Option<SourceCursor>,
}

/// Told of each damage in the log.
pub type LogDamage<'a> = dyn FnMut(&FormatError) + 'a;

impl Directory {
    /// Calls `each` with every frame that holds seqs of `span`, in order; its payload was checked, but not
    /// decompressed. Times are not looked at. The torn last frame of a log is left out without a word: a
    /// running store may be writing it.
    ///
    /// # Errors
    /// When a file cannot be read, or as `each` does.
    pub fn each_frame<E: From<Error>>(
        &self,
        span: &Span,
        damage: &mut LogDamage<'_>,
        each: &mut dyn FnMut(&FrameInfo) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(span, false, damage, &mut |info, _| each(info))
    }

    /// Calls `each` with every event of the log within `span` and its seq, in order. Holds one frame in memory.
    /// Torn tails are left out as in [`each_frame`](Self::each_frame).
    ///
    /// # Errors
    /// When a file cannot be read, or as `each` does.
    pub fn each_event<E: From<Error>>(
        &self,
        span: &Span,
        damage: &mut LogDamage<'_>,
        each: &mut dyn FnMut(u64, &Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(span, true, damage, &mut |info, buffer| {
            for event in buffer.events().into_iter().flatten() {
                let (seq, event) = event.map_err(|error| Error::from(error.in_file(&info.file)))?;
                if span.holds(seq, event.time_us) {
                    each(seq, &event)?;
                }
            }
            Ok(())
        })
    }

    fn walk<E: From<Error>>(
        &self,
        span: &Span,
        decompress: bool,
        damage: &mut LogDamage<'_>,
        each: &mut dyn FnMut(&FrameInfo, &FrameBuffer) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = FrameBuffer::new();
        for (at, file) in self.logs.iter().enumerate() {
            let next = self.logs.get(at + 1);
            if next.is_some_and(|next| next.first_seq <= span.from_seq) {
                continue;
            }
            if file.first_seq > span.to_seq {
                break;
            }
            let path = self.path.join(LOG).join(&file.name);
            let id = self.manifest.state.directory.id;
            let mut reader = match LogReader::open_damaged(&*self.fs, &path, id) {
                Ok((reader, header)) => {
                    // A running store may have just made the last file.
                    let is_new = next.is_none() && reader.file_bytes() < FILE_HEADER_BYTES as u64;
                    if let Some(error) = header.filter(|_| !is_new) {
                        damage(&error);
                    }
                    reader
                }
                // A running store has trimmed its log meanwhile.
                Err(error) if is_not_found(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            while reader.offset() < reader.file_bytes() {
                let offset = reader.offset();
                let found = read(&reader, file, offset, span, decompress, &mut buffer);
                match found {
                    Ok((next_offset, info)) => {
                        if let Some(info) = info {
                            each(&info, &buffer)?;
                        }
                        reader.seek(next_offset);
                    }
                    Err(Error::Format(error)) => match reader.next_sound(offset, &mut buffer)? {
                        Some(sound) => {
                            damage(&error);
                            reader.seek(sound);
                        }
                        None if next.is_none() => break,
                        None => {
                            damage(&error);
                            break;
                        }
                    },
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// Reads the frame at `offset`, of which only the head is read when it is outside `span`, and tells where
/// the next one begins.
fn read(
    reader: &LogReader,
    file: &FoundFile,
    offset: u64,
    span: &Span,
    decompress: bool,
    buffer: &mut FrameBuffer,
) -> Result<(u64, Option<FrameInfo>)> {
    reader.read_head(offset, buffer)?;
    let is_meant = buffer.header().is_some_and(|header| {
        header.last_seq() >= span.from_seq && header.first_seq <= span.to_seq
    });
    if is_meant {
        reader.read_frame(offset, buffer, decompress)?;
    }
    let Some(header) = buffer.header() else {
        return Err(Error::Internal("a frame without a header".to_owned()));
    };
    let end = offset.saturating_add(header.frame_bytes());
    let info = is_meant.then(|| FrameInfo {
        file: file.name.clone(),
        offset,
        bytes: header.frame_bytes(),
        raw_bytes: header.raw_bytes,
        first_seq: header.first_seq,
        last_seq: header.last_seq(),
        first_time_us: header.first_time_us,
        cursor: header.cursor.clone(),
    });
    Ok((end, info))
}
