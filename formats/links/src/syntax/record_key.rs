//! Record keys: <https://atproto.com/specs/record-key>.

use super::{borrowed_identifier, check_bytes, check_length};
use crate::error::SyntaxError;

/// The key of a record in its collection, such as `self` or `3jzfcijpj2z2a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey<'a>(&'a str);

borrowed_identifier!(RecordKey);

impl<'a> RecordKey<'a> {
    /// Longest record key.
    pub const BYTES_MAX: usize = 512;

    /// Checks a record key of any kind.
    ///
    /// # Errors
    /// When the string is no record key.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "a record key";
        check_length(WHAT, s, Self::BYTES_MAX)?;
        check_bytes(WHAT, s, 0, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'~')
        })?;
        if matches!(s, "." | "..") {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "must not be `.` or `..`",
            });
        }
        Ok(Self(s))
    }
}
