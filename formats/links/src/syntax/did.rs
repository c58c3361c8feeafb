//! DIDs: <https://atproto.com/specs/did>.

use super::{borrowed_identifier, check_bytes, check_length};
use crate::class;
use crate::error::SyntaxError;

/// A decentralised identifier, such as `did:plc:7iza6de2dwap2sbkpav7c6c6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did<'a>(&'a str);

borrowed_identifier!(Did);

/// Whether it is a DID of the method that nearly all have. Looks at all bytes, so that there is no branch but the last.
fn is_plc(s: &str) -> bool {
    let identifier = s.strip_prefix("did:plc:");
    let identifier = identifier.and_then(|rest| <&[u8; 24]>::try_from(rest.as_bytes()).ok());
    identifier.is_some_and(|bytes| {
        let digit = |b: u8| b.is_ascii_lowercase() | matches!(b, b'2'..=b'7');
        bytes.iter().fold(true, |all, &b| all & digit(b))
    })
}

impl<'a> Did<'a> {
    /// Longest DID.
    pub const BYTES_MAX: usize = 2048;

    /// Checks a DID of any method.
    ///
    /// # Errors
    /// When the string is no DID.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "a DID";
        if is_plc(s) {
            return Ok(Self(s));
        }
        check_length(WHAT, s, Self::BYTES_MAX)?;
        let Some(rest) = s.strip_prefix("did:") else {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "must begin with `did:`",
            });
        };
        let method_len = rest.bytes().position(|b| b == b':');
        let Some(method_len) = method_len else {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "needs a method and an identifier with a colon between",
            });
        };
        let method = rest.get(..method_len).unwrap_or_default();
        if method.is_empty() {
            return Err(SyntaxError::Empty {
                what: "the method of a DID",
            });
        }
        if let Some(at) = method.bytes().position(|b| !b.is_ascii_lowercase()) {
            return Err(SyntaxError::character(
                "the method of a DID",
                s,
                "did:".len() + at,
            ));
        }
        let start = "did:".len() + method_len + 1;
        if start == s.len() {
            return Err(SyntaxError::Empty {
                what: "the identifier of a DID",
            });
        }
        check_bytes("the identifier of a DID", s, start, |b| {
            class::is(b, class::DID)
        })?;
        if s.ends_with([':', '%']) {
            return Err(SyntaxError::character("the end of a DID", s, s.len() - 1));
        }
        Ok(Self(s))
    }

    /// The method: `plc` in `did:plc:abc`.
    #[must_use]
    pub fn method(self) -> &'a str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// What stands after the method: `abc` in `did:plc:abc`.
    #[must_use]
    pub fn identifier(self) -> &'a str {
        self.0.splitn(3, ':').nth(2).unwrap_or_default()
    }
}
