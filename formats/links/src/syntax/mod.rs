//! Strict parsers for the identifiers of the AT Protocol, as <https://atproto.com/specs> has them.
//!
//! Each works on bytes in one pass, allocates nothing, and gives a value that borrows the string it has
//! checked. None normalises: what is not in the right form is refused, with an error that says why.
//! They are separate from the lenient tests for links ([`crate::parse_target`]), which accept whatever
//! records hold.

mod at_identifier;
mod at_uri;
mod cid;
mod did;
mod handle;
mod nsid;
mod record_key;
mod tid;

pub use at_identifier::AtIdentifier;
pub use at_uri::AtUri;
pub use cid::Cid;
pub use did::Did;
pub use handle::Handle;
pub use nsid::Nsid;
pub use record_key::RecordKey;
pub use tid::Tid;

use crate::error::SyntaxError;

/// The parts that every checked, borrowed identifier has.
macro_rules! borrowed_identifier {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// The identifier as a string.
            #[must_use]
            pub const fn as_str(self) -> &'a str {
                self.0
            }
        }

        impl AsRef<str> for $name<'_> {
            fn as_ref(&self) -> &str {
                self.0
            }
        }

        impl std::fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }

        impl<'a> TryFrom<&'a str> for $name<'a> {
            type Error = $crate::SyntaxError;

            fn try_from(s: &'a str) -> Result<Self, Self::Error> {
                Self::parse(s)
            }
        }
    };
}
use borrowed_identifier;

/// Checks that `s` is neither empty nor longer than `bytes_max`.
#[inline]
fn check_length(what: &'static str, s: &str, bytes_max: usize) -> Result<(), SyntaxError> {
    if s.is_empty() {
        return Err(SyntaxError::Empty { what });
    }
    if s.len() > bytes_max {
        return Err(SyntaxError::TooLong {
            what,
            bytes: s.len(),
            bytes_max,
        });
    }
    Ok(())
}

/// Checks that every byte of `s` from `from` on is allowed.
#[inline]
fn check_bytes(
    what: &'static str,
    s: &str,
    from: usize,
    allowed: impl Fn(u8) -> bool,
) -> Result<(), SyntaxError> {
    let rest = s.as_bytes().get(from..).unwrap_or_default();
    match rest.iter().position(|&b| !allowed(b)) {
        None => Ok(()),
        Some(at) => Err(SyntaxError::character(what, s, from + at)),
    }
}

/// The names under which the parts of a dotted name are told in errors.
struct LabelNames {
    label: &'static str,
    start: &'static str,
    end: &'static str,
}

/// Checks one label of a domain name, `s[start..end]`: 1 to 63 letters, digits and hyphens, with no
/// hyphen at either end.
#[inline]
fn check_label(names: &LabelNames, s: &str, start: usize, end: usize) -> Result<(), SyntaxError> {
    let label = s.as_bytes().get(start..end).unwrap_or_default();
    let (Some(&first), Some(&last)) = (label.first(), label.last()) else {
        return Err(SyntaxError::Empty { what: names.label });
    };
    if let Some(at) = label
        .iter()
        .position(|&b| !(b.is_ascii_alphanumeric() || b == b'-'))
    {
        return Err(SyntaxError::character(names.label, s, start + at));
    }
    if label.len() > 63 {
        return Err(SyntaxError::TooLong {
            what: names.label,
            bytes: label.len(),
            bytes_max: 63,
        });
    }
    if first == b'-' {
        return Err(SyntaxError::character(names.start, s, start));
    }
    if last == b'-' {
        return Err(SyntaxError::character(names.end, s, end - 1));
    }
    Ok(())
}
