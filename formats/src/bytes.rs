//! The smallest pieces of every format: little-endian integers, varints and length-prefixed strings.
//! [`Reader`] takes them from a slice of unknown origin and never looks past its end; the `put_*`
//! functions append them to a buffer. What the pieces mean is up to the caller.

use crate::{Error, Result};

/// The most bytes a varint takes: ten groups of seven bits hold 64.
pub const VARINT_BYTES_MAX: usize = 10;

/// A cursor over bytes that may be damaged. Each read either yields a whole value and moves behind
/// it, or fails with the section and offset where the value should have stood and moves nowhere.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    section: &'static str,
    /// What still lies ahead.
    rest: &'a [u8],
    /// Offset in the section of the first byte of `rest`.
    offset: u64,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which errors call `section`, from their start.
    ///
    /// ```
    /// let mut reader = orrery_formats::bytes::Reader::new("header", &[1, 0, 0, 0, 7]);
    /// assert_eq!(reader.u32()?, 1);
    /// assert!(reader.u16().is_err());
    /// assert_eq!(reader.u8()?, 7);
    /// # Ok::<(), orrery_formats::Error>(())
    /// ```
    pub const fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self::at(section, bytes, 0)
    }

    /// As [`Reader::new`], for bytes that begin at `offset` of the section.
    pub const fn at(section: &'static str, bytes: &'a [u8], offset: u64) -> Self {
        Self {
            section,
            rest: bytes,
            offset,
        }
    }

    /// Offset in the section of the next byte.
    pub const fn position(&self) -> u64 {
        self.offset
    }

    /// How many bytes lie ahead.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether no byte lies ahead.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the current position.
    #[cold]
    pub fn corrupt(&self, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::corrupt(self.section, self.offset, expected, found)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fewer than `len` bytes lie ahead.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(self.corrupt(format!("{len} bytes"), format!("{} bytes", self.rest.len())));
        };
        self.rest = tail;
        self.offset += len as u64;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer than `N` bytes lie ahead.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.corrupt(format!("{N} bytes"), format!("{} bytes", self.rest.len())));
        };
        self.rest = tail;
        self.offset += N as u64;
        Ok(*head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// No byte lies ahead.
    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// The next two bytes as an unsigned integer.
    ///
    /// # Errors
    /// Too few bytes lie ahead.
    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes as an unsigned integer.
    ///
    /// # Errors
    /// Too few bytes lie ahead.
    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes as an unsigned integer.
    ///
    /// # Errors
    /// Too few bytes lie ahead.
    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next eight bytes as a two's complement integer.
    ///
    /// # Errors
    /// Too few bytes lie ahead.
    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// An unsigned LEB128 integer in its shortest form; a longer form of the same number is damage, so
    /// that a value has one encoding.
    ///
    /// # Errors
    /// The bytes end inside the integer, or it exceeds 64 bits, or it is not in its shortest form.
    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        // One byte is by far the most common length.
        if let Some((&byte, tail)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = tail;
            self.offset += 1;
            return Ok(u64::from(byte));
        }
        self.varint_long()
    }

    fn varint_long(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 != 0 {
                continue;
            }
            let too_long = index > 0 && byte == 0;
            // The tenth group has room for the one bit left of 64.
            let too_large = index + 1 == VARINT_BYTES_MAX && byte > 1;
            if too_long || too_large {
                return Err(self.corrupt("a varint of 64 bits in its shortest form", "another"));
            }
            self.bytes(index + 1)?;
            return Ok(value);
        }
        Err(self.corrupt(
            "a varint of at most 10 bytes",
            format!(
                "{} bytes without its end",
                self.rest.len().min(VARINT_BYTES_MAX)
            ),
        ))
    }

    /// A varint that fits in 32 bits.
    ///
    /// # Errors
    /// As [`Reader::varint`], or the integer exceeds 32 bits.
    #[inline]
    pub fn varint_u32(&mut self) -> Result<u32> {
        let start = self.clone();
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| {
            *self = start;
            self.corrupt("a varint of 32 bits", value)
        })
    }

    /// `len` bytes of UTF-8.
    ///
    /// # Errors
    /// Fewer than `len` bytes lie ahead, or they are not UTF-8.
    pub fn str_of(&mut self, len: usize) -> Result<&'a str> {
        let start = self.clone();
        let bytes = self.bytes(len)?;
        std::str::from_utf8(bytes).map_err(|error| {
            *self = start;
            self.corrupt("UTF-8", error)
        })
    }

    /// A string: its length in bytes as a varint, then that much UTF-8.
    ///
    /// # Errors
    /// As [`Reader::varint`] and [`Reader::str_of`].
    pub fn str(&mut self) -> Result<&'a str> {
        let start = self.clone();
        let len = self.varint()?;
        let text = match usize::try_from(len) {
            Ok(len) => self.str_of(len),
            Err(_) => Err(self.corrupt("a string that fits in memory", len)),
        };
        if text.is_err() {
            *self = start;
        }
        text
    }

    /// `len` reserved bytes, which must be zero.
    ///
    /// # Errors
    /// Fewer than `len` bytes lie ahead, or one of them is not zero.
    pub fn zeros(&mut self, len: usize) -> Result<()> {
        let start = self.clone();
        let bytes = self.bytes(len)?;
        if let Some((index, byte)) = bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
            let error = Error::corrupt(
                self.section,
                start.offset + index as u64,
                "a reserved byte of zero",
                byte,
            );
            *self = start;
            return Err(error);
        }
        Ok(())
    }

    /// Ends the reading: nothing may lie ahead.
    ///
    /// # Errors
    /// Bytes lie ahead.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.corrupt("the end", format!("{} more bytes", self.rest.len())))
    }
}

/// Appends a 16-bit integer.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a 32-bit integer.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a 64-bit integer.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a signed 64-bit integer.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends an unsigned LEB128 integer in its shortest form, 1 to 10 bytes.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits; the top bit says that more follow.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a string: its length in bytes as a varint, then its bytes.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends zeros until the length is a multiple of eight.
pub fn pad_to_8(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests;
