//! A file of values read through from its beginning, up to its first bad entry.

use orrery_formats::cache::{
    ENTRY_HEAD_BYTES, FILE_HEADER_BYTES, Place, Read, decode, entry_bytes,
};

use crate::io::File;

/// Bytes of one read.
const BLOCK_BYTES: usize = 1 << 20;

/// A part of a file, which moves on.
struct Window<'a> {
    file: &'a dyn File,
    /// Where the bytes begin in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The `len` bytes at `offset`; fewer at the end of the file. Offsets do not fall.
    fn get(&mut self, offset: u64, len: usize) -> std::io::Result<&[u8]> {
        let has =
            |start: u64, held: usize| offset >= start && offset + len as u64 <= start + held as u64;
        if !has(self.start, self.bytes.len()) {
            self.bytes.resize(len.max(BLOCK_BYTES), 0);
            let read = self.file.read_at(offset, &mut self.bytes)?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        let at = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.get(at..).unwrap_or_default();
        Ok(rest.get(..len.min(rest.len())).unwrap_or_default())
    }
}

/// Where a file's sound entries end, and why.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) offset: u64,
    /// What is wrong there; none at the end of the file.
    pub(crate) why: Option<orrery_formats::Error>,
}

/// Reads the entries of a file whose header has that seed, and calls `each` with them until it gives `false`. The entry
/// for which it does is not one of them.
///
/// # Errors
/// What the system says against a read.
pub(crate) fn scan(
    file: &dyn File,
    seed: u64,
    each: &mut dyn FnMut(Place, &Read<'_>) -> bool,
) -> std::io::Result<End> {
    let mut window = Window {
        file,
        start: 0,
        bytes: Vec::new(),
    };
    let (mut offset, mut previous) = (FILE_HEADER_BYTES as u64, seed as u32);
    loop {
        let end = |why| Ok(End { offset, why });
        let head = window.get(offset, ENTRY_HEAD_BYTES)?;
        if head.is_empty() {
            return end(None);
        }
        let Some(head) = head.first_chunk() else {
            return end(Some(cut(offset, head.len())));
        };
        let bytes = match entry_bytes(head, offset) {
            Ok(bytes) => bytes,
            Err(error) => return end(Some(error)),
        };
        let found = window.get(offset, bytes)?;
        if found.len() < bytes {
            return end(Some(cut(offset, found.len())));
        }
        let read = match decode(found, seed, offset) {
            Ok(read) => read,
            Err(error) => return end(Some(error)),
        };
        if read.previous != previous {
            let expected = format!("an entry behind one of checksum {previous:#x}");
            let found = format!("{:#x}", read.previous);
            return end(Some(corrupt(offset, expected, found)));
        }
        let Some(place) = Place::new(offset, bytes) else {
            return end(Some(cut(offset, bytes)));
        };
        let checksum = read.checksum;
        if !each(place, &read) {
            return end(None);
        }
        previous = checksum as u32;
        offset += bytes as u64;
    }
}

fn cut(offset: u64, bytes: usize) -> orrery_formats::Error {
    corrupt(offset, "a whole entry".to_owned(), format!("{bytes} bytes"))
}

fn corrupt(offset: u64, expected: String, found: String) -> orrery_formats::Error {
    orrery_formats::Error::corrupt("cache entry", offset, expected, found)
}
