//! Where a subscriber begins, as the text of its cursor.

use std::fmt;
use std::str::FromStr;

use crate::error::StreamError;

/// Bare numbers from here on are microseconds since 1970 (this is in 2001); smaller ones are places in the order
/// of indexing.
pub const TIME_MIN: u64 = 1_000_000_000_000_000;

/// Where a subscriber begins.
///
/// ```
/// use orrery_query::stream::Start;
///
/// assert_eq!("".parse(), Ok(Start::Now));
/// assert_eq!("17".parse(), Ok(Start::Seq(17)));
/// assert_eq!("1793491200000000".parse(), Ok(Start::Time(1_793_491_200_000_000)));
/// assert_eq!("17.2".parse(), Ok(Start::After { seq: 17, index: 2 }));
/// assert!("-1".parse::<Start>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With what comes next.
    Now,
    /// With this event.
    Seq(u64),
    /// With the first event that is not older.
    Time(u64),
    /// Behind one change of an event.
    After {
        /// The event.
        seq: u64,
        /// The change among those of the event.
        index: u32,
    },
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => Ok(()),
            Self::Seq(number) | Self::Time(number) => write!(f, "{number}"),
            Self::After { seq, index } => write!(f, "{seq}.{index}"),
        }
    }
}

impl FromStr for Start {
    type Err = StreamError;

    fn from_str(text: &str) -> Result<Self, StreamError> {
        if text.is_empty() {
            return Ok(Self::Now);
        }
        let Some((seq, index)) = text.split_once('.') else {
            let number = number("the number", text)?;
            return Ok(if number < TIME_MIN {
                Self::Seq(number)
            } else {
                Self::Time(number)
            });
        };
        let seq = number("the number before the dot", seq)?;
        let index = number("the number behind the dot", index)?;
        let index = u32::try_from(index).map_err(|_| StreamError::CursorRange {
            what: "the number behind the dot",
            limit: u32::MAX.into(),
        })?;
        Ok(Self::After { seq, index })
    }
}

fn number(what: &'static str, digits: &str) -> Result<u64, StreamError> {
    if digits.is_empty() {
        return Err(StreamError::CursorMissing { what });
    }
    if let Some((at, found)) = digits.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        return Err(StreamError::CursorDigit { what, at, found });
    }
    digits.parse().map_err(|_| StreamError::CursorRange {
        what,
        limit: u64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_behind_a_change_reads_back(seq: u64, index: u32) {
            let start = Start::After { seq, index };
            prop_assert_eq!(start.to_string().parse(), Ok(start));
        }

        #[test]
        fn a_bare_number_reads_back(number: u64) {
            let start: Start = number.to_string().parse().unwrap();
            let expected = if number < TIME_MIN { Start::Seq(number) } else { Start::Time(number) };
            prop_assert_eq!(start, expected);
            prop_assert_eq!(start.to_string(), number.to_string());
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            let _ = text.parse::<Start>();
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused_with_a_reason() {
        for (text, reason) in [
            ("-1", "the number has '-' where a digit belongs, at byte 0"),
            ("+1", "the number has '+' where a digit belongs, at byte 0"),
            ("12 ", "the number has ' ' where a digit belongs, at byte 2"),
            ("1é", "the number has 'é' where a digit belongs, at byte 1"),
            (
                "3kabc",
                "the number has 'k' where a digit belongs, at byte 1",
            ),
            ("1.", "the number behind the dot is missing"),
            (".1", "the number before the dot is missing"),
            (
                "1.2.3",
                "the number behind the dot has '.' where a digit belongs, at byte 1",
            ),
            (
                "18446744073709551616",
                "the number is more than 18446744073709551615",
            ),
            (
                "1.4294967296",
                "the number behind the dot is more than 4294967295",
            ),
            (
                "1.18446744073709551616",
                "the number behind the dot is more than 18446744073709551615",
            ),
        ] {
            let error = text.parse::<Start>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{text:?}");
        }
    }
}
