//! At-identifiers: a DID or a handle, where either may name an account.

use super::{Did, Handle};
use crate::error::SyntaxError;

/// What names an account: a DID or a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtIdentifier<'a> {
    /// A DID.
    Did(Did<'a>),
    /// A handle.
    Handle(Handle<'a>),
}

impl<'a> AtIdentifier<'a> {
    /// Checks a DID, if the string begins with `did:`, or else a handle.
    ///
    /// # Errors
    /// When the string is neither.
    pub fn parse(s: &'a str) -> Result<Self, SyntaxError> {
        if s.starts_with("did:") {
            Did::parse(s).map(Self::Did)
        } else {
            Handle::parse(s).map(Self::Handle)
        }
    }

    /// The identifier as a string.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Did(did) => did.as_str(),
            Self::Handle(handle) => handle.as_str(),
        }
    }
}

impl std::fmt::Display for AtIdentifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
