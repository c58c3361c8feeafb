//! JSON strings: finding the end of one, many bytes at a time, and decoding escapes.

use super::scan::Scanner;
use crate::class;
use crate::error::ExtractError;

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Bytes looked at together.
const LANES: usize = 16;

/// A string as it stands in the record, between its quotes.
pub(super) struct RawString {
    pub(super) start: usize,
    /// Where the closing quote is, or, while there are escapes, the first backslash.
    pub(super) end: usize,
    /// Whether a colon stands in between.
    pub(super) colon: bool,
    pub(super) escaped: bool,
}

/// High bit of each byte of `x` that is zero. Bytes above the lowest zero byte may be marked wrongly,
/// since the subtraction borrows upwards; the lowest mark is always right.
#[inline(always)]
const fn zero_bytes(x: u64) -> u64 {
    x.wrapping_sub(ONES) & !x & HIGHS
}

#[inline(always)]
const fn equal_bytes(x: u64, byte: u8) -> u64 {
    zero_bytes(x ^ (ONES * byte as u64))
}

/// The first byte from `from` on that is not plain string contents (a quote, a backslash, a control
/// character, or the end), and whether a colon stands before it.
#[inline]
pub(super) fn plain_run(bytes: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    let mut colons = 0;
    // A sum without a branch, not even `||`, becomes vector instructions wherever there are any.
    while let Some(lanes) = bytes.get(at..).and_then(|rest| rest.first_chunk::<LANES>()) {
        let (mut stop, mut colon) = (0_u8, 0_u8);
        for &b in lanes {
            stop |= u8::from((b == b'"') | (b == b'\\') | (b < 0x20));
            colon |= u8::from(b == b':');
        }
        if stop != 0 {
            break;
        }
        colons |= u64::from(colon);
        at += LANES;
    }
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let x = u64::from_le_bytes(*chunk);
        // The same borrow argument holds for `x - 0x20` per byte: the lowest mark is right.
        let control = x.wrapping_sub(ONES * 0x20) & !x & HIGHS;
        let stop = equal_bytes(x, b'"') | equal_bytes(x, b'\\') | control;
        let colon = equal_bytes(x, b':');
        if stop != 0 {
            // Marks below the lowest stop bit belong to bytes before the stop.
            let before = (stop & stop.wrapping_neg()) - 1;
            return (
                at + (stop.trailing_zeros() / 8) as usize,
                (colons | colon & before) != 0,
            );
        }
        colons |= colon;
        at += 8;
    }
    let mut colon = colons != 0;
    while let Some(&b) = bytes.get(at) {
        if b == b'"' || b == b'\\' || b < 0x20 {
            break;
        }
        colon |= b == b':';
        at += 1;
    }
    (at, colon)
}

/// Whether a string that begins with this text, and goes on after it, may have a scheme.
pub(super) fn may_have_scheme(start: &[u8]) -> bool {
    let Some((first, rest)) = start.split_first() else {
        return true;
    };
    class::is(*first, class::ALPHA)
        && rest
            .iter()
            .find(|&&b| !class::is(b, class::SCHEME))
            .is_none_or(|&b| b == b':')
}

impl Scanner<'_> {
    /// Reads a string up to its end or its first escape. The position is at the opening quote.
    #[inline]
    pub(super) fn raw_string(&mut self) -> Result<RawString, ExtractError> {
        let start = self.at + 1;
        let (end, colon) = plain_run(self.bytes, start);
        let escaped = match self.bytes.get(end) {
            Some(b'"') => false,
            Some(b'\\') => true,
            _ => return Err(self.error_at(end, IN_STRING)),
        };
        self.at = if escaped { end } else { end + 1 };
        Ok(RawString {
            start,
            end,
            colon,
            escaped,
        })
    }

    /// Reads the rest of a string from its first escape to its end. With `KEEP`, appends the rest to
    /// the decoded strings; without, only validates it. The position is at a backslash.
    pub(super) fn escaped_rest<const KEEP: bool>(&mut self) -> Result<(), ExtractError> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    if KEEP {
                        self.decoded.push(c);
                    }
                }
                _ => return Err(self.error_at(self.at, IN_STRING)),
            }
            let (end, _) = plain_run(self.bytes, self.at);
            if KEEP {
                self.decoded
                    .push_str(self.record.get(self.at..end).unwrap_or_default());
            }
            self.at = end;
        }
    }

    /// Reads one escape; the position is at its backslash.
    fn escape(&mut self) -> Result<char, ExtractError> {
        let c = match self.bytes.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.error_at(self.at + 1, "an escape (one of \"\\/bfnrtu)")),
        };
        self.at += 2;
        Ok(c)
    }

    /// Reads `\uXXXX`, or two of them that make a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, ExtractError> {
        let start = self.at;
        let high = self.code_unit()?;
        if !(0xD800..0xE000).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.error_at(start, "a character"));
        }
        if high >= 0xDC00 {
            return Err(self.error_at(start, "no low surrogate without a high one before it"));
        }
        let pair = "an escaped low surrogate after a high one";
        if self.bytes.get(self.at) != Some(&b'\\') || self.bytes.get(self.at + 1) != Some(&b'u') {
            return Err(self.error_at(self.at, pair));
        }
        let second = self.at;
        let low = self.code_unit()?;
        if !(0xDC00..0xE000).contains(&low) {
            return Err(self.error_at(second, pair));
        }
        let code_point = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        char::from_u32(code_point).ok_or_else(|| self.error_at(start, "a character"))
    }

    /// Reads the four digits of `\uXXXX`; the position is at the backslash.
    fn code_unit(&mut self) -> Result<u32, ExtractError> {
        let mut unit = 0;
        for at in self.at + 2..self.at + 6 {
            let digit = self.bytes.get(at).and_then(|&b| (b as char).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.error_at(at, "a hex digit"));
            };
            unit = unit * 16 + digit;
        }
        self.at += 6;
        Ok(unit)
    }
}

const IN_STRING: &str = "string contents or a closing quote";
