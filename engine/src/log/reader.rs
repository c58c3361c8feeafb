//! Reads one log file: frame by frame, or the event at a known position. Holds one frame in memory.

use super::{log_name, parse_name};
use crate::error::{Error, Result};
use crate::io::fs::read_exact_at;
use crate::io::{File, Fs};
use orrery_formats::Error as FormatError;
use orrery_formats::event::Event;
use orrery_formats::frame::{
    ALIGNMENT, Events, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, MARKER,
};
use std::path::{Path, PathBuf};

/// One frame in memory. Its buffers are kept from frame to frame.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    head: Vec<u8>,
    payload: Vec<u8>,
    raw: Vec<u8>,
    header: Option<FrameHeader>,
    /// The bytes behind the payload, up to the next frame.
    padding: [u8; ALIGNMENT],
}

impl FrameBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The header of the frame read last.
    #[must_use]
    pub const fn header(&self) -> Option<&FrameHeader> {
        self.header.as_ref()
    }

    /// The offset in the frame read last of a byte behind its payload that is not zero, if there is one.
    /// It harms nobody, and no checksum covers it; only a full verification asks.
    #[must_use]
    pub fn padding_damage(&self) -> Option<u64> {
        let header = self.header.as_ref()?;
        let at = self.padding.iter().position(|byte| *byte != 0)?;
        Some(header.payload_start() + u64::from(header.payload_bytes) + at as u64)
    }

    /// The header and the encoded events of the frame read last.
    pub(crate) fn into_parts(self) -> Option<(FrameHeader, Vec<u8>)> {
        Some((self.header?, self.raw))
    }

    /// The encoded events of the frame read last.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The events of the frame read last, with their seqs.
    #[must_use]
    pub fn events(&self) -> Option<Events<'_>> {
        Some(self.header.as_ref()?.events(&self.raw))
    }
}

/// A log file open for reading.
#[derive(Debug)]
pub struct LogReader {
    file: Box<dyn File>,
    path: PathBuf,
    name: String,
    first_seq: u64,
    seed: u64,
    bytes: u64,
    offset: u64,
}

impl LogReader {
    /// Opens the file at `path`, whose name tells its first seq.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the header is damaged, of another file or directory, or of a
    /// version that this build does not read.
    pub fn open(fs: &dyn Fs, path: &Path, directory_id: [u8; 16]) -> Result<Self> {
        let (reader, damage) = Self::open_damaged(fs, path, directory_id)?;
        match damage {
            Some(error) => Err(error.into()),
            None => Ok(reader),
        }
    }

    /// The id of the directory that the header of the file at `path` names; `None` where the header is damaged.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a version that this build does not read.
    pub(crate) fn directory_of(fs: &dyn Fs, path: &Path) -> Result<Option<[u8; 16]>> {
        let file = fs.open(path).map_err(Error::io("open", path))?;
        let mut head = [0; FILE_HEADER_BYTES];
        if !read_exact_at(file.as_ref(), 0, &mut head).map_err(Error::io("read", path))? {
            return Ok(None);
        }
        match FileHeader::decode(&head) {
            Ok(header) => Ok(Some(header.directory_id)),
            Err(error @ FormatError::Version { .. }) => {
                Err(error.in_file(&path.display().to_string()).into())
            }
            Err(_) => Ok(None),
        }
    }

    /// As [`LogReader::open`], but a damaged header is only told: the frames can be read without it.
    pub(crate) fn open_damaged(
        fs: &dyn Fs,
        path: &Path,
        directory_id: [u8; 16],
    ) -> Result<(Self, Option<FormatError>)> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let Some(first_seq) = parse_name(&name, "log") else {
            return Err(Error::Config(format!(
                "{} is not the name of a log file",
                path.display()
            )));
        };
        let file = fs.open(path).map_err(Error::io("open", path))?;
        let bytes = file.len().map_err(Error::io("read the length of", path))?;
        let expected = FileHeader {
            first_seq,
            directory_id,
        };
        let mut head = [0; FILE_HEADER_BYTES];
        let whole = read_exact_at(file.as_ref(), 0, &mut head).map_err(Error::io("read", path))?;
        let damage = if whole {
            match FileHeader::decode(&head) {
                Ok(found) if found == expected => None,
                Ok(found) => Some(FormatError::corrupt(
                    "log file header",
                    16,
                    format!("seq {first_seq} of directory {directory_id:02x?}"),
                    format!(
                        "seq {} of directory {:02x?}",
                        found.first_seq, found.directory_id
                    ),
                )),
                Err(error @ FormatError::Version { .. }) => {
                    return Err(error.in_file(&name).into());
                }
                Err(error) => Some(error),
            }
        } else {
            let section = "log file header";
            Some(FormatError::corrupt(
                section,
                0,
                format!("{FILE_HEADER_BYTES} bytes"),
                bytes,
            ))
        };
        let reader = Self {
            file,
            path: path.to_owned(),
            name,
            first_seq,
            seed: expected.seed(),
            bytes,
            offset: FILE_HEADER_BYTES as u64,
        };
        let damage = damage.map(|error| error.in_file(&reader.name));
        Ok((reader, damage))
    }

    /// The first seq of the file.
    #[must_use]
    pub const fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seed of the file's checksums.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The length of the file when it was opened, or looked at again.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks how long the file is now, and tells whether it has grown.
    pub(crate) fn has_grown(&mut self) -> Result<bool> {
        let length = self.file.len();
        let bytes = length.map_err(Error::io("read the length of", &self.path))?;
        let has_grown = bytes > self.bytes;
        self.bytes = bytes;
        Ok(has_grown)
    }

    /// Where [`LogReader::next_frame`] reads next.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Moves to the frame at `offset`.
    pub const fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Reads the next frame into `buffer` and tells its offset; `None` at the end of the file. After an
    /// error the reader stands where it stood.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] where no sound frame stands.
    pub fn next_frame(&mut self, buffer: &mut FrameBuffer) -> Result<Option<u64>> {
        if self.offset == self.bytes {
            return Ok(None);
        }
        let offset = self.offset;
        self.read_frame(offset, buffer, true)?;
        self.offset += buffer.header.as_ref().map_or(0, FrameHeader::frame_bytes);
        Ok(Some(offset))
    }

    /// The event of that ordinal in the frame at that offset, and its seq. Reads the whole frame.
    ///
    /// # Errors
    /// As [`LogReader::next_frame`]; damage too where the frame has fewer events.
    pub fn read_event<'b>(
        &self,
        frame: u64,
        ordinal: u32,
        buffer: &'b mut FrameBuffer,
    ) -> Result<(u64, Event<'b>)> {
        self.read_frame(frame, buffer, true)?;
        let event = buffer
            .events()
            .and_then(|mut events| events.nth(ordinal as usize));
        let damage =
            || FormatError::corrupt("frame", frame, "more events", format!("no event {ordinal}"));
        Ok(event
            .unwrap_or_else(|| Err(damage()))
            .map_err(|error| error.in_file(&self.name))?)
    }

    /// Reads and checks the frame at `offset`; its events too if `decompress`.
    pub(crate) fn read_frame(
        &self,
        offset: u64,
        buffer: &mut FrameBuffer,
        decompress: bool,
    ) -> Result<()> {
        buffer.header = None;
        self.read_head(offset, buffer)?;
        let Some(header) = &buffer.header else {
            return Ok(());
        };
        let result = self
            .read_payload(header, offset, &mut buffer.payload, &mut buffer.padding)
            .and_then(|()| {
                let raw = decompress.then_some(&mut buffer.raw);
                let opened = header.open(&buffer.payload, self.seed, offset, raw);
                opened.map_err(|error| error.in_file(&self.name).into())
            });
        if result.is_err() {
            buffer.header = None;
        }
        result
    }

    /// Reads the head of the frame at `offset` only.
    pub(crate) fn read_head(&self, offset: u64, buffer: &mut FrameBuffer) -> Result<()> {
        let mut start = [0; FRAME_HEADER_BYTES];
        if !self.read(offset, &mut start)? {
            return Err(self.cut_short(offset, "the header of a frame"));
        }
        let head_bytes =
            FrameHeader::head_bytes(&start, offset).map_err(|error| error.in_file(&self.name))?;
        // At most FRAME_HEADER_BYTES + CURSOR_BYTES_MAX, checked by `head_bytes`.
        buffer.head.resize(head_bytes, 0);
        if !self.read(offset, &mut buffer.head)? {
            return Err(self.cut_short(offset, "the cursor of a frame"));
        }
        let header = FrameHeader::decode(&buffer.head, self.seed, offset);
        buffer.header = Some(header.map_err(|error| error.in_file(&self.name))?);
        Ok(())
    }

    fn read_payload(
        &self,
        header: &FrameHeader,
        offset: u64,
        payload: &mut Vec<u8>,
        padding: &mut [u8; ALIGNMENT],
    ) -> Result<()> {
        // The padding belongs to the frame: a file that ends inside it was torn.
        let whole = header.frame_bytes() - header.payload_start();
        if offset.saturating_add(header.frame_bytes()) > self.bytes {
            return Err(self.cut_short(offset, "the payload of a frame"));
        }
        // At most PAYLOAD_BYTES_MAX, checked when the header was read, and no more than the file holds.
        payload.resize(whole as usize, 0);
        if !self.read(offset + header.payload_start(), payload)? {
            return Err(self.cut_short(offset, "the payload of a frame"));
        }
        *padding = [0; ALIGNMENT];
        let behind = payload.get(header.payload_bytes as usize..);
        for (to, from) in padding.iter_mut().zip(behind.unwrap_or_default()) {
            *to = *from;
        }
        payload.truncate(header.payload_bytes as usize);
        Ok(())
    }

    /// The offset of the next sound frame behind `offset`, if there is one. Reads the rest of the file
    /// at worst.
    pub(crate) fn next_sound(&self, offset: u64, buffer: &mut FrameBuffer) -> Result<Option<u64>> {
        const BLOCK_BYTES: usize = 64 << 10;
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = (offset + 1).next_multiple_of(ALIGNMENT as u64);
        while at < self.bytes {
            let read = self
                .file
                .read_at(at, &mut block)
                .map_err(Error::io("read", &self.path))?;
            let found = block.get(..read).unwrap_or_default();
            for (place, eight) in (at..).step_by(ALIGNMENT).zip(found.chunks(ALIGNMENT)) {
                if !eight.starts_with(&MARKER) {
                    continue;
                }
                match self.read_frame(place, buffer, false) {
                    Ok(()) => return Ok(Some(place)),
                    Err(Error::Format(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if read == 0 {
                break;
            }
            at += read.next_multiple_of(ALIGNMENT) as u64;
        }
        Ok(None)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        read_exact_at(self.file.as_ref(), offset, buffer).map_err(Error::io("read", &self.path))
    }

    fn cut_short(&self, offset: u64, expected: &str) -> Error {
        let end = format!("the end of the file at {}", self.bytes);
        FormatError::corrupt("frame", offset, expected, end)
            .in_file(&self.name)
            .into()
    }
}

/// The time of the first event of a file, if its first frame is sound so far.
pub(super) fn first_time_us(
    fs: &dyn Fs,
    dir: &Path,
    first_seq: u64,
    directory_id: [u8; 16],
) -> Result<Option<u64>> {
    let path = dir.join(log_name(first_seq));
    let (reader, _) = LogReader::open_damaged(fs, &path, directory_id)?;
    let mut buffer = FrameBuffer::new();
    match reader.read_head(FILE_HEADER_BYTES as u64, &mut buffer) {
        Ok(()) => Ok(buffer.header.map(|header| header.first_time_us)),
        Err(Error::Format(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
