//! Handles: <https://atproto.com/specs/handle>. Only the syntax: whether a top-level domain may be used
//! is a matter of policy.

use super::{LabelNames, borrowed_identifier, check_label, check_length};
use crate::error::SyntaxError;

/// A handle, a domain name such as `alice.example`. Letter case is kept, though it has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle<'a>(&'a str);

borrowed_identifier!(Handle);

const LABEL: LabelNames = LabelNames {
    label: "a label of a handle",
    start: "the start of a label of a handle",
    end: "the end of a label of a handle",
};

impl<'a> Handle<'a> {
    /// Longest handle.
    pub const BYTES_MAX: usize = 253;

    /// Checks a handle.
    ///
    /// # Errors
    /// When the string is no handle.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "a handle";
        check_length(WHAT, s, Self::BYTES_MAX)?;
        let mut start = 0;
        let mut last = 0;
        for label in s.split('.') {
            last = start;
            check_label(&LABEL, s, start, start + label.len())?;
            start += label.len() + 1;
        }
        if last == 0 {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "needs two labels or more",
            });
        }
        if s.as_bytes().get(last).is_some_and(u8::is_ascii_digit) {
            return Err(SyntaxError::character(
                "the start of the last label of a handle",
                s,
                last,
            ));
        }
        Ok(Self(s))
    }
}
