//! Events that are only in log files. Only durable ones are asked for, so that what cannot be read is damage and never
//! a write under way. A running writer may trim the log at any moment: a file that is not there any more is
//! looked for again, and what is open stays readable.

use std::io::ErrorKind;
use std::path::Path;

use crate::io::Fs;
use crate::log::{FrameBuffer, LogReader, log_name, parse_name};
use crate::{Error, Result};

/// How often a file that was listed and is gone when it is opened is taken for one that was just trimmed.
const LOOKS: u32 = 100;

/// What the files have of a seq.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The frame with it is in the buffer.
    Frame,
    /// The files begin there.
    Trimmed { first_kept: u64 },
    /// It is in no sound frame, nor is any up to the one told.
    Lost { last_seq: u64 },
}

/// A place in the log files.
#[derive(Debug, Default)]
pub(super) struct Files {
    reader: Option<LogReader>,
    pub(super) buffer: FrameBuffer,
}

/// What one file has of a seq, from the reader's offset on.
enum Scanned {
    Frame,
    /// Its next sound frame begins with a later seq.
    Past(u64),
    End,
}

impl Files {
    /// Gives up file and memory.
    pub(super) fn close(&mut self) {
        if self.reader.is_some() {
            *self = Self::default();
        }
    }

    /// Looks for the frame with `seq`, which is durable, as all below `end` are. Goes on where it stands, if that is at
    /// or before `seq`.
    pub(super) fn find(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        directory_id: [u8; 16],
        seq: u64,
        end: u64,
    ) -> Result<Found> {
        let mut known = None;
        if let Some(mut reader) = self.reader.take() {
            match scan(&mut reader, &mut self.buffer, seq)? {
                Scanned::Frame => {
                    self.reader = Some(reader);
                    return Ok(Found::Frame);
                }
                Scanned::Past(first) => {
                    self.reader = Some(reader);
                    return Ok(lost_before(first, end));
                }
                // It may have grown since it was opened.
                Scanned::End => known = Some((reader.first_seq(), reader.offset())),
            }
        }
        let mut looks = 0;
        loop {
            looks += 1;
            let files = first_seqs(fs, dir)?;
            let behind = files.partition_point(|first| *first <= seq);
            let next = files.get(behind).copied().unwrap_or(end);
            let Some(first) = behind.checked_sub(1).and_then(|place| files.get(place)) else {
                return Ok(Found::Trimmed {
                    first_kept: next.min(end),
                });
            };
            let path = dir.join(log_name(*first));
            let mut reader = match LogReader::open_damaged(fs, &path, directory_id) {
                Ok((reader, _)) => reader,
                Err(Error::Io { source, .. })
                    if source.kind() == ErrorKind::NotFound && looks < LOOKS =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some((_, offset)) = known.filter(|(known, _)| known == first) {
                reader.seek(offset);
            }
            return Ok(match scan(&mut reader, &mut self.buffer, seq)? {
                Scanned::Frame => {
                    self.reader = Some(reader);
                    Found::Frame
                }
                Scanned::Past(first) => {
                    self.reader = Some(reader);
                    lost_before(first, end)
                }
                Scanned::End => lost_before(next, end),
            });
        }
    }

    /// The next find looks at all files again.
    pub(super) fn rewind(&mut self) {
        self.reader = None;
    }
}

fn lost_before(first: u64, end: u64) -> Found {
    Found::Lost {
        last_seq: first.min(end).saturating_sub(1),
    }
}

/// Goes on with the file until it has the frame with `seq`. Ends behind a sound frame: its end, or what is there and
/// damaged, can be looked at again from there.
fn scan(reader: &mut LogReader, buffer: &mut FrameBuffer, seq: u64) -> Result<Scanned> {
    let mut is_fresh = false;
    while reader.offset() < reader.file_bytes() {
        let offset = reader.offset();
        match scan_frame(reader, buffer, seq) {
            Ok(Some(scanned)) => return Ok(scanned),
            Ok(None) => {}
            Err(Error::Format(error)) => {
                // The file may have been opened while this frame was written, with a length that ends within it. What
                // is asked for is durable since before the call, so that one look tells what there is of it.
                if !is_fresh && reader.has_grown()? {
                    is_fresh = true;
                    continue;
                }
                tracing::warn!(%error, "a damaged log frame is left out of what is read of the log");
                match reader.next_sound(offset, buffer)? {
                    Some(next) => reader.seek(next),
                    None => return Ok(Scanned::End),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Scanned::End)
}

/// Looks at the frame at the reader's offset, of which the head is enough where it ends before `seq`.
fn scan_frame(
    reader: &mut LogReader,
    buffer: &mut FrameBuffer,
    seq: u64,
) -> Result<Option<Scanned>> {
    let offset = reader.offset();
    reader.read_head(offset, buffer)?;
    let no_header = || Error::Internal("a frame without a header".to_owned());
    let header = buffer.header().ok_or_else(no_header)?;
    let end = offset.saturating_add(header.frame_bytes());
    if header.first_seq > seq {
        return Ok(Some(Scanned::Past(header.first_seq)));
    }
    let has_it = header.last_seq() >= seq;
    if has_it {
        reader.read_frame(offset, buffer, true)?;
    }
    reader.seek(end);
    Ok(has_it.then_some(Scanned::Frame))
}

/// The first seqs of all log files, rising.
pub(super) fn first_seqs(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>> {
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let mut seqs: Vec<u64> = entries
        .iter()
        .filter_map(|entry| parse_name(&entry.name, "log"))
        .collect();
    seqs.sort_unstable();
    Ok(seqs)
}
