//! Content identifiers: <https://atproto.com/specs/data-model#link-and-cid-formats>. Only the syntax of
//! the string; whether it decodes is for those who need the bytes.

use super::{borrowed_identifier, check_bytes, check_length};
use crate::error::SyntaxError;

/// A content identifier in its string form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid<'a>(&'a str);

borrowed_identifier!(Cid);

impl<'a> Cid<'a> {
    /// Longest CID.
    pub const BYTES_MAX: usize = 256;
    /// Shortest CID.
    pub const BYTES_MIN: usize = 8;

    /// Checks a CID of version 1 or later in any multibase that stays within letters, digits, `+` and `=`.
    ///
    /// # Errors
    /// When the string is no such CID.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "a CID";
        check_length(WHAT, s, Self::BYTES_MAX)?;
        // Nearly all are right, and looking at all bytes at once is faster than looking for a wrong one.
        let plain = s
            .bytes()
            .fold(true, |all, b| all & b.is_ascii_alphanumeric());
        if !plain {
            check_bytes(WHAT, s, 0, |b| {
                b.is_ascii_alphanumeric() || matches!(b, b'+' | b'=')
            })?;
        }
        if s.len() < Self::BYTES_MIN {
            return Err(SyntaxError::TooShort {
                what: WHAT,
                bytes: s.len(),
                bytes_min: Self::BYTES_MIN,
            });
        }
        if s.starts_with("Qm") {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "must not be of version 0 (`Qm...`)",
            });
        }
        Ok(Self(s))
    }
}
