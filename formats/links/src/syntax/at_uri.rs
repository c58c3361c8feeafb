//! At-uris in the form that lexicons allow: <https://atproto.com/specs/at-uri-scheme>. No query, no
//! fragment, no trailing slash, nothing to normalise.

use std::fmt;

use super::{AtIdentifier, Nsid, RecordKey, check_length};
use crate::error::SyntaxError;

/// An at-uri: an account, a collection of it, or a record in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtUri<'a> {
    text: &'a str,
    authority: AtIdentifier<'a>,
    collection: Option<Nsid<'a>>,
    record_key: Option<RecordKey<'a>>,
}

impl<'a> AtUri<'a> {
    /// Longest at-uri.
    pub const BYTES_MAX: usize = 8192;

    /// Checks an at-uri and its parts.
    ///
    /// # Errors
    /// When the string is no at-uri; offsets in an error about a part count from the start of the part.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        const WHAT: &str = "an at-uri";
        check_length(WHAT, s, Self::BYTES_MAX)?;
        let Some(rest) = s.strip_prefix("at://") else {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "must begin with `at://`",
            });
        };
        let mut parts = rest.split('/');
        let authority = AtIdentifier::parse(parts.next().unwrap_or_default())?;
        let collection = parts.next().map(Nsid::parse).transpose()?;
        let record_key = parts.next().map(RecordKey::parse).transpose()?;
        if parts.next().is_some() {
            return Err(SyntaxError::Rule {
                what: WHAT,
                rule: "must end after the record key",
            });
        }
        Ok(Self {
            text: s,
            authority,
            collection,
            record_key,
        })
    }

    /// The whole at-uri.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The account.
    #[must_use]
    pub const fn authority(self) -> AtIdentifier<'a> {
        self.authority
    }

    /// The collection, where there is one.
    #[must_use]
    pub const fn collection(self) -> Option<Nsid<'a>> {
        self.collection
    }

    /// The record key, where there is one.
    #[must_use]
    pub const fn record_key(self) -> Option<RecordKey<'a>> {
        self.record_key
    }
}

impl AsRef<str> for AtUri<'_> {
    fn as_ref(&self) -> &str {
        self.text
    }
}

impl fmt::Display for AtUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> TryFrom<&'a str> for AtUri<'a> {
    type Error = SyntaxError;

    fn try_from(s: &'a str) -> Result<Self, Self::Error> {
        Self::parse(s)
    }
}
