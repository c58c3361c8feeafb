//! The envelope of every sealed file (SPEC.md, section 1): a header, sections at multiples of eight
//! bytes, and last a footer with the table of sections and a checksum for each 64 KiB. This module owns
//! the layout, the writer and the check at opening; [`crate::chunks`] reads what lies inside.

use std::fmt;
use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::bytes::{Reader, pad_to_8, put_u16, put_u32, put_u64};
use crate::sink::Sink;
use crate::{Error, Result};

/// The first bytes of a sealed file. As in PNG, a byte beyond ASCII and both kinds of line end show
/// damage by a transfer that takes the file for text.
pub const MAGIC: [u8; 8] = *b"\x89ORR\r\n\x1a\n";
/// The last bytes of a sealed file.
pub const END_MAGIC: [u8; 8] = *b"\x89END\r\n\x1a\n";
/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;
/// Bytes of one entry of the section table.
pub const SECTION_ENTRY_BYTES: usize = 24;
/// Bytes of the trailer, the fixed end of the footer.
pub const TRAILER_BYTES: usize = 32;
/// Bytes that one checksum covers.
pub const CHUNK_BYTES: usize = 1 << CHUNK_SHIFT;
/// Section ids are below this, which keeps the table in memory small.
pub const SECTION_IDS: u16 = 256;

pub(crate) const CHUNK_SHIFT: u32 = 16;

/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 8;
/// Where the footer's own checksum stands, from the end of the file: before it and the end magic.
const FOOTER_CHECKSUM_FROM_END: usize = 16;

const _: () = assert!(MAGIC.len() + 2 + 2 + 4 + 16 == HEADER_BYTES);
const _: () = assert!(2 + 2 + 4 + 8 + 8 == SECTION_ENTRY_BYTES);
const _: () = assert!(4 + 4 + 8 + FOOTER_CHECKSUM_FROM_END == TRAILER_BYTES);
const _: () = assert!(CHUNK_BYTES == 65_536);

/// What a sealed file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum FileKind {
    /// A segment of the index.
    Segment = 1,
    /// The key index of one log file.
    KeyIndex = 2,
    /// Dead and hidden rows of a segment.
    Mask = 3,
    /// The table of actors.
    ActorTable = 4,
    /// The catalog of a backup.
    Backup = 5,
    /// The index of a file of cached values.
    CacheIndex = 6,
    /// What the operator has excluded from all answers.
    Exclusions = 7,
}

impl FileKind {
    /// The number in the header.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::KeyIndex => "key index",
            Self::Mask => "mask",
            Self::ActorTable => "actor table",
            Self::Backup => "backup catalog",
            Self::CacheIndex => "cache index",
            Self::Exclusions => "exclude list",
        }
    }
}

/// Puts a sealed file together in memory.
///
/// ```
/// use orrery_formats::chunks::SealedFile;
/// use orrery_formats::envelope::{FileBuilder, FileKind};
///
/// let mut builder = FileBuilder::new(FileKind::Mask, 1);
/// builder.section(7, b"rows");
/// let bytes = builder.finish();
///
/// let file = SealedFile::open("a.mask".to_owned(), bytes, FileKind::Mask, 1..=1)?;
/// assert_eq!(file.section(7)?.get(0, 4)?, b"rows");
/// # Ok::<(), orrery_formats::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileBuilder {
    bytes: Vec<u8>,
    sections: Vec<(u16, Range<usize>)>,
}

impl FileBuilder {
    /// A file of `kind` whose sections have the layout of `version` of that kind.
    pub fn new(kind: FileKind, version: u16) -> Self {
        Self {
            bytes: header(kind, version),
            sections: Vec::new(),
        }
    }

    /// The same with room for so many bytes before its buffer grows.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.bytes.reserve_exact(bytes);
        self
    }

    /// Appends a section. Each `id` may be used once and is below [`SECTION_IDS`]; a file that breaks
    /// this does not open.
    pub fn section(&mut self, id: u16, contents: &[u8]) -> &mut Self {
        debug_assert!(id < SECTION_IDS, "section id {id}");
        debug_assert!(
            self.sections.iter().all(|(other, _)| *other != id),
            "section {id} twice"
        );
        let start = self.bytes.len();
        self.bytes.extend_from_slice(contents);
        self.sections.push((id, start..self.bytes.len()));
        pad_to_8(&mut self.bytes);
        self
    }

    /// The whole file: what came so far and its footer.
    pub fn finish(self) -> Vec<u8> {
        let Self {
            mut bytes,
            sections,
        } = self;
        let checksums: Vec<u64> = bytes.chunks(CHUNK_BYTES).map(xxh3_64).collect();
        let places = sections.iter().map(|(id, range)| SectionEntry {
            id: *id,
            checksum: section_checksum(bytes.get(range.clone()).unwrap_or_default()),
            start: range.start as u64,
            len: range.len() as u64,
        });
        let places: Vec<SectionEntry> = places.collect();
        let (header, _) = bytes.split_at(HEADER_BYTES);
        let footer = footer(header, &places, &checksums);
        bytes.extend_from_slice(&footer);
        bytes
    }
}

/// The header of a sound file of `kind` in that version.
#[must_use]
pub fn header(kind: FileKind, version: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    put_u16(&mut bytes, kind.id());
    put_u16(&mut bytes, version);
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// The checksum of a section in the table: the low half of the XXH3-64 of its bytes. It says in which of
/// the sections that share a damaged chunk the damage is. A writer that has none puts zero.
#[must_use]
pub fn section_checksum(section: &[u8]) -> u32 {
    xxh3_64(section) as u32
}

/// One entry of the section table.
#[derive(Debug, Clone, Copy)]
struct SectionEntry {
    id: u16,
    checksum: u32,
    start: u64,
    len: u64,
}

/// The footer of a file with that header, sections and chunks.
fn footer(header: &[u8], sections: &[SectionEntry], checksums: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for section in sections {
        put_u16(&mut bytes, section.id);
        put_u16(&mut bytes, 0);
        put_u32(&mut bytes, section.checksum);
        put_u64(&mut bytes, section.start);
        put_u64(&mut bytes, section.len);
    }
    for checksum in checksums {
        put_u64(&mut bytes, *checksum);
    }
    put_u32(&mut bytes, sections.len() as u32);
    put_u32(&mut bytes, checksums.len() as u32);
    let footer_len = bytes.len() + 8 + FOOTER_CHECKSUM_FROM_END;
    put_u64(&mut bytes, footer_len as u64);
    let checksum = footer_checksum(header, &bytes);
    put_u64(&mut bytes, checksum);
    bytes.extend_from_slice(&END_MAGIC);
    bytes
}

/// Writes a sealed file into a sink as its bytes come, chunk by chunk. The bytes are those that
/// [`FileBuilder`] makes of the same sections. Memory: a chunk, and 8 bytes for each 64 KiB of the file.
pub struct FileWriter<S> {
    sink: S,
    header: Vec<u8>,
    sections: Vec<SectionEntry>,
    /// The bytes of the section begun last, hashed.
    section: Xxh3,
    /// Bytes of the chunk being filled.
    chunk: Vec<u8>,
    /// Bytes of the chunks before it.
    written: u64,
    checksums: Vec<u64>,
    whole: Xxh3,
}

impl<S> fmt::Debug for FileWriter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("sections", &self.sections)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-64 (seed 0) of all its bytes.
    pub checksum: u64,
}

impl<S: Sink> FileWriter<S> {
    /// A file of `kind` whose sections have the layout of `version` of that kind.
    pub fn new(sink: S, kind: FileKind, version: u16) -> Self {
        let header = header(kind, version);
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        chunk.extend_from_slice(&header);
        Self {
            sink,
            header,
            sections: Vec::new(),
            section: Xxh3::new(),
            chunk,
            written: 0,
            checksums: Vec::new(),
            whole: Xxh3::new(),
        }
    }

    fn position(&self) -> u64 {
        self.written + self.chunk.len() as u64
    }

    /// Begins a section; [`write`](Self::write) appends to it. Ids are as for [`FileBuilder::section`].
    ///
    /// # Errors
    /// The sink fails.
    pub fn begin(&mut self, id: u16) -> Result<(), S::Error> {
        debug_assert!(id < SECTION_IDS, "section id {id}");
        debug_assert!(
            self.sections.iter().all(|section| section.id != id),
            "section {id} twice"
        );
        self.end_section()?;
        self.sections.push(SectionEntry {
            id,
            checksum: 0,
            start: self.position(),
            len: 0,
        });
        Ok(())
    }

    /// Appends to the section begun last.
    ///
    /// # Errors
    /// The sink fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        if let Some(section) = self.sections.last_mut() {
            section.len += bytes.len() as u64;
            self.section.update(bytes);
        }
        self.append(bytes)
    }

    /// Bytes of the section begun last.
    pub fn section_len(&self) -> u64 {
        self.sections.last().map_or(0, |section| section.len)
    }

    fn end_section(&mut self) -> Result<(), S::Error> {
        if let Some(section) = self.sections.last_mut() {
            section.checksum = self.section.digest() as u32;
            self.section.reset();
        }
        let padding = self.position().next_multiple_of(8) - self.position();
        self.append([0; 8].get(..padding as usize).unwrap_or_default())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), S::Error> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (head, tail) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(head);
            bytes = tail;
            if self.chunk.len() == CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Hands the chunk on.
    fn flush(&mut self) -> Result<(), S::Error> {
        if !self.chunk.is_empty() {
            self.checksums.push(xxh3_64(&self.chunk));
            self.whole.update(&self.chunk);
            self.sink.write(&self.chunk)?;
            self.written += self.chunk.len() as u64;
            self.chunk.clear();
        }
        Ok(())
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// The sink fails.
    pub fn finish(mut self) -> Result<Written, S::Error> {
        self.end_section()?;
        self.flush()?;
        let footer = footer(&self.header, &self.sections, &self.checksums);
        self.whole.update(&footer);
        self.sink.write(&footer)?;
        Ok(Written {
            bytes: self.written + footer.len() as u64,
            checksum: self.whole.digest(),
        })
    }
}

/// XXH3-64 over the header and then the footer up to its checksum: opening a file believes the header,
/// so it must not have to read the first chunk to do so.
fn footer_checksum(header: &[u8], footer: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(footer);
    hasher.digest()
}

/// Where in a file of `len` bytes that ends with `trailer` the footer lies, as far as the trailer can be believed: for whoever
/// reads it before the whole file is trusted to be readable.
#[must_use]
pub fn footer_range(len: u64, trailer: &[u8; TRAILER_BYTES]) -> Range<u64> {
    let mut fields = Reader::new("trailer", trailer);
    let counts = fields.u64();
    let footer_len = counts.and_then(|_| fields.u64()).unwrap_or(0);
    len.saturating_sub(footer_len.max(TRAILER_BYTES as u64))..len
}

/// What a file's header and footer say, checked against each other and the file's length.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) kind: u16,
    pub(crate) version: u16,
    /// Bytes before the footer, all of which lie in a chunk with a checksum.
    pub(crate) body_len: usize,
    /// Ids, places and checksums of the sections, in file order.
    pub(crate) sections: Vec<(u16, Range<usize>, u32)>,
    /// The XXH3-64 of each chunk of the body.
    pub(crate) checksums: Vec<u64>,
}

impl Layout {
    /// Reads header and footer. Costs one pass over the footer; the body is not touched, except that
    /// the header is.
    pub(crate) fn read(file: &[u8]) -> Result<Self> {
        if file.len() < HEADER_BYTES + TRAILER_BYTES {
            return Err(Error::corrupt(
                "file",
                0,
                format!("at least {} bytes", HEADER_BYTES + TRAILER_BYTES),
                format!("{} bytes", file.len()),
            ));
        }
        let (header, _) = file.split_at(HEADER_BYTES);
        let mut fields = Reader::new("header", header);
        let magic = fields.array::<8>()?;
        if magic != MAGIC {
            return Err(Error::corrupt(
                "header",
                0,
                format!("the magic {}", MAGIC.escape_ascii()),
                magic.escape_ascii(),
            ));
        }
        let (kind, version) = (fields.u16()?, fields.u16()?);

        let trailer_start = file.len() - TRAILER_BYTES;
        let (before_trailer, trailer) = file.split_at(trailer_start);
        let mut fields = Reader::at("trailer", trailer, trailer_start as u64);
        let (section_count, chunk_count) = (fields.u32()? as usize, fields.u32()? as usize);
        let footer_len_position = fields.position();
        let footer_len = fields.u64()?;
        let footer_checksum_position = fields.position();
        let found_checksum = fields.u64()?;
        let end_magic = fields.array::<8>()?;
        if end_magic != END_MAGIC {
            return Err(Error::corrupt(
                "trailer",
                (file.len() - END_MAGIC.len()) as u64,
                format!("the end magic {}", END_MAGIC.escape_ascii()),
                end_magic.escape_ascii(),
            ));
        }
        let expected_footer_len = (section_count as u64)
            .saturating_mul(SECTION_ENTRY_BYTES as u64)
            .saturating_add((chunk_count as u64).saturating_mul(CHECKSUM_BYTES as u64))
            .saturating_add(TRAILER_BYTES as u64);
        let body_len = usize::try_from(footer_len)
            .ok()
            .filter(|_| footer_len == expected_footer_len)
            .and_then(|len| file.len().checked_sub(len))
            .filter(|len| *len >= HEADER_BYTES);
        let Some(body_len) = body_len else {
            return Err(Error::corrupt(
                "trailer",
                footer_len_position,
                format!(
                    "a footer of {expected_footer_len} bytes in a file of {}",
                    file.len()
                ),
                format!("a length of {footer_len} bytes"),
            ));
        };
        let (body, _) = file.split_at(body_len);
        let (_, footer_tables) = before_trailer.split_at(body_len);
        let hashed = file
            .get(body_len..file.len() - FOOTER_CHECKSUM_FROM_END)
            .unwrap_or_default();
        let checksum = footer_checksum(header, hashed);
        if checksum != found_checksum {
            return Err(Error::corrupt(
                "trailer",
                footer_checksum_position,
                format!("the footer checksum {found_checksum:#018x}"),
                format!("{checksum:#018x}"),
            ));
        }
        Reader::at("header", header.get(12..).unwrap_or_default(), 12).zeros(20)?;

        let mut fields = Reader::at("footer", footer_tables, body_len as u64);
        let sections = read_sections(&mut fields, section_count, body.len())?;
        if chunk_count != body.len().div_ceil(CHUNK_BYTES) {
            return Err(fields.corrupt(
                format!("{} checksums", body.len().div_ceil(CHUNK_BYTES)),
                format!("{chunk_count} checksums"),
            ));
        }
        // No more than the footer holds: its length is the sum of its tables' lengths, checked above.
        let mut checksums = Vec::with_capacity(chunk_count);
        for _ in 0..chunk_count {
            checksums.push(fields.u64()?);
        }
        fields.finish()?;
        Ok(Self {
            kind,
            version,
            body_len,
            sections,
            checksums,
        })
    }
}

/// The section table: each section begins where the one before it ends, at the next multiple of eight,
/// and the footer after the last.
fn read_sections(
    fields: &mut Reader<'_>,
    count: usize,
    body_len: usize,
) -> Result<Vec<(u16, Range<usize>, u32)>> {
    if count > usize::from(SECTION_IDS) {
        return Err(fields.corrupt(
            format!("at most {SECTION_IDS} sections"),
            format!("{count} sections"),
        ));
    }
    let mut sections: Vec<(u16, Range<usize>, u32)> = Vec::with_capacity(count);
    let mut expected_start = HEADER_BYTES;
    for _ in 0..count {
        let entry = fields.clone();
        let id = fields.u16()?;
        fields.zeros(2)?;
        let checksum = fields.u32()?;
        let (start, len) = (fields.u64()?, fields.u64()?);
        if id >= SECTION_IDS || sections.iter().any(|(other, ..)| *other == id) {
            return Err(entry.corrupt(
                format!("a section id below {SECTION_IDS} not used before"),
                id,
            ));
        }
        let end = usize::try_from(len)
            .ok()
            .filter(|_| start == expected_start as u64)
            .and_then(|len| expected_start.checked_add(len))
            .filter(|end| *end <= body_len);
        let Some(end) = end else {
            return Err(entry.corrupt(
                format!("section {id} at {expected_start} and its end by {body_len}"),
                format!("its start at {start} and a length of {len}"),
            ));
        };
        sections.push((id, expected_start..end, checksum));
        expected_start = end.next_multiple_of(8);
    }
    if expected_start != body_len {
        return Err(fields.corrupt(
            format!("the footer at {expected_start}, behind the last section"),
            body_len,
        ));
    }
    Ok(sections)
}

#[cfg(test)]
mod tests;
