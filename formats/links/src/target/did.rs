//! The lenient test for a bare DID. There is no normal form: a DID is stored as it is written.

use crate::class;

/// Longest accepted DID; a longer one may still be a URI.
const BYTES_MAX: usize = 2048;

/// Whether the whole string counts as a DID: `did:`, a method of lower-case letters (which may be
/// empty), `:`, and an identifier that is not empty and does not end in `:`.
pub(crate) fn accepts(s: &[u8]) -> bool {
    let Some(rest) = s.strip_prefix(b"did:") else {
        return false;
    };
    let Some(method_len) = rest.iter().position(|&b| !b.is_ascii_lowercase()) else {
        return false;
    };
    let Some(identifier) = rest
        .get(method_len..)
        .and_then(|rest| rest.strip_prefix(b":"))
    else {
        return false;
    };
    s.len() <= BYTES_MAX
        && identifier.last().is_some_and(|&last| last != b':')
        && identifier.iter().all(|&b| class::is(b, class::DID))
}
