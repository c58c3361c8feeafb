//! The log in a backup: files that are new are copied, and what one has grown by is appended.

use std::path::Path;

use orrery_formats::backup::CatalogFile;
use orrery_formats::frame::FILE_HEADER_BYTES;
use orrery_formats::manifest::State;
use xxhash_rust::xxh3::Xxh3;

use super::{FoundFile, Run, copy};
use crate::log::{FrameBuffer, LogReader};
use crate::store::LOG;
use crate::{Error, Result};

impl Run {
    /// Copies what is new of a log file. The copy of the last one ends with the last whole frame.
    pub(super) fn copy_log(
        &mut self,
        file: &FoundFile,
        is_last: bool,
        state: &State,
    ) -> Result<()> {
        let path = format!("{LOG}/{}", file.name);
        let source = self.from.join(&path);
        let (reader, header) = LogReader::open_damaged(&*self.fs, &source, state.directory.id)?;
        // A running store may have just made the last file.
        let is_new = is_last && reader.file_bytes() < FILE_HEADER_BYTES as u64;
        if let Some(error) = header.filter(|_| !is_new) {
            self.report.notes.push(format!("damaged: {error}"));
        }
        let known = self.known.get(&path).cloned();
        let bytes = if is_last {
            match self.last_frame(reader, state)? {
                Some(end) => end,
                None => return Ok(()),
            }
        } else {
            self.whole_file(reader, known.as_ref())?
        };
        if bytes == 0 {
            return Ok(());
        }
        if let Some(known) = &known
            && known.bytes == bytes
            && self.is_there(known)?
        {
            self.skip(known.clone());
            return Ok(());
        }
        if known.is_none() && self.was_left(&path, &source, bytes)? {
            return Ok(());
        }
        let opened = self.fs.open(&source).map_err(Error::io("open", &source))?;
        if let Some(known) = known.filter(|known| known.bytes < bytes)
            && self.append(&path, &source, opened.as_ref(), &known, bytes)?
        {
            return Ok(());
        }
        let dir = self.to.join(LOG);
        let opened = (opened.as_ref(), source.as_path());
        let checksum = copy::copy_sealed(&*self.fs, opened, bytes, None, (&dir, &file.name))?;
        self.copied(CatalogFile {
            name: path,
            bytes,
            checksum,
        });
        Ok(())
    }

    /// Whether an interrupted backup has left a whole copy of the first `bytes` bytes of a log file.
    fn was_left(&mut self, path: &str, source: &Path, bytes: u64) -> Result<bool> {
        let target = self.to.join(path);
        let length = self.fs.open(&target).and_then(|file| file.len());
        if length.unwrap_or(0) < bytes {
            return Ok(false);
        }
        let checksum = copy::checksum_of(&*self.fs, source, bytes)?;
        let is_same = copy::checksum_of(&*self.fs, &target, bytes)? == checksum;
        if is_same {
            self.skip(CatalogFile {
                name: path.to_owned(),
                bytes,
                checksum,
            });
        }
        Ok(is_same)
    }

    /// Checks a closed file and gives its length. What the backup before has of it is not checked again.
    fn whole_file(&mut self, mut reader: LogReader, known: Option<&CatalogFile>) -> Result<u64> {
        let bytes = reader.file_bytes();
        if let Some(known) = known.filter(|known| known.bytes <= bytes) {
            reader.seek(known.bytes);
        }
        let mut buffer = FrameBuffer::new();
        while reader.offset() < bytes {
            let offset = reader.offset();
            match reader.read_frame(offset, &mut buffer, false) {
                Ok(()) => {
                    let next = buffer
                        .header()
                        .map_or(bytes, |header| offset + header.frame_bytes());
                    reader.seek(next);
                }
                Err(Error::Format(error)) => {
                    // The copy is as damaged as the file, and reads alike.
                    self.report.notes.push(format!("damaged: {error}"));
                    match reader.next_sound(offset, &mut buffer)? {
                        Some(next) => reader.seek(next),
                        None => break,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Checks the last file, and gives where its last whole frame ends; `None` where it has none.
    fn last_frame(&mut self, mut reader: LogReader, state: &State) -> Result<Option<u64>> {
        let mut buffer = FrameBuffer::new();
        let mut end = None;
        while reader.offset() < reader.file_bytes() {
            let offset = reader.offset();
            match reader.read_frame(offset, &mut buffer, false) {
                Ok(()) => {
                    let Some(header) = buffer.header() else { break };
                    let next = offset + header.frame_bytes();
                    end = Some(next);
                    if header.last_seq() > state.sealed_through {
                        self.report.last_seq = header.last_seq();
                        if header.cursor.is_some() {
                            self.report.cursor.clone_from(&header.cursor);
                        }
                    }
                    reader.seek(next);
                }
                Err(Error::Format(error)) => match reader.next_sound(offset, &mut buffer)? {
                    Some(next) => {
                        self.report.notes.push(format!("damaged: {error}"));
                        reader.seek(next);
                    }
                    None => break,
                },
                Err(error) => return Err(error),
            }
        }
        Ok(end)
    }

    /// Appends to the copy what the file has grown by. False where the copy is not a beginning of the file: a
    /// crash of the source may have lost its last frame, and other events have come since.
    fn append(
        &mut self,
        path: &str,
        source: &Path,
        file: &dyn crate::io::File,
        known: &CatalogFile,
        bytes: u64,
    ) -> Result<bool> {
        let target = self.to.join(path);
        let mut hasher = Xxh3::new();
        copy::read_range(file, source, (0, known.bytes), &mut hasher, &mut |_, _| {
            Ok(())
        })?;
        if hasher.digest() != known.checksum {
            return Ok(false);
        }
        let copy = match self.fs.open_rw(&target) {
            Ok(copy) => copy,
            Err(_) => return Ok(false),
        };
        if copy
            .len()
            .map_err(Error::io("read the length of", &target))?
            < known.bytes
            || (self.recheck
                && copy::checksum_of(&*self.fs, &target, known.bytes)? != known.checksum)
        {
            return Ok(false);
        }
        copy::read_range(
            file,
            source,
            (known.bytes, bytes),
            &mut hasher,
            &mut |at, block| {
                copy.write_at(at, block)
                    .map_err(Error::io("write", &target))
            },
        )?;
        copy.sync_all().map_err(Error::io("sync", &target))?;
        self.report.bytes_skipped += known.bytes;
        self.report.files_copied += 1;
        self.report.bytes_copied += bytes - known.bytes;
        self.note_done(CatalogFile {
            name: path.to_owned(),
            bytes,
            checksum: hasher.digest(),
        });
        Ok(true)
    }
}
