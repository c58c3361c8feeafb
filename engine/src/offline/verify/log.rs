//! The log: every frame, and that no seq is missing which the manifest does not know to be lost.

use std::time::Duration;

use orrery_formats::frame::FileHeader;
use orrery_formats::manifest::{GapEntry, State};
use orrery_formats::{Error as FormatError, effect};

use super::Check;
use crate::io::fs::read_exact_at;
use crate::log::{FrameBuffer, LogReader, is_known_loss, parse_name};
use crate::offline::FoundFile;
use crate::offline::directory::{found, is_not_found};
use crate::store::LOG;
use crate::{Error, Result};

/// A store that runs may be writing the last frame: it is looked at so many times before it counts as torn.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// A log file that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadLog {
    pub(super) file: FoundFile,
    pub(super) directory_id: [u8; 16],
    /// The last seq in it; below the first where no frame is sound.
    pub(super) last_seq: u64,
    pub(super) is_sound: bool,
}

/// How one file was read.
struct Walk {
    /// The seq that comes next if none is missing.
    next_seq: u64,
    /// Where reading ended before the end, of the file with this length.
    torn: Option<(u64, u64, orrery_formats::Error)>,
}

impl Check<'_> {
    pub(super) fn log(&mut self, state: Option<&State>) -> Result<Vec<ReadLog>> {
        let files = found(&*self.fs, &self.path.join(LOG), |name| {
            parse_name(name, "log")
        })?;
        // The floor rises before files are removed: this one is not below that of any file listed.
        let now = self.state_now();
        let state = now.as_ref().or(state);
        let gaps = state.map_or(&[][..], |state| &state.gaps);
        let Some(id) = state
            .map(|state| state.directory.id)
            .or_else(|| self.id_in_a_log(&files))
        else {
            if !files.is_empty() {
                self.note("the log cannot be checked: no file tells the directory's id".to_owned());
            }
            return Ok(Vec::new());
        };
        if let Some(state) = state {
            self.begin(state, files.first());
        }
        let mut read = Vec::new();
        let mut expected = files.first().map_or(1, |file| file.first_seq);
        for (at, file) in files.iter().enumerate() {
            let name = format!("{LOG}/{}", file.name);
            let before = self.report.damages;
            if file.first_seq != expected
                && !is_known_loss(gaps, expected, file.first_seq)
                && read.last().is_none_or(|last: &ReadLog| last.is_sound)
            {
                let wanted = format!("seq {expected} behind the file before");
                self.damage(&name, "file", 0, wanted, file.first_seq);
            }
            let is_last = at + 1 == files.len();
            match self.log_file(file, id, is_last, gaps) {
                Ok(next_seq) => {
                    expected = next_seq;
                    read.push(ReadLog {
                        file: file.clone(),
                        directory_id: id,
                        last_seq: next_seq.saturating_sub(1),
                        is_sound: self.report.damages == before,
                    });
                }
                Err(error) if is_not_found(&error) => {
                    let floor = self.state_now().map_or(0, |state| state.log_floor);
                    let next = files.get(at + 1).map_or(u64::MAX, |next| next.first_seq);
                    if next > floor {
                        self.error(&name, error);
                    }
                    expected = next;
                }
                Err(error) => {
                    self.error(&name, error);
                    expected = files.get(at + 1).map_or(0, |next| next.first_seq);
                }
            }
        }
        Ok(read)
    }

    /// Checks that the log reaches back as far as the manifest says.
    fn begin(&mut self, state: &State, first: Option<&FoundFile>) {
        let wanted = if state.window_complete {
            1
        } else {
            state.log_floor.max(1)
        };
        match first {
            Some(file) if file.first_seq > wanted => {
                let expected = format!("events from seq {wanted} on");
                let found = format!("the first file, {}", file.name);
                self.damage(LOG, "files", 0, expected, found);
            }
            None if wanted <= state.sealed_through => {
                let expected = format!("events from seq {wanted} on");
                self.damage(LOG, "files", 0, expected, "no file");
            }
            _ => {}
        }
    }

    /// Checks one file and gives the seq behind its last.
    fn log_file(
        &mut self,
        file: &FoundFile,
        id: [u8; 16],
        is_last: bool,
        gaps: &[GapEntry],
    ) -> Result<u64> {
        let path = self.path.join(LOG).join(&file.name);
        let name = format!("{LOG}/{}", file.name);
        let (mut reader, mut header) = LogReader::open_damaged(&*self.fs, &path, id)?;
        // A running store may have just made the last file.
        for _ in 1..LOOKS {
            if header.is_none() || !is_last {
                break;
            }
            std::thread::sleep(PAUSE);
            (reader, header) = LogReader::open_damaged(&*self.fs, &path, id)?;
        }
        self.read(reader.file_bytes());
        if let Some(error) = header {
            self.format_error(&name, 0, error);
        }
        let walk = self.walk(&name, reader, file.first_seq, gaps, !is_last)?;
        let Some((offset, mut bytes, mut error)) = walk.torn else {
            return Ok(walk.next_seq);
        };
        // Only the last file has a tail that may be torn, or be growing.
        let mut torn_at = offset;
        let mut next_seq = walk.next_seq;
        for _ in 1..LOOKS {
            std::thread::sleep(PAUSE);
            let (mut reader, _) = LogReader::open_damaged(&*self.fs, &path, id)?;
            if reader.file_bytes() == bytes {
                continue;
            }
            reader.seek(torn_at);
            let again = self.walk(&name, reader, next_seq, gaps, false)?;
            next_seq = again.next_seq;
            match again.torn {
                None => return Ok(next_seq),
                Some(torn) => (torn_at, bytes, error) = torn,
            }
        }
        let expected = match &error {
            orrery_formats::Error::Corrupt(corruption) => corruption.expected.clone(),
            other => other.to_string(),
        };
        if let orrery_formats::Error::Corrupt(corruption) = error {
            self.damage(
                &name,
                corruption.section,
                corruption.offset,
                expected,
                format!(
                    "{} (the end of the log; what a crash leaves there is cut off by the next start)",
                    corruption.found
                ),
            );
        }
        Ok(next_seq)
    }

    /// Reads frames from where `reader` stands. With `is_closed` the end of the file must be the end of a
    /// frame; otherwise it is told where it is not.
    fn walk(
        &mut self,
        name: &str,
        mut reader: LogReader,
        first_seq: u64,
        gaps: &[GapEntry],
        is_closed: bool,
    ) -> Result<Walk> {
        let mut buffer = FrameBuffer::new();
        let mut expected = first_seq;
        let mut is_behind_damage = false;
        while reader.offset() < reader.file_bytes() {
            let offset = reader.offset();
            match reader.read_frame(offset, &mut buffer, !self.quick) {
                Ok(()) => {}
                Err(Error::Format(error)) => match reader.next_sound(offset, &mut buffer)? {
                    Some(next) => {
                        self.format_error(name, 0, error);
                        is_behind_damage = true;
                        reader.seek(next);
                        continue;
                    }
                    None if is_closed => {
                        self.format_error(name, 0, error);
                        break;
                    }
                    None => {
                        return Ok(Walk {
                            next_seq: expected,
                            torn: Some((offset, reader.file_bytes(), error)),
                        });
                    }
                },
                Err(error) => return Err(error),
            }
            let Some(header) = buffer.header().cloned() else {
                break;
            };
            let first = header.first_seq;
            if first != expected && !is_behind_damage && !is_known_loss(gaps, expected, first) {
                let wanted = format!("seq {expected}");
                self.damage(name, "frame header", offset + 16, wanted, first);
            }
            is_behind_damage = false;
            expected = header.last_seq().saturating_add(1);
            if let Some(at) = buffer.padding_damage() {
                self.damage(
                    name,
                    "padding",
                    offset + at,
                    "zeros behind a frame",
                    "others",
                );
            }
            if !self.quick
                && let Err(error) = check_events(&buffer)
            {
                self.format_error(name, offset, error);
            }
            reader.seek(offset + header.frame_bytes());
        }
        Ok(Walk {
            next_seq: expected,
            torn: None,
        })
    }

    /// The directory's id, out of the first log file with a sound header.
    fn id_in_a_log(&self, files: &[FoundFile]) -> Option<[u8; 16]> {
        files.iter().find_map(|file| {
            let path = self.path.join(LOG).join(&file.name);
            let opened = self.fs.open(&path).ok()?;
            let mut head = [0; orrery_formats::frame::FILE_HEADER_BYTES];
            let whole = read_exact_at(opened.as_ref(), 0, &mut head).ok()?;
            let header = FileHeader::decode(&head).ok()?;
            whole.then_some(header.directory_id)
        })
    }
}

/// Reads every event of a frame, and its effect.
fn check_events(buffer: &FrameBuffer) -> Result<(), FormatError> {
    let Some(mut events) = buffer.events() else {
        return Ok(());
    };
    while let Some(event) = events.next_with_effect() {
        if let (_, event, Some(bytes)) = event? {
            effect::decode(bytes, &event.body)?;
        }
    }
    Ok(())
}
