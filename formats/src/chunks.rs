//! Reading inside a sealed file. [`SealedFile`] is an opened envelope over any owner of bytes (a memory
//! map, a vector), [`Region`] a part of one of its sections. A region hands out bytes only from 64 KiB
//! chunks whose checksum held: each chunk is hashed at its first touch and remembered, so opening a
//! large file is cheap and damage is confined to the chunk where it is.

mod region;

use std::fmt;
use std::ops::{Deref, Range, RangeInclusive};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use crate::envelope::{CHUNK_BYTES, CHUNK_SHIFT, FileKind, Layout, section_checksum};
use crate::{Error, Result};
pub use region::Region;

/// Fills a buffer with the bytes of a file from an offset on.
pub type ReadAt<'a, E> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<(), E>;

/// A sealed file whose header and footer are sound. The bytes' owner promises that they never change.
pub struct SealedFile {
    name: String,
    version: u16,
    data: Box<dyn Deref<Target = [u8]> + Send + Sync>,
    body_len: usize,
    /// Places of the sections by id.
    sections: Vec<Option<Range<usize>>>,
    /// Checksums of the sections by id; zero where there is none.
    section_checksums: Vec<u32>,
    checksums: Vec<u64>,
    /// One bit for each chunk whose checksum held.
    verified: Box<[AtomicU64]>,
}

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedFile")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("body_len", &self.body_len)
            .finish_non_exhaustive()
    }
}

impl SealedFile {
    /// Opens `data` as a sealed file of `kind`, written by one of `versions`. Errors call it `name`.
    /// Costs one pass over the footer (8 bytes for each 64 KiB of the file).
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the envelope is damaged, cut short or of another kind,
    /// [`Error::Version`] where the envelope is sound and its version is not in `versions`.
    pub fn open(
        name: String,
        data: impl Deref<Target = [u8]> + Send + Sync + 'static,
        kind: FileKind,
        versions: RangeInclusive<u16>,
    ) -> Result<Self> {
        let layout = Layout::read(&data).map_err(|error| error.in_file(&name))?;
        if layout.kind != kind.id() {
            return Err(Error::corrupt(
                "header",
                8,
                format!("kind {} ({})", kind.id(), kind.name()),
                format!("kind {}", layout.kind),
            )
            .in_file(&name));
        }
        if !versions.contains(&layout.version) {
            return Err(Error::Version {
                file: name,
                kind: kind.name(),
                found: layout.version,
                oldest: *versions.start(),
                newest: *versions.end(),
            });
        }
        let mut sections = Vec::new();
        let mut section_checksums = Vec::new();
        for (id, range, checksum) in layout.sections {
            let index = usize::from(id);
            if sections.len() <= index {
                sections.resize(index + 1, None);
                section_checksums.resize(index + 1, 0);
            }
            if let Some(slot) = sections.get_mut(index) {
                *slot = Some(range);
            }
            if let Some(slot) = section_checksums.get_mut(index) {
                *slot = checksum;
            }
        }
        let words = layout.checksums.len().div_ceil(64);
        Ok(Self {
            name,
            version: layout.version,
            data: Box::new(data),
            body_len: layout.body_len,
            sections,
            section_checksums,
            verified: (0..words).map(|_| AtomicU64::new(0)).collect(),
            checksums: layout.checksums,
        })
    }

    /// The name given at opening.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the kind's layout that the file was written by.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// The file's length in bytes.
    pub fn file_len(&self) -> u64 {
        self.data.len() as u64
    }

    /// The section with that id. O(1); touches no chunk. Errors call it "section"; see
    /// [`Region::named`].
    ///
    /// # Errors
    /// The file has no such section.
    #[inline]
    pub fn section(&self, id: u16) -> Result<Region<'_>> {
        let range = match self.sections.get(usize::from(id)) {
            Some(Some(range)) => range.clone(),
            _ => return Err(self.no_section(id)),
        };
        let base = range.start as u64;
        let Some(bytes) = self.data.get(range) else {
            return Err(self.no_section(id));
        };
        Ok(Region {
            bytes,
            base,
            file: Some(self),
            section: "section",
        })
    }

    /// Whether the file has a section with that id.
    pub fn has_section(&self, id: u16) -> bool {
        matches!(self.sections.get(usize::from(id)), Some(Some(_)))
    }

    /// Ids and lengths in bytes of the sections, by id.
    pub fn sections(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (0_u16..)
            .zip(&self.sections)
            .filter_map(|(id, range)| Some((id, range.as_ref()?.len() as u64)))
    }

    /// Hashes every chunk anew, whether or not it was touched before, and checks that the bytes between
    /// the sections are zero.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify_all(&self) -> Result<()> {
        for chunk in 0..self.checksums.len() {
            self.hash_chunk(chunk)?;
        }
        for range in self.sections.iter().flatten() {
            let padding = range.end..range.end.next_multiple_of(8).min(self.body_len);
            let bytes = self.data.get(padding).unwrap_or_default();
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(Error::corrupt(
                    "padding",
                    range.end as u64,
                    "zeros behind a section",
                    format!("{bytes:?}"),
                )
                .in_file(&self.name));
            }
        }
        Ok(())
    }

    /// Checks every chunk that has a byte of the sections `ids`, and no other. `read` fills its buffer with the bytes of
    /// the file from an offset on: whoever cannot trust that the bytes this was opened over can be touched reads them in
    /// another way, and touches none of them here. That a chunk was sound is not remembered: it is checked again at its first touch.
    ///
    /// # Errors
    /// The first damage found, or that the file has no such section; what `read` says.
    pub fn check_sections<E: From<Error>>(
        &self,
        ids: &[u16],
        read: ReadAt<'_, E>,
    ) -> Result<(), E> {
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            match self.sections.get(usize::from(*id)) {
                Some(Some(range)) => places.push(range.clone()),
                _ => return Err(self.no_section(*id).into()),
            }
        }
        places.sort_unstable_by_key(|range| range.start);
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut next = 0;
        for range in places.iter().filter(|range| !range.is_empty()) {
            let (first, end) = (range.start >> CHUNK_SHIFT, range.end.div_ceil(CHUNK_BYTES));
            for chunk in first.max(next)..end {
                let place = self.chunk_range(chunk);
                let Some(bytes) = buffer.get_mut(..place.len()) else {
                    return Err(self.no_chunk(place.start).into());
                };
                read(place.start as u64, bytes)?;
                self.check_chunk(chunk, bytes)?;
            }
            next = next.max(end);
        }
        Ok(())
    }

    /// Where the section with that id lies in the file.
    pub fn section_range(&self, id: u16) -> Option<Range<u64>> {
        let range = self.sections.get(usize::from(id))?.as_ref()?;
        Some(range.start as u64..range.end as u64)
    }

    /// As [`SealedFile::verify_all`], but tells of every damage, and of each in which section it is, by the
    /// name that `name_of` gives its id. Offsets are those in the file. Reads everything once, and the
    /// sections around a damaged chunk twice.
    pub fn each_damage(&self, name_of: &dyn Fn(u16) -> &'static str, each: &mut dyn FnMut(Error)) {
        let mut told = vec![false; self.sections.len()];
        for (chunk, expected) in self.checksums.iter().enumerate() {
            let start = chunk.saturating_mul(CHUNK_BYTES);
            let end = start.saturating_add(CHUNK_BYTES).min(self.body_len);
            let Err(error) = self.hash_chunk(chunk) else {
                self.padding_damage(start..end, each);
                continue;
            };
            let mut is_placed = false;
            for (index, range) in self.sections.iter().enumerate() {
                let Some(range) = range.as_ref() else {
                    continue;
                };
                if range.start >= end || range.end <= start {
                    continue;
                }
                let bytes = self.data.get(range.clone()).unwrap_or_default();
                let wanted = self.section_checksums.get(index).copied().unwrap_or(0);
                if wanted == 0 || section_checksum(bytes) == wanted {
                    continue;
                }
                is_placed = true;
                if let Some(told) = told.get_mut(index) {
                    *told = true;
                }
                each(self.damage(
                    name_of(u16::try_from(index).unwrap_or(u16::MAX)),
                    range.start.max(start),
                    &format!("a chunk with the checksum {expected:#018x}"),
                    "another".to_owned(),
                ));
            }
            is_placed |= self.padding_damage(start..end, each);
            if !is_placed {
                each(error);
            }
        }
        // Beyond the chunks: a table that contradicts sound chunks was written wrong.
        for (index, range) in self.sections.iter().enumerate() {
            let (Some(range), Some(false)) = (range, told.get(index)) else {
                continue;
            };
            let wanted = self.section_checksums.get(index).copied().unwrap_or(0);
            let found = section_checksum(self.data.get(range.clone()).unwrap_or_default());
            if wanted != 0 && found != wanted {
                let name = name_of(u16::try_from(index).unwrap_or(u16::MAX));
                let expected = format!("a section with the checksum {wanted:#010x}");
                each(self.damage(name, range.start, &expected, format!("{found:#010x}")));
            }
        }
    }

    /// Tells of bytes between sections, inside `within`, that are not zero; whether there are any.
    fn padding_damage(&self, within: Range<usize>, each: &mut dyn FnMut(Error)) -> bool {
        let mut any = false;
        for range in self.sections.iter().flatten() {
            let padding = range.end..range.end.next_multiple_of(8).min(self.body_len);
            let bytes = self.data.get(padding.clone()).unwrap_or_default();
            let bad = padding.zip(bytes).find(|(_, byte)| **byte != 0);
            if let Some((at, byte)) = bad.filter(|(at, _)| within.contains(at)) {
                any = true;
                each(self.damage(
                    "padding",
                    at,
                    "zeros behind a section",
                    format!("{byte:#04x}"),
                ));
            }
        }
        any
    }

    /// Whether the chunk is known to be sound.
    ///
    /// Relaxed suffices: a set bit says only that these bytes once hashed to their checksum, and they
    /// never change. Nothing that another thread wrote is read on the strength of the bit, so there is
    /// nothing to order it with; the checksums and the bytes were published together with the file.
    /// Two threads that miss the bit both hash the chunk and set the same bit.
    #[inline]
    fn is_verified(&self, chunk: u64) -> bool {
        // On a 32-bit machine no chunk lies beyond usize: the bytes are in memory.
        self.verified
            .get((chunk >> 6) as usize)
            .is_some_and(|word| word.load(Ordering::Relaxed) >> (chunk & 63) & 1 == 1)
    }

    /// Checks those chunks of the bytes `start .. start + len` of the file that were not checked yet.
    #[inline(never)]
    fn verify_range(&self, start: u64, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let (first, last) = (
            start >> CHUNK_SHIFT,
            (start + len as u64 - 1) >> CHUNK_SHIFT,
        );
        for chunk in first..=last {
            if !self.is_verified(chunk) {
                self.hash_chunk(chunk as usize)?;
                if let Some(word) = self.verified.get((chunk >> 6) as usize) {
                    // Relaxed for the reason given at `is_verified`; an atomic "or" keeps the other bits.
                    word.fetch_or(1 << (chunk & 63), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Where the chunk lies in the file.
    fn chunk_range(&self, chunk: usize) -> Range<usize> {
        let start = chunk.saturating_mul(CHUNK_BYTES);
        start..start.saturating_add(CHUNK_BYTES).min(self.body_len)
    }

    #[cold]
    fn hash_chunk(&self, chunk: usize) -> Result<()> {
        let range = self.chunk_range(chunk);
        match self.data.get(range.clone()) {
            Some(bytes) => self.check_chunk(chunk, bytes),
            None => Err(self.no_chunk(range.start)),
        }
    }

    #[cold]
    fn no_chunk(&self, start: usize) -> Error {
        self.damage("chunks", start, "a chunk of the body", "none".to_owned())
    }

    /// Compares `bytes` with the checksum of the chunk.
    fn check_chunk(&self, chunk: usize, bytes: &[u8]) -> Result<()> {
        let start = self.chunk_range(chunk).start;
        let Some(expected) = self.checksums.get(chunk) else {
            return Err(self.no_chunk(start));
        };
        let found = xxh3_64(bytes);
        if found != *expected {
            return Err(self.damage(
                "chunks",
                start,
                &format!("{} bytes with the checksum {expected:#018x}", bytes.len()),
                format!("{found:#018x}"),
            ));
        }
        Ok(())
    }

    #[cold]
    fn no_section(&self, id: u16) -> Error {
        self.damage(
            "footer",
            self.body_len,
            &format!("a section {id}"),
            "none".to_owned(),
        )
    }

    fn damage(&self, section: &'static str, offset: usize, expected: &str, found: String) -> Error {
        Error::corrupt(section, offset as u64, expected, found).in_file(&self.name)
    }

    /// Where the section that holds the file's byte `at` begins.
    fn section_start(&self, at: u64) -> u64 {
        let starts = self
            .sections
            .iter()
            .flatten()
            .map(|range| range.start as u64);
        starts.filter(|start| *start <= at).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
