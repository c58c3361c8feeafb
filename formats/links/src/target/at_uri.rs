//! The lenient test for an at-uri, and its normal form. Anything counts as an authority; the path must
//! hold the characters of an RFC 3986 path; query and fragment may hold any ASCII.

use std::borrow::Cow;

use super::{percent, segments};
use crate::class;

/// Longest accepted at-uri; a longer one may still be a URI.
pub(crate) const BYTES_MAX: usize = 8192;

const SCHEME: &str = "at://";

/// Whether the string begins with `at://`, in letters of any case.
pub(crate) fn has_scheme(s: &str) -> bool {
    s.as_bytes()
        .first_chunk::<5>()
        .is_some_and(|start| start.eq_ignore_ascii_case(SCHEME.as_bytes()))
}

/// The normal form of a string that passed [`has_scheme`]; `None` when it is no at-uri.
pub(crate) fn normalise(s: &str) -> Option<Cow<'_, str>> {
    if s.len() > BYTES_MAX {
        return None;
    }
    if is_plain(s) {
        return Some(Cow::Borrowed(s));
    }
    if !s.is_ascii() {
        return None;
    }
    let decoded = percent::normalise(s)?;
    // The scheme holds no escape, so its length is what it was.
    let rest = decoded.get(SCHEME.len()..)?;
    let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Escapes are whole by now, so a lone `%` is one of them.
    let path_ok = path
        .bytes()
        .all(|b| class::is(b, class::PCHAR) || matches!(b, b'/' | b'%'));
    if authority.is_empty() || !path_ok {
        return None;
    }

    let mut out = String::with_capacity(s.len());
    out.push_str(SCHEME);
    if authority.starts_with("did:") {
        out.push_str(authority);
    } else if authority
        .as_bytes()
        .first_chunk::<4>()
        .is_some_and(|start| start.eq_ignore_ascii_case(b"did:"))
    {
        // It begins with `did:` from now on, so the next time its escapes will be those of a DID.
        percent::push_lower_case(&mut out, authority);
    } else {
        out.extend(authority.chars().map(|c| c.to_ascii_lowercase()));
    }
    if !path.is_empty() {
        // Slashes at both ends go after the dot segments are resolved, for `a/..` leaves one behind.
        let mut resolved = String::with_capacity(path.len());
        segments::push_without_dots(&mut resolved, path);
        let inner = resolved.trim_matches('/');
        if !inner.is_empty() {
            out.push('/');
            out.push_str(inner);
        }
    }
    out.push_str(query);
    out.push_str(fragment);
    Some(if out == s {
        Cow::Borrowed(s)
    } else {
        Cow::Owned(out)
    })
}

/// Whether the string is, for sure, in normal form: the shape nearly all at-uris have. One pass, no
/// copy. It need not hold for every at-uri in normal form.
fn is_plain(s: &str) -> bool {
    let Some(rest) = s.as_bytes().strip_prefix(SCHEME.as_bytes()) else {
        return false;
    };
    let authority_len = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_len);
    let case_is_kept = authority.starts_with(b"did:");
    let authority_plain = !authority.is_empty()
        && authority.iter().all(|&b| {
            let class = class::of(b);
            class & class::PCHAR != 0 && (case_is_kept || class & class::UPPER == 0)
        });
    if !authority_plain {
        return false;
    }
    let Some(path) = path.strip_prefix(b"/") else {
        return true;
    };
    path.split(|&b| b == b'/').all(|segment| {
        segment.first().is_some_and(|&b| b != b'.')
            && segment.iter().all(|&b| class::is(b, class::PCHAR))
    })
}
