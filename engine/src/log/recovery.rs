//! Replays the log after a restart, and repairs its tail.
//!
//! What a crash can leave behind is a torn last frame in the last file, or a last file without any
//! frame: those are cut off, nobody was told that they are durable. Damage anywhere else is not a
//! crash's: it is named, the events lost there become a [`Gap`], and reading goes on at the next sound
//! frame.
//!
//! One trap is left. If a sync failed and the process went on to reopen its files, the page cache may hold
//! a last frame that the disk does not, and a sync would report success without writing it. So the last
//! frame is written once more, over itself, before it is believed. The same bytes go to the same place:
//! a crash in between does no harm.

use super::reader::{FrameBuffer, LogReader, first_time_us};
use super::{LogFile, Position, log_name, parse_name};
use crate::error::{Error, Result};
use crate::io::Fs;
use orrery_formats::event::Event;
use orrery_formats::frame::{FILE_HEADER_BYTES, FileHeader, SourceCursor};
use std::path::Path;

/// An event that the log gives back.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// Its seq.
    pub seq: u64,
    /// Where it stands.
    pub position: Position,
    /// The event.
    pub event: Event<'a>,
}

/// Events that were in the log and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The name of the file with the damage.
    pub file: String,
    /// Where in it the damage begins.
    pub offset: u64,
    /// The first seq that is missing.
    pub first_seq: u64,
    /// The last seq that is missing.
    pub last_seq: u64,
    /// The place in the source before the missing events, from which they may be had again; `None` where
    /// no sound frame before has one.
    pub cursor_before: Option<SourceCursor>,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The seq for the next event.
    pub next_seq: u64,
    /// The place in the source behind the last event replayed; `None` if no frame after `from_seq` has
    /// one: the manifest's cursor holds then.
    pub cursor: Option<SourceCursor>,
    /// The place in the source behind the last frame that ends at `from_seq` or before, of the files that were read.
    pub sealed_cursor: Option<SourceCursor>,
    /// Events after `from_seq` that are lost, in order.
    pub gaps: Vec<Gap>,
    /// All log files, oldest first, every one closed.
    pub files: Vec<LogFile>,
    /// Bytes of a torn tail that were cut off.
    pub cut_bytes: u64,
}

/// Gives every event of the log with a seq above `from_seq` to `visit`, in order, and leaves the log
/// such that a new writer can go on at `next_seq`: the tail cut and durable. Holds one frame in memory.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a file of a version not read here, before anything is written, or
/// for a checksummed frame that does not decode; [`Error::Inconsistent`] where seqs fall; what `visit` fails
/// with.
pub fn recover(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    from_seq: u64,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<()>,
) -> Result<Recovery> {
    recover_telling(fs, dir, directory_id, from_seq, &mut |replayed, _| {
        visit(replayed)
    })
}

/// As [`recover`], and `visit` is told what was found before the frame of the event.
///
/// # Errors
/// As [`recover`].
pub(crate) fn recover_telling(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    from_seq: u64,
    visit: &mut dyn FnMut(Replayed<'_>, &Recovery) -> Result<()>,
) -> Result<Recovery> {
    replay(fs, dir, directory_id, from_seq, true, visit)
}

/// As [`recover`], without writing anything: a torn tail is only counted.
///
/// # Errors
/// As [`recover`].
pub fn scan(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    from_seq: u64,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<()>,
) -> Result<Recovery> {
    replay(
        fs,
        dir,
        directory_id,
        from_seq,
        false,
        &mut |replayed, _| visit(replayed),
    )
}

/// A replay under way.
struct Replay<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    directory_id: [u8; 16],
    from_seq: u64,
    repair: bool,
    /// The seq that comes next if nothing is missing.
    expected: u64,
    /// Where reading last failed, as long as it is not known what is missing there.
    damage: Option<(String, u64)>,
    found: Recovery,
}

fn replay(
    fs: &dyn Fs,
    dir: &Path,
    directory_id: [u8; 16],
    from_seq: u64,
    repair: bool,
    visit: &mut dyn FnMut(Replayed<'_>, &Recovery) -> Result<()>,
) -> Result<Recovery> {
    let mut files: Vec<(u64, u64)> = Vec::new();
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        if let Some(first_seq) = parse_name(&entry.name, "log") {
            files.push((first_seq, entry.bytes));
        }
    }
    // Refuse what a newer build wrote before a byte is changed.
    for (first_seq, _) in &files {
        LogReader::open_damaged(fs, &dir.join(log_name(*first_seq)), directory_id)?;
    }
    // Everything before the last file that begins at or before the first seq wanted is sealed. The very
    // last file is read in any case: its tail may be torn.
    let wanted = from_seq.saturating_add(1);
    let start = files
        .partition_point(|(first, _)| *first <= wanted)
        .saturating_sub(1);
    let mut replay = Replay {
        fs,
        dir,
        directory_id,
        from_seq,
        repair,
        expected: files
            .get(start)
            .map_or(wanted, |(first, _)| (*first).min(wanted)),
        damage: None,
        found: Recovery::default(),
    };
    for (index, (first_seq, bytes)) in files.iter().enumerate() {
        let next = files.get(index + 1).map(|(first, _)| *first);
        match next {
            Some(next) if index < start => replay.found.files.push(LogFile {
                first_seq: *first_seq,
                last_seq: next - 1,
                bytes: *bytes,
                first_time_us: first_time_us(fs, dir, *first_seq, directory_id)?,
            }),
            _ => replay.file(*first_seq, next.is_none(), visit)?,
        }
    }
    let mut found = replay.found;
    found.next_seq = replay.expected.max(wanted);
    Ok(found)
}

impl Replay<'_> {
    fn file(
        &mut self,
        first_seq: u64,
        is_last: bool,
        visit: &mut dyn FnMut(Replayed<'_>, &Recovery) -> Result<()>,
    ) -> Result<()> {
        let path = self.dir.join(log_name(first_seq));
        let (mut reader, header_damage) =
            LogReader::open_damaged(self.fs, &path, self.directory_id)?;
        if let Some(error) = &header_damage {
            tracing::warn!(%error, "the header of a log file is damaged; its frames are read all the same");
        }
        self.arrive(first_seq, reader.name(), 0)?;
        let mut buffer = FrameBuffer::new();
        let mut first_time_us = None;
        let mut last_frame = None;
        let mut end = FILE_HEADER_BYTES as u64;
        while reader.offset() < reader.file_bytes() {
            let offset = reader.offset();
            match reader.read_frame(offset, &mut buffer, true) {
                Ok(()) => {}
                Err(Error::Format(error)) => match reader.next_sound(offset, &mut buffer)? {
                    Some(next) => {
                        tracing::error!(%error, "a log frame is damaged; reading goes on behind it");
                        self.damage
                            .get_or_insert_with(|| (reader.name().to_owned(), offset));
                        reader.seek(next);
                        continue;
                    }
                    None if is_last => {
                        tracing::info!(%error, "the tail of the log is torn and is cut off");
                        self.found.cut_bytes = reader.file_bytes() - offset;
                        break;
                    }
                    None => {
                        tracing::error!(%error, "the end of a log file is damaged");
                        self.damage
                            .get_or_insert_with(|| (reader.name().to_owned(), offset));
                        break;
                    }
                },
                Err(error) => return Err(error),
            }
            let Some(header) = buffer.header() else { break };
            self.arrive(header.first_seq, reader.name(), offset)?;
            self.expected = header.last_seq() + 1;
            first_time_us.get_or_insert(header.first_time_us);
            last_frame = Some(offset);
            end = offset + header.frame_bytes();
            if header.last_seq() > self.from_seq {
                for (ordinal, event) in (0..).zip(buffer.events().into_iter().flatten()) {
                    let (seq, event) = event.map_err(|error| error.in_file(reader.name()))?;
                    if seq > self.from_seq {
                        let position = Position {
                            file: first_seq,
                            frame: offset,
                            ordinal,
                        };
                        let replayed = Replayed {
                            seq,
                            position,
                            event,
                        };
                        visit(replayed, &self.found)?;
                    }
                }
                if header.cursor.is_some() {
                    self.found.cursor.clone_from(&header.cursor);
                }
            } else if header.cursor.is_some() {
                self.found.sealed_cursor.clone_from(&header.cursor);
            }
            reader.seek(end);
        }
        if is_last && self.repair {
            self.repair_tail(&path, first_seq, last_frame, end)?;
        }
        if last_frame.is_some() {
            let bytes = if is_last { end } else { reader.file_bytes() };
            let last_seq = self.expected - 1;
            self.found.files.push(LogFile {
                first_seq,
                last_seq,
                bytes,
                first_time_us,
            });
        }
        Ok(())
    }

    /// Takes note that `seq` comes next, at `offset` of `file`, and of what is missing before it.
    fn arrive(&mut self, seq: u64, file: &str, offset: u64) -> Result<()> {
        if seq < self.expected {
            return Err(Error::Inconsistent {
                path: self.dir.join(file),
                what: format!(
                    "seq {seq} at offset {offset}, where {} is next",
                    self.expected
                ),
            });
        }
        let (file, offset) = self
            .damage
            .take()
            .unwrap_or_else(|| (file.to_owned(), offset));
        if seq > self.expected && seq - 1 > self.from_seq {
            let gap = Gap {
                file,
                offset,
                first_seq: self.expected.max(self.from_seq + 1),
                last_seq: seq - 1,
                cursor_before: self.found.cursor.clone(),
            };
            tracing::error!(?gap, "events of the log are lost");
            self.found.gaps.push(gap);
        }
        self.expected = seq;
        Ok(())
    }

    /// Leaves the last file with whole frames only, and those durable.
    fn repair_tail(
        &self,
        path: &Path,
        first_seq: u64,
        last_frame: Option<u64>,
        end: u64,
    ) -> Result<()> {
        let Some(last_frame) = last_frame else {
            // Nothing was ever durable in it. Its name is free again for the next writer.
            self.fs
                .unlink(path)
                .map_err(Error::io("remove the empty", path))?;
            return self
                .fs
                .sync_dir(self.dir)
                .map_err(Error::io("sync directory", self.dir));
        };
        let file = self
            .fs
            .open_rw(path)
            .map_err(Error::io("open for repair", path))?;
        let header = FileHeader {
            first_seq,
            directory_id: self.directory_id,
        };
        // At most one frame, which has just been in memory.
        let mut frame = vec![0; (end - last_frame) as usize];
        let read = file
            .read_at(last_frame, &mut frame)
            .map_err(Error::io("read", path))?;
        if read != frame.len() {
            return Err(Error::Inconsistent {
                path: path.to_owned(),
                what: "it shrank while it was read".to_owned(),
            });
        }
        file.truncate(end)
            .map_err(Error::io("cut the torn tail of", path))?;
        file.write_at(0, &header.encode())
            .map_err(Error::io("write", path))?;
        file.write_at(last_frame, &frame)
            .map_err(Error::io("write", path))?;
        file.sync_all().map_err(Error::io("sync", path))?;
        self.fs
            .sync_dir(self.dir)
            .map_err(Error::io("sync directory", self.dir))
    }
}
