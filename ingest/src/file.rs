//! Saved events: one JSON object a line, plain, gzip or zstd, from a file or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orrery_jetstream::Event as WireEvent;

use crate::decode::decode;
use crate::error::{Error, Result};
use crate::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::reason::Reason;
use crate::source::{Item, Next, Place, Source};

/// Lines given in one batch.
const BATCH_LINES: usize = 1024;

/// Events saved in a file. It has no position to store: a file is read from its start, and what is known
/// already is recognised.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    lines: Lines,
    line: Vec<u8>,
    line_number: u64,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

/// Counts the bytes that pass, before they are unpacked.
struct Counted<R> {
    inner: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl FileSource {
    /// Opens a file, or standard input where `path` is `-`.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], also for a directory.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", io::stdin(), None);
        }
        let name = path.display().to_string();
        let error = |source| Error::Open {
            file: name.clone(),
            source,
        };
        let file = File::open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        if metadata.is_dir() {
            return Err(error(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_total = metadata.is_file().then_some(metadata.len());
        Self::from_reader(&name, file, bytes_total)
    }

    /// Reads events out of `reader`, to be called `name` in messages.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] when the first bytes cannot be read.
    pub fn from_reader(
        name: &str,
        reader: impl Read + Send + 'static,
        bytes_total: Option<u64>,
    ) -> Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner: reader,
            bytes_read: Arc::clone(&bytes_read),
        };
        let lines = Lines::new(counted, LINE_BYTES_MAX).map_err(|source| Error::Open {
            file: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            lines,
            line: Vec::new(),
            line_number: 0,
            bytes_read,
            bytes_total,
        })
    }

    /// Bytes of the file that were read so far, as they are stored.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The counter behind [`bytes_read`](Self::bytes_read), for showing progress while the source is in use.
    pub fn bytes_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// Bytes of the file; `None` for what is no regular file.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }
}

impl Source for FileSource {
    fn next(
        &mut self,
        _wait: Duration,
        take: &mut dyn FnMut(Place, Item<'_>) -> Result<()>,
    ) -> Result<Next> {
        for given in 0..BATCH_LINES {
            let line = self
                .lines
                .next_into(&mut self.line)
                .map_err(|source| Error::Read {
                    file: self.name.clone(),
                    line: self.line_number,
                    source,
                })?;
            match line {
                Line::End if given == 0 => return Ok(Next::End),
                Line::End => return Ok(Next::Batch(None)),
                Line::TooLong => {
                    self.line_number += 1;
                    take(self.line_number, Item::Dropped(Reason::LineTooLong))?;
                }
                Line::Whole => {
                    self.line_number += 1;
                    if self.line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    give(self.line_number, &self.line, take)?;
                }
            }
        }
        Ok(Next::Batch(None))
    }

    fn name(&self) -> &str {
        &self.name
    }
}

fn give(
    place: Place,
    line: &[u8],
    take: &mut dyn FnMut(Place, Item<'_>) -> Result<()>,
) -> Result<()> {
    let wire = match WireEvent::parse_bytes(line) {
        Ok(wire) => wire,
        Err(malformed) => return take(place, Item::Dropped(Reason::Malformed(malformed))),
    };
    match decode(&wire) {
        Ok(event) => take(place, Item::Event(&event)),
        Err(reason) => take(place, Item::Dropped(reason)),
    }
}
