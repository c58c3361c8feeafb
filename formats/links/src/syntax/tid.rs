//! Timestamp identifiers: <https://atproto.com/specs/tid>. 64 bits, the highest of them zero, then 53
//! bits of microseconds since 1970 and 10 bits of clock id, written as 13 digits of a base-32 alphabet
//! whose order is that of ASCII. So TIDs sort alike as strings and as numbers.

use std::fmt;

use crate::error::SyntaxError;

const WHAT: &str = "a TID";

/// Digits of a TID.
const LEN: usize = 13;

const ALPHABET: [u8; 32] = *b"234567abcdefghijklmnopqrstuvwxyz";

/// Value of each byte as a digit; 32 for bytes that are none.
const DIGITS: [u8; 256] = digits();

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated at compile time; every index is below the length"
)]
const fn digits() -> [u8; 256] {
    let mut digits = [32; 256];
    let mut value = 0;
    while value < 32 {
        digits[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    digits
}

/// A timestamp identifier. Kept as its number, from which the 13 digits follow.
///
/// ```
/// use orrery_links::syntax::Tid;
///
/// let tid = Tid::parse("3jzfcijpj2z2a")?;
/// assert_eq!(Tid::from_u64(tid.to_u64())?.to_string(), "3jzfcijpj2z2a");
/// assert_eq!(Tid::from_parts(tid.timestamp_us(), tid.clock_id())?, tid);
/// # Ok::<(), orrery_links::SyntaxError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(u64);

impl Tid {
    /// The largest TID as a number: the highest bit is always zero.
    pub const U64_MAX: u64 = u64::MAX >> 1;
    /// The largest time a TID can hold, in microseconds.
    pub const TIMESTAMP_US_MAX: u64 = (1 << 53) - 1;
    /// The largest clock id.
    pub const CLOCK_ID_MAX: u16 = (1 << 10) - 1;

    /// Reads 13 digits.
    ///
    /// # Errors
    /// When the string is no TID.
    pub fn parse(s: &str) -> Result<Self, SyntaxError> {
        let Ok(text) = <&[u8; LEN]>::try_from(s.as_bytes()) else {
            return Err(wrong_length(s));
        };
        let mut value = 0u64;
        for (offset, &byte) in text.iter().enumerate() {
            let digit = DIGITS.get(usize::from(byte)).copied().unwrap_or(32);
            // The first digit has four of the 64 bits, and the highest of those is zero.
            if digit >= if offset == 0 { 8 } else { 32 } {
                return Err(wrong_digit(s, offset, digit));
            }
            value = value << 5 | u64::from(digit);
        }
        Ok(Self(value))
    }

    /// The TID that is this number.
    ///
    /// # Errors
    /// When the highest bit is set.
    pub const fn from_u64(value: u64) -> Result<Self, SyntaxError> {
        if value > Self::U64_MAX {
            return Err(SyntaxError::OutOfRange {
                what: WHAT,
                value,
                value_max: Self::U64_MAX,
            });
        }
        Ok(Self(value))
    }

    /// A TID from a time in microseconds since 1970, and a clock id.
    ///
    /// # Errors
    /// When either needs more bits than there are.
    pub const fn from_parts(timestamp_us: u64, clock_id: u16) -> Result<Self, SyntaxError> {
        if timestamp_us > Self::TIMESTAMP_US_MAX {
            return Err(SyntaxError::OutOfRange {
                what: "the time of a TID",
                value: timestamp_us,
                value_max: Self::TIMESTAMP_US_MAX,
            });
        }
        if clock_id > Self::CLOCK_ID_MAX {
            return Err(SyntaxError::OutOfRange {
                what: "the clock id of a TID",
                value: clock_id as u64,
                value_max: Self::CLOCK_ID_MAX as u64,
            });
        }
        Ok(Self(timestamp_us << 10 | clock_id as u64))
    }

    /// The TID as a number.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Its time, in microseconds since 1970.
    #[must_use]
    pub const fn timestamp_us(self) -> u64 {
        self.0 >> 10
    }

    /// Its clock id.
    #[must_use]
    pub const fn clock_id(self) -> u16 {
        (self.0 & Self::CLOCK_ID_MAX as u64) as u16
    }

    /// The 13 digits, as ASCII.
    #[must_use]
    pub fn to_digits(self) -> [u8; LEN] {
        let mut digits = [b'2'; LEN];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'2');
            rest >>= 5;
        }
        digits
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.to_digits();
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl std::str::FromStr for Tid {
    type Err = SyntaxError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

#[cold]
fn wrong_length(s: &str) -> SyntaxError {
    let bytes = s.len();
    if s.is_empty() {
        SyntaxError::Empty { what: WHAT }
    } else if bytes < LEN {
        SyntaxError::TooShort {
            what: WHAT,
            bytes,
            bytes_min: LEN,
        }
    } else {
        SyntaxError::TooLong {
            what: WHAT,
            bytes,
            bytes_max: LEN,
        }
    }
}

#[cold]
fn wrong_digit(s: &str, offset: usize, digit: u8) -> SyntaxError {
    let what = if digit < 32 {
        "the start of a TID"
    } else {
        WHAT
    };
    SyntaxError::character(what, s, offset)
}
