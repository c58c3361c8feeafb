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

    /// The table with all its offsets decoded, four bytes for each string.
    pub(super) fn decoded(self) -> Result<DecodedStrings<'a>> {
        let mut offsets = Vec::with_capacity(self.count as usize + 1);
        match &self.offsets {
            None => {
                for id in 0..=u64::from(self.count) {
                    offsets.push(self.region.u32_at(HEAD + 4 * id)?);
                }
            }
            Some(list) => {
                for offset in list.iter_from(0).take(self.count as usize + 1) {
                    offsets.push(offset?);
                }
            }
        }
        Ok(DecodedStrings {
            strings: self,
            offsets,
        })
    }

    fn text(&self, start: u32, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes)
            .map_err(|error| self.bytes.corrupt(u64::from(start), "UTF-8", error))
    }

    /// Where the string with that id begins, and its bytes.
    fn place(&self, id: u32) -> Result<(u32, &'a [u8])> {
        if id >= self.count {
            return Err(self.no_string(id));
        }
        let (start, end) = match &self.offsets {
            None => {
                let two = self.region.u64_at(HEAD + 4 * u64::from(id))?;
                (two as u32, (two >> 32) as u32)
            }
            Some(offsets) => offsets.pair(id)?,
        };
        self.between(start, end)
    }

    #[cold]
    fn no_string(&self, id: u32) -> Error {
        let expected = format!("an id of one of {} strings", self.count);
        self.region.corrupt(0, expected, id)
    }

    fn between(&self, start: u32, end: u32) -> Result<(u32, &'a [u8])> {
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

/// A table whose strings are read in no order, many of them.
pub(super) struct DecodedStrings<'a> {
    strings: Strings<'a>,
    /// Where each begins, and the last one ends.
    offsets: Vec<u32>,
}

impl<'a> DecodedStrings<'a> {
    /// The string with that id.
    pub(super) fn get(&self, id: u32) -> Result<&'a str> {
        let strings = &self.strings;
        let two = self.offsets.get(id as usize..).unwrap_or_default();
        let Some(&[start, end]) = two.first_chunk::<2>() else {
            return Err(strings.no_string(id));
        };
        let (start, bytes) = strings.between(start, end)?;
        strings.text(start, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_table_tells_each_string_as_the_table_does() {
        for count in [0, 1, 300, PLAIN_MAX, PLAIN_MAX + 1, 3 * PLAIN_MAX] {
            let mut strings: Vec<String> = (0..count).map(|n| format!("{:x}", n * n)).collect();
            strings.sort();
            let texts: Vec<&str> = strings.iter().map(String::as_str).collect();
            let bytes = encode(&texts, "strings").unwrap();
            let table = Strings::open(Region::over("strings", &bytes)).unwrap();
            let decoded = table.decoded().unwrap();
            for (id, text) in (0..).zip(&texts) {
                assert_eq!(decoded.get(id).unwrap(), *text);
                assert_eq!(table.get(id).unwrap(), *text);
            }
            for beyond in [count, count + 1, u32::MAX] {
                assert!(decoded.get(beyond).is_err());
                assert!(table.get(beyond).is_err());
            }
        }
    }
}
