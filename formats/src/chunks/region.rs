//! A part of a section of a sealed file, whose chunks are checked at first touch.

use std::fmt;

use super::SealedFile;
use crate::envelope::CHUNK_SHIFT;
use crate::{Error, Result};

/// Bytes of a line of the processor's cache; where lines are longer, some are asked for twice.
const CACHE_LINE: usize = 64;

/// A part of a section, whose bytes are checked at first touch. Copying it costs nothing.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    pub(super) bytes: &'a [u8],
    /// Where `bytes` begins in the file.
    pub(super) base: u64,
    /// Whose chunks the bytes lie in; without it they are believed.
    pub(super) file: Option<&'a SealedFile>,
    pub(super) section: &'static str,
}

impl fmt::Debug for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("section", &self.section)
            .field("base", &self.base)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Region<'a> {
    /// A region over bytes in memory, which have no checksums and are believed to be what was written.
    pub const fn over(section: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            base: 0,
            file: None,
            section,
        }
    }

    /// The same region, which errors call `section`.
    #[must_use]
    pub const fn named(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }

    /// The length in bytes.
    #[inline]
    pub const fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where the region begins in the file.
    #[inline]
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// Whether the region holds no byte.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// `len` bytes from `offset` on. A few nanoseconds when their chunk was touched before; otherwise
    /// each chunk they lie in is hashed.
    ///
    /// # Errors
    /// The bytes lie outside the region, or a chunk's checksum does not hold.
    #[inline(always)]
    pub fn get(&self, offset: u64, len: usize) -> Result<&'a [u8]> {
        let Some(bytes) = self.slice(offset, len) else {
            return Err(self.outside(offset, len as u64));
        };
        if let Some(file) = self.file {
            // The file holds these bytes, so the sums stay far below 2^64.
            let start = self.base + offset;
            let end = start + len as u64;
            let chunk = start >> CHUNK_SHIFT;
            let in_one_chunk = end <= (chunk + 1) << CHUNK_SHIFT;
            if !(in_one_chunk && file.is_verified(chunk)) {
                file.verify_range(start, len)?;
            }
        }
        Ok(bytes)
    }

    /// Has the processor fetch the bytes in that range that there are, as far as it can without waiting for them. Nothing is made of what they say, so
    /// they are not checked.
    #[inline]
    pub(crate) fn fetch(&self, offset: u64, len: u64) {
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = at.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        let mut all = 0;
        while at < end
            && let Some(byte) = self.bytes.get(at)
        {
            all |= byte;
            at = at.saturating_add(CACHE_LINE);
        }
        // The last line, where the first does not begin with the range.
        if let Some(byte) = end.checked_sub(1).and_then(|last| self.bytes.get(last)) {
            all |= byte;
        }
        // A load whose value is used for nothing would be left out.
        std::hint::black_box(all);
    }

    /// The whole region. Cost and errors as [`Region::get`].
    ///
    /// # Errors
    /// A chunk's checksum does not hold.
    pub fn all(&self) -> Result<&'a [u8]> {
        self.get(0, self.bytes.len())
    }

    /// `N` bytes from `offset` on as an array; cost and errors as [`Region::get`].
    ///
    /// # Errors
    /// As [`Region::get`].
    #[inline(always)]
    pub fn array_at<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        match self.get(offset, N)?.first_chunk::<N>() {
            Some(bytes) => Ok(*bytes),
            None => Err(self.outside(offset, N as u64)),
        }
    }

    /// The byte at `offset`.
    ///
    /// # Errors
    /// As [`Region::get`].
    #[inline(always)]
    pub fn u8_at(&self, offset: u64) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array_at(offset)?))
    }

    /// The 16-bit integer at the byte `offset`, which need not be aligned.
    ///
    /// # Errors
    /// As [`Region::get`].
    #[inline(always)]
    pub fn u16_at(&self, offset: u64) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array_at(offset)?))
    }

    /// The 32-bit integer at the byte `offset`, which need not be aligned.
    ///
    /// # Errors
    /// As [`Region::get`].
    #[inline(always)]
    pub fn u32_at(&self, offset: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array_at(offset)?))
    }

    /// The 64-bit integer at the byte `offset`, which need not be aligned.
    ///
    /// # Errors
    /// As [`Region::get`].
    #[inline(always)]
    pub fn u64_at(&self, offset: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array_at(offset)?))
    }

    /// The region of `len` bytes from `offset` on. Touches no byte.
    ///
    /// # Errors
    /// It lies outside this region.
    #[inline]
    pub fn sub(&self, offset: u64, len: u64) -> Result<Region<'a>> {
        let part = usize::try_from(len)
            .ok()
            .and_then(|len| self.slice(offset, len));
        match part {
            Some(bytes) => Ok(Region {
                bytes,
                base: self.base + offset,
                ..*self
            }),
            None => Err(self.outside(offset, len)),
        }
    }

    /// The region from `offset` to the end. Touches no byte.
    ///
    /// # Errors
    /// `offset` lies behind the end.
    #[inline]
    pub fn from(&self, offset: u64) -> Result<Region<'a>> {
        match self.len().checked_sub(offset) {
            Some(len) => self.sub(offset, len),
            None => Err(self.outside(offset, 0)),
        }
    }

    /// Damage at `offset` of this region, with the names of section and file; the offset in the error is
    /// that in the section.
    #[cold]
    pub fn corrupt(&self, offset: u64, expected: impl Into<String>, found: impl ToString) -> Error {
        let in_file = self.base.saturating_add(offset);
        match self.file {
            Some(file) => {
                let in_section = in_file.saturating_sub(file.section_start(self.base));
                Error::corrupt(self.section, in_section, expected, found).in_file(&file.name)
            }
            None => Error::corrupt(self.section, in_file, expected, found),
        }
    }

    /// Adds the file's name to an error that has none, as those of [`crate::bytes::Reader`].
    #[cold]
    pub fn in_file(&self, error: Error) -> Error {
        match self.file {
            Some(file) => error.in_file(&file.name),
            None => error,
        }
    }

    #[inline]
    fn slice(&self, offset: u64, len: usize) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    #[cold]
    fn outside(&self, offset: u64, len: u64) -> Error {
        self.corrupt(
            offset,
            format!("{len} bytes inside a region of {}", self.bytes.len()),
            "its end",
        )
    }
}
