//! The slow, obvious counterpart of the extractor, for tests: recursion over `serde_json::Value`, paths
//! built by concatenation, targets tested by the rules of the contract one by one. It shares
//! no code with the crate.

use serde_json::Value;

/// A link as (path, target, kind).
pub(crate) type OwnedLink = (String, String, &'static str);

/// All links of a record. Members come in the order of the map, so compare as multisets.
pub(crate) fn naive_links(record: &Value) -> Vec<OwnedLink> {
    let mut links = Vec::new();
    walk(record, String::new(), &mut links);
    links
}

fn walk(value: &Value, path: String, links: &mut Vec<OwnedLink>) {
    match value {
        Value::String(text) => {
            if let Some((target, kind)) = naive_target(text) {
                links.push((path, target, kind));
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                walk(value, format!("{path}.{key}"), links);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                let name = element.get("$type").and_then(Value::as_str).unwrap_or("");
                walk(element, format!("{path}[{name}]"), links);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~".contains(c)
}

fn sub_delim(c: char) -> bool {
    "!$&'()*+,;=".contains(c)
}

/// The target of a string, by the rules of the contract one after the other.
pub(crate) fn naive_target(s: &str) -> Option<(String, &'static str)> {
    if let Some(target) = naive_at_uri(s) {
        return Some((target, "at-uri"));
    }
    if naive_did(s) {
        return Some((s.to_owned(), "did"));
    }
    naive_uri(s).map(|target| (target, "uri"))
}

/// All escapes in normal form; `None` when one is broken.
fn escapes(s: &str) -> Option<String> {
    let chars: Vec<char> = s.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() {
        if chars[i] != '%' {
            out.push(chars[i]);
            i += 1;
            continue;
        }
        let digits: String = chars.get(i + 1..i + 3)?.iter().collect();
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let c = char::from(u8::from_str_radix(&digits, 16).ok()?);
        if unreserved(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{}", digits.to_uppercase()));
        }
        i += 3;
    }
    Some(out)
}

/// Whether only these characters, and whole escapes, are in the part.
fn only(part: &str, allowed: impl Fn(char) -> bool) -> bool {
    escapes(part).is_some() && part.chars().all(|c| c == '%' || allowed(c))
}

/// Section 5.2.4 of RFC 3986, step by step.
fn remove_dot_segments(path: &str) -> String {
    let mut input = path.to_owned();
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("../") {
            input.drain(..3);
        } else if input.starts_with("./") || input.starts_with("/./") {
            input.drain(..2);
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            let rest = input
                .strip_prefix("/..")
                .unwrap_or("")
                .trim_start_matches('\0')
                .to_owned();
            input = if rest.is_empty() {
                "/".to_owned()
            } else {
                rest
            };
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "." || input == ".." {
            input.clear();
        } else {
            let end = input
                .char_indices()
                .skip(1)
                .find(|(_, c)| *c == '/')
                .map_or(input.len(), |(i, _)| i);
            output.push_str(&input[..end]);
            input.drain(..end);
        }
    }
    output
}

fn naive_at_uri(s: &str) -> Option<String> {
    let lower = s.to_ascii_lowercase();
    if !s.is_ascii() || s.len() > 8192 || !lower.starts_with("at://") {
        return None;
    }
    let s = escapes(s)?;
    let rest = &s[5..];
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, format!("#{fragment}")),
        None => (rest, String::new()),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, format!("?{query}")),
        None => (rest, String::new()),
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    if authority.is_empty()
        || !only(&path, |c| {
            unreserved(c) || sub_delim(c) || ":@/".contains(c)
        })
    {
        return None;
    }
    let lower = authority.to_ascii_lowercase();
    let authority = match authority.starts_with("did:") {
        true => authority.to_owned(),
        false if lower.starts_with("did:") => escapes(&lower)?,
        false => lower,
    };
    let path = remove_dot_segments(&path);
    let path = path.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Some(format!("at://{authority}{slash}{path}{query}{fragment}"))
}

fn naive_did(s: &str) -> bool {
    let parts: Vec<&str> = s.splitn(3, ':').collect();
    let [scheme, method, identifier] = parts[..] else {
        return false;
    };
    s.len() <= 2048
        && scheme == "did"
        && method.chars().all(|c| c.is_ascii_lowercase())
        && !identifier.is_empty()
        && !identifier.ends_with(':')
        && s.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:%-".contains(c))
}

fn naive_uri(s: &str) -> Option<String> {
    let (scheme, rest) = s.split_once(':')?;
    let mut scheme_chars = scheme.chars();
    if !scheme_chars.next()?.is_ascii_alphabetic()
        || !scheme_chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return None;
    }
    let pchar = |c: char| unreserved(c) || sub_delim(c) || ":@".contains(c);
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (rest, None),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    for part in [query, fragment].into_iter().flatten() {
        if !only(part, |c| pchar(c) || "/?".contains(c)) {
            return None;
        }
    }
    let mut out = format!("{}:", scheme.to_ascii_lowercase());
    let mut path = rest;
    let mut has_authority = false;
    if let Some(rest) = rest.strip_prefix("//") {
        has_authority = true;
        let end = rest.find('/').unwrap_or(rest.len());
        path = &rest[end..];
        out.push_str("//");
        out.push_str(&naive_authority(&rest[..end])?);
    }
    if !only(path, |c| pchar(c) || c == '/') {
        return None;
    }
    let path = escapes(path)?;
    let path = if path.starts_with('/') {
        remove_dot_segments(&path)
    } else {
        path
    };
    if !has_authority && path.starts_with("//") {
        out.push_str("/.");
    }
    out.push_str(&path);
    if let Some(query) = query {
        out.push_str(&format!("?{}", escapes(query)?));
    }
    if let Some(fragment) = fragment {
        out.push_str(&format!("#{}", escapes(fragment)?));
    }
    Some(out)
}

fn naive_authority(authority: &str) -> Option<String> {
    let (userinfo, host_port) = match authority.split_once('@') {
        Some((userinfo, host_port)) => (Some(userinfo), host_port),
        None => (None, authority),
    };
    let mut out = String::new();
    if let Some(userinfo) = userinfo {
        if !only(userinfo, |c| unreserved(c) || sub_delim(c) || c == ':') {
            return None;
        }
        out.push_str(&format!("{}@", escapes(userinfo)?));
    }
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host_port, ""),
    };
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']')?;
        let future = literal
            .to_ascii_lowercase()
            .strip_prefix('v')
            .is_some_and(|rest| {
                rest.split_once('.').is_some_and(|(version, address)| {
                    !version.is_empty()
                        && version.chars().all(|c| c.is_ascii_hexdigit())
                        && !address.is_empty()
                        && address
                            .chars()
                            .all(|c| unreserved(c) || sub_delim(c) || c == ':')
                })
            });
        if !future && literal.parse::<std::net::Ipv6Addr>().is_err() {
            return None;
        }
        out.push_str(&host.to_ascii_lowercase());
    } else {
        if !only(host, |c| unreserved(c) || sub_delim(c)) {
            return None;
        }
        // Decoding may bring up capitals; lower-casing turns the digits of escapes down, so they go up
        // again.
        out.push_str(&escapes(&escapes(host)?.to_ascii_lowercase())?);
    }
    if !port.is_empty() {
        out.push_str(&format!(":{port}"));
    }
    Some(out)
}
