//! URLs, read strictly.
//!
//! Owns the one reading of a URL that both the checks and the connection go by. What browsers would repair is refused
//! here: two readings of one text are how a check is passed by one host and the connection made to another.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Request lines beyond this are refused by servers anyway.
const URL_BYTES_MAX: usize = 8192;

/// Top-level names that never lead to the public internet, whatever the local resolver makes of them.
const LOCAL_NAMES: [&str; 6] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "onion",
    "home.arpa",
];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A lower-cased name, to be looked up.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// As it stands in a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("a bracket is not closed")?;
            // The parser knows no zones, so a name for an interface ends here too.
            let address: Ipv6Addr = inner.parse().map_err(|_| "no IPv6 address in brackets")?;
            return Ok(Self::Address(address.into()));
        }
        if text.is_empty() || text.len() > 253 {
            return Err("the host has no or too many bytes");
        }
        for label in text.split('.') {
            let plain = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            if !plain {
                return Err("the host holds a byte other than letters, digits, `-`, `_`, `.`");
            }
            if label.is_empty()
                || label.len() > 63
                || label.starts_with('-')
                || label.ends_with('-')
            {
                return Err("a label of the host is empty, too long, or begins or ends with `-`");
            }
        }
        // Whatever ends in a number is an address to those who read leniently (`127.1`, `0x7f000001`, `2130706433`), and
        // only the plain form is one here. No top-level name is a number.
        let last = text.rsplit('.').next().unwrap_or(text);
        if is_number(last) {
            let address: Ipv4Addr = text
                .parse()
                .map_err(|_| "a number that is no IPv4 address in its usual form")?;
            return Ok(Self::Address(address.into()));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }

    /// Whether this is a name that has a meaning only in its own network.
    pub(crate) fn is_local_name(&self) -> bool {
        let Self::Name(name) = self else {
            return false;
        };
        !name.contains('.')
            || LOCAL_NAMES.iter().any(|local| {
                name.strip_suffix(local)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
    }
}

fn is_number(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(out, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
        }
    }
}

/// A URL that can be asked for, as far as its text goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `https`, not `http`.
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Begins with `/`; without a fragment.
    pub(crate) target: String,
}

impl Url {
    /// Reads `scheme://host[:port][/path][?query][#fragment]`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > URL_BYTES_MAX {
            return Err("longer than 8192 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return Err("a byte that does not belong in a URL");
        }
        let (tls, rest) = if let Some(rest) = strip_scheme(text, "https://") {
            (true, rest)
        } else if let Some(rest) = strip_scheme(text, "http://") {
            (false, rest)
        } else {
            return Err("the scheme is neither https nor http");
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err("a user in front of the host");
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => port,
            None if tls => 443,
            None => 80,
        };
        let target = if target.starts_with('?') {
            format!("/{target}")
        } else {
            target.to_owned()
        };
        Ok(Self {
            tls,
            host: Host::parse(host)?,
            port,
            target,
        })
    }

    /// The URL a `Location` header of this one's answer means.
    pub(crate) fn join(&self, location: &str) -> Result<Self, &'static str> {
        let location = location.trim_matches([' ', '\t']);
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme()));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match location.bytes().next() {
            None | Some(b'#') => return Err("the target is this same URL"),
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => {
                let first = location.split(['/', '?', '#']).next().unwrap_or(location);
                if first.contains(':') {
                    return Self::parse(location);
                }
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                format!("{directory}/{location}")
            }
        };
        Self::parse(&format!("{}{target}", self.origin()))
    }

    /// `host:port`, the port always there: what limits are kept by.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What a kept connection is good for.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The `Host` header.
    pub(crate) fn host_header(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.to_string()
        } else {
            self.authority()
        }
    }

    /// Whether both name the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.scheme(), self.host_header());
        write!(out, "{scheme}://{host}{}", self.target)
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let host_end = match authority.find(']') {
        Some(at) if authority.starts_with('[') => at + 1,
        Some(_) => return Err("a bracket inside the host"),
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or("something behind the host")?;
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port) if number && port != 0 => Ok((host, Some(port))),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
