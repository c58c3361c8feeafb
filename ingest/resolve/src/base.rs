//! The base of a service's URLs: scheme, host and port, and nothing else.
//!
//! Owns the reading of URLs out of DID documents, which strangers write. Whether the host may be connected to is not
//! judged here.

/// Longest URL that is read.
const BYTES_MAX: usize = 2048;

/// `http[s]://host[:port]` at the beginning of `url`; what follows is of no interest. The error says what is wrong.
pub(crate) fn base_of(url: &str) -> Result<&str, &'static str> {
    if url.len() > BYTES_MAX {
        return Err("it is too long");
    }
    let after_scheme = strip_scheme(url).ok_or("it does not begin with https:// or http://")?;
    let end = after_scheme
        .find(['/', '?', '#', '\\'])
        .unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(end);
    if rest.starts_with('\\') {
        return Err("it has a backslash");
    }
    if authority.contains('@') {
        return Err("it has a user name");
    }
    let (host, port) = split_port(authority)?;
    if host.is_empty() {
        return Err("it has no host");
    }
    if let Some(port) = port
        && !(port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0))
    {
        return Err("its port is none");
    }
    let is_host = if host.starts_with('[') {
        host.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b']' | b':' | b'.'))
    } else {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    if !is_host {
        return Err("its host has characters that no host has");
    }
    url.get(..url.len() - rest.len()).ok_or("it is too long")
}

fn strip_scheme(url: &str) -> Option<&str> {
    ["https://", "http://"].iter().find_map(|scheme| {
        let (head, rest) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or("its host has no `]`")?;
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("its port is none"),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

/// Appends `name=value` to a URL, with the value percent-encoded as a query needs it.
pub(crate) fn push_query(url: &mut String, name: &str, value: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(name);
    url.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            url.push(char::from(byte));
        } else {
            url.push('%');
            for digit in [byte >> 4, byte & 15] {
                url.extend(HEX.get(usize::from(digit)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_taken() {
        for (url, base) in [
            ("https://pds.example.com", "https://pds.example.com"),
            ("https://pds.example.com/", "https://pds.example.com"),
            (
                "https://pds.example.com:8443/a/b?c#d",
                "https://pds.example.com:8443",
            ),
            ("HTTPS://Pds.Example.Com?x", "HTTPS://Pds.Example.Com"),
            ("http://localhost:2583", "http://localhost:2583"),
            ("http://[::1]:80#@x", "http://[::1]:80"),
            ("https://a.b/@c", "https://a.b"),
        ] {
            assert_eq!(base_of(url), Ok(base), "{url}");
        }
    }

    #[test]
    fn urls_that_are_no_service_are_refused() {
        for url in [
            "",
            "https://",
            "https:///x",
            "https:/a.b",
            "ftp://a.b",
            "//a.b",
            "https://user@a.b",
            "https://user:pass@a.b/",
            "https://a.b:",
            "https://a.b:0",
            "https://a.b:65536",
            "https://a.b:+80",
            "https://a.b:80:80",
            "https://:80",
            "https://a b/",
            "https://a.b\\@c.d",
            "https://a\tb",
            "https://ä.example",
            "https://a%2fb",
            "https://[::1",
            "https://[::1]x",
            "https://[::g]",
            " https://a.b",
        ] {
            assert!(base_of(url).is_err(), "{url}");
        }
        assert!(base_of(&format!("https://{}", "a".repeat(BYTES_MAX))).is_err());
    }

    #[test]
    fn values_of_a_query_stay_values() {
        let mut url = "https://a.b/x".to_owned();
        push_query(&mut url, "repo", "did:web:a.b%3A1");
        push_query(&mut url, "cursor", "a&b=c #ä+");
        assert_eq!(
            url,
            "https://a.b/x?repo=did:web:a.b%253A1&cursor=a%26b%3Dc%20%23%C3%A4%2B"
        );
    }
}
