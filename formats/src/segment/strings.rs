//! Tables of strings in byte order, each once; a string's id is its place.
//!
//! ```text
//! u32        count of strings
//! u32        bytes of all of them
//! u32 ..     count + 1 offsets                      up to 4,096 strings
//! monotone   count + 1 offsets                      beyond
//! bytes      the strings, back to back, to the end of the section
//! ```

use crate::bytes::put_u32;
use crate::chunks::Region;
use crate::monotone::{self, Monotone};
use crate::{Error, Result};

/// Tables up to this count keep plain offsets: fast to read, and small all the same.
pub(super) const PLAIN_MAX: u32 = 4096;
const HEAD: u64 = 8;

/// Encodes strings that are in order.
pub(super) fn encode(strings: &[&str], what: &'static str) -> Result<Vec<u8>> {
    let too_large = |found: usize| Error::TooLarge {
        what,
        found: found as u64,
        limit: u64::from(u32::MAX),
    };
    let total: usize = strings.iter().map(|string| string.len()).sum();
    let total_u32 = u32::try_from(total).map_err(|_| too_large(total))?;
    let count = u32::try_from(strings.len()).map_err(|_| too_large(strings.len()))?;
    let mut offsets = Vec::with_capacity(strings.len() + 1);
    let mut at = 0u32;
    for string in strings {
        offsets.push(at);
        // The sum of all lengths fits.
        at = at.wrapping_add(string.len() as u32);
    }
    offsets.push(at);
    let mut out = Vec::with_capacity(total + 16);
    put_u32(&mut out, count);
    put_u32(&mut out, total_u32);
    if count <= PLAIN_MAX {
        for offset in offsets {
            put_u32(&mut out, offset);
        }
    } else {
        monotone::encode(&offsets, &mut out);
    }
    for string in strings {
        out.extend_from_slice(string.as_bytes());
    }
    Ok(out)
}

/// A table in a segment.
#[derive(Clone, Copy)]
pub(super) struct Strings<'a> {
    region: Region<'a>,
    bytes: Region<'a>,
    count: u32,
    /// Of a table of more than [`PLAIN_MAX`].
    offsets: Option<Monotone<'a>>,
}

impl<'a> Strings<'a> {
    pub(super) fn open(region: Region<'a>) -> Result<Self> {
        let count = region.u32_at(0)?;
        let total = u64::from(region.u32_at(4)?);
        let Some(start) = region
            .len()
            .checked_sub(total)
            .filter(|&start| start >= HEAD)
        else {
            return Err(region.corrupt(4, "strings inside the section", total));
        };
        Ok(Self {
            region,
            bytes: region.sub(start, total)?,
            count,
            offsets: match count {
                ..=PLAIN_MAX => None,
                _ => Some(Monotone::open(region.from(HEAD)?)?),
            },
        })
    }

    /// How many strings there are.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The string with that id.
    pub(super) fn get(&self, id: u32) -> Result<&'a str> {
        let (start, bytes) = self.place(id)?;
        self.text(start, bytes)
    }

    fn text(&self, start: u32, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes)
            .map_err(|error| self.bytes.corrupt(u64::from(start), "UTF-8", error))
    }

    /// Where the string with that id begins, and its bytes.
    fn place(&self, id: u32) -> Result<(u32, &'a [u8])> {
        if id >= self.count {
            return Err(self.region.corrupt(
                0,
                format!("an id of one of {} strings", self.count),
                id,
            ));
        }
        let (start, end) = match &self.offsets {
            None => {
                let two = self.region.u64_at(HEAD + 4 * u64::from(id))?;
                (two as u32, (two >> 32) as u32)
            }
            Some(offsets) => offsets.pair(id)?,
        };
        let Some(len) = end.checked_sub(start) else {
            return Err(self.region.corrupt(HEAD, "rising offsets", end));
        };
        Ok((start, self.bytes.get(u64::from(start), len as usize)?))
    }

    /// The id of that string. O(log n) reads.
    pub(super) fn find(&self, string: &str) -> Result<Option<u32>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.place(middle)?.1.cmp(string.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }
}
