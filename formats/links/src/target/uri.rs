//! The test for a URI (RFC 3986, with a scheme), and its normal form: syntax-based normalisation
//! (section 6.2.2) and no more. Nothing that depends on a scheme is done: default ports and empty paths
//! stay as they are.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{percent, segments};
use crate::class;

/// The parts of a valid URI, in the order in which they stand.
struct Parts<'a> {
    scheme: &'a str,
    authority: Option<Authority<'a>>,
    path: &'a str,
    /// Query and fragment, with the `?` and `#` before them.
    tail: &'a str,
}

struct Authority<'a> {
    /// With the `@` after it; empty where there is none.
    userinfo: &'a str,
    host: &'a str,
    /// With the `:` before it; empty where there is none.
    port: &'a str,
}

/// The normal form of a URI whose scheme is the first `scheme_len` bytes; `None` when it is none.
pub(crate) fn normalise(s: &str, scheme_len: usize) -> Option<Cow<'_, str>> {
    let parts = split(s, scheme_len)?;
    if is_normal(s, &parts) {
        return Some(Cow::Borrowed(s));
    }

    let mut out = String::with_capacity(s.len() + 2);
    out.extend(parts.scheme.chars().map(|c| c.to_ascii_lowercase()));
    out.push(':');
    if let Some(authority) = &parts.authority {
        out.push_str("//");
        out.push_str(&percent::normalise(authority.userinfo)?);
        percent::push_lower_case(&mut out, &percent::normalise(authority.host)?);
        if authority.port != ":" {
            out.push_str(authority.port);
        }
    }
    let path = percent::normalise(parts.path)?;
    if path.starts_with('/') {
        let start = out.len();
        segments::push_without_dots(&mut out, &path);
        // Without an authority, `//` at the start of the path would read as one.
        if parts.authority.is_none() && out.get(start..).is_some_and(|path| path.starts_with("//"))
        {
            out.insert_str(start, "/.");
        }
    } else {
        out.push_str(&path);
    }
    out.push_str(&percent::normalise(parts.tail)?);
    Some(if out == s {
        Cow::Borrowed(s)
    } else {
        Cow::Owned(out)
    })
}

/// Whether the URI is, for sure, in normal form, so that nothing need be copied.
fn is_normal(s: &str, parts: &Parts<'_>) -> bool {
    let upper = |part: &str| part.bytes().any(|b| class::is(b, class::UPPER));
    let authority_changes = parts
        .authority
        .as_ref()
        .is_some_and(|authority| upper(authority.host) || authority.port == ":");
    !upper(parts.scheme)
        && !authority_changes
        && !segments::may_have_dots(parts.path)
        && !s.bytes().any(|b| b == b'%')
}

/// Splits a URI and checks every part; `None` when it is not valid.
fn split(s: &str, scheme_len: usize) -> Option<Parts<'_>> {
    let (scheme, rest) = s.split_at_checked(scheme_len)?;
    let rest = rest.strip_prefix(':')?;
    let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let query_at = rest.find('?').unwrap_or(rest.len());
    let tail = s.get(s.len() - fragment.len() - (rest.len() - query_at)..)?;
    let hierarchy = rest.get(..query_at)?;
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(split_authority(authority)?), path)
        }
        None => (None, hierarchy),
    };
    let (query, fragment) = tail.split_at(tail.len() - fragment.len());
    let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
    let valid = all(path, class::PCHAR, b"/")
        && all(query, class::PCHAR, b"/?")
        && all(fragment, class::PCHAR, b"/?");
    valid.then_some(Parts {
        scheme,
        authority,
        path,
        tail,
    })
}

fn split_authority(authority: &str) -> Option<Authority<'_>> {
    let userinfo_len = authority.rfind('@').map_or(0, |at| at + 1);
    let (userinfo, rest) = authority.split_at_checked(userinfo_len)?;
    let host_len = if rest.starts_with('[') {
        rest.find(']')? + 1
    } else {
        rest.find(':').unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at_checked(host_len)?;
    let port_ok = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    let host_ok = match host.strip_prefix('[') {
        Some(literal) => is_ip_literal(literal.strip_suffix(']')?),
        None => all(host, class::NAME, b""),
    };
    let name = userinfo.strip_suffix('@').unwrap_or(userinfo);
    (port_ok && host_ok && all(name, class::NAME, b":")).then_some(Authority {
        userinfo,
        host,
        port,
    })
}

/// Whether this stands rightly between the brackets of an IP literal.
fn is_ip_literal(literal: &str) -> bool {
    let Some(future) = literal.strip_prefix(['v', 'V']) else {
        return literal.parse::<Ipv6Addr>().is_ok();
    };
    let Some((version, address)) = future.split_once('.') else {
        return false;
    };
    let valid = |address: &str| {
        address
            .bytes()
            .all(|b| class::is(b, class::NAME) || b == b':')
    };
    !version.is_empty()
        && version.bytes().all(|b| b.is_ascii_hexdigit())
        && !address.is_empty()
        && valid(address)
}

/// Whether the part holds only bytes of a class, of `more`, and whole escapes.
fn all(part: &str, set: u8, more: &[u8]) -> bool {
    let bytes = part.as_bytes();
    bytes.iter().enumerate().all(|(i, &b)| {
        class::is(b, set) || more.contains(&b) || (b == b'%' && percent::is_escape(bytes, i))
    })
}
