//! Naive link extraction over `serde_json::Value`: right for the records that the tests write, and
//! deliberately written another way than the library that it is compared with.

use serde_json::Value;

/// Every distinct (path, target) of a record, in the order of first occurrence.
pub fn links(record: &str) -> Vec<(String, String)> {
    let mut distinct = Vec::new();
    for link in occurrences(record) {
        if !distinct.contains(&link) {
            distinct.push(link);
        }
    }
    distinct
}

/// Every (path, target) of a record, as often and in the order in which they stand.
pub fn occurrences(record: &str) -> Vec<(String, String)> {
    let value: Value = serde_json::from_str(record).expect("generated records are JSON");
    let mut found = Vec::new();
    walk(&value, String::new(), &mut found);
    found
}

fn walk(value: &Value, path: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, format!("{path}.{name}"), found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                let kind = element.get("$type").and_then(Value::as_str).unwrap_or("");
                walk(element, format!("{path}[{kind}]"), found);
            }
        }
        Value::String(text) => {
            if let Some(target) = normalise(text) {
                found.push((path, target));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The normalised form of a string that is a link; `None` for one that is not.
pub fn normalise(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let starts_as_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_as_scheme || !text.is_ascii() || text.contains(char::is_whitespace) {
        return None;
    }
    assert!(
        !text.contains('%') && !text.contains("/."),
        "beyond the model: {text}"
    );
    if scheme == "did" {
        return Some(text.to_owned());
    }
    let scheme = scheme.to_ascii_lowercase();
    let Some(after) = rest.strip_prefix("//") else {
        return Some(format!("{scheme}:{rest}"));
    };
    let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, tail) = after.split_at(authority_end);
    let path_end = tail.find(['?', '#']).unwrap_or(tail.len());
    let (path, suffix) = tail.split_at(path_end);
    if scheme == "at" {
        let authority = if authority.starts_with("did:") {
            authority.to_owned()
        } else {
            authority.to_ascii_lowercase()
        };
        let path = path.trim_end_matches('/');
        Some(format!("at://{authority}{path}{suffix}"))
    } else {
        let authority = authority.to_ascii_lowercase();
        Some(format!("{scheme}://{authority}{path}{suffix}"))
    }
}
