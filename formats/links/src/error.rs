//! The errors of this crate: one family for reading a record, one for the strict identifier
//! parsers. Both are small `Copy` values, so that refusing input costs no allocation.

/// Why a record could not be read. Nothing of such a record is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The bytes are not UTF-8.
    #[error("the record is not UTF-8: bad byte sequence at byte {offset}")]
    NotUtf8 {
        /// Offset of the first bad byte.
        offset: usize,
    },
    /// The text is not JSON as RFC 8259 has it.
    #[error("the record is not JSON: expected {expected} at byte {offset}, found {found}")]
    Json {
        /// Offset of the byte that does not fit; the record's length where it ends too early.
        offset: usize,
        /// What the grammar allows there.
        expected: &'static str,
        /// What is there.
        found: Found,
    },
    /// The record is valid, but its outermost value is no object.
    #[error("the record is {found}, not an object")]
    NotAnObject {
        /// The kind of value that was found.
        found: &'static str,
    },
    /// The record is longer than offsets of 32 bits reach.
    #[error("the record is {bytes} bytes long; at most {bytes_max} are supported")]
    TooLarge {
        /// Length of the record.
        bytes: usize,
        /// Longest supported record.
        bytes_max: usize,
    },
}

/// What stood at the place of a JSON error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The text ends here.
    End,
    /// This character.
    Character(char),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("the end of the record"),
            Self::Character(c) => write!(f, "{c:?}"),
        }
    }
}

/// Why a string is not the identifier it was said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The string, or a part that must hold something, is empty.
    #[error("{what} is empty")]
    Empty {
        /// The part.
        what: &'static str,
    },
    /// The string, or a part of it, is too long.
    #[error("{what} is {bytes} bytes long; at most {bytes_max} are allowed")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The string is too short.
    #[error("{what} is {bytes} bytes long; at least {bytes_min} are needed")]
    TooShort {
        /// The part.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The shortest allowed.
        bytes_min: usize,
    },
    /// A character stands where it may not.
    #[error("{what} may not hold {found:?} at byte {offset}")]
    Character {
        /// The part.
        what: &'static str,
        /// Offset in the string that was parsed.
        offset: usize,
        /// The character there.
        found: char,
    },
    /// A rule about the whole is broken.
    #[error("{what} {rule}")]
    Rule {
        /// The part.
        what: &'static str,
        /// The rule, as a phrase that follows the name of the part.
        rule: &'static str,
    },
    /// A number has no representation as this identifier.
    #[error("{what} cannot hold {value}; at most {value_max}")]
    OutOfRange {
        /// The part.
        what: &'static str,
        /// The number.
        value: u64,
        /// The largest allowed.
        value_max: u64,
    },
}

impl SyntaxError {
    /// Names the character of `text` at byte `offset`.
    #[cold]
    pub(crate) fn character(what: &'static str, text: &str, offset: usize) -> Self {
        let found = text.get(offset..).and_then(|rest| rest.chars().next());
        Self::Character {
            what,
            offset,
            found: found.unwrap_or(char::REPLACEMENT_CHARACTER),
        }
    }
}
